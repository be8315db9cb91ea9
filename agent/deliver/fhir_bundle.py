"""A result as a FHIR R4 transaction: report, observations, and a task where it is urgent. Pure.

Each resource is put by an identifier of ours, which follows from the series: sent again, or after a
late slice, it takes the place of what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from pydicom.sr.coding import Code

from agent.deliver.dicom.codes import (
    ANSWER,
    ANSWERS,
    FINDING,
    HEAD_CT,
    KINDS_OF_BLEED,
    LATERALITY,
    MIDLINE_SHIFT,
    MILLILITRE,
    MILLIMETRE,
    NO_UNITS,
    PRIVATE_SCHEME,
    PROBABILITY,
    SIDES,
    VOLUME,
    site_of,
)
from agent.deliver.result import (
    StoredResult,
    date_of,
    derived_uuid,
    finding_line,
    finding_lines,
    impression_lines,
)
from agent.deliver.settings import FhirChannel
from agent.deliver.trial import is_trial
from agent.report import FindingReport, SeriesReport, utc_text

Resource: TypeAlias = dict[str, Any]

SYSTEMS: Final = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: "urn:bleedwatch:codes",
}
"""Source: FHIR R4 terminologies-systems, but for our own."""

IDENTIFIERS: Final = "urn:ietf:rfc:3986"
"""The system of identifiers that are URIs. Source: FHIR R4 datatypes, Identifier."""

PRELIMINARY, AMENDED, WITHDRAWN = "preliminary", "amended", "entered-in-error"
"""Source: FHIR R4 diagnostic-report-status, observation-status."""

CT: Final = "http://terminology.hl7.org/CodeSystem/v2-0074", "CT"
ACCESSION: Final = "http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN"
TEST: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST"


def transaction(
    result: StoredResult, settings: FhirChannel, own_text: str | None = None
) -> Resource:
    """Make the Bundle; ``own_text`` is the site's conclusion, instead of ours."""
    observations = list(_observations(result, settings))
    report = _report(result, settings, [one for one in observations if _stands(one)])
    if own_text is not None:
        report["conclusion"] = own_text
    resources = [*observations, report, *_task(result, settings, report)]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(one) for one in resources],
    }


def _entry(resource: Resource) -> Resource:
    identifier = resource["identifier"][0]
    sought = quote(f"{identifier['system']}|{identifier['value']}", safe="")
    return {
        "fullUrl": _full_url(resource),
        "resource": resource,
        "request": {"method": "PUT", "url": f"{resource['resourceType']}?identifier={sought}"},
    }


def _full_url(resource: Resource) -> str:
    return str(resource["identifier"][0]["value"])


def _stands(resource: Resource) -> bool:
    return bool(resource["status"] != WITHDRAWN)


def _begun(kind: str, part: str, status: str, result: StoredResult) -> Resource:
    """Begin a resource with what all of them have."""
    named = derived_uuid("fhir", kind, result.report.series_uid, part)
    begun: Resource = {
        "resourceType": kind,
        "identifier": [{"system": IDENTIFIERS, "value": f"urn:uuid:{named}"}],
        "status": status,
    }
    if is_trial(result):
        begun["meta"] = {"tag": [{"system": TEST[0], "code": TEST[1]}]}
    return begun


def _status(result: StoredResult) -> str:
    return AMENDED if result.predecessor else PRELIMINARY


def _subject(result: StoredResult, settings: FhirChannel) -> Resource:
    """Refer to the patient: one that the server must know, or by the number alone."""
    patient_id, system = result.identity.patient_id, settings.patient_system
    if not patient_id:
        return {"type": "Patient", "display": "unknown"}
    if system and not is_trial(result):
        return {"reference": f"Patient?identifier={quote(f'{system}|{patient_id}', safe='')}"}
    return {"type": "Patient", "identifier": {"value": patient_id}}


def _order(result: StoredResult) -> Resource:
    """Refer to the order, where it has an accession number."""
    accession = result.identity.accession
    if not accession:
        return {}
    kind = {"coding": [{"system": ACCESSION[0], "code": ACCESSION[1]}]}
    identifier = {"type": kind, "value": accession}
    return {"basedOn": [{"type": "ServiceRequest", "identifier": identifier}]}


def _report(result: StoredResult, settings: FhirChannel, told: list[Resource]) -> Resource:
    report = result.report
    study = {"system": "urn:dicom:uid", "value": f"urn:oid:{report.study_uid}"}
    return {
        **_begun("DiagnosticReport", "report", _status(result), result),
        **_order(result),
        "category": [{"coding": [{"system": CT[0], "code": CT[1]}]}],
        "code": coded(HEAD_CT),
        "subject": _subject(result, settings),
        **_when(result),
        "issued": utc_text(result.at),
        "result": [{"reference": _full_url(one)} for one in told],
        "imagingStudy": [{"type": "ImagingStudy", "identifier": study}],
        "conclusion": "\n".join((*impression_lines(result), *finding_lines(result))),
        "conclusionCode": [coded(ANSWERS[report.state])],
    }


def _when(result: StoredResult) -> Resource:
    """Say on which day the study was; the scanner's clock has no time zone, which FHIR asks for."""
    day = date_of(result.images.study_date)
    return {"effectiveDateTime": f"{day[:4]}-{day[4:6]}-{day[6:]}"} if day else {}


def answer_components(report: SeriesReport) -> list[Resource]:
    """Tell what was measured of a whole answer; what was not is left out."""
    measured = (
        (PROBABILITY, report.score, NO_UNITS),
        (MIDLINE_SHIFT, report.midline_shift_mm, MILLIMETRE),
        (VOLUME, report.total_volume_ml if report.findings else None, MILLILITRE),
    )
    return [quantity(code, value, unit) for code, value, unit in measured if value is not None]


def _observations(result: StoredResult, settings: FhirChannel) -> Iterator[Resource]:
    """Tell the answer and each finding; withdraw those that an earlier result had beyond these."""
    report = result.report
    about = {"subject": _subject(result, settings), **_when(result)}
    if report.engine:
        by = f"Bleedwatch {report.engine.bundle} {report.engine.version}"
        about["device"] = {"display": by}
    components = answer_components(report)
    yield {
        **_begun("Observation", "answer", _status(result), result),
        "code": coded(ANSWER),
        **about,
        "valueCodeableConcept": coded(ANSWERS[report.state]),
        **({"component": components} if components else {}),
    }
    for number, finding in enumerate(report.findings, 1):
        begun = _begun("Observation", f"finding {number}", _status(result), result)
        yield {**begun, "code": coded(FINDING), **about, **finding_facts(finding)}
    for number in range(len(report.findings) + 1, result.n_former_findings + 1):
        begun = _begun("Observation", f"finding {number}", WITHDRAWN, result)
        yield {**begun, "code": coded(FINDING), **about}


def finding_facts(finding: FindingReport) -> Resource:
    """Say of an Observation's finding what it is, where, and how large."""
    side = SIDES.get(finding.side or "")
    laterality = [{"code": coded(LATERALITY), "valueCodeableConcept": coded(side)}] if side else []
    return {
        "valueCodeableConcept": coded(KINDS_OF_BLEED[finding.subtype]),
        "note": [{"text": finding_line(finding)}],
        "bodySite": coded(site_of(finding.subtype, finding.region)),
        "component": [
            *laterality,
            quantity(VOLUME, finding.volume_ml, MILLILITRE),
            quantity(PROBABILITY, finding.probability, NO_UNITS),
        ],
    }


def _task(result: StoredResult, settings: FhirChannel, report: Resource) -> Iterator[Resource]:
    """Ask for a suspicion to be read sooner, where the site wants it; take that back later."""
    suspected = result.report.state == "suspected"
    if settings.priority and (suspected or result.predecessor):
        yield {
            **_begun("Task", "read", "requested" if suspected else "cancelled", result),
            **_order(result),
            "intent": "proposal",
            "priority": settings.priority,
            "description": next(impression_lines(result)),
            "focus": {"reference": _full_url(report)},
            "for": _subject(result, settings),
            "lastModified": utc_text(result.at),
        }


def quantity(code: Code, value: float, unit: Code) -> Resource:
    """Write a number as an Observation's component."""
    told = {"value": value, "unit": unit.value, "system": SYSTEMS["UCUM"], "code": unit.value}
    return {"code": coded(code), "valueQuantity": told}


def coded(code: Code) -> Resource:
    """Write a code as a CodeableConcept."""
    coding = {
        "system": SYSTEMS[code.scheme_designator],
        "code": code.value,
        "display": code.meaning,
    }
    return {"coding": [coding], "text": code.meaning}
