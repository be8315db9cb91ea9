"""agent.inlet.drawings: what people outline comes back, and is measured beside the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom import AE

from agent.deliver.dicom.objects import objects_of
from agent.deliver.dicom.result import source_datasets
from agent.deliver.result import StoredResult
from agent.inlet.drawings import take_drawing
from agent.inlet.objects import OF_DRAWINGS, STATUSES
from agent.store.drawings import MOST_KEPT, Drawing
from agent.store.effects import Conclude
from agent.wiring import system_clock
from tests.agent.deliver.results import HEIGHTS_MM, png, sources, stored_result
from tests.agent.inlet.dcmtk import LIMITS, Inlet, inlet_in
from tests.agent.reports import identity, receive
from tests.agent.stored import Store
from tests.phantoms import uid

HEADS = {
    "tilted and uneven": {"heights_mm": HEIGHTS_MM["uneven"], "tilt_deg": 18.0},
    "Enhanced CT": {"enhanced": True},
}


def known_result(**changes: Any) -> StoredResult:
    made = stored_result(size=64, **changes)
    whose = replace(identity(), study_uid="1.2.3")
    report = made.report.model_copy(update={"study_uid": "1.2.3"})
    return replace(made, identity=whose, report=report)


def drawn_on(result: StoredResult, by: str = "Grey^Meredith", number: int = 1) -> Dataset:
    """Make a segmentation as a workstation does that somebody corrected ours in."""
    (made,) = objects_of(result, ("segmentation",))
    made.SeriesInstanceUID, made.SOPInstanceUID = "1.2.840.99.1", f"1.2.840.99.1.{number}"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.ContentCreatorName, made.Manufacturer = by, "Workstation"
    return made


@pytest.fixture(scope="module")
def results() -> dict[str, StoredResult]:
    return {
        name: known_result(series_uid=f"1.2.{n}", result_id=f"r{n}", **changes)
        for n, (name, changes) in enumerate(HEADS.items())
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, results: Any) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store") / "store.sqlite", system_clock) as opened:
        for one in results.values():
            receive(opened, system_clock, one.report.series_uid)
            effect = Conclude(one.report, {"axial": png()}, ("console",), sources(one))
            opened.agent.commit([effect])
        yield opened


@pytest.fixture(scope="module")
def inlet(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[Inlet]:
    limits = replace(LIMITS, object_bytes=2**24, arriving_bytes=2**25)
    with inlet_in(
        tmp_path_factory.mktemp("inlet"), store_path=store.path, segmentations=True, limits=limits
    ) as opened:
        yield opened


def answer(inlet: Inlet, one: Dataset, syntax: str = ExplicitVRLittleEndian) -> tuple[int, str]:
    """Send a segmentation; returns the status and the comment that is answered."""
    entity = AE("CT1")
    entity.add_requested_context(one.SOPClassUID, syntax)
    association = entity.associate("127.0.0.1", inlet.settings.port, ae_title="BLEEDWATCH")
    assert association.is_established
    status = association.send_c_store(one)
    association.release()
    return status.Status, status.get("ErrorComment", "")


@pytest.fixture
def drawings(store: Store) -> Iterator[Callable[[], list[Drawing]]]:
    yield lambda: store.queries.drawings(["1.2.0", "1.2.1"])
    store.sql("DELETE FROM drawings")


@pytest.mark.parametrize("head", HEADS)
def test_what_was_outlined_is_measured_on_the_images_that_it_names(
    inlet: Inlet, results: Any, drawings: Any, head: str
) -> None:
    result = results[head]

    assert answer(inlet, drawn_on(result)) == (0, "")

    (drawn,) = drawings()
    assert (drawn.series_uid, drawn.revision) == (result.report.series_uid, 1)
    assert (drawn.who, drawn.sop_uid) == ("Grey^Meredith", "1.2.840.99.1.1")
    expected_ml = [
        float((result.numbers == n).sum(axis=(1, 2)) @ result.images.voxels_ml) for n in (1, 2)
    ]
    assert [one.volume_ml for one in drawn.segments] == pytest.approx(expected_ml)
    assert drawn.segments[0].label == "1 Subdural hemorrhage, left frontal"
    assert inlet.files() == {}


def test_a_label_map_is_read_too(inlet: Inlet, results: Any, drawings: Any) -> None:
    result = results["tilted and uneven"]
    binary, shown = drawn_on(result), np.flatnonzero(result.numbers.any(axis=(1, 2))).tolist()
    made = hd.seg.Segmentation(
        source_images=source_datasets(result, shown),
        pixel_array=result.numbers[shown].astype(np.uint8),
        segmentation_type="LABELMAP",
        segment_descriptions=[
            hd.seg.SegmentDescription.from_dataset(one) for one in binary.SegmentSequence
        ],
        series_instance_uid="1.2.840.99.2",
        series_number=1,
        sop_instance_uid="1.2.840.99.2.1",
        instance_number=1,
        manufacturer="Workstation",
        manufacturer_model_name="W",
        software_versions="1",
        device_serial_number="1",
    )

    assert answer(inlet, made)[0] == 0
    label_map, _ = drawings()[0], answer(inlet, binary)
    by_uid = {one.sop_uid: one.segments for one in drawings()}
    assert by_uid[label_map.sop_uid] == by_uid[str(binary.SOPInstanceUID)]
    assert label_map.who == "CT1"


def test_one_that_says_where_its_frames_lie_and_no_more_is_read(
    inlet: Inlet, results: Any, drawings: Any
) -> None:
    """As OHIF 3.12 saves them."""
    one = drawn_on(results["Enhanced CT"])
    says_where_it_lies(one)

    assert answer(inlet, one) == (0, "")
    assert len(drawings()) == 1


def test_what_is_sent_again_stands_once_and_what_names_nobody_is_its_senders(
    inlet: Inlet, results: Any, drawings: Any
) -> None:
    for by in ("Grey^Meredith", ""):
        assert answer(inlet, drawn_on(results["tilted and uneven"], by))[0] == 0

    assert [one.who for one in drawings()] == ["CT1"]


def test_of_one_series_the_latest_are_kept(store: Store, drawings: Any) -> None:
    for number in range(MOST_KEPT + 3):
        store.console.draw(("1.2.0", 1), f"1.{number}", "rae", [])

    assert len(drawings()) == MOST_KEPT


def other_images(one: Dataset) -> None:
    for groups in one.PerFrameFunctionalGroupsSequence:
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = uid("elsewhere")


def without_sources(one: Dataset) -> None:
    for groups in one.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence


def says_where_it_lies(one: Dataset, said: str | None = None, moved_mm: float = 0.0) -> None:
    """Leave it to each frame's position where it lies, as OHIF does, or say ``said`` of it."""
    one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [Dataset()]
    for groups in one.PerFrameFunctionalGroupsSequence:
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        del source.SpatialLocationsPreserved
        if said:
            source.SpatialLocationsPreserved = said
        place = groups.PlanePositionSequence[0]
        place.ImagePositionPatient = [x + moved_mm for x in place.ImagePositionPatient]


def ours(one: Dataset) -> None:
    (made,) = objects_of(known_result(series_uid="1.2.0"), ("segmentation",))
    one.SeriesInstanceUID = made.SeriesInstanceUID


def of_series(series_uid: str) -> Callable[[Dataset], None]:
    def change(one: Dataset) -> None:
        one.ReferencedSeriesSequence[0].SeriesInstanceUID = series_uid

    return change


def lies(**tags: Any) -> Callable[[Dataset], None]:
    def change(one: Dataset) -> None:
        for keyword, value in tags.items():
            setattr(one, keyword, value)

    return change


def many_segments(one: Dataset) -> None:
    one.SegmentSequence = Sequence([one.SegmentSequence[0]] * 101)


HOSTILE: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "of another patient": (lies(PatientID="P2"), "drawing_of_other"),
    "of another study": (lies(StudyInstanceUID="1.2.4"), "drawing_of_other"),
    "of another frame of reference": (lies(FrameOfReferenceUID="1.9"), "drawing_of_other"),
    "of a series that is not here": (of_series("1.2.99"), "drawing_of_unknown_series"),
    "of no series": (lies(ReferencedSeriesSequence=[]), "drawing_of_unknown_series"),
    "of other images": (other_images, "drawing_frames_unknown"),
    "that lies beside its images": (
        lambda one: says_where_it_lies(one, moved_mm=1.0), "drawing_frames_elsewhere"
    ),
    "of uneven slices, and says only where it lies": (says_where_it_lies, "drawing_of_uneven"),
    "that was turned": (
        lambda one: says_where_it_lies(one, "REORIENTED_ONLY"), "drawing_frames_elsewhere"
    ),
    "of images that it does not name": (without_sources, "drawing_frames_unnamed"),
    "fractional": (lies(SegmentationType="FRACTIONAL"), "drawing_of_other_kind"),
    "of no type": (lies(SegmentationType="A" * 16), "drawing_of_other_kind"),
    "of 32 bits": (lies(BitsAllocated=32), "drawing_of_other_kind"),
    "with more rows": (lies(Rows=128), "drawing_counts_wrong"),
    "with more frames than it has": (lies(NumberOfFrames=40), "drawing_counts_wrong"),
    "with a billion frames": (lies(NumberOfFrames=10**9), "drawing_too_large"),
    "with one segment twice": (
        lambda one: one.SegmentSequence.append(one.SegmentSequence[0]), "drawing_counts_wrong"
    ),
    "with frames of no segment": (
        lambda one: setattr(one.SegmentSequence[0], "SegmentNumber", 7), "drawing_counts_wrong"
    ),
    "with no frames": (lies(NumberOfFrames=0), "drawing_counts_wrong"),
    "with fewer pixels": (lies(PixelData=b"\1\1"), "drawing_counts_wrong"),
    "with too many segments": (many_segments, "drawing_too_large"),
    "without segments": (lies(SegmentSequence=[]), "drawing_too_large"),
    "that outlines nothing": (
        lambda one: setattr(one, "PixelData", bytes(len(one.PixelData))), "drawing_empty"
    ),
    "that is our own": (ours, "drawing_is_ours"),
    "whose segments have no numbers": (
        lambda one: one.SegmentSequence[0].__delattr__("SegmentNumber"), "drawing_unreadable"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_one_is_refused_by_name(
    inlet: Inlet, results: Any, drawings: Any, what: str
) -> None:
    change, code = HOSTILE[what]
    one = drawn_on(results["tilted and uneven"])
    change(one)

    status, comment = answer(inlet, one)

    assert status == STATUSES[code]
    assert comment
    refused = [one["code"] for one in inlet.told.entries if one["event"] == "inlet_refused"]
    assert refused[-1] == code
    assert drawings() == []
    assert inlet.noticed == []


def test_one_whose_authors_name_cannot_be_read_is_refused_by_name(
    store: Store, results: Any, drawings: Any
) -> None:
    """pydicom reads an element when it is asked for: this one after all pixels."""
    written, name = BytesIO(), b"\x70\x00\x84\x00"
    drawn_on(results["tilted and uneven"]).save_as(written)
    assert name + b"PN" in written.getvalue()

    why = take_drawing(written.getvalue().replace(name + b"PN", name + b"ZZ"), "CT1", store.console)

    assert why
    assert why.code == "drawing_unreadable"
    assert drawings() == []


def test_a_deflated_one_is_refused_unread(inlet: Inlet, results: Any, drawings: Any) -> None:
    one = drawn_on(results["tilted and uneven"])
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    status, comment = answer(inlet, one, DeflatedExplicitVRLittleEndian)

    assert status == STATUSES["drawing_compressed"]
    assert "compressed" in comment
    assert drawings() == []


def test_without_the_setting_none_is_taken(tmp_path: Path, results: Any, store: Store) -> None:
    with inlet_in(tmp_path, store_path=store.path) as inlet:
        status, _ = answer(inlet, drawn_on(results["tilted and uneven"]))

    assert status == STATUSES["object_of_other_kind"]
    assert store.queries.drawings(["1.2.0"]) == []


def test_each_refusal_has_a_case() -> None:
    tried = {code for _, code in HOSTILE.values()} | {"drawing_compressed"}
    assert set(OF_DRAWINGS) - tried == {"drawing_not_stored"}
