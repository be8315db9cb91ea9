"""Golden heads: generated ones, to verify a plan on."""

from __future__ import annotations

from collections.abc import Iterator

from agent.voxels import HeadVolume
from build_engine.heads.known import generated_head


def golden_heads(count: int) -> Iterator[HeadVolume]:
    """Make ``count`` heads, half without a bleed, of scanners beyond those of training."""
    return (generated_head(number).head for number in range(count))
