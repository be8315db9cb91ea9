"""Which files a folder holds, and whether its file system speaks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from agent.errors import FolderUnreachable
from agent.watch.filesystem import (
    files_in,
    folder_identity,
    is_mount,
    sends_events,
    version_of,
)

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
//scanner/export {folder}/share cifs rw 0 0
server:/ct {folder}/with\\040space nfs4 rw 0 0
tmpfs {folder}/share/local tmpfs rw 0 0
sshfs {folder}/ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("", True),
        ("share", False),
        ("share/ct/today", False),
        ("shared", True),
        ("with space/ct", False),
        ("share/local", True),
        ("ssh", False),
    ],
)
def test_events_are_expected_by_file_system_type(tmp_path, below, expected):
    mounts = MOUNTS.format(folder=os.path.realpath(tmp_path))

    assert sends_events(tmp_path / below, mounts) is expected


def test_all_regular_files_are_found_and_nothing_else(tmp_path):
    deep = tmp_path / "a" / "b" / ".c"
    deep.mkdir(parents=True)
    for path in (tmp_path / "1.dcm", deep / "no extension", deep / ".hidden.part"):
        path.write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(deep / "no extension")
    (tmp_path / "out").symlink_to("/")

    found = {Path(path).name for path, _ in files_in(str(tmp_path), pytest.fail)}

    assert found == {"1.dcm", "no extension", ".hidden.part"}
    assert version_of(str(tmp_path / "pipe")) is None
    assert version_of(str(tmp_path / "gone")) is None


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    listing = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return listing(path)

    # Root, as which containers run tests, may list everything: nothing real can stand in.
    monkeypatch.setattr(os, "scandir", scandir)
    denied: list[str] = []

    assert list(files_in(str(tmp_path), lambda path, _: denied.append(path))) == []
    assert denied == [str(tmp_path / "closed")]


def test_a_missing_folder_or_a_file_in_its_place_is_unreachable(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    assert folder_identity(tmp_path)
    for name in ("gone", "file"):
        with pytest.raises(FolderUnreachable, match=name):
            folder_identity(tmp_path / name)


@pytest.mark.slow
def test_a_folder_that_goes_while_it_is_asked_for_its_mount_ends_nothing(tmp_path):
    folder, elsewhere, over = tmp_path / "export", tmp_path / "elsewhere", Event()
    folder.mkdir()

    def come_and_go() -> None:
        while not over.is_set():
            folder.rename(elsewhere)
            elsewhere.rename(folder)

    mover = Thread(target=come_and_go)
    mover.start()
    try:
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            assert not is_mount(folder)
    finally:
        over.set()
        mover.join()


def test_a_mount_is_told_by_a_link_to_it_too(tmp_path):
    (tmp_path / "link").symlink_to("/proc")

    assert is_mount(Path("/proc"))
    assert is_mount(tmp_path / "link")
    assert not is_mount(tmp_path)
