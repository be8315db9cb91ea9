"""The pace of an export, from when its files were written; or why they tell nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np

FEWEST_FILES: Final = 8
"""Fewer show no rhythm. Ours."""

FASTEST_PER_S: Final = 500.0
"""Files written faster than this were copied [1/s]. Ours: scanners export 10 to 150 a second."""

LONGEST_PAUSE_S: Final = 60.0
"""A longer pause is no part of one export [s]. Ours."""

COPIED_DAYS: Final = 1
"""Files written more than this after their images were made were copied [days]. Ours: a day may
lie between the two clocks' time zones."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How the files of one series followed one another."""

    n_files: int
    usual_pause_s: float
    longest_pause_s: float
    span_s: float

    def __str__(self) -> str:
        """Read as a service engineer would say it."""
        return (
            f"{self.n_files} files in {self.span_s:.1f} s, one every {self.usual_pause_s:.3f} s, "
            f"longest pause {self.longest_pause_s:.2f} s"
        )


def rhythm_of(written_at_s: Sequence[float], made_on: date | None) -> Rhythm | str:
    """Find the rhythm of one series' files.

    Parameters
    ----------
    written_at_s
        When each file was last written [s since 1970], in any order.
    made_on
        The date that the images give.

    Returns
    -------
    The rhythm, or why the times are none of an export.
    """
    n = len(written_at_s)
    if n < FEWEST_FILES:
        return f"{n} of {FEWEST_FILES} files that a rhythm can be told from"
    pauses_s = np.diff(np.sort(np.asarray(written_at_s, np.float64)))
    usual_s, longest_s = float(np.median(pauses_s)), float(pauses_s.max())
    if usual_s == 0:
        return f"most of {n} files have the same time: copied, or on a disk that rounds times"
    if usual_s < 1 / FASTEST_PER_S:
        return f"{n} files in {pauses_s.sum():.2f} s: copied, no scanner exports so fast"
    if longest_s > LONGEST_PAUSE_S:
        return f"a pause of {longest_s:.0f} s lies between files of one series: not one export"
    copied = _copied_since(min(written_at_s), made_on)
    return copied or Rhythm(n, usual_s, longest_s, float(pauses_s.sum()))


def _copied_since(written_at_s: float, made_on: date | None) -> str | None:
    """Say what the date of the images tells against their files' times, None if nothing."""
    if made_on is None:
        return "the images give no date by which to tell an export from a later copy"
    # The scanner's date and this machine's are both local.
    days = abs((datetime.fromtimestamp(written_at_s).date() - made_on).days)  # noqa: DTZ006
    if days > COPIED_DAYS:
        return f"the files were written {days} days from when the images were made: they are copies"
    return None
