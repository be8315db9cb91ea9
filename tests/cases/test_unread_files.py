"""A file that came and could not be read may hold the bleed: without it, no head is cleared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLSLossless, RLELossless
from scipy import ndimage

from agent.assemble.dicom_file import read_slices
from agent.assemble.header import SliceNotWhole
from agent.assemble.limits import ReadLimits
from agent.cli.replay import replay as replay_command
from agent.console.settings import PageSettings
from agent.console.snapshot import View
from tests.agent.box import Box
from tests.agent.reports import series_shown
from tests.cases.conftest import Answer
from tests.cases.exports import head, hu_of, save, save_all, set_stored
from tests.heads import SEEING_BUNDLE, SeeingBackend

N = 32
UPPER = range(23, N)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])


def preallocated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))


def without_pixels(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xe0\x7f\x10\x00OW")])


def of_absurd_rescale(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x53\x10DS")
    path.write_bytes(content[: at + 8] + b"0 " + content[at + 10 :])


def of_no_known_syntax(path: Path) -> None:
    image = head()[int(path.name[1:]) - 1]
    image.PixelData = encapsulate([b"\x01\x02\x03\x04" * 100])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    content = save(image, path).read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4.110"))


def codestream_cut(syntax: str) -> Callable[[Path], None]:
    """Compress, and lose the end of the codestream, but not the delimiters round it."""

    def spoil(path: Path) -> None:
        image = head()[int(path.name[1:]) - 1]
        image.compress(syntax)
        frame = next(generate_frames(image.PixelData, number_of_frames=1))
        kept = frame[: len(frame) * 3 // 5]
        image.PixelData = encapsulate([kept + b"\0" * (len(kept) % 2)], has_bot=False)
        save(image, path)

    return spoil


SPOILT = {
    "cut": cut,
    "preallocated": preallocated,
    "no pixels yet": without_pixels,
    "absurd rescale": of_absurd_rescale,
    "no known syntax": of_no_known_syntax,
    "JPEG-LS cut": codestream_cut(JPEGLSLossless),
    "RLE cut": codestream_cut(RLELossless),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "which"),
    [
        *(pytest.param(spoil, UPPER, id=f"{name}-upper") for name, spoil in SPOILT.items()),
        *(pytest.param(spoil, [0], id=f"{name}-bottom") for name, spoil in SPOILT.items()),
        pytest.param(cut, [3], id="cut-inner"),
        pytest.param(cut, [N - 1], id="cut-top"),
    ],
)
def test_while_a_file_stands_unread_its_series_is_not_cleared(
    spoil: Callable, which: list, answer: Answer, tmp_path: Path
) -> None:
    paths = save_all(head(), tmp_path / "in")
    for k in which:
        spoil(paths[k])

    cleared = answer(tmp_path / "in")
    suspected = answer(tmp_path / "in", "dense")

    words = f"{len(which)} of its files cannot be read"
    assert cleared.state == "not_analysed"
    assert words in cleared.text
    assert suspected.state == "suspected"
    assert any(words in caveat.text for caveat in suspected.caveats)
    assert "I0" not in cleared.text, "files are named for patients"


@pytest.mark.slow
@pytest.mark.parametrize(("shown", "named"), [("full", ("I010",)), ("initials", ())])
def test_the_row_names_the_files_where_the_page_may_name_the_patient(
    shown: str, named: tuple, tmp_path: Path
) -> None:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.1)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)
    paths = save_all(head(), tmp_path / "in")
    cut(paths[9])
    box.export(paths)
    box.wait(15.0)

    page = View(
        box.store.queries, box.clock(), "", PageSettings(repeat_s=(), patient=shown), {}
    ).snapshot()

    (row,) = series_shown(page)
    assert tuple(row["unread_files"]) == named


def test_a_folder_of_images_cut_in_their_headers_is_not_called_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in save_all(head()[:3], tmp_path / "in"):
        path.write_bytes(path.read_bytes()[:400])

    replay_command(tmp_path / "in")

    told = capsys.readouterr().out
    assert "no CT series" not in told
    assert told.count("left out: ") == 3


def test_upper_slices_that_never_came_are_missed(answer: Answer, tmp_path: Path) -> None:
    save_all(head()[: UPPER[0]], tmp_path / "in")

    assert answer(tmp_path / "in").state == "not_analysed"


def test_the_same_image_whole_in_another_file_makes_up_for_one_that_is_cut(
    answer: Answer, tmp_path: Path
) -> None:
    paths = save_all(head(), tmp_path / "in")
    (tmp_path / "in" / "A-partial").write_bytes(paths[5].read_bytes()[:20_000])
    (tmp_path / "in" / "Z-partial").write_bytes(paths[6].read_bytes()[:20_000])

    assert answer(tmp_path / "in").state == "not_suspected"


def blanked(image: Dataset, margin: int, shift: int) -> Dataset:
    """Set what surrounds the head to a stored 0, as some scanners do."""
    tissue = hu_of(image) > -300
    labels, n = ndimage.label(tissue)
    if n:
        sizes = ndimage.sum(tissue, labels, range(1, n + 1))
        tissue = labels == 1 + int(np.argmax(sizes))
    near = ndimage.binary_fill_holes(ndimage.maximum_filter(tissue, 2 * margin + 1))
    stored = np.where(near, hu_of(image) - int(image.RescaleIntercept), 0)
    set_stored(image, np.roll(stored, -shift, axis=0))
    return image


@pytest.mark.slow
@pytest.mark.parametrize("margin", [1, 3])
@pytest.mark.parametrize("shift", [0, 3, -2])
def test_a_head_whose_surroundings_are_blanked_is_analysed(
    margin: int, shift: int, answer: Answer, tmp_path: Path
) -> None:
    save_all([blanked(image, margin, shift) for image in head()], tmp_path / "in")

    report = answer(tmp_path / "in")

    assert (report.state, report.geometry.slices) == ("not_suspected", N - 1)  # one shows nothing


def test_an_image_of_zeros_in_a_head_that_is_not_blanked_may_be_unwritten(
    answer: Answer, tmp_path: Path
) -> None:
    images = head()
    set_stored(images[-1], np.zeros((images[-1].Rows, images[-1].Columns), np.int32))
    save_all(images, tmp_path / "in")

    report = answer(tmp_path / "in")

    assert report.state == "not_analysed"
    assert "1 image(s) show nothing" in report.text


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7])
def test_a_writer_that_stalls_in_a_preallocated_file_is_waited_for(
    share: float, tmp_path: Path
) -> None:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.1)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)
    paths = save_all(head(), tmp_path / "in")
    whole = paths[20].read_bytes()
    pixels_at = len(whole) - 2 * 128 * 128
    n_written = pixels_at + int(share * (len(whole) - pixels_at))
    paths[20].write_bytes(whole[:n_written].ljust(len(whole), b"\0"))

    assert box.export(paths) == [paths[20]]
    box.wait(15.0)
    stalled = box.report()
    paths[20].write_bytes(whole)
    assert box.export([paths[20]]) == []
    box.wait()

    assert stalled.state == "not_analysed"
    assert (box.report().state, box.report().geometry.slices) == ("not_suspected", N)


@pytest.mark.slow
def test_a_file_that_grows_after_it_was_taken_for_whole_replaces_what_was_read(
    tmp_path: Path,
) -> None:
    backend = SeeingBackend(SEEING_BUNDLE, score=0.1)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)
    paths = save_all(head(), tmp_path / "in")
    whole = paths[20].read_bytes()
    paths[20].write_bytes(whole[:-512].ljust(len(whole), b"\0"))  # only air is missing

    assert box.export(paths) == []
    paths[20].write_bytes(whole)
    assert box.export([paths[20]]) == []
    box.wait()

    assert (box.report().state, box.report().geometry.slices) == ("not_suspected", N)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_cut_file_names_its_series(keep: float, tmp_path: Path) -> None:
    image = head()[10]
    image.compress(RLELossless, generate_instance_uid=False)
    content = save(image, tmp_path / "image").read_bytes()
    (tmp_path / "image").write_bytes(content[: int(keep * len(content))])

    with pytest.raises(SliceNotWhole) as refused:
        read_slices(tmp_path / "image", ReadLimits())

    assert refused.value.owner.series_uid == image.SeriesInstanceUID
    assert refused.value.owner.sop_uid == image.SOPInstanceUID


def test_half_a_uid_names_no_series(tmp_path: Path) -> None:
    image = head()[10]
    content = save(image, tmp_path / "image").read_bytes()
    at = content.index(b"\x20\x00\x0e\x00UI")
    for end in (at + 20, at + 30):
        for half in (content[:end], content[:end].ljust(len(content), b"\0")):
            (tmp_path / "image").write_bytes(half)
            with pytest.raises(Exception) as refused:
                read_slices(tmp_path / "image", ReadLimits())
            assert not isinstance(refused.value, SliceNotWhole)
