"""What is answered to odd heads: a real bleed-free one, changed by computer in one way at a time.

``python -m tests.documentation.odd_heads`` takes each the agent's own way from slices to an answer,
as it is and with 12 mL of blood in the brain, and prints the table of the model card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from agent.assemble.coverage import unseen_of, unsure_of
from agent.assemble.head_facts import facts_of
from agent.assemble.plausibility import faults_of
from agent.config import PACKAGED_ENGINES, InferConfig
from agent.decide import decide, implausible
from agent.infer.bundle import load_bundle
from agent.infer.contract import Contract
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.measure import measure
from agent.reasons import plain
from agent.records import Assessment, Evidence, NotAnalysed, NotSuspected, Suspected
from agent.voxels import HeadVolume
from build_engine.heads.known import bleed_free_heads
from tests.agent.assemble.whole_heads import GE

Hu = NDArray[np.int16]
Change = Callable[[Hu, NDArray[np.float64]], NDArray[np.number]]
"""Takes HU (k, j, i) and the distance of each voxel from the head's middle (3, k, j, i) [mm]."""

AIR_HU, METAL_HU, WATER_HU, BLOOD_HU = -950, 3000, 8, 68

BLOOD_MM: Final = (30.0, -5.0, 15.0)
BLOOD_RADIUS_MM: Final = 14.2


def ball(at: NDArray[np.float64], middle: tuple[float, ...], radii: tuple[float, ...]) -> NDArray:
    """Voxels of an ellipsoid; ``middle`` and ``radii`` (x, y, z) [mm]."""
    shape = (3, 1, 1, 1)
    return np.square((at - np.reshape(middle, shape)) / np.reshape(radii, shape)).sum(axis=0) <= 1


def inside(hu: Hu) -> NDArray[np.bool_]:
    """What the skull holds."""
    skull = np.stack([ndimage.binary_fill_holes(one > 150) for one in hu])
    return skull & (hu < 100)


def burr_hole(hu: Hu, at: NDArray[np.float64]) -> Hu:
    hole = ball(at, (-55, -40, 35), (14, 14, 8))
    beneath = inside(hu) & ball(at, (-48, -34, 35), (16, 22, 18))
    return np.where(hole & (hu > 100), 40, np.where(beneath, WATER_HU, hu)).astype(np.int16)


def streaked(hu: Hu, at: NDArray[np.float64]) -> Hu:
    """A clip, with rays in its slices."""
    clip = ball(at, (8, -10, -8), (4, 4, 9))
    angle = np.arctan2(at[1] + 10, at[0] - 8)
    far = np.hypot(at[1] + 10, at[0] - 8) + 5
    rays = np.where(np.abs(at[2] + 8) < 9, 900 * np.sin(7 * angle) / far, 0)
    return np.where(clip, METAL_HU, hu + rays * (hu > -300)).astype(np.int16)


def moved(hu: Hu, _: NDArray[np.float64]) -> Hu:
    """Six slices in which the head lay in two places."""
    out, third = hu.copy(), len(hu) // 3
    for k in range(third, third + 6):
        out[k] = (hu[k].astype(np.int32) + np.roll(hu[k], 9, axis=1)) // 2
    return out


def beside(scale: float) -> Change:
    """Another head in the field, ``scale`` times as large."""

    def both(hu: Hu, _: NDArray[np.float64]) -> Hu:
        small = ndimage.zoom(hu[:, ::2, ::2], (1, 2 * scale, 2 * scale), order=0)
        wide = np.full((*hu.shape[:2], hu.shape[2] + small.shape[2]), -1000, np.int16)
        wide[:, :, : hu.shape[2]] = hu
        wide[:, : small.shape[1], hu.shape[2] :] = small[:, : hu.shape[1]]
        return wide

    return both


def enhanced(hu: Hu, at: NDArray[np.float64]) -> Hu:
    """Vessels and brain as after contrast agent."""
    brain = inside(hu)
    falx = brain & (np.abs(at[0]) < 3) & (at[1] > 40)
    carotids = brain & (ball(np.abs(at), (12, 8, 20), (5, 30, 6)) & (at[2] < 0))
    return np.where(falx | carotids, 180, hu + 4 * brain).astype(np.int16)


def flap(hu: Hu, at: NDArray[np.float64]) -> Hu:
    return np.where((hu > 100) & ball(at, (-70, -10, 30), (30, 45, 35)), 35, hu).astype(np.int16)


HEADS: Final[dict[str, Change]] = {
    "as it is": lambda hu, _: hu,
    "air under the frontal skull": lambda hu, at: np.where(
        inside(hu) & ball(at, (0, -72, 30), (30, 12, 25)), AIR_HU, hu
    ),
    "ventricles full of air, as in an air study": lambda hu, at: np.where(
        inside(hu) & (ball(np.abs(at), (12, 0, 12), (9, 34, 12)) & (hu < 25)), AIR_HU, hu
    ),
    "a bone flap taken out": flap,
    "burr hole, fluid beneath, as after an evacuation": burr_hole,
    "ventricular drain": lambda hu, at: np.where(
        inside(hu) & (np.hypot(at[0] + 12, at[1] + 20) < 1.6) & (at[2] > 5), 250, hu
    ),
    "breathing tube and electrodes": lambda hu, at: np.where(
        (np.hypot(at[0], at[1] + 60) < 5) & (at[2] < -40) | ball(at, (-82, 0, 20), (3, 3, 3)),
        METAL_HU // 10,
        hu,
    ),
    "aneurysm clip with streaks": streaked,
    "moved in six slices": moved,
    "a quarter outside the field of view": lambda hu, _: hu[:, :, hu.shape[2] // 3 :],
    "another head in the field, as large": beside(1.0),
    "another one, smaller than a newborn's": beside(0.45),
    "contrast agent that no header tells of": enhanced,
}


def answered(head: HeadVolume, contract: Contract, backend: OnnxBackend) -> Assessment:
    """Answer as ``agent.pipeline`` does, of a head whose slices have all come."""
    facts = facts_of(head)
    faults = faults_of(facts)
    if faults:
        return implausible(faults)
    seen = SliceStage(contract).finish(head, backend)
    mask = label_head(head, seen, contract, backend)
    measured = measure(mask, contract.interval, shift_in=None)
    evidence = Evidence((), (), None, (), unseen_of(facts), unsure_of(facts), ())
    return decide(mask.score, measured, contract.operating_point("balanced"), evidence)


def words(answer: Assessment) -> str:
    """Say an answer as the table does."""
    match answer:
        case Suspected(score):
            return f"**suspected**, {score:.2f}"
        case NotSuspected(score):
            return f"not suspected, {score:.2f}"
        case NotAnalysed(reason):
            return f"not analysed: {plain(reason)['text']}"


def changed(head: HeadVolume, change: Change, *, blood: bool) -> HeadVolume:
    """Change a head, once blood was laid into it or not."""
    shape = head.hu.shape
    kji = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1).T
    at = head.grid.to_lps_mm(kji).T.reshape(3, *shape)
    tissue = head.hu > -100
    at -= np.array([at[axis][tissue].mean() for axis in range(3)]).reshape(3, 1, 1, 1)
    hu = head.hu
    if blood:
        radii = (BLOOD_RADIUS_MM,) * 3
        hu = np.where(ball(at, BLOOD_MM, radii), BLOOD_HU, hu).astype(np.int16)
    made = np.asarray(change(hu, at)).astype(np.int16)
    grid = replace(head.grid, columns=made.shape[2], rows=made.shape[1])
    return HeadVolume(made, grid, head.sop_uids, head.gaps)


def rows() -> Iterator[tuple[str, str, str]]:
    """Answer every odd head: its name, and what is said without and with blood."""
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    backend = OnnxBackend(bundle, threads=1)
    (known,) = bleed_free_heads(GE)
    for name, change in HEADS.items():
        both = (changed(known.head, change, blood=blood) for blood in (False, True))
        clear, bleeding = (words(answered(head, bundle.contract, backend)) for head in both)
        yield name, clear, bleeding


if __name__ == "__main__":
    for row in rows():
        print(f"| {' | '.join(row)} |", flush=True)
