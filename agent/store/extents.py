"""Extents of bleeds as radiologists draw them, run-length encoded; stored beside their reading.

The result and its outlines stay as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from agent.report import SliceStack
from agent.store.database import Database

MOST_SLICES: Final = 2**15
MOST_RUNS: Final = 2**16
"""Of a whole extent. Ours: a bleed of 200 mL in slices of 0.6 mm and 512² has some 20 000; so many
take 0.3 MB at most once they are deflated."""

MOST_PIXELS: Final = 2**28
"""Of a slice. Ours: no scanner makes more."""

PixelCount = Annotated[int, Field(ge=0, lt=MOST_PIXELS)]


class SliceRuns(BaseModel):
    """What lies within in one slice, as runs of its pixels, row after row."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    k: Annotated[int, Field(ge=0, lt=MOST_SLICES)]
    runs: Annotated[tuple[PixelCount, ...], Field(strict=False, max_length=2 * MOST_RUNS)]
    """First pixel and length of each run, ascending, without overlap."""

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        firsts, lengths = self.runs[::2], self.runs[1::2]
        ends = [first + length for first, length in zip(firsts, lengths, strict=False)]
        ascending = all(end <= first for end, first in zip(ends, firsts[1:], strict=False))
        if len(firsts) != len(lengths) or not self.runs or min(lengths) < 1 or not ascending:
            raise ValueError("first pixel and length of each run, ascending")
        return self

    @property
    def n_pixels(self) -> int:
        """How many pixels lie within."""
        return sum(self.runs[1::2])

    @property
    def end(self) -> int:
        """One past the last pixel."""
        return self.runs[-2] + self.runs[-1]

    def holds(self, pixel: int) -> bool:
        """Whether a pixel lies within."""
        runs = zip(self.runs[::2], self.runs[1::2], strict=True)
        return any(first <= pixel < first + length for first, length in runs)


class Extent(BaseModel):
    """A bleed's extent, slice by slice, the lowest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    slices: Annotated[
        tuple[SliceRuns, ...], Field(strict=False, min_length=1, max_length=MOST_SLICES)
    ]

    @model_validator(mode="after")
    def _is_ordered_and_bounded(self) -> Self:
        if any(one.k >= other.k for one, other in pairwise(self.slices)):
            raise ValueError("each slice once, the lowest first")
        if sum(len(one.runs) for one in self.slices) > 2 * MOST_RUNS:
            raise ValueError(f"more than {MOST_RUNS} runs")
        return self

    def fits(self, stack: SliceStack) -> bool:
        """Whether all of it lies in the slices that are kept, of which the volumes are known."""
        n_pixels = stack.rows * stack.columns
        within = all(one.end <= n_pixels for one in self.slices)
        return within and self.slices[-1].k < len(stack.voxels_ml)

    def volume_ml(self, voxels_ml: Sequence[float]) -> float:
        """Return its volume [mL]; ``voxels_ml`` is that of one voxel of each slice."""
        return sum(one.n_pixels * voxels_ml[one.k] for one in self.slices)

    def holds(self, voxel_kji: tuple[int, int, int], columns: int) -> bool:
        """Whether a voxel (slice, row, column) lies within, of slices of so many columns."""
        k, row, column = voxel_kji
        return any(one.k == k and one.holds(row * columns + column) for one in self.slices)

    def packed(self) -> bytes:
        """Return it as it is stored: JSON, in zlib's format."""
        return zlib.compress(self.model_dump_json().encode("ascii"))


def extents_of(database: Database, series_uid: str) -> dict[int, Extent]:
    """Return what was drawn of a series' results, by reading."""
    rows = database.rows(
        "SELECT reading_id, runs_z FROM extents JOIN readings ON id = reading_id"
        " WHERE series_uid = ?",
        series_uid,
    )
    return {row["reading_id"]: _unpacked(row["runs_z"]) for row in rows}


def extent_of(database: Database, result: tuple[str, int], reading_id: int) -> Extent | None:
    """Return what was drawn with one reading of a result, None where nothing was."""
    rows = database.rows(
        "SELECT runs_z FROM extents JOIN readings ON id = reading_id"
        " WHERE series_uid = ? AND revision = ? AND id = ?",
        *result,
        reading_id,
    )
    return _unpacked(rows[0]["runs_z"]) if rows else None


def _unpacked(runs_z: bytes) -> Extent:
    return Extent.model_validate_json(zlib.decompress(runs_z))
