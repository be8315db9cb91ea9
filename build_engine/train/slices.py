"""Training of the slice network: which slabs, how they are varied, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from agent.preprocess import Floats, SliceInput
from agent.records import Subtype
from build_engine.heads.fields import (
    BONE_HU,
    HU_OF_BYTE,
    LOWEST_HU,
    PUBLISHED_HU,
    UNSURE,
    Bytes,
    Case,
)
from build_engine.train.networks import N_CLASSES

CROP_PX: Final = 192
"""Training fields are cut to this; it holds a head."""

KNOTS: Final = 7
MOST_BENT_PX: Final = 3.5
"""Places, each way, at which a field is bent, and how far at most [px, one sigma]. Ours."""

BLEED_WEIGHT: Final = 3.0
"""Weight of a bleed's pixels against all others in the cross-entropy."""

REAL_IS_PARENCHYMAL: Final = 0.25
"""How far a real bleed is taken to lie in the brain rather than in a ventricle. Ours."""

THICK_SHARE: Final = 0.2
"""So many samples have slices thicker than the case's own."""

THIN_MM: Final = 3.2

CUT_OFF_SHARE: Final = 0.5
"""So many samples show bone cut off at 100 HU, as it was published; the others show it denser."""

DENSER_BONE_HU: Final = (100.0, 900.0)
BONE_EDGE_PX: Final = 3
"""By how much at most bone that was cut off is made denser, and over which width from its edge."""

METAL_HU: Final = 3000.0

BLOOM_PX_HU: Final = ((5, 70.0), (13, 15.0))
"""Width over which bone spills [px of 1 mm], and the most that a wall of it does [HU]."""

NO_BLOOM_SHARE: Final = 0.4
"""Share of samples in which bone spills over nothing."""

COARSE_GRAIN: Final = 3.0
"""Mean of 3 x 3 independent pixels back to their own spread: the noise of a soft kernel."""

ADDED_NOISE_HU: Final = 1.3
"""Mean of the noise that is added to a sample, of either grain, drawn exponentially [HU]. Ours."""

SMOOTH_PX: Final = 30.0
"""Added to both sides of the Dice ratio: a sample without a bleed asks for none [pixels]."""

STREAKED_SHARE: Final = 0.12
"""So many samples show metal and its rays."""

SHARES: Final = {
    "generated bleed": 0.2,
    "generated": 0.1,
    "real bleed": 0.26,
    "real": 0.12,
    "trauma bleed": 0.14,
    "trauma": 0.18,
}
"""Make-up of a batch. Real slabs without a bleed teach what is merely bright."""

NAMED_PX: Final = 30
"""A kind that readers named in a slab has to be this large somewhere in it [pixels of 1 mm]."""

NAMED_WEIGHT: Final = 0.3
ROBUSTNESS: Final = 0.7
"""Exponent of the generalised cross-entropy, which a wrong name cannot drive far: Zhang and
Sabuncu 2018."""


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """All slabs of many cases, by kind.

    Each kind's pools are drawn from evenly: bleeds by subtype, others by whether an earlier bundle
    alarmed on them.
    """

    cases: tuple[Case, ...]
    pools: dict[str, list[NDArray[np.intp]]]

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[Case, int]]:
        """Draw slabs in the shares above, of the kinds there are; subtypes evenly."""
        there = [kind for kind in SHARES if self.pools[kind]]
        shares = np.array([SHARES[kind] for kind in there])
        kinds = rng.choice(there, size=count, p=shares / shares.sum())
        drawn = []
        for kind in kinds:
            pools = self.pools[kind]
            case, slab = rng.choice(pools[rng.integers(len(pools))])
            drawn.append((self.cases[case], int(slab)))
        return drawn


def slabs_of_cases(cases: tuple[Case, ...]) -> Slabs:
    """Sort the slabs of cases into pools of (case, slab)."""
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for number, case in enumerate(cases):
        named = case.kinds is not None
        origin = "trauma" if named else "real" if case.real else "generated"
        for slab, labels in enumerate(case.subtypes):
            counts = np.bincount(labels.ravel(), minlength=UNSURE + 1)[1 : len(Subtype) + 1]
            if case.kinds is not None and not counts.any():
                counts = case.kinds[slab]
            subtype = int(counts.argmax()) + 1 if counts.any() else 0
            if subtype:
                found.setdefault((f"{origin} bleed", subtype), []).append((number, slab))
            elif not case.boxed[slab]:
                hard = int(case.alarming is not None and case.alarming[slab])
                found.setdefault((origin, hard), []).append((number, slab))
    pools: dict[str, list[NDArray[np.intp]]] = {kind: [] for kind in SHARES}
    for (kind, _), slabs in sorted(found.items()):
        pools[kind].append(np.array(slabs))
    return Slabs(cases, pools)


def make_batch(
    slabs: Slabs, rng: np.random.Generator, *, contract: SliceInput, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Build inputs (batch, channel, j, i) and what they are judged by.

    These are labels (batch, j, i), whose subtypes are named (batch,), and the kinds that readers
    named somewhere in each (batch, subtype). Some slices are thickened, bone is cut off or not and
    spills into what lies beside it, and metal throws rays.
    """
    drawn = slabs.draw(rng, count)
    stacks, labels = [], []
    kinds = np.zeros((count, len(Subtype)), dtype=np.bool_)
    for number, (case, slab) in enumerate(drawn):
        if rng.random() < THICK_SHARE:
            stack, label = _thickened(case, slab, contract.neighbours)
        else:
            stack, label = _at(case, slab, 1, contract.neighbours), case.subtypes[slab]
            if case.kinds is not None:
                kinds[number] = case.kinds[slab]
        stacks.append(_with_other_bone(stack, rng))
        labels.append(label)
    hu = torch.from_numpy(np.stack(stacks))
    target = torch.from_numpy(np.stack(labels).astype(np.float32))[:, None]
    grid = _random_frames(rng, len(drawn), contract.size_px)
    hu = functional.grid_sample(hu - LOWEST_HU, grid, align_corners=False) + LOWEST_HU
    target = functional.grid_sample(target, grid, mode="nearest", align_corners=False)
    hu = _vary(_streaked(_bloomed(hu, rng), rng), rng, contract.neighbours)
    windows = [
        ((hu - low) / (high - low)).clamp(0.0, 1.0)[:, :, None] for low, high in contract.windows_hu
    ]
    inputs = torch.cat(windows, dim=2).flatten(1, 2)
    named = torch.tensor([case.named for case, _ in drawn])
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, target[:, 0].long(), named, torch.from_numpy(kinds)


def _at(case: Case, slab: int, step: int, neighbours: int) -> Floats:
    """Take a slab and its neighbours [HU], ``step`` slabs apart; the ends stand in beyond them."""
    reach = slab + step * np.arange(-neighbours, neighbours + 1)
    taken: Floats = HU_OF_BYTE[case.packed[reach.clip(0, len(case.packed) - 1)]]
    return taken


def _with_other_bone(hu: Floats, rng: np.random.Generator) -> Floats:
    """Cut bone off as the real patients were published, or make denser what was cut off."""
    if rng.random() < CUT_OFF_SHARE:
        return np.minimum(hu, np.float32(PUBLISHED_HU))
    bone = hu >= PUBLISHED_HU
    if np.count_nonzero(hu > PUBLISHED_HU) > np.count_nonzero(bone) / 2:
        return hu
    inner = ndimage.uniform_filter(bone.astype(np.float32), (1, BONE_EDGE_PX, BONE_EDGE_PX))
    return np.where(bone, hu + inner * np.float32(rng.uniform(*DENSER_BONE_HU)), hu)


def _thickened(case: Case, slab: int, neighbours: int) -> tuple[Floats, Bytes]:
    """Average slabs as if slices were about twice as thick; blood seen in part is unsure."""
    step = 3 if np.diff(case.heights_mm).min() < THIN_MM else 2
    middle, below, above = (_at(case, slab + shift, step, neighbours) for shift in (0, -1, 1))
    share = np.float32(1 / 3 if step == 3 else 1 / 2)  # noqa: PLR2004
    label, *others = (
        case.subtypes[min(max(slab + shift, 0), len(case.subtypes) - 1)] for shift in (0, -1, 1)
    )
    agreed = (label == others[0]) & (label == others[1])
    stack = middle * share + (below + above) * ((1 - share) / 2)
    return stack, np.where(agreed, label, UNSURE).astype(np.uint8)


def _random_frames(rng: np.random.Generator, count: int, size_px: int) -> Tensor:
    """Draw sampling grids that turn, scale, mirror, shift and bend, cut to ``CROP_PX``."""
    frames = []
    for _ in range(count):
        angle, scale = np.radians(rng.normal(0.0, 11.0)), np.exp(rng.normal(0.0, 0.09))
        mirror = rng.choice([-1.0, 1.0])
        shift = rng.normal(0.0, 8.0, 2) * 2 / size_px
        cut = CROP_PX / size_px / scale
        turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        frames.append(np.column_stack([np.array(turn) * cut * [mirror, 1.0], shift]))
    theta = torch.tensor(np.stack(frames), dtype=torch.float32)
    grid = functional.affine_grid(theta, [count, 1, CROP_PX, CROP_PX], align_corners=False)
    bends_px = rng.normal(0.0, 1.0, (count, 2, KNOTS, KNOTS)) * rng.uniform(
        0.0, MOST_BENT_PX, (count, 1, 1, 1)
    )
    bends = torch.tensor(bends_px * 2 / size_px, dtype=torch.float32)
    smooth = functional.interpolate(bends, (CROP_PX, CROP_PX), mode="bicubic", align_corners=True)
    return grid + smooth.permute(0, 2, 3, 1)


def _bloomed(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """Brighten a rim beside bone, as thick slices and hard beams do.

    The real patients' bone was cut off at 100 HU before we saw it, so that it spills less than at
    a site; without this a rim would pass for a thin subdural bleed.
    """
    for sample in hu:
        if rng.random() > NO_BLOOM_SHARE:
            bone = (sample.numpy() >= BONE_HU).astype(np.float32)
            for width_px, most_hu in BLOOM_PX_HU:
                spill_hu = np.float32(rng.uniform(0.0, most_hu))
                beside = ndimage.uniform_filter(bone, (1, width_px, width_px), mode="constant")
                sample.add_(torch.from_numpy(beside * spill_hu))
    return hu


def _streaked(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """Put metal into some samples, in the head or beside it, with bright and dark rays about it.

    The rays are straight, narrow and fade outwards; blood does none of this.
    """
    size_px = hu.shape[-1]
    rows, columns = np.indices((size_px, size_px), dtype=np.float32)
    for sample in hu:
        if rng.random() > STREAKED_SHARE:
            continue
        row, column = size_px / 2 + rng.uniform(-75.0, 75.0, 2)
        away_px = np.hypot(rows - row, columns - column)
        bearing = np.arctan2(rows - row, columns - column)
        rays = sum(
            np.cos(rng.integers(low, high) * bearing + rng.uniform(0.0, 2 * np.pi))
            for low, high in ((2, 7), (5, 16), (12, 40))
        )
        rays *= np.exp(-away_px / rng.uniform(20.0, 80.0)) * rng.uniform(8.0, 70.0)
        seen = rng.uniform(0.2, 1.0, (len(sample), 1, 1))  # neighbours show it less, or more
        rays = np.where(sample.numpy() > LOWEST_HU + 1, rays * seen, 0.0)
        sample.add_(torch.from_numpy(rays.astype(np.float32)))
        if rng.random() < 0.7:  # noqa: PLR2004 - else it lies in a slice further off
            metal = torch.from_numpy(away_px < rng.uniform(0.7, 4.0))
            sample.masked_fill_(metal, METAL_HU)
    return hu


def _vary(hu: Tensor, rng: np.random.Generator, neighbours: int) -> Tensor:
    """Vary calibration, sharpness and noise, and slide neighbours as a tilted gantry does."""
    count = len(hu)

    def per_sample(values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).reshape(count, 1, 1, 1)

    hu = hu * per_sample(rng.normal(1.0, 0.04, count)) + per_sample(rng.normal(0.0, 2.5, count))
    soft = hu.clamp(max=PUBLISHED_HU)  # so that bone does not outweigh all that lies beside it
    detail = soft - functional.avg_pool2d(soft, 3, stride=1, padding=1, count_include_pad=False)
    hu = hu + detail * per_sample(rng.uniform(-0.8, 0.5, count))
    fine = torch.from_numpy(rng.standard_normal(hu.shape, dtype=np.float32))
    coarse = COARSE_GRAIN * functional.avg_pool2d(fine.roll(7, dims=-1), 3, stride=1, padding=1)
    hu = hu + per_sample(rng.exponential(ADDED_NOISE_HU, count)) * fine
    hu = hu + per_sample(rng.exponential(ADDED_NOISE_HU, count)) * coarse
    for sample in hu:
        slide_px = int(rng.integers(-3, 4)) if rng.random() < 0.3 else 0  # noqa: PLR2004
        for channel in range(len(sample)):
            sample[channel] = sample[channel].roll(slide_px * (channel - neighbours), dims=0)
    return hu


def slice_loss(logits: Tensor, target: Tensor, named: Tensor) -> Tensor:
    """Cross-entropy and Dice of any bleed.

    Where annotators did not name it, a bleed written as intraparenchymal may be in brain or
    ventricle; ``REAL_IS_PARENCHYMAL`` leans towards the brain, where most of it is.
    """
    log_p = logits.float().log_softmax(dim=1)
    known = target != UNSURE
    label = target.clamp(max=N_CLASSES - 1)
    of_target = log_p.gather(1, label[:, None])[:, 0]
    either = log_p[:, Subtype.INTRAPARENCHYMAL : Subtype.INTRAVENTRICULAR + 1].logsumexp(dim=1)
    bleed = (label > 0) & known
    unnamed = (label == Subtype.INTRAPARENCHYMAL) & ~named[:, None, None]
    leaning = REAL_IS_PARENCHYMAL * of_target + (1 - REAL_IS_PARENCHYMAL) * either
    of_target = torch.where(unnamed, leaning, of_target)
    weight = known * (1.0 + (BLEED_WEIGHT - 1.0) * bleed)
    entropy = -(weight * of_target).sum() / weight.sum()
    any_bleed = (1.0 - log_p[:, 0].exp()) * known
    overlap = (any_bleed * bleed).sum(dim=(1, 2))
    total = any_bleed.sum(dim=(1, 2)) + bleed.sum(dim=(1, 2))
    dice = 1.0 - ((2 * overlap + SMOOTH_PX) / (total + SMOOTH_PX)).mean()
    return 4.0 * entropy + 0.5 * dice


def kinds_loss(logits: Tensor, kinds: Tensor) -> Tensor:
    """Ask each kind that readers named in a slab to be seen somewhere in it, wherever that is.

    ``kinds`` (batch, subtype). Learning from many instances, one of which is what the name means;
    names are not always right, and the loss is bounded for that.
    """
    if not kinds.any():
        return logits.new_zeros(())
    seen = logits.float().softmax(dim=1)[:, 1:].flatten(2).topk(NAMED_PX, dim=2).values.mean(dim=2)
    loss: Tensor = ((1.0 - seen[kinds].clamp_min(1e-6) ** ROBUSTNESS) / ROBUSTNESS).sum()
    return loss / len(kinds)
