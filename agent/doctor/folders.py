"""The folders: can the scanner's be read, does it tell of changes, is there space."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Final

from agent.doctor.verdict import Box, NotChecked, Verdict, well, wrong
from agent.watch.filesystem import files_in, folder_identity, sends_events

LEAST_FREE_BYTES: Final = 1_000_000_000
"""Some two heads of thin slices in the export folder, thousands of results in the store. Ours."""


def export_folder(box: Box) -> Verdict:
    """Check that the export folder is there, and that the services' account can read it."""
    folder = box.config.export_folder
    folder_identity(folder)
    paths = [str(folder), *(path for path, _ in islice(files_in(str(folder), _passed_over), 1))]
    for path in paths:
        if not _readable(path, box.account):
            return wrong(
                f"{path} cannot be read by the account {box.account}",
                f"`ls -l {path}`; `usermod -aG GROUP {box.account}`, then restart the agent",
            )
    return well(f"{folder} can be read")


def events(box: Box) -> Verdict:
    """Check how the agent learns of new files."""
    folder, polling = box.config.export_folder, box.config.watch.polling
    if not folder.exists():
        raise NotChecked("see_export_folder_line")
    told = sends_events(folder, box.mounts)
    if polling is False and not told:
        return wrong(
            f"{folder} lies on a share that sends no events, and watch.polling is false",
            "take watch.polling out of the configuration",
        )
    if polling or not told:
        return well("none: the folder is listed every second")
    return well(f"sent; the folder is also listed every {box.config.watch.rescan_s:g} s")


def free_space(box: Box) -> Verdict:
    """Check the space for results, and for what the scanner exports."""
    free = {
        folder: shutil.disk_usage(folder).free
        for folder in (box.config.state_folder, box.config.export_folder)
        if folder.exists()
    }
    if not free:
        raise NotChecked("no_folder_yet")
    short = [folder for folder, free_bytes in free.items() if free_bytes < LEAST_FREE_BYTES]
    told = ", ".join(
        f"{free_bytes / 1e9:.1f} GB at {folder}" for folder, free_bytes in free.items()
    )
    if short:
        return wrong(f"{told} free", f"make room at {short[0]}")
    return well(f"{told} free")


def _passed_over(_path: str, _error: OSError) -> None:
    """One folder that cannot be listed is told by the agent's own line."""


def _readable(path: str, account: str) -> bool:
    """Try it as the account, where that can be: root can read what the account cannot."""
    try:
        who = pwd.getpwnam(account)
    except KeyError:
        return os.access(path, os.R_OK)
    if os.geteuid() != 0:
        return os.access(path, os.R_OK)
    listing = ["-a", "-x", path] if Path(path).is_dir() else []
    tried = subprocess.run(  # noqa: S603 - fixed words and a path
        ["test", "-r", path, *listing],  # noqa: S607 - coreutils
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=os.getgrouplist(account, who.pw_gid),
        check=False,
    )
    return tried.returncode == 0
