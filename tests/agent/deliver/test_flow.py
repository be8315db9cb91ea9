"""From files to an archive: which results are sent, and that segments lie where the bleed is."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import structlog
from pydicom import dcmread

from agent.deliver.commitments import Commitments
from agent.deliver.dicom.objects import objects_of
from agent.deliver.dimse import listening
from agent.deliver.settings import DicomChannel, DicomWebChannel
from agent.dispatch import Courier, channel_of, result_of
from agent.records import TEST_MARK
from agent.store.delivery_store import DeliveryStore
from agent.store.rows import Delivery
from tests.agent.box import Box
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import slice_dataset, uid, write, write_series

pytestmark = [unclosed, pytest.mark.slow]

N = 24

LOG = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])

PACS = DicomChannel(name="pacs", host="127.0.0.1", ae_title="PACS")
ALL = PACS.model_copy(
    update={"name": "all", "tell": ("suspected", "not_suspected", "not_analysed")}
)


def box_of(folder: Path, *channels: DicomChannel | DicomWebChannel, drawings: bool = False) -> Box:
    backend, path = SeeingBackend(SEEING_BUNDLE), folder / "store.sqlite"
    return Box(path, SEEING_BUNDLE, backend, channels=channels, drawings=drawings)


def sent(box: Box) -> list[Delivery]:
    return [one for one in box.store.queries.undelivered() if one.channel != "console"]


def finish(box: Box, paths: list[Path]) -> None:
    box.export(paths)
    box.wait()


def test_without_channels_nothing_more_is_stored(tmp_path: Path) -> None:
    box = box_of(tmp_path)
    finish(box, write_series(tmp_path / "in", N))

    assert sent(box) == []
    assert box.store.sql("SELECT * FROM sources") == []


def test_each_channel_is_told_what_it_wants_and_what_becomes_of_that(tmp_path: Path) -> None:
    box = box_of(tmp_path, PACS, ALL)
    paths = write_series(tmp_path / "in", N)
    finish(box, paths[:-1])
    box.backend.score = 0.01
    finish(box, paths[-1:])
    finish(box, write_series(tmp_path / "clear", N, seed=1))
    finish(box, write_series(tmp_path / "few", 6, seed=2))
    bone = {"ConvolutionKernel": "BONE", "SeriesDescription": "Bone"}
    finish(box, write_series(tmp_path / "bone", N, seed=3, **bone))

    told = {(one.channel, one.series_uid, one.revision) for one in sent(box)}
    first, clear, few = (uid("series", seed) for seed in range(3))
    assert told == {
        ("pacs", first, 1),
        ("pacs", first, 2),
        ("all", first, 1),
        ("all", first, 2),
        ("all", clear, 1),
        ("all", few, 1),
    }


SIGNS = PACS.model_copy(update={"objects": ("report", "signed_report")})


@pytest.mark.parametrize(
    ("channels", "drawings"), [((SIGNS,), False), ((), True)], ids=["signed", "drawn"]
)
def test_what_is_told_to_nobody_has_its_images_named_where_they_may_be_asked_for_later(
    tmp_path: Path, channels: tuple[DicomChannel, ...], drawings: bool
) -> None:
    box = box_of(tmp_path, *channels, drawings=drawings)
    box.backend.score = 0.01
    finish(box, write_series(tmp_path / "in", N))

    assert sent(box) == []
    (kept,) = box.store.sql("SELECT * FROM sources")
    assert kept["labels"] is None
    assert '"rescale":[1.0,-1024.0]' in kept["images"]
    assert kept["images"].count("sop_uid") == N


def test_a_suspicion_that_another_series_of_its_study_withdraws_is_followed(tmp_path: Path) -> None:
    box = box_of(tmp_path, PACS)
    finish(box, write_series(tmp_path / "thick", N))
    box.backend.score = 0.01
    thin = {"SeriesInstanceUID": "1.2.3.9", "SOPInstanceUID": lambda k: f"1.2.3.9.{k}"}
    finish(box, write_series(tmp_path / "thin", N, **thin))
    finish(box, write_series(tmp_path / "clear", N, seed=1))

    told = {(one.series_uid, one.revision) for one in sent(box)}
    assert told == {(uid("series", 0), 1), ("1.2.3.9", 1)}


def test_a_self_test_goes_to_no_archive(tmp_path: Path) -> None:
    box = box_of(tmp_path, ALL)
    box.marks = {tmp_path / "tests": TEST_MARK}
    box.start()
    finish(box, write_series(tmp_path / "tests" / "in", N))

    assert box.report().series_uid.startswith("TEST.")
    assert sent(box) == []


@pytest.mark.parametrize(
    "orientation",
    [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0], [0, 1, 0, 1, 0, 0]],
    ids=["supine", "prone", "rows and columns exchanged"],
)
def test_segments_lie_on_the_scanners_own_pixels(tmp_path: Path, orientation: list[int]) -> None:
    """The volume is turned for the networks; the segmentation is not."""
    box = box_of(tmp_path, PACS)
    paths = _turned(tmp_path / "in", orientation)
    finish(box, paths)
    assert box.report().state == "suspected"

    parcel = DeliveryStore(box.store.database, box.clock).parcel(sent(box)[0])
    (made,) = objects_of(result_of(parcel), ["segmentation"])

    images = [dcmread(path) for path in paths]
    masks = hd.seg.Segmentation.from_dataset(made).get_pixels_by_source_instance(
        [str(image.SOPInstanceUID) for image in images],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    hu = np.stack([image.pixel_array.astype(int) - 1024 for image in images])
    found = masks > 0
    assert found.any()
    assert np.median(hu[found]) == 70


def _turned(folder: Path, orientation: list[int]) -> list[Path]:
    """Write the phantom as a scanner does that has patient or matrix another way round."""
    folder.mkdir()
    paths = []
    for k in range(N):
        image = slice_dataset(k, N)
        shown = np.frombuffer(image.PixelData, "<u2").reshape(64, 64)
        turned = {-1: shown[::-1, ::-1], 0: shown.T}.get(orientation[0], shown)
        image.PixelData = np.ascontiguousarray(turned).tobytes()
        edge_mm = 63 * 224.0 / 64 / 2 * (-1 if orientation[0] == -1 else 1)
        image.ImageOrientationPatient = orientation
        image.ImagePositionPatient = [-edge_mm, -edge_mm, image.ImagePositionPatient[2]]
        paths.append(folder / f"{k:03d}.dcm")
        write(image, paths[-1], "1.2.840.10008.1.2.1")
    return paths


@needs_orthanc
def test_a_tilted_head_ends_in_orthanc_by_both_ways(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        dicom = DicomChannel(
            name="pacs", host="127.0.0.1", port=orthanc.port, ae_title="ORTHANC", timeout_s=10.0
        )
        web = DicomWebChannel(name="web", url=orthanc.web, objects=("segmentation", "report"))
        box = box_of(tmp_path, dicom, web)
        finish(box, write_series(tmp_path / "in", N, tilt_deg=15.0))
        commitments, store = Commitments(), DeliveryStore(box.store.database, box.clock)
        server = listening("127.0.0.1", orthanc.report_port, "BLEEDWATCH", commitments)
        try:
            for one in (dicom, web):
                courier = Courier(
                    one, channel_of(one, commitments), store, box.clock, LOG, lambda *_: None
                )
                assert courier.turn() == 1
        finally:
            server.shutdown()

        assert len(orthanc.sop_uids()) == len(set(orthanc.sop_uids())) == 5
