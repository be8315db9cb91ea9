"""Heads whose truth is known, to evaluate on: generated, real, and real with a bleed laid in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries
from agent.errors import FileRefused
from agent.preprocess import SliceInput
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume
from build_engine.heads.ct_ich import trauma_head, trauma_labels, trauma_split
from build_engine.heads.fields import UNSURE, Bytes, Case, grid_of, random_recipe
from build_engine.heads.laid_in import with_bleed_laid_in
from build_engine.heads.phe_sich import held_out_patients, phe_boxes, phe_case, phe_head, phe_silver
from build_engine.heads.processes import head_makers
from build_engine.synth.acquisition import Acquisition
from build_engine.synth.head import HeadRecipe, make_head
from build_engine.synth.lookalike import LookAlike

FIRST_TEST_SEED: Final = 20_001
"""Generated heads from here on are neither trained on nor used to choose anything."""

TEST_DEFORMATION: Final = 1.35
"""Test heads are bent further than any in training (1.0)."""

TEST_VOLUMES_ML: Final = (0.4, 120.0)

FEWEST_SLICES: Final = 6
"""Fewer slices than this are no head."""

COPIES: Final = 3
"""Bleeds laid into each real box-free part, one at a time."""

SMALLEST_LAID_IN_ML: Final = 0.4


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """A scanner that generated test heads are scanned by. ``seen``: its like is in training."""

    name: str
    slice_mm: float
    acquisition: Acquisition
    seen: bool


PROTOCOLS: Final = (
    EvaluationProtocol(
        "soft 5 mm", 5.0, Acquisition(0.85, 0.0, 3.0, 0.75, 0.35, 1.0, 0.0), seen=True
    ),
    EvaluationProtocol(
        "standard 2.5", 2.5, Acquisition(0.6, 0.15, 4.0, 0.6, 0.35, 0.99, 1.0), seen=True
    ),
    EvaluationProtocol(
        "sharp 1.25", 1.25, Acquisition(0.35, 0.7, 7.0, 0.4, 0.4, 1.0, -2.0), seen=False
    ),
    EvaluationProtocol(
        "low-dose 6", 6.0, Acquisition(0.8, 0.1, 9.0, 1.0, 0.5, 1.04, 4.0), seen=False
    ),
)
"""The unseen ones are sharper, thinner, noisier and further off calibration than training draws."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownHead:
    """A head and what is known of it.

    ``subtypes`` and ``regions`` (k, j, i) are None where nobody outlined them; ``subtypes`` may
    hold ``UNSURE``. ``boxes`` are an annotator's, by slice, None where there is none, and
    ``slice_kinds`` what readers named in each slice. ``kinds`` are all subtypes there are, the
    largest first where that is known, and ``bleed`` the one asked for: the largest, or what most
    slices show.
    """

    name: str
    head: HeadVolume
    bleed: Subtype | None
    kinds: tuple[Subtype, ...] = ()
    subtypes: Bytes | None = None
    regions: Bytes | None = None
    protocol: str = "real"
    look_alike: LookAlike | None = None
    midline_shift_mm: float | None = None
    boxes: dict[int, list[list[int]]] | None = None
    slice_kinds: tuple[frozenset[Subtype], ...] | None = None
    age_years: float | None = None

    @property
    def bleeding_slices(self) -> NDArray[np.bool_] | None:
        """Which slices show a bleed to an annotator (k,); None where nobody told."""
        if self.slice_kinds is not None:
            return np.array([bool(kinds) for kinds in self.slice_kinds])
        if self.boxes is not None:
            return np.array([k in self.boxes for k in range(len(self.head.hu))])
        return None


def generated_heads(count: int) -> Iterator[KnownHead]:
    """Make ``count`` test heads, half without a bleed, in other processes."""
    seeds = range(FIRST_TEST_SEED, FIRST_TEST_SEED + count)
    return _from_processes(partial(_made, recipe_of=evaluation_recipe), seeds)


def generated_head(number: int) -> KnownHead:
    """Make the ``number``-th test head, from 0, in this process."""
    return _made(FIRST_TEST_SEED + number, evaluation_recipe)


def validation_heads(seeds: Iterable[int]) -> Iterator[KnownHead]:
    """Make heads such as those trained on, in other processes."""
    return _from_processes(partial(_made, recipe_of=_training_recipe), seeds)


RecipeAndScan = tuple[HeadRecipe, tuple[float, float, float], str]


def evaluation_recipe(seed: int) -> RecipeAndScan:
    """Draw a test head: each protocol, subtype and look-alike in its turn."""
    rng = np.random.default_rng((seed, 2))
    turn, bleeds = divmod(seed - FIRST_TEST_SEED, 2)
    protocol = PROTOCOLS[turn % len(PROTOCOLS)]
    recipe = HeadRecipe(seed, None, acquisition=protocol.acquisition, deformation=TEST_DEFORMATION)
    if bleeds:
        low_ml, high_ml = np.log(TEST_VOLUMES_ML)
        subtype = tuple(Subtype)[turn % len(Subtype)]
        volume_ml = float(np.exp(rng.uniform(low_ml, high_ml)))
        if subtype in (Subtype.SUBARACHNOID, Subtype.INTRAVENTRICULAR):
            volume_ml = float(np.sqrt(volume_ml * TEST_VOLUMES_ML[0]) * 2)
        recipe = replace(recipe, bleed=subtype, volume_ml=volume_ml)
    elif rng.random() < 0.6:  # noqa: PLR2004
        look_alike = tuple(LookAlike)[turn // len(PROTOCOLS) % len(LookAlike)]
        recipe = replace(recipe, look_alike=look_alike)
    return recipe, (protocol.slice_mm, 1.0, 1.0), protocol.name


def _training_recipe(seed: int) -> RecipeAndScan:
    return *random_recipe(seed), "as in training"


def _made(seed: int, recipe_of: Callable[[int], RecipeAndScan]) -> KnownHead:
    recipe, spacing_kji_mm, protocol = recipe_of(seed)
    synth = make_head(recipe, spacing_kji_mm)
    names = tuple(f"{seed}.{k}" for k in range(len(synth.hu)))
    return KnownHead(
        name=f"generated-{seed}",
        head=HeadVolume(synth.hu, grid_of(synth), names, ()),
        bleed=recipe.bleed,
        kinds=tuple(Subtype(kind) for kind in np.unique(synth.subtypes).tolist() if kind),
        subtypes=synth.subtypes,
        regions=synth.regions,
        protocol=protocol,
        look_alike=recipe.look_alike,
        midline_shift_mm=synth.midline_shift_mm,
    )


def _from_processes(make: Callable[[int], KnownHead], seeds: Iterable[int]) -> Iterator[KnownHead]:
    with head_makers() as pool:
        yield from pool.map(make, seeds)


def held_out_heads(folder: Path) -> Iterator[KnownHead]:
    """Read the PHE-SICH-CT-IDS patients that nothing was trained on or chosen with."""
    return real_heads(folder, held_out_patients(folder)[1])


def real_heads(folder: Path, patients: Iterable[str]) -> Iterator[KnownHead]:
    """Read PHE-SICH-CT-IDS patients, each whole and then the part of it that nobody boxed."""
    for patient in patients:
        head, boxes = phe_head(folder, patient), phe_boxes(folder, patient)
        kind = Subtype.INTRAPARENCHYMAL
        silver = phe_silver(folder, patient)
        yield KnownHead(f"phe-{patient}", head, kind, (), silver, protocol="real", boxes=boxes)
        clear = _clear_slices(boxes, len(head.hu))
        if clear is not None:
            part = _part(head, clear)
            yield KnownHead(f"phe-{patient}-box-free", part, None, protocol="real, box-free part")


def trauma_heads(folder: Path, patients: Iterable[str]) -> Iterator[KnownHead]:
    """Read CT-ICH patients, whose bleeds readers named slice by slice."""
    for patient in patients:
        head = trauma_head(folder, patient)
        labels = trauma_labels(folder, patient, len(head.hu))
        counts = Counter(kind for kinds in labels.kinds for kind in sorted(kinds))
        ranked = tuple(kind for kind, _ in counts.most_common())
        yield KnownHead(
            f"trauma-{patient}",
            head,
            ranked[0] if ranked else None,
            ranked,
            protocol="real, trauma",
            slice_kinds=labels.kinds,
            age_years=labels.age_years,
        )


def held_out_trauma_heads(folder: Path) -> Iterator[KnownHead]:
    """Read the CT-ICH patients that nothing was trained on or chosen with."""
    return trauma_heads(folder, trauma_split(folder).held_out)


def laid_in_heads(folder: Path, contract: SliceInput) -> Iterator[KnownHead]:
    """Lay bleeds into the box-free parts of the held-out patients, ``COPIES`` into each."""
    for case in laid_in_cases(folder, held_out_patients(folder)[1], contract):
        yield _of_case(case, contract)


def laid_in_cases(folder: Path, patients: Iterable[str], contract: SliceInput) -> Iterator[Case]:
    """Lay bleeds into the box-free parts of PHE-SICH-CT-IDS patients."""
    for patient in patients:
        case = phe_case(folder, patient, contract)
        clear = _clear_slices(phe_boxes(folder, patient), len(case.packed))
        if clear is not None:
            yield from laid_in_copies(_case_part(case, clear), int(patient), contract)


def laid_in_copies(host: Case, patient: int, contract: SliceInput) -> Iterator[Case]:
    """Lay a bleed into each of ``COPIES`` of a head without one; none where there is no room."""
    for copy in range(COPIES):
        rng = np.random.default_rng((FIRST_TEST_SEED, patient, copy))
        case = replace(with_bleed_laid_in(host, rng), name=f"{host.name}-laid-in-{copy}")
        blood = case.subtypes % UNSURE > 0
        voxels_ml = _case_grid(case, contract).voxels_ml
        if float(blood.sum(axis=(1, 2)) @ voxels_ml) >= SMALLEST_LAID_IN_ML:
            yield case


def bleed_free_heads(folder: Path) -> Iterator[KnownHead]:
    """Read every DICOM series below a folder of heads that are known not to bleed."""
    growing: dict[str, GrowingSeries] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            read = read_slices(path, ReadLimits())
        except FileRefused:
            continue  # what is no CT image, such as a licence, is no head
        for one in read:
            growing.setdefault(one.header.series_uid, GrowingSeries()).add(*one)
    for uid, series in sorted(growing.items()):
        yield KnownHead(uid, series.volume(), None, protocol="real, bleed-free")


def _clear_slices(boxes: dict[int, list[list[int]]], count: int) -> slice | None:
    """Find the larger part above or below all boxed slices; None if that is little.

    Two slices beside a box go too: a bleed's last, faint slice is often not boxed.
    """
    below, above = slice(0, max(min(boxes) - 2, 0)), slice(max(boxes) + 3, count)
    kept = max((below, above), key=lambda part: part.stop - part.start)
    return kept if kept.stop - kept.start >= FEWEST_SLICES else None


def _part(head: HeadVolume, kept: slice) -> HeadVolume:
    grid = replace(head.grid, origins_lps_mm=head.grid.origins_lps_mm[kept])
    return HeadVolume(head.hu[kept], grid, head.sop_uids[kept], ())


def _case_part(case: Case, kept: slice) -> Case:
    return replace(
        case,
        packed=case.packed[kept],
        subtypes=case.subtypes[kept],
        boxed=case.boxed[kept],
        heights_mm=case.heights_mm[kept],
    )


def _of_case(case: Case, contract: SliceInput) -> KnownHead:
    """Take a case's fields for the scanner's own pixels."""
    subtypes = case.subtypes % UNSURE
    kinds = tuple(Subtype(kind) for kind in np.unique(subtypes).tolist() if kind)
    names = tuple(f"{case.name}.{k}" for k in range(len(subtypes)))
    hu: NDArray[np.int16] = np.rint(case.fields).astype(np.int16)
    head = HeadVolume(hu, _case_grid(case, contract), names, ())
    return KnownHead(case.name, head, kinds[0], kinds, subtypes, protocol="real, bleed laid in")


def _case_grid(case: Case, contract: SliceInput) -> Grid:
    slices, rows, columns = case.packed.shape
    origins_mm = np.zeros((slices, 3))
    origins_mm[:, 2] = case.heights_mm
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    step_mm, end_mm = contract.pixel_mm, float(np.diff(case.heights_mm)[0])
    return Grid(origins_mm, *axes, step_mm, step_mm, rows, columns, end_mm)
