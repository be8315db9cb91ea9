"""The result of one series as every channel, the store and ``--json`` carry it. Schema version 1.

Additions keep the version; a removed or redefined field raises it. There is no patient data here:
who the patient is stands in the store's series row, beside the report.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FindingReport(_Wire):
    """One connected bleed."""

    subtype: Literal["intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural"]
    side: Literal["left", "right", "midline"] | None
    region: str | None
    """Such as "basal ganglia"; None where the anatomy is not known."""
    volume_ml: float
    volume_interval_ml: tuple[float, float]
    """90 % interval."""
    probability: float
    extent_mm: tuple[float, float, float]
    """Largest diameter in a slice, the one across it, height along the normal."""
    key_slice: int
    """Index of the slice that shows most of it, 0 lowest."""


class GeometryReport(_Wire):
    """What the slices cover."""

    slices: int
    tilt_deg: float
    spacing_mm: tuple[float, ...]
    """Per gap, along the normal, lowest first."""
    missing: tuple[str, ...]
    """Each gap in words: "1 slice missing between 34.2 and 49.0 mm"."""


class SeriesReport(_Wire):
    """One revision of one series' result."""

    schema_version: Literal[1] = 1
    series_uid: str
    study_uid: str
    revision: int
    """1 for the first result; a late slice gives the next, which supersedes it."""
    result_id: str
    """Digest of (series UID, set of SOP UIDs, engine digest): two of one kind are one result."""
    protocol: str | None
    state: Literal["suspected", "not_suspected", "not_analysed"]
    code: str | None
    """Stable word for a *not analysed*: "gapped", "not_eligible", "identity", …"""
    reason: str | None
    what_to_do: str | None
    score: float | None
    operating_point: str | None
    threshold: float | None
    total_volume_ml: float | None
    midline_shift_mm: float | None
    findings: tuple[FindingReport, ...]
    caveats: tuple[str, ...]
    geometry: GeometryReport | None
    completed_by: str | None
    """Which rule decided that the series was complete."""
    engine: str | None
    """Bundle, version and backend, such as "default 0.1.0, ONNX Runtime CPU"."""
    timings_s: dict[str, float]
    """Seconds by stage; "total" runs from the last slice on disk to the result in hand."""
