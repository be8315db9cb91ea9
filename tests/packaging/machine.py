"""This machine as it is, under an overlay: what is installed there is gone with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OVERLAY = """
set -e
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" "$1/merged"
mount -t proc proc "$1/merged/proc"
mount --bind /dev "$1/merged/dev"
echo ready
exec cat
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A root folder in a mount namespace that a process holds open."""

    root: Path
    holder_pid: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        entered = ["nsenter", f"--mount=/proc/{self.holder_pid}/ns/mnt", "chroot", str(self.root)]
        return subprocess.run(
            [*entered, *command],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def done(self, *command: str) -> str:
        """Run what must succeed; returns all that it said."""
        ended = self.run(*command)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def why_none() -> str | None:
    """Say why there can be no such machine here."""
    if os.geteuid() != 0:
        return "mounting asks for root"
    missing = [name for name in ("unshare", "nsenter", "chroot") if shutil.which(name) is None]
    return f"{missing[0]} is missing" if missing else None


@contextmanager
def machine(folder: Path) -> Iterator[Machine | None]:
    """Mount this machine's root under ``folder``; None where overlays cannot be mounted."""
    for name in ("upper", "work", "merged"):
        (folder / name).mkdir()
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        ready = holder.stdout and holder.stdout.readline() == "ready\n"
        yield Machine(folder / "merged", holder.pid) if ready else None
        holder.stdin and holder.stdin.close()
