"""The two networks, small enough for a few CPU cores: a 2.5D U-Net and a 3D U-Net.

Both add their skips instead of concatenating them, which halves the cost of the fine levels. Only
convolution, batch normalisation (folded at export), ReLU, pooling and resizing are used, so that
any runtime can build them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.preprocess import SliceInput, VolumeInput
from agent.records import Region, Subtype

N_CLASSES: Final = len(Subtype) + 1
N_REGIONS: Final = len(Region) + 1

SMALLEST_PROBABILITY: Final = 1e-4
"""Slice probabilities are kept above this before their logarithm is taken."""

SLICE_DEPTHS: Final = (1, 1, 1, 2, 3)
VOLUME_DEPTHS: Final = (1, 2, 3, 4)
"""Residual blocks at each level, finest first: context is cheap where pixels or voxels are few."""

EVIDENCE_POOLS_KJI: Final = ((1, 3, 3), (2, 5, 5), (3, 9, 9))
"""Neighbourhoods, in block voxels, over which bleed probability must persist to count as evidence:
about 0.14, 1 and 4 mL for voxels of 4 by 2 by 2 mm."""


class SliceNetwork(nn.Module):
    """A slab and its neighbours (batch, channels, j, i) to class logits (batch, class, j, i)."""

    def __init__(self, contract: SliceInput, width: int) -> None:
        """Build for ``contract``; ``width`` channels at the finest level, doubled at each next."""
        super().__init__()
        channels = contract.shape[1]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *_residuals(_conv2, width, SLICE_DEPTHS[0]),
        )
        wide = (width, 2 * width, 4 * width, 6 * width, 8 * width)
        self.down = nn.ModuleList(
            nn.Sequential(_conv2(low, high, stride=2), *_residuals(_conv2, high, depth))
            for (low, high), depth in zip(pairwise(wide), SLICE_DEPTHS[1:], strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(high, low, 1) for low, high in pairwise(wide))
        self.up = nn.ModuleList(
            nn.Sequential(*_residuals(_conv2, low, depth))
            for low, depth in zip(wide[:-1], SLICE_DEPTHS[:-1], strict=True)
        )
        self.head = nn.Conv2d(width, N_CLASSES, 1)

    def forward(self, slabs: Tensor) -> Tensor:
        """Map slabs to logits at the slabs' own resolution."""
        levels = [self.stem(slabs)]
        for down in self.down:
            levels.append(down(levels[-1]))
        fine = levels.pop()
        for narrow, up, level in zip(
            reversed(self.narrow), reversed(self.up), reversed(levels), strict=True
        ):
            fine = up(level + functional.interpolate(narrow(fine), scale_factor=2))
        logits: Tensor = _doubled(self.head(fine))
        return logits


class VolumeNetwork(nn.Module):
    """A block (batch, channels, k, j, i) to bleed logits, region logits and a study logit.

    The bleed logits are the slice stage's log-probabilities plus a learned correction, so that the
    volume stage starts from what the slice stage saw. The study logit is a learned function of
    ``_evidence``, in which the two stages are fused as they are for the mask.
    """

    def __init__(self, contract: VolumeInput, width: int) -> None:
        """Build for ``contract``; ``width`` channels at the finest level, doubled at each next."""
        super().__init__()
        channels = N_CLASSES - 1 + len(contract.windows_hu)
        wide = (width, 2 * width, 4 * width, 6 * width)
        self.stem = nn.Sequential(
            nn.Conv3d(channels, width, (3, 4, 4), stride=(1, 2, 2), padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )
        self.down = nn.ModuleList(
            nn.Sequential(_conv3(low, high, stride=2), *_residuals(_conv3, high, depth))
            for (low, high), depth in zip(pairwise(wide), VOLUME_DEPTHS[1:], strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv3d(high, low, 1) for low, high in pairwise(wide))
        self.up = nn.ModuleList(
            nn.Sequential(*_residuals(_conv3, low, depth))
            for low, depth in zip(wide[:-1], VOLUME_DEPTHS[:-1], strict=True)
        )
        self.correction = nn.Conv3d(width, N_CLASSES, 1)
        self.region = nn.Conv3d(width, N_REGIONS, 1)
        self.evidence = nn.Linear(len(EVIDENCE_POOLS_KJI), 1)
        for parameter in self.correction.parameters():
            nn.init.zeros_(parameter)
        nn.init.ones_(self.evidence.weight)
        nn.init.zeros_(self.evidence.bias)

    def forward(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map a block to logits: bleed (batch, class, …), region (…) and study (batch,)."""
        fine = self._features(block)
        bleed = self._bleed(block, fine)
        study: Tensor = self.evidence(_evidence(block, bleed))[:, 0]
        return bleed, _doubled_in_plane(self.region(fine)), study

    def evidence_of(self, block: Tensor) -> Tensor:
        """Give what (batch, evidence) the study logit is a linear function of."""
        return _evidence(block, self._bleed(block, self._features(block)))

    def _bleed(self, block: Tensor, fine: Tensor) -> Tensor:
        seen = _log_probabilities(block[:, : N_CLASSES - 1])
        return seen + _doubled_in_plane(self.correction(fine))

    def _features(self, block: Tensor) -> Tensor:
        levels = [self.stem(block)]
        for down in self.down:
            levels.append(down(levels[-1]))
        fine: Tensor = levels.pop()
        for narrow, up, level in zip(
            reversed(self.narrow), reversed(self.up), reversed(levels), strict=True
        ):
            fine = up(level + functional.interpolate(narrow(fine), scale_factor=2))
        return fine


def _evidence(block: Tensor, bleed: Tensor) -> Tensor:
    """Log-odds of the largest bleed probability that persists over each of the pools.

    The probability is the geometric mean of both stages', as in the mask (``label_head``).
    """
    seen = block[:, : N_CLASSES - 1].sum(dim=1, keepdim=True)
    refined = 1.0 - bleed.softmax(dim=1)[:, :1]
    fused = (seen * refined).clamp(SMALLEST_PROBABILITY**2, 1.0).sqrt()
    pooled = [
        functional.avg_pool3d(fused, size, stride=1).amax(dim=(1, 2, 3, 4))
        for size in EVIDENCE_POOLS_KJI
    ]
    evidence = torch.stack(pooled, dim=1).clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return torch.log(evidence) - torch.log(1.0 - evidence)


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: Tensor) -> Tensor:
        added: Tensor = values + self.inner(values)
        return added


def _residuals(
    convolution: Callable[[int, int], nn.Module], width: int, depth: int
) -> list[nn.Module]:
    return [_Residual(convolution(width, width)) for _ in range(depth)]


def _conv2(low: int, high: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(low, high, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(high), nn.ReLU())


def _conv3(low: int, high: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv3d(low, high, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(high), nn.ReLU())


def _doubled(planes: Tensor) -> Tensor:
    return functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)


def _doubled_in_plane(values: Tensor) -> Tensor:
    """Double j and i of (batch, channel, k, j, i): cheaper plane by plane than in 3D."""
    batch, channels, slices, rows, columns = values.shape
    planes = _doubled(values.reshape(batch, channels * slices, rows, columns))
    return planes.reshape(batch, channels, slices, 2 * rows, 2 * columns)


def _log_probabilities(subtypes: Tensor) -> Tensor:
    """Log-probabilities of all classes from those of the subtypes (batch, subtype, k, j, i)."""
    none = 1.0 - subtypes.sum(dim=1, keepdim=True)
    return torch.cat([none, subtypes], dim=1).clamp(SMALLEST_PROBABILITY, 1.0).log()
