"""What may be wrong with a series: its right geometry comes out, or why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.report import SeriesReport
from tests.agent.box import Box
from tests.faults.conftest import Row
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import phantom_hu, write_series

N = 32
MM = 5.0
UNEVEN_MM = np.r_[np.full(15, 4.2), np.full(N - 16, 7.4)]


def outcome(tmp_path: Path, paths: list[Path]) -> SeriesReport:
    """What an agent whose networks see no bleed says of a series: only a whole head is clear."""
    backend = SeeingBackend(SEEING_BUNDLE, score=0.1)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, backend)
    box.export(paths)
    box.wait()
    report = box.report()
    box.store.close()
    return report


def turned(columns: list[float], rows: list[float], *, flip_k: bool) -> dict:
    """Tags of a patient who lies another way round; slices still ascend along the table."""
    return {
        "ImageOrientationPatient": [*columns, *rows],
        "ImagePositionPatient": lambda k: [
            *(-110.25 * (np.array(columns) + rows))[:2].round(4).tolist(),
            MM * (N - 1 - k if flip_k else k),
        ],
    }


NUMBERED = {"NumberOfSeriesRelatedInstances": N}


@pytest.mark.parametrize(
    ("left_out", "tags", "words"),
    [
        (slice(0, 1), NUMBERED, "only 31 of 32 images came"),
        (slice(15, 17), {}, "slices missing between 70.0 and 85.0 mm (2)"),
        (slice(15, 17), NUMBERED, "slices missing between 70.0 and 85.0 mm (2)"),
        (slice(N - 1, N), NUMBERED, "only 31 of 32 images came"),
    ],
    ids=["first", "middle", "middle, count known", "last"],
)
def test_missing_slices_are_named(
    tmp_path: Path, row: Row, left_out: slice, tags: dict, words: str
) -> None:
    paths = write_series(tmp_path / "in", N, **tags)
    del paths[left_out]

    report = outcome(tmp_path, paths)

    row.tell(f"missing slices: {report.text}")
    assert report.state == "not_analysed"
    assert words in report.text


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        (
            {"ImagePositionPatient": lambda k: [-110.25, -110.25, MM * (k if k != 7 else 6)]},
            "not_seen_whole",
            "slices missing between 30.0 and 40.0 mm",
        ),
        (
            {
                "AcquisitionNumber": lambda k: 1 + k // 16,
                "ImagePositionPatient": lambda k: [-110.25, -110.25, MM * (k % 16)],
            },
            "not_seen_whole",
            "the base of the skull is not in it",
        ),
        (
            {"ImagePositionPatient": lambda k: [-110.25, -110.25, MM * (k % 4)]},
            "position_used_twice",
            "two different images at one position",
        ),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not_axial", "90° from axial"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "not_axial", "90° from axial"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "not_original_axial", "not an original"),
    ],
    ids=[
        "duplicate positions",
        "two acquisitions",
        "eight times",
        "coronal",
        "sagittal",
        "reformat",
    ],
)
def test_what_is_no_axial_stack_is_refused_with_the_reason(
    tmp_path: Path, row: Row, tags: dict, code: str, words: str
) -> None:
    report = outcome(tmp_path, write_series(tmp_path / "in", N, **tags))

    row.tell(f"refused: {report.text}")
    assert (report.state, report.code) == ("not_analysed", code)
    assert words in report.text


@pytest.mark.parametrize(
    ("spacing_mm", "tilt_deg", "tags", "expected_tilt_deg"),
    [
        (UNEVEN_MM.tolist(), 0.0, {"SliceThickness": lambda k: 4.2 if k < 16 else 7.4}, 0.0),
        (MM, 22.0, {}, 22.0),
        (MM, -18.0, {}, -18.0),
        (MM, 0.0, turned([-1, 0, 0], [0, 1, 0], flip_k=True), 0.0),
        (MM, 0.0, turned([-1, 0, 0], [0, -1, 0], flip_k=False), 0.0),
        (MM, 0.0, turned([1, 0, 0], [0, -1, 0], flip_k=True), 0.0),
    ],
    ids=[
        "varying spacing",
        "tilt",
        "tilt the other way",
        "feet first",
        "prone",
        "feet first prone",
    ],
)
def test_other_geometries_come_out_right(
    tmp_path: Path,
    row: Row,
    spacing_mm: object,
    tilt_deg: float,
    tags: dict,
    expected_tilt_deg: float,
) -> None:
    paths = write_series(tmp_path / "in", N, spacing_mm, tilt_deg, **tags)

    report = outcome(tmp_path, paths)

    geometry = report.geometry
    row.tell(f"geometry: {report.state}, {geometry.slices} slices, {geometry.tilt_deg:.1f}° tilt")
    assert report.state == "not_suspected"
    assert geometry.slices == N
    assert geometry.missing == ()
    assert geometry.tilt_deg == pytest.approx(expected_tilt_deg, abs=0.1)


def test_a_localizer_inside_the_series_is_set_aside(tmp_path: Path, row: Row) -> None:
    paths = write_series(tmp_path / "in", N)
    scout = write_series(
        tmp_path / "scout",
        1,
        size=128,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SOPInstanceUID="1.2.3.4",
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        PixelData=np.tile(phantom_hu(5, 10, 128).astype("<u2") + 1024, 1).tobytes(),
    )

    report = outcome(tmp_path, [*paths[:9], *scout, *paths[9:]])

    row.tell(f"localizer inside the series: {report.state} from {report.geometry.slices} slices")
    assert (report.state, report.geometry.slices) == ("not_suspected", N)
