"""A folder of exported files to the series in it, read as the agent reads them; no pixels kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import dcmread

from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.header import SliceRefused, SliceUnplaced
from agent.assemble.limits import ReadLimits
from agent.assemble.series import GrowingSeries, is_localizer
from agent.errors import FileRefused, FolderUnreachable, InputError
from agent.reasons import Reason
from agent.records import SliceHeader

NO_PIXELS: Final = np.zeros((1, 1), np.int16)
"""Stands for a slice's pixels: they were checked as the file was read, and geometry needs none."""

DATES: Final = "InstanceCreationDate", "ContentDate", "AcquisitionDate", "SeriesDate"
"""When an image was made, the closest to its export first."""

Progress = Callable[[Sequence[Path]], Iterable[Path]]
"""Goes through files while showing how far it is."""


@dataclass
class SampleSeries:
    """One series of a sample export, while it is read and after.

    ``refusal`` is why the agent refuses the series whole, ``written_at_s`` when each of its files
    was last written [s since 1970], ``made_on`` the date that its first image gives.
    """

    uid: str
    headers: list[SliceHeader] = field(default_factory=list)
    stack: GrowingSeries = field(default_factory=GrowingSeries)
    written_at_s: list[float] = field(default_factory=list)
    made_on: date | None = None
    refusal: Reason | None = None

    @property
    def slices(self) -> list[SliceHeader]:
        """Headers of all but localizer images."""
        return [header for header in self.headers if not is_localizer(header)]

    def put(self, slices: Iterable[ReadSlice]) -> None:
        """Take in one file's slices; one that does not belong refuses the series."""
        for header, _hu in slices:
            self.headers.append(header)
            try:
                self.stack.add(header, NO_PIXELS)
            except InputError as error:
                self.refusal = self.refusal or error.reason

    def leave_out(self, refused: SliceRefused) -> None:
        """Take note of an image that is no slice: it has no place, or cannot be read."""
        unplaced = isinstance(refused, SliceUnplaced)
        take = self.stack.set_aside if unplaced else self.stack.leave_unread
        _, sop_uid, identity = refused.owner
        take(sop_uid, identity, refused.reason.without_file())


@dataclass(frozen=True, slots=True)
class Sample:
    """What a folder holds: series, by UID, and why other files were left out."""

    series: tuple[SampleSeries, ...]
    left_out: dict[Path, Reason]


def read_sample(folder: Path, progress: Progress = iter) -> Sample:
    """Read every file below ``folder``.

    Raises
    ------
    FolderUnreachable
        It, or a folder in it, cannot be listed.
    """
    series: dict[str, SampleSeries] = {}
    left_out: dict[Path, Reason] = {}
    for path in progress(sorted(_files_below(folder))):
        try:
            slices = read_slices(path, ReadLimits())
        except SliceRefused as error:
            uid = error.owner.series_uid
            one = series.setdefault(uid, SampleSeries(uid))
            one.leave_out(error)
        except FileRefused as error:
            left_out[path] = error.reason.without_file()
            continue
        else:
            uid = slices[0].header.series_uid
            one = series.setdefault(uid, SampleSeries(uid))
            one.put(slices)
        one.made_on = one.made_on or _made_on(path)
        one.written_at_s.append(path.stat().st_mtime)
    return Sample(tuple(series[uid] for uid in sorted(series)), left_out)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield regular files, as the agent's watcher finds them: it follows no links."""
    for parent, _folders, names in os.walk(folder, onerror=_unreachable):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.is_symlink():
                yield path


def _unreachable(error: OSError) -> None:
    raise FolderUnreachable(
        "sample_folder_unlistable", folder=error.filename, why=str(error.strerror)
    ) from error


def _made_on(path: Path) -> date | None:
    """Read on which date an image was made, None where it does not say."""
    try:
        image = dcmread(path, stop_before_pixels=True, specific_tags=[*DATES])
        texts = [str(image.get(keyword) or "") for keyword in DATES]
        return next((datetime.strptime(t[:8], "%Y%m%d").date() for t in texts if t), None)  # noqa: DTZ007 - a date has no zone
    except Exception:  # noqa: BLE001 - whatever a stranger's bytes may make pydicom raise
        return None
