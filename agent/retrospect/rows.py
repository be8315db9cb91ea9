"""One row a series, in Parquet: a part at a time, each whole on disk before it has its name.

Needs the ``archive`` extra. There is no patient in a row: UIDs, the answer, and what gave it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agent.errors import RequestRefused
from agent.report import SeriesReport

EXTRA: Final = "pip install '.[archive]'"

TYPES: Final = {
    "str": "string",
    "str | None": "string",
    "int": "int32",
    "int | None": "int32",
    "float": "float64",
    "float | None": "float64",
    "tuple[str, ...]": "list",
    "datetime": "timestamp",
}
"""A field's type → how Parquet has it."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one series. ``findings`` are those of the report, as JSON."""

    series_uid: str
    study_uid: str
    state: str
    code: str | None
    text: str | None
    score: float | None
    operating_point: str | None
    threshold: float | None
    total_volume_ml: float | None
    midline_shift_mm: float | None
    subtypes: tuple[str, ...]
    findings: str
    caveats: tuple[str, ...]
    slices: int | None
    tilt_deg: float | None
    protocol: str | None
    result_id: str
    backend: str | None
    device: str | None
    files: int
    taken_s: float
    read_by: str
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Effort:
    """What a series took: how many files, how long [s], and which worker."""

    files: int
    taken_s: float
    read_by: str


def row_of(report: SeriesReport, effort: Effort) -> Row:
    """Put a report as a row."""
    engine, geometry = report.engine, report.geometry
    findings = [finding.model_dump(mode="json") for finding in report.findings]
    return Row(
        series_uid=report.series_uid,
        study_uid=report.study_uid,
        state=report.state,
        code=report.code,
        text=report.text,
        score=report.score,
        operating_point=report.operating_point,
        threshold=report.threshold,
        total_volume_ml=report.total_volume_ml,
        midline_shift_mm=report.midline_shift_mm,
        subtypes=tuple(dict.fromkeys(finding.subtype for finding in report.findings)),
        findings=json.dumps(findings),
        caveats=tuple(caveat.code for caveat in report.caveats),
        slices=geometry.slices if geometry else None,
        tilt_deg=geometry.tilt_deg if geometry else None,
        protocol=report.protocol,
        result_id=report.result_id,
        backend=engine.backend if engine else None,
        device=engine.device if engine else None,
        files=effort.files,
        taken_s=effort.taken_s,
        read_by=effort.read_by,
        read_at=datetime.now(timezone.utc),
    )


def unanswered(series_uid: str, code: str, text: str, effort: Effort) -> Row:
    """Make the row of a series that came to no report."""
    row: dict[str, Any] = {field.name: None for field in fields(Row)}
    row |= {
        "series_uid": series_uid,
        "study_uid": "",
        "state": "not_analysed",
        "code": code,
        "text": text,
        "subtypes": (),
        "findings": "[]",
        "caveats": (),
        "result_id": "",
        "read_at": datetime.now(timezone.utc),
    }
    return Row(**(row | asdict(effort)))


class Rows:
    """The rows that one bundle gave, in a folder of Parquet files."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; what a killed writer left half-written is removed."""
        self._folder = folder
        self._arrow, self._parquet = _arrow()
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob(".*.part"):
            half.unlink()

    def read(self) -> Iterator[dict[str, Any]]:
        """Give every row."""
        for part in sorted(self._folder.glob("*.parquet")):
            yield from self._parquet.read_table(part).to_pylist()

    def known(self) -> set[str]:
        """Return the series that have a row."""
        return {
            uid
            for part in sorted(self._folder.glob("*.parquet"))
            for uid in self._parquet.read_table(part, columns=["series_uid"])[0].to_pylist()
        }

    def write(self, rows: list[Row]) -> None:
        """Add a part, on disk before it has its name."""
        if not rows:
            return
        table = self._arrow.Table.from_pylist(list(map(asdict, rows)), schema=self._schema())
        last = max((int(part.stem) for part in self._folder.glob("*.parquet")), default=0)
        half = self._folder / f".{last + 1:06}.part"
        with half.open("wb") as file:
            self._parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._folder / f"{last + 1:06}.parquet")

    def _schema(self) -> Any:  # noqa: ANN401 - pyarrow's
        arrow = self._arrow
        kinds = {
            "string": arrow.string(),
            "int32": arrow.int32(),
            "float64": arrow.float64(),
            "list": arrow.list_(arrow.string()),
            "timestamp": arrow.timestamp("us", tz="UTC"),
        }
        return arrow.schema([(field.name, kinds[TYPES[str(field.type)]]) for field in fields(Row)])


def _arrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - of the archive extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise RequestRefused("archive_package_missing", package="pyarrow", command=EXTRA) from error
    return pa, parquet
