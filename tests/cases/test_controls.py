"""What was right already, and must stay so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.conftest import Answer
from tests.cases.exports import head, renamed, save_all, scout

CHARSET = b"\x08\x00\x05\x00CS"
PATIENT_NAME = b"\x10\x00\x10\x00PN"

GROUP_LENGTH = b"\x08\x00\x00\x00UN\0\0\x04\0\0\0\x10\x01\0\0"
UNKNOWN_SEQUENCE = (
    b"\x09\x00\x10\x00LO\x04\0ACME\x09\x00\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    b"\x08\x00\x00\x01\x04\0\0\0ABCD\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
)


@pytest.mark.slow
def test_a_whole_head_without_a_bleed_is_not_suspected(answer: Answer, tmp_path: Path) -> None:
    save_all(head(), tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_suspected"
    assert report.geometry.slices == 32
    assert report.geometry.missing == ()


@pytest.mark.slow
@pytest.mark.parametrize("networks", ["dense", "shipped"])
def test_a_whole_head_with_a_bleed_is_suspected(
    answer: Answer, tmp_path: Path, networks: str
) -> None:
    save_all(head(bleed=True), tmp_path / "in")

    report = answer(tmp_path / "in", networks)

    assert (report.state, report.caveats) == ("suspected", ())


@pytest.mark.parametrize(
    ("before", "inserted"),
    [(CHARSET, GROUP_LENGTH), (PATIENT_NAME, UNKNOWN_SEQUENCE)],
    ids=["group length as UN", "private sequence as UN"],
)
def test_elements_out_of_the_ordinary_are_stepped_over(
    answer: Answer, tmp_path: Path, before: bytes, inserted: bytes
) -> None:
    for path in save_all(head(), tmp_path / "in"):
        content = path.read_bytes()
        at = content.index(before)
        path.write_bytes(content[:at] + inserted + content[at:])

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", 32)


@pytest.mark.slow
def test_slices_that_come_twice_under_other_uids_are_one_head(
    answer: Answer, tmp_path: Path
) -> None:
    images = head()
    save_all(images, tmp_path / "in" / "once")
    for n, image in enumerate(images, 100):
        image.InstanceNumber = n
        renamed(image)
    save_all(images, tmp_path / "in" / "again")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", 32)


def test_a_localizer_in_the_series_is_set_aside(answer: Answer, tmp_path: Path) -> None:
    images, localizer = head(), scout()
    localizer.SeriesInstanceUID = images[0].SeriesInstanceUID
    save_all([localizer, *images], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", 32)
    assert report.caveats == ()


def test_names_of_any_bytes_and_what_exporters_leave_beside_the_images(
    answer: Answer, tmp_path: Path
) -> None:
    folder = bytes(tmp_path) + b"/in/M\xfcller_J\xfcrgen^\xc4"
    for n, path in enumerate(save_all(head(), tmp_path / "made")):
        (tmp_path / "in").mkdir(exist_ok=True)
        Path(folder.decode(errors="surrogateescape")).mkdir(exist_ok=True)
        path.rename((folder + b"/CT\xe9_%03d" % n).decode(errors="surrogateescape"))
    for name in (b"Thumbs.db", b".DS_Store", b"._I001", b"desktop.ini", b"prev\xe9w.jpg"):
        beside = Path((folder + b"/" + name).decode(errors="surrogateescape"))
        beside.write_bytes(b"\x00\x05\x16\x07" * 40)

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", 32)


@pytest.mark.slow
def test_a_name_whose_empty_components_are_written_out_is_the_same_name(
    answer: Answer, tmp_path: Path
) -> None:
    images = head()
    for image in images[::2]:
        image.PatientName = f"{image.PatientName}^^^"
    save_all(images, tmp_path / "in")

    assert answer(tmp_path / "in").state == "not_suspected"
