"""Training of the volume network on blocks built from what the slice network gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from agent.preprocess import Floats, SliceInput, VolumeInput, axis_mm
from agent.records import LEFT_REGIONS, Region
from build_engine.heads.fields import Case, block_input
from build_engine.train.networks import N_CLASSES
from build_engine.train.slices import slice_loss

CROP_JI: Final = (112, 96)
"""Training blocks are cut to this, in voxels; it holds a head."""

CUT_SHARE: Final = 0.35
"""So many real heads lose the slices in which a bleed was boxed, and count as without one."""

FEWEST_SLICES: Final = 8
"""A head is only cut if this many of the block's slices are left."""

DOUBT_SHARE: Final = 0.4
"""So often the slice network's answer is damped: on heads it has not seen it is less sure."""

REGION_WEIGHT: Final = 1.0
STUDY_WEIGHT: Final = 0.2

REGION_WEIGHTS: Final = np.array(
    [0.5]
    + [
        1.0 if region <= Region.RIGHT_OCCIPITAL else 4.0
        for region in Region
        if region < Region.CEREBELLUM
    ]
    + [1.0, 3.0, 1.0],
    dtype=np.float32,
)
"""Weight of each region in the loss: nothing, lobes, insulae to medulla, then cerebellum,
ventricles and outside the brain."""

MIRRORED: Final = np.array(
    [0]
    + [
        region + 1 if region in LEFT_REGIONS else region - 1 if "RIGHT_" in region.name else region
        for region in Region
    ],
    dtype=np.int64,
)
"""Region label of the mirror image."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockCase:
    """A case in the volume network's frame: ``block`` (channel, k, j, i), labels (k, j, i)."""

    name: str
    block: NDArray[np.float16]
    subtypes: NDArray[np.uint8]
    regions: NDArray[np.uint8] | None
    boxed: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    named: bool

    @property
    def bleeds(self) -> bool:
        """Whether the head shows a bleed at all."""
        return bool(self.boxed.any())


def block_case(
    case: Case, probabilities: Floats, contracts: tuple[SliceInput, VolumeInput]
) -> BlockCase:
    """Bring a case and the slice network's answer to it into the volume network's frame."""
    slices, volume = contracts
    block, heights_mm = block_input(case, probabilities, contracts)
    slab = np.abs(case.heights_mm - heights_mm[:, None]).argmin(axis=1)
    far_mm = np.abs(case.heights_mm[slab] - heights_mm)
    covered = far_mm <= np.diff(case.heights_mm).max()
    j, i = (
        np.rint(axis_mm(volume.shape_kji[axis], volume.voxel_kji_mm[axis]) / slices.pixel_mm)
        .astype(np.intp)
        .clip(-slices.size_px // 2, slices.size_px // 2 - 1)
        + slices.size_px // 2
        for axis in (1, 2)
    )
    at = np.ix_(slab, j, i)
    here = covered[:, None, None]
    return BlockCase(
        name=case.name,
        block=block[0].astype(np.float16),
        subtypes=np.where(here, case.subtypes[at], 0).astype(np.uint8),
        regions=None
        if case.regions is None
        else np.where(here, case.regions[at], 0).astype(np.uint8),
        boxed=case.boxed[slab] & covered,
        covered=covered,
        named=case.named,
    )


def save_block(case: BlockCase, path: Path) -> None:
    """Write a block to an ``.npz``; not compressed, since training reads it in every step."""
    nowhere = np.zeros(0, dtype=np.uint8)
    beside = path.with_suffix(".new.npz")
    np.savez(
        beside,
        name=case.name,
        block=case.block,
        subtypes=case.subtypes,
        regions=nowhere if case.regions is None else case.regions,
        boxed=case.boxed,
        covered=case.covered,
        named=case.named,
    )
    beside.replace(path)


def load_block(path: Path) -> BlockCase:
    """Read what ``save_block`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        regions = stored["regions"] if stored["regions"].size else None
        return BlockCase(
            name=str(stored["name"]),
            block=stored["block"],
            subtypes=stored["subtypes"],
            regions=regions,
            boxed=stored["boxed"],
            covered=stored["covered"],
            named=bool(stored["named"]),
        )


def without_bleed(case: BlockCase) -> BlockCase | None:
    """Cut the boxed slices out, keeping the larger of what lies above and below; None if little.

    A boxed slice's neighbours go too: a bleed's last, faint slice is often not boxed.
    """
    boxed = np.flatnonzero(case.boxed)
    kept = case.covered.copy()
    above, below = kept.copy(), kept.copy()
    above[: boxed[-1] + 3] = False
    below[max(boxed[0] - 2, 0) :] = False
    kept = above if above.sum() >= below.sum() else below
    if kept.sum() < FEWEST_SLICES:
        return None
    here = kept[:, None, None]
    return BlockCase(
        name=f"{case.name}-cut",
        block=np.where(here, case.block, 0).astype(np.float16),
        subtypes=np.where(here, case.subtypes, 0).astype(np.uint8),
        regions=None,
        boxed=np.zeros_like(kept),
        covered=kept,
        named=case.named,
    )


def draw_blocks(
    paths: tuple[Path, ...], rng: np.random.Generator, *, count: int
) -> tuple[Tensor, ...]:
    """Draw a batch of varied samples from files of blocks, each part as in ``_draw_block``."""
    drawn = rng.integers(len(paths), size=count)
    samples = [_draw_block(load_block(paths[number]), rng) for number in drawn]
    block, *truth = (torch.cat(parts) for parts in zip(*samples, strict=True))
    return block.contiguous(memory_format=torch.channels_last_3d), *truth


def _draw_block(
    case: BlockCase, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Vary a head: block, subtypes, regions, which of them is known, whether it bleeds."""
    if case.regions is None and case.bleeds and rng.random() < CUT_SHARE:
        case = without_bleed(case) or case
    block = torch.from_numpy(case.block.astype(np.float32))[None]
    regions = np.zeros_like(case.subtypes) if case.regions is None else case.regions
    labels = torch.from_numpy(np.stack([case.subtypes, regions]).astype(np.float32))[None]
    mirror = rng.random() < 0.5  # noqa: PLR2004
    frame = _random_frame(rng, case.subtypes.shape, mirror=mirror)
    block = functional.grid_sample(block, frame, align_corners=False)
    labels = functional.grid_sample(labels, frame, mode="nearest", align_corners=False).long()
    damp = rng.uniform(0.2, 1.0) if rng.random() < DOUBT_SHARE else 1.0
    block[:, : N_CLASSES - 1] *= damp
    block[:, N_CLASSES - 1 :] += float(rng.normal(0.0, 0.02)) + 0.02 * torch.from_numpy(
        rng.standard_normal(block[:, N_CLASSES - 1 :].shape, dtype=np.float32)
    )
    seen = torch.from_numpy(MIRRORED)[labels[:, 1]] if mirror else labels[:, 1]
    known = torch.tensor([[case.named, case.regions is not None]])
    return block, labels[:, 0], seen, known, torch.tensor([float(case.bleeds)])


def _random_frame(rng: np.random.Generator, shape_kji: tuple[int, ...], *, mirror: bool) -> Tensor:
    """Draw a sampling grid that turns, scales, shifts, perhaps mirrors, and cuts."""
    angle, scale = np.radians(rng.normal(0.0, 7.0)), np.exp(rng.normal(0.0, 0.06))
    cut_j, cut_i = CROP_JI[0] / shape_kji[1] / scale, CROP_JI[1] / shape_kji[2] / scale
    flip = -1.0 if mirror else 1.0
    shift = rng.normal(0.0, 0.04, 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    theta = [
        [cosine * cut_i * flip, -sine * cut_j, 0.0, shift[0]],
        [sine * cut_i * flip, cosine * cut_j, 0.0, shift[1]],
        [0.0, 0.0, 1.0, 0.0],
    ]
    size = [1, 1, shape_kji[0], *CROP_JI]
    return functional.affine_grid(
        torch.tensor([theta], dtype=torch.float32), size, align_corners=False
    )


def block_loss(outputs: tuple[Tensor, Tensor, Tensor], truth: tuple[Tensor, ...]) -> Tensor:
    """Bleed loss as in the slice stage, plus regions where they are known, plus the study.

    Small regions weigh more: unweighted, they are the last to be learned.
    """
    (bleed, region, study), (subtypes, regions, known, bleeds) = outputs, truth
    named, placed = known.unbind(dim=1)
    loss = slice_loss(bleed.flatten(3), subtypes.flatten(2), named)
    if placed.any():
        weight = torch.from_numpy(REGION_WEIGHTS).to(region.device)
        loss = loss + REGION_WEIGHT * functional.cross_entropy(
            region[placed].float(), regions[placed], weight
        )
    return loss + STUDY_WEIGHT * functional.binary_cross_entropy_with_logits(study.float(), bleeds)
