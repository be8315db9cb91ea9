"""The public peer BLAST-CT 0.1.1, rebuilt to be set beside our model on the same heads.

Source: Monteiro, Newcombe, Mathieu et al., Lancet Digital Health 2020; biomedia-mira/blast-ct. As
published: HU are brought to 1 mm by linear interpolation in the slices' own frame, then windowed;
the volume is continued beyond its ends by its outermost voxels; a coarse path sees the middle voxel
of each cube of 5 (or 3), not its mean; what it finds goes back to the nearest pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise, product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from agent.preprocess import Floats
from agent.voxels import Grid, HeadVolume

SCALES: Final = (5, 3, 1)
WIDTHS: Final = (1, 30, 30, 40, 40, 40, 40, 50, 50)
JOINED_WIDTHS: Final = (150, 250, 250, 5)
WINDOW_HU: Final = (-15.0, 100.0)

BONE_HU: Final = 1000
"""Ours: what bone is given back where a data set was clipped at the top of the window."""

HALO_MM: Final = 40
"""What the coarsest path sees on every side of what it labels: 8 voxels of 5 mm."""

TILE_MM: Final = 30
"""Side of a tile's output, as published. Any multiple of 15 gives the same: cubes of 3 and 5 fall
alike. Larger tiles spend less on their rims, but as much more on air about the head."""


class PeerClass(IntEnum):
    """Labels, as the published class axis orders them."""

    BACKGROUND = 0
    INTRAPARENCHYMAL = 1
    EXTRA_AXIAL = 2
    OEDEMA = 3
    INTRAVENTRICULAR = 4


BLOOD: Final = (PeerClass.INTRAPARENCHYMAL, PeerClass.EXTRA_AXIAL, PeerClass.INTRAVENTRICULAR)


class PeerNetwork(nn.Module):
    """DeepMedic: a block (batch, 1, k+80, j+80, i+80) of -1…1 to logits (batch, class, k, j, i)."""

    def __init__(self) -> None:
        """Build with the published widths."""
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(_MiddleOf(scale), *(_Layer(*ends, 3) for ends in pairwise(WIDTHS)))
            for scale in SCALES
        )
        self.joined = nn.Sequential(*(_Layer(*ends, 1) for ends in pairwise(JOINED_WIDTHS)))

    def forward(self, block: Tensor) -> Tensor:
        """Label what lies ``HALO_MM`` or more from the faces: k, j and i are multiples of 15."""
        seen = []
        for scale, path in zip(SCALES, self.paths, strict=True):
            reach = (len(WIDTHS) - 1) * scale
            values = path(_shrunk(block, HALO_MM - reach))
            seen.append(functional.interpolate(values, scale_factor=scale))
        logits: Tensor = self.joined(torch.cat(seen, dim=1))
        return logits


class _MiddleOf(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.picked = slice(scale // 2, None, scale)

    def forward(self, values: Tensor) -> Tensor:
        return values[..., self.picked, self.picked, self.picked]


class _Layer(nn.Module):
    """Normalise, PReLU, unpadded convolution; its input is added where the widths agree."""

    def __init__(self, low: int, high: int, size: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm3d(low)
        self.prelu = nn.PReLU()
        self.conv = nn.Conv3d(low, high, size, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        changed: Tensor = self.conv(self.prelu(self.bn(values)))
        if changed.shape[1] != values.shape[1]:
            return changed
        return changed + _shrunk(values, (values.shape[-1] - changed.shape[-1]) // 2)


def _shrunk(values: Tensor, by: int) -> Tensor:
    k, j, i = (slice(by, size - by) for size in values.shape[2:])
    return values[..., k, j, i]


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """Networks whose softmax is averaged."""

    networks: tuple[PeerNetwork, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PeerReading:
    """Probabilities (class, k, j, i), float32, on the head's own grid."""

    probabilities: Floats

    @property
    def blood(self) -> Floats:
        """Probability (k, j, i) of blood of any kind."""
        total: Floats = self.probabilities[list(BLOOD)].sum(axis=0)
        return total

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Likeliest ``PeerClass`` (k, j, i): the published tool's answer."""
        likeliest: NDArray[np.uint8] = self.probabilities.argmax(axis=0).astype(np.uint8)
        return likeliest


def load_peer(folder: Path, n_models: int = 12) -> Peer:
    """Load the first ``n_models`` published weight sets; the published tool averages all 12."""
    paths = [folder / f"model_{number}.safetensors" for number in range(1, n_models + 1)]
    return Peer(tuple(load_network(path) for path in paths))


def load_network(path: Path) -> PeerNetwork:
    """Load one published weight set; a missing, unknown or misshapen tensor is a RuntimeError."""
    network = PeerNetwork()
    network.load_state_dict({_own_key(key): value for key, value in load_file(path).items()})
    network.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def _own_key(published: str) -> str:
    for number, scale in enumerate(SCALES):
        path = f"path({scale}, {scale}, {scale}){number}.path."
        published = published.replace(path, f"paths.{number}.")
    return published.replace("fully_connected.", "joined.")


def with_bone(head: HeadVolume) -> HeadVolume:
    """Make bone again of what a data set clipped at 100 HU.

    Between slices of clipped bone and of brain, interpolation makes 65 HU: the peer takes it for
    blood under the skull, 10 to 39 mL of it in three PHE-SICH patients tried, and 0 to 0.4 mL once
    bone is bone.
    """
    hu = np.where(head.hu >= WINDOW_HU[1], BONE_HU, head.hu).astype(np.int16)
    return replace(head, hu=hu)


def peer_reading(peer: Peer, head: HeadVolume) -> PeerReading:
    """Read a head, on the CPU."""
    return PeerReading(_on_slices(volume_probabilities(peer, peer_volume(head)), head.grid))


def volume_probabilities(peer: Peer, volume: Floats, tile_mm: int = TILE_MM) -> Floats:
    """Class probabilities (class, z, y, x) of a volume (z, y, x) of -1…1 at 1 mm.

    Ours: tiles without head are background unseen. ``tile_mm`` is a multiple of 15.
    """
    probabilities = np.zeros((len(PeerClass), *volume.shape), dtype=np.float32)
    probabilities[PeerClass.BACKGROUND] = 1.0
    padded = np.pad(volume, [(HALO_MM, HALO_MM + tile_mm)] * 3, mode="edge")
    for corner in _tile_corners(volume, tile_mm):
        of_tile = _mean_softmax(peer, padded[_cube(corner, tile_mm + 2 * HALO_MM)])
        room = probabilities[(slice(None), *_cube(corner, tile_mm))]
        room[:] = of_tile[(slice(None), *map(slice, room.shape[1:]))]
    return probabilities


def _tile_corners(volume: Floats, tile_mm: int) -> list[tuple[int, ...]]:
    """Corners (z, y, x) of the tiles that show the largest piece of tissue: the head."""
    pieces, _ = ndimage.label(ndimage.binary_opening(volume > -1.0, iterations=2))
    sizes = np.bincount(pieces.ravel())[1:]
    head = pieces == 1 + sizes.argmax() if len(sizes) else pieces > 0
    corners = product(*(range(0, size, tile_mm) for size in volume.shape))
    return [corner for corner in corners if head[_cube(corner, tile_mm)].any()]


def _cube(corner: tuple[int, ...], size: int) -> tuple[slice, ...]:
    return tuple(slice(at, at + size) for at in corner)


@torch.inference_mode()
def _mean_softmax(peer: Peer, block: Floats) -> Floats:
    values = torch.from_numpy(np.ascontiguousarray(block))[None, None]
    total = sum(network(values).float().softmax(dim=1)[0] for network in peer.networks)
    mean: Floats = (total / len(peer.networks)).numpy()
    return mean


def peer_volume(head: HeadVolume) -> Floats:
    """Bring a head to 1 mm (z, y, x), as its slices lie, and scale the window to -1…1."""
    starts_mm, heights_mm = _starts_mm(head.grid)
    spacings_mm = np.array([head.grid.row_spacing_mm, head.grid.column_spacing_mm])
    spans_mm = (np.array(head.hu.shape[1:]) - 1) * spacings_mm + starts_mm.max(axis=0)
    plane = tuple(round(span_mm + 1) for span_mm in spans_mm)
    planes = np.stack(
        [
            ndimage.affine_transform(
                hu.astype(np.float32), 1 / spacings_mm, offset, plane, order=1, mode="nearest"
            )
            for hu, offset in zip(head.hu, -starts_mm / spacings_mm, strict=True)
        ]
    )
    at_mm = np.arange(round(heights_mm[-1] + 1))
    place = np.interp(at_mm, heights_mm, np.arange(len(planes)))
    below = place.astype(int)
    share = (place - below).astype(np.float32)[:, None, None]
    hu = planes[below] * (1 - share) + planes[np.ceil(place).astype(int)] * share
    low, high = WINDOW_HU
    volume: Floats = (np.clip(hu, low, high) - low) * np.float32(2 / (high - low)) - 1
    return volume


def _on_slices(values: Floats, grid: Grid) -> Floats:
    """Nearest of values (class, z, y, x) at 1 mm for each pixel (class, k, j, i) of the slices."""
    slices = np.empty((len(values), *grid.shape_kji), dtype=np.float32)
    for k, (start_mm, height_mm) in enumerate(zip(*_starts_mm(grid), strict=True)):
        rows_mm = start_mm[0] + np.arange(grid.rows) * grid.row_spacing_mm
        columns_mm = start_mm[1] + np.arange(grid.columns) * grid.column_spacing_mm
        z, y, x = (
            np.rint(at_mm).astype(int).clip(0, size - 1)
            for at_mm, size in zip((height_mm, rows_mm, columns_mm), values.shape[1:], strict=True)
        )
        slices[:, k] = values[:, z][:, y[:, None], x]
    return slices


def _starts_mm(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each slice's pixel (0, 0) lies in its plane (k, ji), and its height (k,) [mm], from 0.

    A tilted gantry makes the slices of a stack slide within their planes.
    """
    slides_mm = grid.origins_lps_mm @ np.array([grid.column_direction, grid.row_direction]).T
    return slides_mm - slides_mm.min(axis=0), grid.heights_mm - grid.heights_mm[0]
