"""A result as an HL7 v2.5.1 message, ORU^R01, and what acknowledgements say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from pydicom.sr.coding import Code

from agent.deliver.dicom.codes import (
    ALGORITHM_NAME,
    ANSWER,
    ANSWERS,
    FINDING,
    FINDING_SITE,
    HEAD_CT,
    IMPRESSIONS,
    KINDS_OF_BLEED,
    LATERALITY,
    MIDLINE_SHIFT,
    MILLILITRE,
    MILLIMETRE,
    NO_UNITS,
    PROBABILITY,
    SIDES,
    STUDY_UID,
    VOLUME,
    site_of,
)
from agent.deliver.result import (
    SEXES,
    StoredResult,
    date_of,
    derived_uuid,
    finding_lines,
    impression_lines,
    time_of,
)
from agent.deliver.settings import Hl7Channel
from agent.deliver.trial import is_trial
from agent.report import FindingReport

ESCAPES: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
"""Source: HL7 v2.5.1, 2.7.1."""

UTF_8: Final = "UNICODE UTF-8"
"""Source: HL7 table 0211."""

PRIORITIES: Final = {"stat": ("S", "Stat"), "asap": ("A", "ASAP"), "routine": ("R", "Routine")}
"""Source: HL7 table 0485."""

PRELIMINARY, CORRECTED, DELETED = "P", "C", "D"
"""Source: HL7 tables 0085 and 0123."""

REPRESENTATIONS: Final = ("A", "I", "P")
"""How a name's three groups of components are written. Source: HL7 table 0465, PS3.5 6.2.1."""

UNSPECIFIED: Final = "^^^^^^U"
"""Source: HL7 table 0200."""

Component: TypeAlias = str
Field: TypeAlias = "str | Sequence[Component]"
"""Text that is escaped; several are components of one field."""


def escaped(text: str) -> str:
    """Write text so that no character of it is taken for a delimiter or the end of a segment."""
    return "".join(
        ESCAPES.get(c, c if c.isprintable() else f"\\X{ord(c):02X}\\" if ord(c) < 256 else "")  # noqa: PLR2004
        for c in text
    )


def segment(name: str, *fields: Field) -> str:
    """Write a segment, without empty fields at its end."""
    written = [
        escaped(field) if isinstance(field, str) else "^".join(map(escaped, field)).rstrip("^")
        for field in fields
    ]
    return "|".join((name, *written)).rstrip("|")


def control_id(result: StoredResult, channel: str) -> str:
    """Return the control ID (MSH-10), by which an acknowledgement names the message.

    It is the same each time that a result is sent.

    HL7 v2.5.1 has 20 characters for it.
    """
    report = result.report
    return derived_uuid("hl7", channel, report.result_id, str(report.revision)).hex[:20]


def oru(result: StoredResult, settings: Hl7Channel, own_text: str | None = None) -> str:
    """Write the message, each segment ended by a carriage return.

    ``own_text`` is the site's, instead of our lines.
    """
    status = CORRECTED if result.predecessor else PRELIMINARY
    observations = [
        segment("OBX", str(number), *fields)
        for number, fields in enumerate(_observations(result, status, own_text), 1)
    ]
    written = [
        _header(result, settings),
        _patient(result, settings),
        _request(result, status),
        *_priority(result, settings),
        *observations,
    ]
    return "".join(f"{one}\r" for one in written)


def _header(result: StoredResult, settings: Hl7Channel) -> str:
    fields = segment(
        "",
        settings.sending_application,
        settings.sending_facility,
        settings.receiving_application,
        settings.receiving_facility,
        _moment(result.at),
        "",
        ("ORU", "R01", "ORU_R01"),
        control_id(result, settings.name),
        "T" if is_trial(result) else "P",
        "2.5.1",
        "",
        "",
        "",
        "",
        "",
        UTF_8,
    )
    return rf"MSH|^~\&{fields}"


def _moment(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S+0000")


def _patient(result: StoredResult, settings: Hl7Channel) -> str:
    identity = result.identity
    head = segment("PID", "1", "", (identity.patient_id, "", "", settings.patient_authority, "PI"))
    tail = segment(
        "",
        "",
        date_of(identity.birth_date),
        identity.sex if identity.sex in SEXES else "",
    )
    return f"{head}||{_names(identity.patient_name)}{tail}".rstrip("|")


def _names(name: str) -> str:
    """Write a DICOM person name, in each script that it has, as repetitions of an XPN.

    One that is not known is said to be unspecified: PID-5 is required. DICOM has the prefix before
    the suffix, HL7 after it. Source: PS3.5 6.2.1.2, HL7 v2.5.1 2.A.88.
    """
    written = []
    for group, representation in zip(name.partition("\\")[0].split("="), REPRESENTATIONS):  # noqa: B905
        family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
        if group.strip("^ "):
            parts = (family, given, middle, suffix, prefix, "", "L", representation)
            written.append("^".join(map(escaped, parts)))
    return "~".join(written) or UNSPECIFIED


def _request(result: StoredResult, status: str) -> str:
    accession, images = result.identity.accession, result.images
    order = accession or derived_uuid("order", result.report.series_uid).hex[:20]
    return segment(
        "OBR",
        "1",
        "",
        order,
        _coded(HEAD_CT),
        "",
        "",
        _study_moment(images.study_date, images.study_time),
        *[""] * 10,
        accession,
        *[""] * 3,
        _moment(result.at),
        "",
        "CT",
        status,
    )


def _study_moment(date: str, time: str) -> str:
    day = date_of(date)
    return day + time_of(time).partition(".")[0] if day else ""


def _priority(result: StoredResult, settings: Hl7Channel) -> Iterator[str]:
    """Raise the order in the reading list, where the site wants it and a bleed is suspected."""
    if settings.priority and result.report.state == "suspected":
        code, meaning = PRIORITIES[settings.priority]
        yield segment("TQ1", "1", *[""] * 7, (code, meaning, "HL70485"))


def _observations(
    result: StoredResult, status: str, own_text: str | None
) -> Iterator[tuple[Field, ...]]:
    """Give the fields of each OBX but its number; OBX-4 is a finding's number, or a line's."""
    report = result.report
    yield _observation("ST", STUDY_UID, "", report.study_uid, status)
    yield _observation("CWE", ANSWER, "", _coded(ANSWERS[report.state]), status)
    if report.score is not None:
        yield _number(PROBABILITY, "", report.score, NO_UNITS, status)
    if report.midline_shift_mm is not None:
        yield _number(MIDLINE_SHIFT, "", report.midline_shift_mm, MILLIMETRE, status)
    if report.findings and report.total_volume_ml is not None:
        yield _number(VOLUME, "", report.total_volume_ml, MILLILITRE, status)
    for number, finding in enumerate(report.findings, 1):
        yield from _finding(finding, str(number), status)
    for number in range(len(report.findings) + 1, result.n_former_findings + 1):
        yield _observation("CWE", FINDING, str(number), "", DELETED)
    if report.engine:
        by = f"{report.engine.bundle} {report.engine.version}"
        yield _observation("ST", ALGORITHM_NAME, "", f"Bleedwatch {by}", status)
    ours = (FINDING, finding_lines(result)), (IMPRESSIONS, impression_lines(result))
    for name, lines in ours if own_text is None else ((IMPRESSIONS, own_text.split("\n")),):
        for number, line in enumerate(lines, 1):
            yield _observation("TX", name, f"line {number}", line, status)


def _finding(finding: FindingReport, number: str, status: str) -> Iterator[tuple[Field, ...]]:
    yield _observation("CWE", FINDING, number, _coded(KINDS_OF_BLEED[finding.subtype]), status)
    site = site_of(finding.subtype, finding.region)
    yield _observation("CWE", FINDING_SITE, number, _coded(site), status)
    if side := SIDES.get(finding.side or ""):
        yield _observation("CWE", LATERALITY, number, _coded(side), status)
    yield _number(VOLUME, number, finding.volume_ml, MILLILITRE, status)
    yield _number(PROBABILITY, number, finding.probability, NO_UNITS, status)


def _observation(
    kind: str, name: Code, sub_id: str, value: Field, status: str, unit: Field = ""
) -> tuple[Field, ...]:
    return kind, _coded(name), sub_id, value, unit, *[""] * 4, status


def _number(name: Code, sub_id: str, value: float, unit: Code, status: str) -> tuple[Field, ...]:
    return _observation("NM", name, sub_id, f"{value:g}", status, _coded(unit))


def _coded(code: Code) -> tuple[str, str, str]:
    return code.value, code.meaning, code.scheme_designator


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a receiver says of a message: ``code`` is MSA-1; ``words`` its own, for a person."""

    code: str
    of: str
    words: str


def acknowledgement_of(message: str) -> Acknowledgement | None:
    """Read an acknowledgement; None where it is none.

    Its words are those of MSA-3, and of each ERR segment: code, diagnostics and user message.
    """
    if not message.startswith("MSH") or len(message) < 4:  # noqa: PLR2004
        return None
    separator = message[3]
    segments = [one.split(separator) for one in message.replace("\n", "\r").split("\r")]
    said = next((one for one in segments if one[0] == "MSA" and len(one) > 2), None)  # noqa: PLR2004
    if said is None:
        return None
    words = [said[3]] if len(said) > 3 else []  # noqa: PLR2004
    for error in (one for one in segments if one[0] == "ERR"):
        words += [error[place] for place in (3, 7, 8) if len(error) > place]
    told = " ".join("".join(c if c.isprintable() else " " for c in " ".join(words)).split())
    return Acknowledgement(said[1].strip(), said[2].strip(), told[:200])
