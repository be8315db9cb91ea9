"""The result of one series as every channel, the store and ``--json`` carry it. Schema version 2.

Additions keep the version; a removed or redefined field raises it. There is no patient data here:
who the patient is stands in the store's series row, beside the report.
"""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

from agent.reasons import Reason, plain
from agent.records import EXTRA_AXIAL, Certainty, Finding, Gap, Region, Subtype, Vector

if TYPE_CHECKING:
    from agent.voxels import Grid


def _words_of(words: tuple[str, ...]) -> AfterValidator:
    known = set(words)

    def known_word(word: str) -> str:
        if word not in known:
            raise ValueError(f"{word!r} is none of {', '.join(sorted(known))}")
        return word

    return AfterValidator(known_word)


def _schema_of(words: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"enum": list(words)})


SUBTYPES: Final = (*(subtype.word for subtype in Subtype), EXTRA_AXIAL)
REGIONS: Final = tuple(dict.fromkeys(region.word for region in Region))

SubtypeWord: TypeAlias = Annotated[str, _words_of(SUBTYPES), _schema_of(SUBTYPES)]
RegionWord: TypeAlias = Annotated[str, _words_of(REGIONS), _schema_of(REGIONS)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


ReasonValue: TypeAlias = Union[str, int, float, "ReasonReport", "tuple[ReasonReport, ...]"]


class ReasonReport(_Wire):
    """A reason as JSON carries it: ``code`` and ``values``, and what they say in English."""

    code: str
    """Stable: "slices_missing", "bone_kernel", …; "recorded" where only the text is known."""
    values: dict[str, ReasonValue]
    """What the text names; numbers with their unit in the name."""
    text: str
    what_to_do: str
    """"" where nothing is to be done."""


class EngineReport(_Wire):
    """Which networks ran, and on what."""

    bundle: str
    version: str
    """The bundle's."""
    backend: str
    """Such as "ONNX Runtime 1.20.1"; the plan's name too where one ran."""
    device: str
    """"CPU", or what the GPU is called."""
    digest: str = ""
    """SHA-256 that stands for all of the bundle's files; "" in results of before it was told."""

    @property
    def words(self) -> str:
        """Which networks ran, and on what, in one line."""
        return f"{self.bundle} {self.version}, {self.backend}, {self.device}"


class FindingReport(_Wire):
    """One connected bleed."""

    subtype: SubtypeWord
    """"extra-axial (subdural or epidural)" where the networks do not tell which."""
    side: Literal["left", "right", "midline"] | None
    region: RegionWord | None
    """Such as "basal ganglia"; None where the anatomy is not known."""
    volume_ml: float
    """With two decimals; people are told one."""
    volume_interval_ml: tuple[float, float]
    """90 % interval."""
    probability: float
    """That it is a bleed."""
    extent_mm: tuple[float, float, float]
    """Largest diameter in a slice, the one across it, height along the normal."""
    place: tuple[float, float, float] | None = None
    """Of its centre within the brain, each 0…1: right to left, front to back, bottom to top."""
    key_slice: int
    """Index of the slice that shows most of it, 0 lowest; people are told it counted from 1."""

    @property
    def where(self) -> str:
        """Side and region, such as "left basal ganglia"; "" where they are not known.

        A region that the subtype names already is not said again.
        """
        region = self.region if self.region and not self.subtype.startswith(self.region) else None
        return " ".join(word for word in (self.side, region) if word)


class GeometryReport(_Wire):
    """What the slices cover."""

    slices: int
    tilt_deg: float
    spacing_mm: tuple[float, ...]
    """Per gap, along the normal, lowest first."""
    missing: tuple[ReasonReport, ...]
    """Each gap."""


class SeriesReport(_Wire):
    """One revision of one series' result."""

    schema_version: Literal[2] = 2
    series_uid: str
    study_uid: str
    revision: int
    """1 for the first result; a late slice gives the next, which supersedes it."""
    result_id: str
    """Digest of (series UID, set of SOP UIDs, engine digest): two of one kind are one result."""
    protocol: str | None
    state: Literal["suspected", "not_suspected", "not_analysed"]
    code: str | None
    """Why it was *not analysed*, with ``values``, ``text`` and ``what_to_do`` as of any reason."""
    values: dict[str, ReasonValue] = {}
    text: str | None
    what_to_do: str | None
    score: float | None
    operating_point: str | None
    threshold: float | None
    total_volume_ml: float | None
    midline_shift_mm: float | None
    findings: tuple[FindingReport, ...]
    caveats: tuple[ReasonReport, ...]
    geometry: GeometryReport | None
    completed_by: str | None
    """Which rule decided that the series was complete: "count", "geometry", "quiet", …"""
    engine: EngineReport | None
    """None where no network ran."""
    timings_s: dict[str, float]
    """Seconds by stage; "total" runs from the last slice on disk to the result in hand."""


class SliceStack(_Wire):
    """The slices that are kept with a suspicion, to be scrolled through; 0 is the lowest."""

    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    """Between rows, and between columns."""
    heights_mm: tuple[float, ...]
    """Of each slice along the normal, ascending."""
    outlined: tuple[int, ...]
    """Which slices have an outline."""
    voxels_ml: tuple[float, ...] = ()
    """Volume of one voxel of each slice [mL]; none where the slices were kept before it was."""
    field_mm: float | None = None
    """Side of the square about a slice's centre that the networks' probabilities cover."""
    vertex_mm: float | None = None
    """Height of the highest slab that shows head; None where none was looked for."""
    mapped: tuple[int | None, ...] = ()
    """For each slice the one with which its probabilities are kept; null where the networks saw
    nothing of it, empty where none are kept."""


def reason_report(reason: Reason) -> ReasonReport:
    """Put a reason as JSON carries it."""
    return ReasonReport.model_validate(plain(reason))


def utc_text(moment: datetime) -> str:
    """Write a moment as JSON carries it: ISO 8601, in UTC, with T and Z."""
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def finding_report(finding: Finding, certainty: Certainty) -> FindingReport:
    """Put one finding into words and rounded numbers, as sure as the bundle is of it."""
    return FindingReport(
        subtype=certainty.kind(finding),
        side=finding.side.value if finding.side else None,
        region=finding.region.word if finding.region else None,
        volume_ml=round(finding.volume_ml, 2),
        volume_interval_ml=_rounded_pair(finding.volume_interval_ml),
        probability=round(certainty.probability(finding), 3),
        extent_mm=(
            round(finding.extent_mm[0], 1),
            round(finding.extent_mm[1], 1),
            round(finding.extent_mm[2], 1),
        ),
        place=_rounded_place(finding.place),
        key_slice=finding.key_slice_k,
    )


def geometry_report(grid: Grid, gaps: tuple[Gap, ...]) -> GeometryReport:
    """Say what a stack of slices covers."""
    heights_mm = grid.heights_mm.tolist()
    return GeometryReport(
        slices=len(heights_mm),
        tilt_deg=round(grid.tilt_deg, 2),
        spacing_mm=tuple(round(above - below, 3) for below, above in pairwise(heights_mm)),
        missing=tuple(reason_report(gap.reason) for gap in gaps),
    )


def _rounded_place(place: Vector | None) -> Vector | None:
    return place and (round(place[0], 3), round(place[1], 3), round(place[2], 3))


def _rounded_pair(pair: tuple[float, float]) -> tuple[float, float]:
    return round(pair[0], 2), round(pair[1], 2)


def to_the_second(moment: datetime) -> str:
    """Write a moment in UTC as people read it: as JSON carries it, without a second's parts."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
