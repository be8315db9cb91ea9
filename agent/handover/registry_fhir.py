"""The rows of a registry's export as one FHIR R4 Bundle. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydicom.sr.coding import Code

from agent.deliver.dicom.codes import (
    AGREEMENT,
    ANSWER,
    ANSWERS,
    FINDING,
    PRIVATE_SCHEME,
)
from agent.deliver.fhir_bundle import (
    IDENTIFIERS,
    SYSTEMS,
    Resource,
    answer_components,
    coded,
    finding_facts,
)
from agent.deliver.result import derived_uuid
from agent.handover.registry import OLDEST_TOLD, RegistryRow

PSEUDONYMOUS: Final = {
    "security": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "PSEUDED",
        }
    ]
}
"""A hash whose key stays on the box stands for the examination. Source: HL7 v3 ObservationValue."""

GENDERS: Final = {"M": "male", "F": "female", "O": "other"}
"""Source: FHIR R4 administrative-gender."""

AGE: Final = Code("30525-0", "LN", "Age")


def bundle_of(rows: Iterable[RegistryRow]) -> Resource:
    """Make the Bundle: a collection of patient, study, answer, findings and agreement of each."""
    entries = [
        {"fullUrl": name, "resource": resource}
        for row in rows
        for name, resource in _resources(row)
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _name(row: RegistryRow, part: str) -> str:
    return f"urn:uuid:{derived_uuid('registry', part, str(row.examination))}"


def _resources(row: RegistryRow) -> Iterator[tuple[str, Resource]]:
    """Give each resource with its name. The patient is nobody: a sex alone."""
    patient, study, answer = (_name(row, part) for part in ("patient", "study", "answer"))
    yield (
        patient,
        {
            "resourceType": "Patient",
            "meta": PSEUDONYMOUS,
            "gender": GENDERS.get(row.sex, "unknown"),
        },
    )
    yield (
        study,
        {
            "resourceType": "ImagingStudy",
            "meta": PSEUDONYMOUS,
            "identifier": [{"system": IDENTIFIERS, "value": f"urn:uuid:{row.examination}"}],
            "status": "available",
            "modality": [{"system": SYSTEMS["DCM"], "code": "CT"}],
            "subject": {"reference": patient},
            "started": row.month,
            "numberOfSeries": row.n_series,
            "numberOfInstances": row.slices,
        },
    )
    about: Resource = {
        "resourceType": "Observation",
        "meta": PSEUDONYMOUS,
        "status": "final",
        "subject": {"reference": patient},
        "effectiveDateTime": row.month,
        "derivedFrom": [{"reference": study}],
    }
    found = [_name(row, f"finding {number}") for number, _ in enumerate(row.findings, 1)]
    yield answer, about | _answer(row, found)
    for name, finding in zip(found, row.findings, strict=True):
        yield name, about | {"code": coded(FINDING)} | finding_facts(finding)
    if agreement := _agreement(row):
        told = {"code": coded(AGREEMENT), "focus": [{"reference": answer}], "component": agreement}
        yield _name(row, "agreement"), about | told


def _answer(row: RegistryRow, findings: list[str]) -> Resource:
    report = row.report
    told: Resource = {
        "code": coded(ANSWER),
        "valueCodeableConcept": coded(ANSWERS[report.state]),
        "component": [*answer_components(report), *_age(row)],
        "hasMember": [{"reference": name} for name in findings],
        "note": [{"text": word} for word in (report.code, row.second) if word],
    }
    if report.engine:
        by = f"Bleedwatch {report.engine.bundle} {report.engine.version} {report.engine.digest}"
        told["device"] = {"display": by.strip()}
    return {name: value for name, value in told.items() if value}


def _age(row: RegistryRow) -> Iterator[Resource]:
    if row.age_years is not None:
        years: dict[str, Any] = {"value": row.age_years, "unit": "years", "code": "a"}
        or_more = {"comparator": ">="} if row.age_years > OLDEST_TOLD else {}
        yield {"code": coded(AGE), "valueQuantity": years | or_more | {"system": SYSTEMS["UCUM"]}}


def _agreement(row: RegistryRow) -> list[Resource]:
    """Say what people made of the answer; nothing where nobody did."""
    words = (
        ("verdict", row.verdict),
        ("answered", row.answered),
        ("dismissed-because", row.dismissed_because),
    )
    said = [
        {"code": _ours(name), "valueCodeableConcept": {"text": word}}
        for name, word in words
        if word
    ]
    counted = [{"code": _ours(word), "valueInteger": n} for word, n in row.readings if n]
    signed = [{"code": _ours("report-signed"), "valueBoolean": True}] if row.report_signed else []
    return [*said, *counted, *signed]


def _ours(word: str) -> Resource:
    return coded(Code(word.replace("_", "-"), PRIVATE_SCHEME, word.replace("-", " ")))
