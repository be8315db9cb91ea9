"""Values that pass between stages. Frozen, unit-suffixed, free of I/O.

Positions are DICOM patient coordinates, LPS: +x to the patient's left, +y posterior, +z to the
head. What holds arrays is in ``agent.voxels``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat

from agent.errors import ConfigError
from agent.reasons import Reason

MM3_PER_ML: Final = 1000.0

MASS_EFFECT_MM: Final = 5.0
"""From this shift of the midline on there is mass effect [mm]. Source: Bullock et al., Guidelines
for the Surgical Management of TBI, Neurosurgery 2006."""

CPU: Final = "CPU"
"""The device of whatever runs on the processor, as reports name it."""

TEST_MARK: Final = "TEST."
"""What the UID of a self-test's series begins with, in the journal and for all who read it. A DICOM
UID has no letters: no patient's series can be taken for a test, nor be mixed with one."""

PRIOR_MARK: Final = "PRIOR."
"""Likewise of a series of an earlier examination that was fetched. It alerts nobody: what comes of
the same series by itself is another one, with an answer of its own."""

FRAME_MARK: Final = ".frame"
"""Stands between an Enhanced CT object's UID and the frame's number, counted from 1. No UID holds a
letter, so it is never mistaken for one."""

STORABLE_UID: Final = re.compile(r"(?=.{3,64}\Z)[0-9]+(\.[0-9]+)+")
"""Digits and dots, 64 of them at most: what becomes the name of a file holds nothing else. Leading
zeros, which the standard forbids and scanners write, do no harm. Source: PS3.5 section 9.1."""

SUREST: Final = 1 / 255
"""No probability is told to be nearer to 0 or 1 than what a mask tells apart."""

Probability: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
"""Checked where it is read from a file, as all bounds in types are."""

Vector: TypeAlias = tuple[float, float, float]


class Subtype(IntEnum):
    """Bleed labels, as the networks' class axis orders them; 0 is no bleed."""

    INTRAPARENCHYMAL = 1
    INTRAVENTRICULAR = 2
    SUBARACHNOID = 3
    SUBDURAL = 4
    EPIDURAL = 5

    @property
    def word(self) -> str:
        """As bundles and configurations spell it, such as "subdural"; reports: ``Certainty``."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Subtype:
        """Look up what a file spells; ValueError if it names no subtype."""
        for subtype in cls:
            if subtype.word == word:
                return subtype
        raise ValueError(f"{word!r} is none of {', '.join(one.word for one in cls)}")


EXTRA_AXIAL: Final = "extra-axial (subdural or epidural)"
"""What reports call a bleed that could be either."""


class Region(IntEnum):
    """Anatomy labels, as the volume network's class axis orders them; 0 is outside the head."""

    LEFT_FRONTAL = 1
    RIGHT_FRONTAL = 2
    LEFT_PARIETAL = 3
    RIGHT_PARIETAL = 4
    LEFT_TEMPORAL = 5
    RIGHT_TEMPORAL = 6
    LEFT_OCCIPITAL = 7
    RIGHT_OCCIPITAL = 8
    LEFT_INSULA = 9
    RIGHT_INSULA = 10
    LEFT_BASAL_GANGLIA = 11
    RIGHT_BASAL_GANGLIA = 12
    LEFT_THALAMUS = 13
    RIGHT_THALAMUS = 14
    MIDBRAIN = 15
    PONS = 16
    MEDULLA = 17
    CEREBELLUM = 18
    VENTRICLES = 19
    EXTRA_AXIAL = 20

    @property
    def word(self) -> str:
        """As reports spell it, without its side: "basal ganglia", "extra-axial"."""
        if self is Region.EXTRA_AXIAL:
            return "extra-axial"
        return self.name.removeprefix("LEFT_").removeprefix("RIGHT_").replace("_", " ").lower()


LEFT_REGIONS: Final = tuple(r for r in Region if r.name.startswith("LEFT_"))
RIGHT_REGIONS: Final = tuple(r for r in Region if r.name.startswith("RIGHT_"))


class Side(str, Enum):
    """The patient's side, never the screen's."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"


class State(str, Enum):
    """Where a series stands. The last three are the only ways to end."""

    RECEIVING = "receiving"
    ANALYSING = "analysing"
    SUSPECTED = "suspected"
    NOT_SUSPECTED = "not_suspected"
    NOT_ANALYSED = "not_analysed"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file worth reading."""

    path: Path
    size_bytes: int
    mtime_ns: int
    seen_monotonic_s: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what a slice says it belongs to; every slice of a series must say the same."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_uid: str
    accession: str


@dataclass(frozen=True, slots=True)
class PerformedStep:
    """A scanner's procedure step (MPPS) as it is created or changed.

    ``images`` are how many images it lists of each series (UID, number); none where it lists none.
    """

    uid: str
    created: bool
    status: str
    images: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What objects that are made of a study's images repeat of it, as DICOM writes it, or ""."""

    date: str
    time: str
    study_id: str
    referring_physician: str


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What one image says of itself.

    ``row_direction`` is the unit vector along which the column index i grows, and
    ``column_direction`` the one along which the row index j grows (DICOM's first and second triple
    of Image Orientation). ``position_lps_mm`` is the centre of voxel (0, 0). ``digest`` is over
    the HU values, so that the same image in two encodings is the same. ``expected_images`` is a
    count that the header promises for the whole series, ``images_in_acquisition`` one for the
    acquisition, 0 if it promises none. ``n_times`` is how often its levels were scanned by the
    header, 0 where it does not say. ``lossy`` says that the pixels were compressed with losses.
    ``only_zeros``: nothing but zeros is stored, which may not have been written yet.
    ``spacing_between_mm`` is how far apart the header says that slices lie, None where it does not.
    ``acquired_at`` is when it was scanned and ``created_at`` when the image was made, by the
    scanner's clock, without a zone. ``rescale`` is slope and intercept [HU], by which what is
    stored becomes HU, None as long as the pixels were not read.
    """

    sop_uid: str
    sop_class_uid: str
    series_uid: str
    identity: Identity
    study: StudyFacts
    modality: str
    image_type: tuple[str, ...]
    description: str
    body_part: str
    manufacturer: str
    model: str
    kernel: str
    kvp: float | None
    contrast: str
    instance_number: int | None
    acquisition_number: int | None
    expected_images: int
    images_in_acquisition: int
    n_times: int
    lossy: bool
    only_zeros: bool
    frame_of_reference_uid: str
    acquired_at: datetime | None
    created_at: datetime | None
    rows: int
    columns: int
    position_lps_mm: Vector
    row_direction: Vector
    column_direction: Vector
    row_spacing_mm: float
    column_spacing_mm: float
    thickness_mm: float | None
    spacing_between_mm: float | None
    digest: str
    rescale: tuple[float, float] | None = None


Span: TypeAlias = tuple[datetime, datetime]
"""From first to last."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Which scan a series shows, by all its headers, and how it was reconstructed.

    ``acquired`` is when it was scanned and ``created`` when its images were made, by the scanner's
    clock, None where no header says. ``thickness_mm`` is that of the thickest slice.
    ``preference`` is which place the series has in its protocol profile's order, 0 for the most
    preferred. ``scanner`` is its model's name, "" where no header says.
    """

    numbers: frozenset[int] = frozenset()
    frames_of_reference: frozenset[str] = frozenset()
    acquired: Span | None = None
    created: Span | None = None
    thickness_mm: float | None = None
    preference: int | None = None
    scanner: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where slices are missing: between ``below_mm`` and ``above_mm`` along the normal."""

    below_mm: float
    above_mm: float
    slices: int

    @property
    def reason(self) -> Reason:
        """Say that slices are missing there."""
        return Reason(
            "slices_missing",
            n_missing=self.slices,
            below_mm=self.below_mm,
            above_mm=self.above_mm,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model's outputs are to be read.

    A voxel is bleed at or above ``bleed_probability``. ``midline_shift`` says whether the anatomy
    labels are good enough to confirm where the skull's midline lies. Where ``mirrored``, the slice
    network sees each slab as it is and as its mirror image, and both answers are averaged.
    """

    bleed_probability: Probability
    midline_shift: bool
    mirrored: bool

    @property
    def runs_per_slab(self) -> int:
        """How often the slice network sees each slab."""
        return 2 if self.mirrored else 1


@dataclass(frozen=True, slots=True)
class VolumeInterval:
    """90 % interval of a measured volume v, the wider the less sure its voxels are.

    With d the square of the doubt, which is 1 less the voxels' mean bleed probability: from
    v·(1 - below - below_by_doubt·d) - absolute_ml, never below 0, to
    v·(1 + above + above_by_doubt·d) + absolute_ml. What is missed of a bleed and what is taken for
    one differ in size.
    """

    below: NonNegativeFloat
    above: NonNegativeFloat
    below_by_doubt: NonNegativeFloat
    above_by_doubt: NonNegativeFloat
    absolute_ml: NonNegativeFloat

    def of(self, volume_ml: float, doubt: float) -> tuple[float, float]:
        """Interval about ``volume_ml`` [mL] where the ``doubt`` is 0…1."""
        below_ml = (self.below + self.below_by_doubt * doubt**2) * volume_ml + self.absolute_ml
        above_ml = (self.above + self.above_by_doubt * doubt**2) * volume_ml + self.absolute_ml
        return max(0.0, volume_ml - below_ml), volume_ml + above_ml


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure a finding is told to be: of being a bleed, and of its kind.

    It is a bleed with the probability 1 / (1 + exp(-intercept - slope·logit(p))), where p is the
    mean bleed probability of its voxels (Platt, Advances in Large Margin Classifiers 1999). It is
    subdural or epidural where, in the mean over its voxels, one of both has the share
    ``told_apart`` of both or more. The defaults are those of a bundle that says nothing of it.
    """

    intercept: float = 0.0
    slope: PositiveFloat = 1.0
    told_apart: Annotated[float, Field(ge=0.5, le=1.0)] = 0.5

    def probability(self, finding: Finding) -> float:
        """Probability that it is a bleed."""
        mean = min(max(finding.mean_probability, SUREST), 1.0 - SUREST)
        logit = math.log(mean / (1.0 - mean))
        return 1.0 / (1.0 + math.exp(-self.intercept - self.slope * logit))

    def kind(self, finding: Finding) -> str:
        """Name the kind: a subtype's word, or ``EXTRA_AXIAL``."""
        return finding.subtype.word if self.is_told_apart(finding) else EXTRA_AXIAL

    def is_told_apart(self, finding: Finding) -> bool:
        """Whether its kind is known: always, but where it could be subdural or epidural."""
        share = finding.epidural_share
        return share is None or max(share, 1.0 - share) >= self.told_apart


@dataclass(frozen=True, slots=True)
class Calcification:
    """How a calcification is told from blood among what the slice network holds for blood.

    What is looked at are spots of voxels at or above ``probability``. One is calcified with the
    probability 1 / (1 + exp(-intercept - weights·features)); ``measure.calcifications.features``
    are the highest HU beside it, the logarithm of the distance from bone, length over breadth, and
    how far aside of the middle, back and up in the head it lies. It is told from ``told_from`` on,
    and from ``least_hu`` on: clotted blood is hardly ever so dense.
    """

    probability: Probability
    least_hu: float
    told_from: Probability
    intercept: float
    weights: tuple[float, float, float, float, float, float]

    def probability_of(self, features: Iterable[float]) -> float:
        """Probability that a spot of such features is calcified."""
        weighed = sum(one * weight for one, weight in zip(features, self.weights, strict=True))
        return 1.0 / (1.0 + math.exp(-self.intercept - weighed))


@dataclass(frozen=True, slots=True)
class Finding:
    """One connected bleed, measured. A fact: whether it matters is ``decide``'s.

    ``side``, ``region`` and ``place`` are None where the anatomy is not known.
    ``mean_probability`` is that of a bleed over its voxels, and ``epidural_share`` likewise the
    share of epidural in subdural and epidural together; None where it is neither.
    ``volume_interval_ml`` is the 90 % interval. ``extent_mm`` is the largest diameter in a slice,
    the one across it, and the height along the normal. ``place`` is the centre's within the box
    that holds the brain, each 0…1: from the patient's right to left, front to back, bottom to top.
    """

    subtype: Subtype
    side: Side | None
    region: Region | None
    volume_ml: float
    volume_interval_ml: tuple[float, float]
    mean_probability: float
    epidural_share: float | None
    extent_mm: Vector
    centroid_lps_mm: Vector
    place: Vector | None
    key_slice_k: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that was measured in one head."""

    findings: tuple[Finding, ...]
    total_volume_ml: float
    midline_shift_mm: float | None
    key_slice_k: int | None


@dataclass(frozen=True, slots=True)
class EncodedSlice:
    """A slice as it is kept: ``hu`` (row, column) as ``packing`` packs it.

    ``outline_png`` is the bleed's outline on the same matrix, transparent elsewhere; ``findings_z``
    the number of each pixel's finding from 1 on, 0 elsewhere (uint8, in zlib's format). Each is
    None where there is no bleed. ``maps_z`` likewise is the probability of a bleed by slice and by
    volume network (network, row, column), 0…255 on a square matrix of its own; None but with the
    first slice of a slab that they saw.
    """

    k: int
    hu: bytes
    outline_png: bytes | None
    findings_z: bytes | None = None
    maps_z: bytes | None = None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Above which study score a bleed is suspected, and what that costs.

    ``alerts_per_100`` is the 95 % interval of the false alerts among 100 scans without a bleed, as
    held-out real heads tell it; None where none were tried.
    """

    name: str
    score: float
    alerts_per_100: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse a point that no score or every score passes."""
        if not 0.0 < self.score < 1.0:
            raise ConfigError("operating_point_absurd", point=self.name, score=self.score)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much of a head an answer is of. Nothing is taken for granted: no field has a default.

    ``faults`` says why it is no head in HU. ``gaps`` are missing slices, ``shortfall`` what else
    was promised and did not come, ``unread`` the files that came and could not be read, each named,
    ``unseen`` what the images themselves do not show of a head. ``unsure`` are its ends where it
    may go on by a slice or two. ``remarks`` take nothing away from an answer and are to be read
    with it.
    """

    faults: tuple[Reason, ...]
    gaps: tuple[Gap, ...]
    shortfall: Reason | None
    unread: tuple[Reason, ...]
    unseen: tuple[Reason, ...]
    unsure: tuple[Reason, ...]
    remarks: tuple[Reason, ...]

    @property
    def missing(self) -> tuple[Reason, ...]:
        """All that keeps the head from having been seen whole."""
        shortfall = (self.shortfall,) if self.shortfall else ()
        return (*(gap.reason for gap in self.gaps), *shortfall, *self.unread, *self.unseen)


@dataclass(frozen=True, slots=True)
class Suspected:
    """A bleed is suspected."""

    score: float
    point: OperatingPoint
    caveats: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class NotSuspected:
    """No bleed is suspected in a head that was seen whole."""

    score: float
    point: OperatingPoint
    caveats: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """No answer, and why."""

    reason: Reason


Assessment: TypeAlias = Suspected | NotSuspected | NotAnalysed


@dataclass(frozen=True, slots=True)
class KnownBleed:
    """A generated study that was written into a folder, and the one bleed that is in it."""

    series_uid: str
    subtype: Subtype
    side: Side
    volume_ml: float
    last_on_disk_monotonic_s: float


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment on both clocks: UTC to tell people, monotonic (since boot) to measure with."""

    utc: datetime
    monotonic_s: float

    @property
    def midnight(self) -> datetime:
        """When the day began, where this computer stands."""
        return self.utc.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


Clock: TypeAlias = Callable[[], Instant]


def is_test(series_uid: str) -> bool:
    """Tell a self-test's series from a patient's."""
    return series_uid.startswith(TEST_MARK)


def is_prior(series_uid: str) -> bool:
    """Tell a series that was fetched, of an earlier examination, from what comes by itself."""
    return series_uid.startswith(PRIOR_MARK)


def is_new(series_uid: str) -> bool:
    """Say whether a series is of a patient who is scanned now: what is counted, sent and told."""
    return not series_uid.startswith((TEST_MARK, PRIOR_MARK))
