"""The files below a folder, and what kind of file system they lie on."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.errors import FolderUnreachable

EVENTLESS_TYPES: Final = (
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse",
    "glusterfs",
    "lustre",
    "nfs",
    "smb",
)
"""Types of file systems on which changes by other machines raise no inotify event. Source:
inotify(7)."""

PART_SUFFIX: Final = ".inlet-part"
"""A file with a name that ends so is one that our own inlet is still writing: nobody reads it."""


class Version(NamedTuple):
    """What identifies one state of a file: any change of its content changes one of these."""

    size_bytes: int
    mtime_ns: int
    inode: int


def sends_events(folder: Path, mounts: str) -> bool:
    """Return whether the file system of ``folder`` raises an event for every change.

    ``mounts`` is the text of ``/proc/mounts``: device, mount point, type and options, a line each.
    """
    real, best, kind = os.path.realpath(folder), "", ""
    for line in mounts.splitlines():
        _device, escaped, file_system, *_rest = line.split(" ")
        point = escaped.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    return not kind.startswith(EVENTLESS_TYPES)


def folder_identity(folder: Path) -> tuple[int, int]:
    """Device and inode of the folder.

    Raises
    ------
    FolderUnreachable
        It is missing, or cannot be listed.
    """
    try:
        status = folder.stat()
        with os.scandir(folder):
            return status.st_dev, status.st_ino
    except OSError as error:
        raise FolderUnreachable(
            "folder_unreachable", folder=str(folder), why=str(error.strerror)
        ) from error


def is_mount(folder: Path) -> bool:
    """Return whether the folder is a mount point; False if it is gone.

    ``Path.is_mount`` of Python 3.11 and before raises where the folder vanishes during the call.
    """
    return os.path.ismount(os.path.realpath(folder))


def version_of(path: str) -> Version | None:
    """Version of a regular file, None for anything else or nothing. Links are not followed.

    None also of a file that the inlet is still writing.
    """
    if path.endswith(PART_SUFFIX):
        return None
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)


def files_in(folder: str, denied: Callable[[str, OSError], None]) -> Iterator[tuple[str, Version]]:
    """Yield every regular file below ``folder``, whatever its name.

    Symbolic links are not followed: a target within the folder is found anyway. ``denied`` is
    called with each folder that exists and cannot be listed.
    """
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                listed = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            denied(current, error)
            continue
        for entry in listed:
            if _is_folder(entry):
                waiting.append(entry.path)
            elif version := version_of(entry.path):
                yield entry.path, version


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
