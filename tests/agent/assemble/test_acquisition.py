"""Which scan a series shows, by its headers; which reconstruction of it a profile prefers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assemble.acquisition import with_image
from agent.assemble.dicom_file import read_slices
from agent.assemble.header import moment_of
from agent.assemble.limits import ReadLimits
from agent.records import Acquisition, SliceHeader
from tests.agent.assemble.made import HEADER
from tests.agent.box import PROFILES
from tests.phantoms import write_series

TEN = datetime(2026, 1, 1, 10, 0, 0)  # noqa: DTZ001 - a scanner's clock knows no zone
LATER = datetime(2026, 1, 1, 10, 0, 7, 500_000)  # noqa: DTZ001

IMAGES = st.builds(
    replace,
    st.just(HEADER),
    acquisition_number=st.sampled_from([None, 1, 2]),
    frame_of_reference_uid=st.sampled_from(["", "1.2.3"]),
    acquired_at=st.sampled_from([None, TEN, LATER]),
    created_at=st.sampled_from([None, TEN, LATER]),
    thickness_mm=st.sampled_from([None, 0.6, 5.0]),
)


@given(
    st.lists(IMAGES, max_size=6).flatmap(
        lambda all_: st.tuples(st.just(all_), st.permutations(all_))
    )
)
def test_the_order_of_images_changes_nothing(orders: tuple[list[SliceHeader], ...]) -> None:
    first, second = (reduce(with_image, order, Acquisition()) for order in orders)

    assert first == second


@pytest.mark.parametrize(
    ("date", "time", "moment"),
    [
        ("20260101", "100000", TEN),
        ("20260101", "100007.5", LATER),
        ("20260101", "100007.500000+0100", LATER),
        ("2026.01.01", "10:00:07.5", LATER),
        ("20260101", "", None),
        ("", "100000", None),
        ("20261301", "100000", None),
        ("20260101", "996000", None),
        ("today", "at noon", None),
    ],
)
def test_a_moment_is_read_as_scanners_write_it(
    date: str, time: str, moment: datetime | None
) -> None:
    assert moment_of(date, time) == moment


@pytest.mark.parametrize(
    "tags",
    [
        {"AcquisitionDateTime": "20260101100000.000000"},
        {"AcquisitionDate": "20260101", "AcquisitionTime": "100000"},
    ],
    ids=["one attribute", "two attributes"],
)
def test_a_file_says_when_it_was_scanned_and_when_its_image_was_made(
    tmp_path: Path, tags: dict[str, str]
) -> None:
    made = {"ContentDate": "20260101", "ContentTime": "100007.5"}
    (path,) = write_series(tmp_path, 1, **tags, **made)

    (read,) = read_slices(path, ReadLimits())

    assert (read.header.acquired_at, read.header.created_at) == (TEN, LATER)


@pytest.mark.parametrize(
    ("thickness_mm", "place"), [(0.6, 0), (2.0, 0), (2.5, 1), (4.0, 1), (5.0, 2), (None, 2)]
)
def test_thin_slices_are_preferred_unless_a_profile_says_otherwise(
    thickness_mm: float | None, place: int
) -> None:
    profile = PROFILES[-1]

    assert profile.preference(thickness_mm) == place
    thick_first = replace(profile, preferred_thickness_mm=((4.0, 9.0),))
    assert thick_first.preference(thickness_mm) == (0 if thickness_mm in (4.0, 5.0) else 1)
