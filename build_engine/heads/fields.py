"""Cases to train and evaluate on: generated heads and PHE-SICH-CT-IDS patients, as fields.

Fields are made by ``agent.preprocess``, as at a site, and kept in bytes: in half-HU steps between
-20 and 100 HU, the range in which the real patients were published, and coarsely beyond, where bone
is told from bone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.infer.slice_stage import slabs_of
from agent.preprocess import (
    AIR_HU,
    Floats,
    SliceInput,
    VolumeInput,
    block_columns,
    block_of,
    field_from_slices,
    field_matrices,
    head_area_mm2,
    image_matrices,
    narrowed,
    volume_input,
)
from agent.records import Subtype
from agent.voxels import Grid, HeadVolume
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.synth.lookalike import LookAlike

Bytes = NDArray[np.uint8]

LOWEST_HU: Final = -20.0
PUBLISHED_HU: Final = 100.0
"""Real patients were published from the one to the other."""

BYTE_KNOTS: Final = (0.0, 240.0, 255.0)
HU_KNOTS: Final = (LOWEST_HU, PUBLISHED_HU, 1000.0)
"""Bytes and the HU they stand for; even steps in between."""

HU_OF_BYTE: Final = np.interp(np.arange(256), BYTE_KNOTS, HU_KNOTS).astype(np.float32)

UNSURE: Final = 255
"""Label of pixels whose truth is not known, or could not be; they teach nothing."""

BONE_HU: Final = 98.0
"""What is denser passes for bone: no blood is."""

BESIDE_PX: Final = 3
"""Blood that bone outshines is asked for this near to blood that is seen; it is a quarter of a
subdural bleed's volume in the median. Further off nobody could tell. Ours."""

VOLUMES_ML: Final = {
    Subtype.INTRAPARENCHYMAL: (0.2, 130.0),
    Subtype.INTRAVENTRICULAR: (0.4, 50.0),
    Subtype.SUBARACHNOID: (0.8, 50.0),
    Subtype.SUBDURAL: (1.0, 150.0),
    Subtype.EPIDURAL: (1.0, 150.0),
}
"""Range of generated volumes, drawn evenly in their logarithm."""

NO_BLEED_SHARE: Final = 0.35
SECOND_BLEED_SHARE: Final = 0.15
LOOK_ALIKE_SHARE: Final = 0.45

LOOK_ALIKE_WEIGHTS: Final = {
    kind: 3.0 if kind in (LookAlike.METAL, LookAlike.MOTION) else 1.0 for kind in LookAlike
}
"""Those that bundle default 1.0.0 alarmed at most are drawn more often than the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One head as fields (slab, row, column), ascending.

    ``subtypes`` holds a ``Subtype``, 0 or ``UNSURE``; where ``named`` is false, bleeds in brain and
    ventricles are all written as intraparenchymal. ``boxed`` (slab,) tells which slabs show a bleed
    to an annotator. ``regions`` is None where the anatomy is not known: in real heads. ``kinds``
    (slab, subtype) are what readers named in each slab, and ``alarming`` (slab,) where an earlier
    bundle saw a bleed that they did not; both None where no reader named kinds.
    """

    name: str
    packed: Bytes
    subtypes: Bytes
    regions: Bytes | None
    boxed: NDArray[np.bool_]
    heights_mm: NDArray[np.float64]
    named: bool
    kinds: NDArray[np.bool_] | None = None
    alarming: NDArray[np.bool_] | None = None

    @property
    def real(self) -> bool:
        """Whether this is, or is made from, a real head."""
        return self.regions is None

    @property
    def fields(self) -> Floats:
        """Fields [HU]; what lies at or below the published range is air."""
        return unpacked(self.packed)


def packed(fields: Floats) -> Bytes:
    """HU to bytes."""
    values: Bytes = np.rint(np.interp(fields, HU_KNOTS, BYTE_KNOTS)).astype(np.uint8)
    return values


def unpacked(values: Bytes) -> Floats:
    """Bytes to HU."""
    hu = HU_OF_BYTE[values]
    hu[values == 0] = AIR_HU
    return hu


def block_input(
    case: Case, probabilities: Floats, contracts: tuple[SliceInput, VolumeInput]
) -> tuple[Floats, NDArray[np.float64]]:
    """Volume network's input for a case, and the heights of its slices [mm]."""
    slices, volume = contracts
    fields, columns = case.fields, block_columns(0.0, contracts)
    areas_mm2 = np.array([head_area_mm2(field, slices) for field in fields])
    block = block_of(areas_mm2, case.heights_mm, np.zeros((len(fields), 2)), volume)
    slabs = {
        number: narrowed(field, seen, columns, volume)
        for number, (field, seen) in enumerate(zip(fields, probabilities, strict=True))
    }
    return volume_input(block, slabs, contracts), block.heights_mm


def random_recipe(seed: int) -> tuple[HeadRecipe, tuple[float, float, float]]:
    """Draw a recipe and a grid for one training head."""
    rng = np.random.default_rng((seed, 1))
    spacing_k_mm = rng.choice([2.5, 5.0, rng.uniform(3.0, 6.5)], p=[0.35, 0.4, 0.25])
    pixel_mm = rng.uniform(0.95, 1.25)
    spacing_kji_mm = (float(spacing_k_mm), pixel_mm, pixel_mm)
    look_alike = None
    if rng.random() < LOOK_ALIKE_SHARE:
        weights = np.array([*LOOK_ALIKE_WEIGHTS.values()])
        look_alike = tuple(LookAlike)[rng.choice(len(weights), p=weights / weights.sum())]
    recipe = HeadRecipe(seed, None, look_alike=look_alike)
    if rng.random() < NO_BLEED_SHARE:
        return recipe, spacing_kji_mm
    subtype, volume_ml = _random_bleed(rng)
    more: tuple[tuple[Subtype, float], ...] = ()
    if rng.random() < SECOND_BLEED_SHARE:
        second, second_ml = _random_bleed(rng)
        more = ((second, min(second_ml, volume_ml)),) if second is not subtype else ()
    return replace(recipe, bleed=subtype, volume_ml=volume_ml, more=more), spacing_kji_mm


def _random_bleed(rng: np.random.Generator) -> tuple[Subtype, float]:
    subtype = Subtype(int(rng.choice([1, 2, 3, 4, 5], p=[0.20, 0.17, 0.22, 0.24, 0.17])))
    low_ml, high_ml = np.log(VOLUMES_ML[subtype])
    return subtype, float(np.exp(rng.uniform(low_ml, high_ml)))


def generated_case(seed: int, contract: SliceInput) -> Case:
    """Make one training head and bring it to fields."""
    recipe, spacing_kji_mm = random_recipe(seed)
    head = make_head(recipe, spacing_kji_mm)
    grid = grid_of(head)
    matrices = field_matrices(grid, contract)
    fields = np.stack([field_from_slices(hu[None], matrices) for hu in head.hu])
    subtypes = labels_on_fields(head.subtypes, grid, contract)
    subtypes[_lost_in_bone(subtypes, fields)] = UNSURE
    return Case(
        name=f"generated-{seed}-{int(recipe.bleed or 0)}",
        packed=packed(fields),
        subtypes=subtypes,
        regions=labels_on_fields(head.regions, grid, contract),
        boxed=np.asarray(head.subtypes.any(axis=(1, 2))),
        heights_mm=grid.heights_mm,
        named=True,
    )


def _lost_in_bone(subtypes: Bytes, fields: Floats) -> NDArray[np.bool_]:
    """Tell (slab, j, i) where blood is as bright as bone and far from blood that is seen."""
    outshone = (subtypes > 0) & (fields > BONE_HU)
    seen = (subtypes > 0) & ~outshone
    return outshone & ~beside(seen, BESIDE_PX)


def beside(blood: NDArray[np.bool_], reach_px: int) -> NDArray[np.bool_]:
    """Tell (slab, j, i) what lies within ``reach_px`` of blood, in its slab."""
    width_px = 2 * reach_px + 1
    found: NDArray[np.bool_] = ndimage.maximum_filter(
        blood, (1, width_px, width_px), mode="constant"
    )
    return found


def grid_of(head: SynthHead) -> Grid:
    """Grid of a generated head."""
    slices, rows, columns = head.hu.shape
    spacing_k_mm, row_mm, column_mm = head.spacing_kji_mm
    origins_mm = np.zeros((slices, 3))
    origins_mm[:, 2] = np.arange(slices) * spacing_k_mm
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    return Grid(origins_mm, *axes, row_mm, column_mm, rows, columns, spacing_k_mm)


def labels_on_fields(labels: Bytes, grid: Grid, contract: SliceInput) -> Bytes:
    """Nearest label at each pixel of the fields; 0 outside the image."""
    to_image = image_matrices(grid, contract)
    nearest = [weights.argmax(axis=0) for weights in to_image]
    inside = [weights.sum(axis=0) > 0 for weights in to_image]
    picked = labels[:, nearest[0][:, None], nearest[1][None, :]]
    on_fields: Bytes = picked * np.outer(*inside).astype(np.uint8)
    return on_fields


def case_of(
    name: str, head: HeadVolume, subtypes: Bytes, contract: SliceInput, *, named: bool
) -> Case:
    """Bring a real head with its blood outlined (k, j, i) to fields: thin slices into slabs."""
    matrices = field_matrices(head.grid, contract)
    slabs = slabs_of(head, contract.slab_mm)
    labels = np.stack([subtypes[slab.first_k : slab.end_k].max(axis=0) for slab in slabs])
    fields = [field_from_slices(head.hu[slab.first_k : slab.end_k], matrices) for slab in slabs]
    heights_mm = [head.grid.heights_mm[slab.first_k : slab.end_k].mean() for slab in slabs]
    return Case(
        name=name,
        packed=packed(np.stack(fields)),
        subtypes=labels_on_fields(labels, head.grid, contract),
        regions=None,
        boxed=np.asarray((labels > 0).any(axis=(1, 2))),
        heights_mm=np.array(heights_mm),
        named=named,
    )


def save_case(case: Case, path: Path) -> None:
    """Write a case to an ``.npz``, whole or not at all: a run that is killed goes on with it."""
    nowhere = np.zeros(0, dtype=np.uint8)
    beside = path.with_suffix(".new.npz")
    np.savez_compressed(
        beside,
        name=case.name,
        packed=case.packed,
        subtypes=case.subtypes,
        regions=nowhere if case.regions is None else case.regions,
        boxed=case.boxed,
        heights_mm=case.heights_mm,
        named=case.named,
        kinds=nowhere if case.kinds is None else case.kinds,
        alarming=nowhere if case.alarming is None else case.alarming,
    )
    beside.replace(path)


def load_case(path: Path) -> Case:
    """Read what ``save_case`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        regions, kinds, alarming = (
            stored[part] if part in stored and stored[part].size else None
            for part in ("regions", "kinds", "alarming")
        )
        return Case(
            name=str(stored["name"]),
            packed=stored["packed"],
            subtypes=stored["subtypes"],
            regions=regions,
            boxed=stored["boxed"],
            heights_mm=stored["heights_mm"],
            named=bool(stored["named"]),
            kinds=kinds,
            alarming=alarming,
        )
