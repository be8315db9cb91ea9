"""A stored result, as channels take it, and what is said of it in words and names."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.records import Identity
from agent.report import FindingReport, SeriesReport
from agent.sources import SourceImages

UID_NAMESPACE: Final = uuid.UUID("5d1b2f0e-61a2-5a3b-9d0f-2f6a7b3c9e41")
"""Ours: names that must be the same when sent again derive from it (RFC 9562, version 5)."""

NOT_FOR_DIAGNOSIS: Final = "AI result, not for diagnosis"

SEXES: Final = ("M", "F", "O")
"""Source: PS3.3 C.7.1.1."""

TIME: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d+)?)?)?")
"""Source: PS3.5 table 6.2-1, TM."""

ANSWERS_IN_WORDS: Final = {
    "suspected": "Intracranial hemorrhage suspected",
    "not_suspected": "Intracranial hemorrhage not suspected",
    "not_analysed": "Not analysed: read it without Bleedwatch",
}


@dataclass(frozen=True, slots=True)
class SignedText:
    """A report as a radiologist signed it.

    ``version`` counts from 1 in its series; ``former_version`` is the one that the same channel was
    sent before, None where there is none. ``sections`` are its sentences by section, in
    ``language``.
    """

    version: int
    former_version: int | None
    who: str
    at: datetime
    language: str
    sections: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class StoredResult:
    """One revision of a series' result, as the store has it.

    ``numbers`` (k, j, i) is the number of the finding that a voxel is of, from 1 on, as the source
    images lie; None where nothing is suspected. ``key_png`` is the key slice as the console draws
    it. ``predecessor`` is the ``result_id`` of the result that the same channel was sent before,
    and ``n_former_findings`` how many findings that had. ``signed`` is a report on the result that
    is sent instead of it.
    """

    report: SeriesReport
    at: datetime
    identity: Identity
    images: SourceImages
    numbers: NDArray[np.uint16] | None
    key_png: bytes | None
    predecessor: str | None
    n_former_findings: int = 0
    signed: SignedText | None = None

    @property
    def raises_order(self) -> bool:
        """Whether it suspects a bleed for the first time.

        A suspicion that takes the place of one raises nothing anew: a person may have lowered the
        order since.
        """
        again = self.signed or (self.predecessor and self.n_former_findings)
        return self.report.state == "suspected" and not again


def derived_uuid(*parts: str) -> uuid.UUID:
    """Return the UUID that these parts give, the same each time."""
    return uuid.uuid5(UID_NAMESPACE, " ".join(parts))


def date_of(written: str) -> str:
    """Return a date as DICOM and HL7 write it, YYYYMMDD; "" where it is none."""
    digits = written.replace(".", "").replace("-", "")
    try:
        datetime.strptime(digits, "%Y%m%d")  # noqa: DTZ007 - a day, in no time zone
    except ValueError:
        return ""
    return digits if len(digits) == len("YYYYMMDD") else ""


def time_of(written: str) -> str:
    """Return a time of day as DICOM writes it, HHMMSS.FFFFFF or less; "" where it is none."""
    found = TIME.fullmatch(written.replace(":", ""))
    return found[0][: len("HHMMSS.FFFFFF")] if found else ""


def label_of(finding: FindingReport) -> str:
    """Name a finding: "Subdural hemorrhage, left frontal"."""
    where = f", {finding.where}" if finding.where else ""
    return f"{finding.subtype.capitalize()} hemorrhage{where}"


def finding_line(finding: FindingReport) -> str:
    """Tell a finding in one line, with what was measured."""
    low_ml, high_ml = finding.volume_interval_ml
    long_mm, short_mm, height_mm = finding.extent_mm
    return (
        f"{label_of(finding)}: {finding.volume_ml:.1f} mL ({low_ml:.1f} to {high_ml:.1f}), "
        f"{long_mm:.0f} x {short_mm:.0f} x {height_mm:.0f} mm, "
        f"probability {finding.probability:.2f}, slice {finding.key_slice + 1}"
    )


def finding_lines(result: StoredResult) -> Iterator[str]:
    """Tell what was found, or why nothing was analysed, and what is to be read with it."""
    report = result.report
    yield from map(finding_line, report.findings)
    if report.findings and report.midline_shift_mm is not None:
        yield f"Midline shift {report.midline_shift_mm:.1f} mm"
    if report.state == "not_suspected":
        yield "Nothing suspected; this does not exclude hemorrhage"
    if report.text:
        yield f"Not analysed: {report.text}"
    for caveat in report.caveats:
        yield f"To be read with it: {caveat.text}"


def impression_lines(result: StoredResult) -> Iterator[str]:
    """Tell the answer, and whose it is."""
    yield ANSWERS_IN_WORDS[result.report.state]
    yield origin_line(result)
    if result.predecessor:
        yield f"Revision {result.report.revision}: takes the place of the one before"


def origin_line(result: StoredResult) -> str:
    """Tell whose answer it is, and what it is not for."""
    engine = result.report.engine
    by = f" by {engine.bundle} {engine.version}" if engine else ""
    return f"{NOT_FOR_DIAGNOSIS}. Made{by}, read by no physician."
