"""agent.inlet.folder: whole files alone, one for each image, and room made from the oldest days."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.inlet.folder import ReceivedFolder
from agent.inlet.limits import InletLimits
from agent.records import Instant
from agent.watch.filesystem import PART_SUFFIX, files_in
from tests.program import until

LIMITS = InletLimits(8, 2**20, 2**24, kept_days=7, kept_bytes=10_000, free_bytes=0)
NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


@dataclass
class Days:
    """A clock that is moved by days."""

    days: int = 0

    def __call__(self) -> Instant:
        return Instant(NOON + timedelta(days=self.days), self.days * 86400.0)


@pytest.fixture
def clock() -> Days:
    return Days()


def files(folder: Path) -> dict[str, bytes]:
    """Return what the watcher would read, by name."""
    return {Path(path).name: Path(path).read_bytes() for path, _ in files_in(str(folder), print)}


def until_named(folder: Path, uid: str) -> None:
    """Wait until an image is synced: in a test's eight days it may not be yet."""
    until(lambda: f"{uid}.dcm" in files(folder))


def code(folder: ReceivedFolder, uid: str, content: bytes) -> str | None:
    why = folder.add(uid, content)
    return why.code if why else None


def test_an_image_is_a_file_named_by_its_uid_in_its_days_folder(
    tmp_path: Path, clock: Days
) -> None:
    with ReceivedFolder(tmp_path / "received", LIMITS, clock).opened() as folder:
        assert code(folder, "1.2.3", b"image") is None

    assert (tmp_path / "received/2026-11-30/1.2.3.dcm").read_bytes() == b"image"
    assert files(tmp_path) == {"1.2.3.dcm": b"image"}


def test_an_image_that_comes_again_stays_the_file_that_it_is(tmp_path: Path, clock: Days) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.2.3", b"image")
    before = (tmp_path / "2026-11-30/1.2.3.dcm").stat()

    clock.days = 1
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        assert code(folder, "1.2.3", b"image") is None

    after = (tmp_path / "2026-11-30/1.2.3.dcm").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files(tmp_path) == {"1.2.3.dcm": b"image"}


def test_a_corrected_image_takes_the_place_of_the_former_whatever_day_it_came(
    tmp_path: Path, clock: Days
) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.2.3", b"image")
    clock.days = 1
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.2.3", b"corrected")

    assert files(tmp_path) == {"1.2.3.dcm": b"corrected"}


def test_a_corrected_image_does_not_share_the_end_of_the_formers_day(
    tmp_path: Path, clock: Days
) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.2.3", b"image")
        until_named(tmp_path, "1.2.3")
        clock.days = 7
        folder.add("1.2.3", b"corrected")
        clock.days = 8
        folder.add("1.2.4", b"another")

    assert files(tmp_path) == {"1.2.3.dcm": b"corrected", "1.2.4.dcm": b"another"}


def test_what_a_killed_inlet_left_is_finished_if_it_is_whole_and_deleted_if_not(
    tmp_path: Path, clock: Days
) -> None:
    day = tmp_path / "2026-11-29"
    day.mkdir()
    (day / f"1.2.3.dcm.5.0abc{PART_SUFFIX}").write_bytes(b"image")
    (day / f"1.2.4.dcm.5.0abc{PART_SUFFIX}").write_bytes(b"ima")
    (day / f"nonsense{PART_SUFFIX}").write_bytes(b"image")
    assert files(tmp_path) == {}

    with ReceivedFolder(tmp_path, LIMITS, clock).opened():
        pass

    assert files(tmp_path) == {"1.2.3.dcm": b"image"}
    assert [path.name for path in day.iterdir()] == ["1.2.3.dcm"]


def test_what_is_too_old_is_deleted_by_days_as_new_images_come(tmp_path: Path, clock: Days) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.1", b"first")
        until_named(tmp_path, "1.1")
        clock.days = 7
        folder.add("1.2", b"seven days later")
        assert (tmp_path / "2026-11-30").is_dir()
        clock.days = 8
        folder.add("1.3", b"eight days later")

    assert files(tmp_path).keys() == {"1.2.dcm", "1.3.dcm"}


def test_the_oldest_days_make_room_but_not_today_and_yesterday(tmp_path: Path, clock: Days) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        for clock.days in range(3):
            assert code(folder, f"1.{clock.days}", bytes(3000)) is None
            until_named(tmp_path, f"1.{clock.days}")

        assert code(folder, "1.3", bytes(3000)) is None
        assert code(folder, "1.4", bytes(3000)) == "inlet_quota_taken"

    assert files(tmp_path).keys() == {"1.1.dcm", "1.2.dcm", "1.3.dcm"}


def test_what_lies_there_is_counted_after_a_start_too(tmp_path: Path, clock: Days) -> None:
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        folder.add("1.1", bytes(8000))
    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        assert code(folder, "1.2", bytes(3000)) == "inlet_quota_taken"


def test_a_folder_that_is_no_day_is_never_touched(tmp_path: Path, clock: Days) -> None:
    (tmp_path / "2026-99-99").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / f"kept/a{PART_SUFFIX}").touch()

    with ReceivedFolder(tmp_path, LIMITS, clock).opened() as folder:
        clock.days = 400
        folder.add("1.2", b"image")

    assert (tmp_path / "2026-99-99").is_dir()
    assert (tmp_path / f"kept/a{PART_SUFFIX}").exists()


def test_the_disks_last_gigabyte_is_left_free(tmp_path: Path, clock: Days) -> None:
    limits = replace(LIMITS, free_bytes=2**60)
    with ReceivedFolder(tmp_path, limits, clock).opened() as folder:
        assert code(folder, "1.2", b"image") == "inlet_disk_low"

    assert files(tmp_path) == {}


def test_a_folder_that_is_gone_is_told_and_taken_up_again(tmp_path: Path, clock: Days) -> None:
    folder_path = tmp_path / "received"
    with ReceivedFolder(folder_path, LIMITS, clock).opened() as folder:
        folder_path.rename(tmp_path / "away")
        assert code(folder, "1.2", b"image") == "inlet_folder_unwritable"

        (tmp_path / "away").rename(folder_path)
        assert code(folder, "1.2", b"image") is None

    assert files(folder_path) == {"1.2.dcm": b"image"}


def test_one_inlet_at_a_time_has_the_folder(tmp_path: Path, clock: Days) -> None:
    with (
        ReceivedFolder(tmp_path, LIMITS, clock).opened(),
        pytest.raises(ConfigError, match="another inlet receives"),
        ReceivedFolder(tmp_path, LIMITS, clock).opened(),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, clock: Days) -> None:
    (tmp_path / "received").touch()

    with (
        pytest.raises(ConfigError) as refused,
        ReceivedFolder(tmp_path / "received", LIMITS, clock).opened(),
    ):
        pass

    assert refused.value.reason.code == "inlet_folder_unwritable"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_and_leaves_nothing_half_written(small_disk: Path, clock: Days) -> None:
    roomy = replace(LIMITS, kept_bytes=2**30)
    with ReceivedFolder(small_disk, roomy, clock).opened() as folder:
        assert code(folder, "1.1", bytes(30_000)) is None
        assert code(folder, "1.2", bytes(50_000)) == "inlet_disk_low"
    not_looking = replace(roomy, free_bytes=-(2**30))
    with ReceivedFolder(small_disk, not_looking, clock).opened() as folder:
        assert code(folder, "1.2", bytes(50_000)) == "inlet_folder_unwritable"
        assert code(folder, "1.3", bytes(10_000)) is None

    assert files(small_disk).keys() == {"1.1.dcm", "1.3.dcm"}
    assert not [*small_disk.rglob(f"*{PART_SUFFIX}")]
