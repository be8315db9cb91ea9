"""Where a generated head's voxels lie, and smooth random fields over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from build_engine.synth.template import Template

EXTENT_KJI_MM: Final = (200.0, 240.0, 200.0)
"""Box that holds any generated head [mm]."""

CENTRE_KJI_MM: Final = (6.0, 14.0, 0.0)
"""Template position, as z, y, x in LPS, at the middle of the box [mm]."""

LEFT_RIGHT: Final = 2
HELD_BY_FALX_MM: Final = 25.0
"""Uneven sides leave the plane between the hemispheres straight; so far off they are free. Ours."""

FINE_MM: Final = 1.25
"""Pixels up to this size are finer than what the template's maps tell [mm]: these have 2 mm."""

Floats = NDArray[np.float32]


Window = tuple[slice, slice, slice]
WHOLE: Final[Window] = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, slots=True)
class Space:
    """A box of voxels (k, j, i) about a head, or the ``window`` of it that is worked on.

    Positions are z, y, x [mm, LPS]. What is drawn at random does not depend on the window.
    """

    spacing_kji_mm: tuple[float, float, float]
    window: Window = WHOLE

    @property
    def box_kji(self) -> tuple[int, int, int]:
        """Slices, rows, columns of the whole box."""
        k, j, i = (
            round(extent / step)
            for extent, step in zip(EXTENT_KJI_MM, self.spacing_kji_mm, strict=True)
        )
        return k, j, i

    @property
    def first_kji(self) -> tuple[int, int, int]:
        """Voxel of the box at which the window begins."""
        k, j, i = (part.start or 0 for part in self.window)
        return k, j, i

    def around(self, mask: NDArray[np.bool_]) -> Space:
        """Give the window that just holds ``mask``, an array of the whole box."""
        k, j, i = ndimage.find_objects(mask.view(np.uint8))[0]
        return Space(self.spacing_kji_mm, (k, j, i))

    def part(self, of_box: NDArray[Any]) -> NDArray[Any]:
        """Give the window of an array (…, k, j, i) of the whole box: a view."""
        return of_box[(..., *self.window)]

    def in_box(self, values: NDArray[Any], outside: float) -> NDArray[Any]:
        """Lay an array (k, j, i) of the window into one of the whole box."""
        whole = np.full(self.box_kji, outside, dtype=values.dtype)
        whole[self.window] = values
        return whole

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel [mL]."""
        return float(np.prod(self.spacing_kji_mm)) / 1000.0

    def positions_mm(self) -> tuple[Floats, Floats, Floats]:
        """Voxel centres about the middle of the box [mm], one axis each: they broadcast."""
        z_mm, y_mm, x_mm = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)[part]
            for n, step, part in zip(self.box_kji, self.spacing_kji_mm, self.window, strict=True)
        )
        return z_mm[:, None, None], y_mm[:, None], x_mm

    def noise(self, rng: np.random.Generator, scale_mm: float) -> Floats:
        """Smooth noise whose features are about ``scale_mm`` wide; unit variance in the box."""
        weights = [
            _spline_weights(n, step / scale_mm)
            for n, step in zip(self.box_kji, self.spacing_kji_mm, strict=True)
        ]
        knots = rng.standard_normal([w.shape[1] for w in weights]).astype(np.float32)
        mean = _contracted(knots, [w.mean(axis=0, keepdims=True) for w in weights]).item()
        squares = knots * _contracted(knots, [w.T @ w / np.float32(len(w)) for w in weights])
        knots /= np.sqrt(squares.sum() - mean**2)
        return _contracted(knots, [w[part] for w, part in zip(weights, self.window, strict=True)])


def _contracted(values: Floats, by: Sequence[Floats]) -> Floats:
    """Apply one matrix (new, old) along each axis."""
    for matrix in by:  # each turn contracts the first axis and appends the new one
        values = np.tensordot(values, matrix, axes=(0, 1))
    return values


@lru_cache(maxsize=256)
def _spline_weights(count: int, step: float) -> Floats:
    """Cubic B-spline weights (sample, knot) at ``count`` samples ``step`` knots apart."""
    at = np.arange(count) * step + 1.0
    knots = np.arange(int(at[-1]) + 3)
    t = np.abs(at[:, None] - knots)
    inner, outer = 2 / 3 - t**2 + t**3 / 2, (2 - t) ** 3 / 6
    weights = np.where(t < 1, inner, np.where(t < 2, outer, 0.0))  # noqa: PLR2004
    return weights.astype(np.float32)


def template_positions(space: Space, rng: np.random.Generator, deformation: float) -> Floats:
    """Draw where each voxel (3, k, j, i) comes from in the template [mm]: pose, size, skull.

    The plane between the hemispheres stays one: the falx holds it, however uneven the sides are.
    """
    turns_deg = rng.uniform(-20.0, 25.0), rng.normal(0.0, 4.0), rng.normal(0.0, 6.0)
    pitch, roll, yaw = np.radians(turns_deg)
    size = rng.normal(0.92, 0.035) * rng.normal(1.0, 0.025 * deformation, 3)
    turned = _rotation(pitch, roll, yaw) / size[:, None]
    middle = np.array(CENTRE_KJI_MM) + rng.normal(0.0, 2.0, 3)
    z_mm, y_mm, x_mm = space.positions_mm()
    at_mm = np.empty((3, *space.box_kji), dtype=np.float32)
    for axis, (up, back, left) in enumerate(turned.astype(np.float32)):
        level = z_mm * up + y_mm * back + np.float32(middle[axis])
        np.add(level, x_mm * left, out=at_mm[axis])
    aside = 1 - np.exp(-np.square(at_mm[2] / np.float32(HELD_BY_FALX_MM)))
    for axis in range(3):
        bent_mm = np.float32(rng.uniform(1.0, 3.5) * deformation) * space.noise(rng, 65.0)
        at_mm[axis] += bent_mm * aside if axis == LEFT_RIGHT else bent_mm
    return at_mm


def wobble(space: Space, rng: np.random.Generator, deformation: float, at_mm: Floats) -> None:
    """Displace positions (3, k, j, i) so that a brain's folds are its own [mm], in place."""
    for axis, size_mm in enumerate(rng.uniform(0.5, 1.4, 3) * deformation):
        at_mm[axis] += np.float32(size_mm) * space.noise(rng, 18.0)


def _rotation(pitch: float, roll: float, yaw: float) -> NDArray[np.float64]:
    """Rotation of (z, y, x) about the left-right, front-back and up-down axes [rad]."""
    cp, sp, cr, sr, cy, sy = (f(a) for a in (pitch, roll, yaw) for f in (np.cos, np.sin))
    about_x = np.array([[cp, -sp, 0], [sp, cp, 0], [0, 0, 1]])
    about_y = np.array([[cr, 0, -sr], [0, 1, 0], [sr, 0, cr]])
    about_z = np.array([[1, 0, 0], [0, cy, -sy], [0, sy, cy]])
    rotation: NDArray[np.float64] = about_x @ about_y @ about_z
    return rotation


def sample(values: Floats, at: Floats, outside: float) -> Floats:
    """Look a template map up at fractional voxels (3, …) (``Template.index``), linearly."""
    found: Floats = ndimage.map_coordinates(values, at, order=1, mode="constant", cval=outside)
    return found


def sample_smooth(
    space: Space, template: Template, values: Floats, at_mm: Floats, outside: float
) -> Floats:
    """Look up as ``sample`` does, where map and positions (3, k, j, i) of the box change slowly.

    Of pixels finer than the map's own only every other one is looked up, each way.
    """
    if max(space.spacing_kji_mm[1:]) > FINE_MM:
        return sample(values, template.index(at_mm), outside)
    sampled = np.empty(at_mm.shape[1:], dtype=np.float32)
    sampled[:, ::2, ::2] = sample(values, template.index(at_mm[:, :, ::2, ::2]), outside)
    _fill_between(sampled[:, ::2])
    _fill_between(sampled.swapaxes(1, 2))
    return sampled


def _fill_between(values: Floats) -> None:
    """Fill every other value along the last axis with its neighbours' mean, in place."""
    known, between = values[..., ::2], values[..., 1::2]
    pairs = known.shape[-1] - 1
    between[..., :pairs] = (known[..., :-1] + known[..., 1:]) / 2
    between[..., pairs:] = known[..., -1:]


def sample_labels(labels: NDArray[np.uint8], at: Floats) -> NDArray[np.uint8]:
    """Look a template label up at the voxel nearest to each fractional one (3, …)."""
    nearest = np.rint(at).astype(np.int32)
    for axis, count in zip(nearest, labels.shape, strict=True):
        np.clip(axis, 0, count - 1, out=axis)
    found: NDArray[np.uint8] = labels[nearest[0], nearest[1], nearest[2]]
    return found
