"""Checks of the folders: can the export folder be read, does it raise events, is there space."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from agent.doctor.result import Box, CheckResult, NotChecked, well, wrong
from agent.watch.filesystem import files_in, folder_identity, sends_events

LEAST_FREE_BYTES: Final = 1_000_000_000
"""Least free space [bytes]. Ours: two heads of thin slices, or thousands of results."""


def export_folder(box: Box) -> CheckResult:
    """Check that the export folder exists, and that the services' account can read it."""
    folder = box.config.export_folder
    folder_identity(folder)
    paths = [str(folder), *(path for path, _ in islice(files_in(str(folder), _passed_over), 1))]
    for path in paths:
        if not may(box.account, "-r", path):
            return wrong("path_unreadable", path=str(path), account=box.account)
    return well("folder_readable", folder=str(folder))


def events(box: Box) -> CheckResult:
    """Check how the agent learns of new files."""
    folder, polling = box.config.export_folder, box.config.watch.polling
    if not folder.exists():
        raise NotChecked("see_export_folder_line")
    raises_events = sends_events(folder, box.mounts)
    if polling is False and not raises_events:
        return wrong("no_events_and_no_polling", folder=str(folder))
    if polling or not raises_events:
        return well("folder_polled")
    return well("folder_watched", rescan_s=box.config.watch.rescan_s)


def free_space(box: Box) -> CheckResult:
    """Check the free space for results, and for what the scanner exports."""
    free = {
        folder: shutil.disk_usage(folder).free
        for folder in (box.config.state_folder, box.config.export_folder)
        if folder.exists()
    }
    if not free:
        raise NotChecked("no_folder_yet")
    short = [folder for folder, free_bytes in free.items() if free_bytes < LEAST_FREE_BYTES]
    space = ", ".join(
        f"{free_bytes / 1e9:.1f} GB at {folder}" for folder, free_bytes in free.items()
    )
    if short:
        return wrong("space_short", free=space, path=str(short[0]))
    return well("space_enough", free=space)


def _passed_over(_path: str, _error: OSError) -> None:
    """Pass over a folder that cannot be listed: the check of the agent reports it."""


def may(account: str, right: Literal["-r", "-w"], path: str) -> bool:
    """Try to read or write as the account, if run by root: root may what the account may not."""
    here = {"-r": os.R_OK, "-w": os.W_OK}[right]
    try:
        who = pwd.getpwnam(account)
    except KeyError:
        return os.access(path, here)
    if os.geteuid() != 0:
        return os.access(path, here)
    listing = ["-a", "-x", path] if Path(path).is_dir() else []
    tried = subprocess.run(  # noqa: S603 - fixed words and a path
        ["test", right, path, *listing],  # noqa: S607 - coreutils
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=os.getgrouplist(account, who.pw_gid),
        check=False,
    )
    return tried.returncode == 0
