"""A folder that is handed over: complete, or not there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RequestRefused


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, readable by its owner only, which gets its name at the end.

    Raises
    ------
    RequestRefused
        If it is there already, or cannot be written.
    """
    if folder.exists():
        raise RequestRefused("folder_exists", folder=str(folder))
    try:
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch:
            made = Path(scratch) / folder.name
            made.mkdir(mode=0o700)
            yield made
            made.rename(folder)
    except OSError as error:
        raise RequestRefused(
            "folder_unwritable", folder=str(folder), why=str(error.strerror)
        ) from error
