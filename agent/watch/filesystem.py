"""What a folder holds, and on what kind of file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.errors import FolderUnreachable

SILENT_TYPES: Final = ("9p", "afs", "ceph", "cifs", "fuse", "glusterfs", "lustre", "nfs", "smb")
"""File systems on which other machines write, and whose kernels tell of none of it (inotify(7))."""


class Version(NamedTuple):
    """What changes when a file does."""

    size_bytes: int
    mtime_ns: int
    inode: int


def sends_events(folder: Path, mounts: str) -> bool:
    """Say whether the file system of ``folder`` tells of every change.

    ``mounts`` is the text of ``/proc/mounts``: device, mount point, type and options, a line each.
    """
    real, best, kind = os.path.realpath(folder), "", ""
    for line in mounts.splitlines():
        _device, escaped, found, *_rest = line.split(" ")
        point = escaped.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return not kind.startswith(SILENT_TYPES)


def folder_identity(folder: Path) -> tuple[int, int]:
    """Device and inode of the folder.

    Raises
    ------
    FolderUnreachable
        It is missing, or cannot be listed.
    """
    try:
        found = folder.stat()
        with os.scandir(folder):
            return found.st_dev, found.st_ino
    except OSError as error:
        raise FolderUnreachable(
            "folder_unreachable", folder=str(folder), why=str(error.strerror)
        ) from error


def is_mount(folder: Path) -> bool:
    """Say whether something is mounted there; not if it is gone.

    Unlike ``Path.is_mount`` of Python 3.11 and before, which raises where the folder goes while it
    is being looked at.
    """
    return os.path.ismount(os.path.realpath(folder))


def version_of(path: str) -> Version | None:
    """Version of a regular file, None for anything else or nothing. Links are not followed."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Version(found.st_size, found.st_mtime_ns, found.st_ino)


def files_in(folder: str, denied: Callable[[str, OSError], None]) -> Iterator[tuple[str, Version]]:
    """Yield every regular file below ``folder``, whatever its name.

    Symbolic links are not followed: what they lead to is either found by itself or not in the
    folder. ``denied`` is told of each folder that is there and cannot be listed.
    """
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                found = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            denied(current, error)
            continue
        for entry in found:
            if _is_folder(entry):
                waiting.append(entry.path)
            elif version := version_of(entry.path):
                yield entry.path, version


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
