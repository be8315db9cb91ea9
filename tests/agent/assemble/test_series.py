"""What a series lets in, and what it makes of it."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assemble.dicom_file import ReadSlice
from agent.assemble.planes import RESERVED_BYTES
from agent.assemble.series import Added, GrowingSeries
from agent.errors import GeometryError, IdentityError, NotEligible
from agent.reasons import Reason, english
from tests.agent.assemble.made import IDENTITY, made, series_of


def test_slices_are_sorted_whatever_order_they_come_in():
    slices = [made(k, 5.0 * k) for k in range(6)]

    shuffled = series_of([slices[k] for k in (3, 0, 5, 1, 4, 2)]).volume()

    assert shuffled.hu[:, 0, 0].tolist() == [0, 100, 200, 300, 400, 500]
    assert shuffled.sop_uids == tuple(read.header.sop_uid for read in slices)
    assert shuffled.grid.heights_mm.tolist() == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize("step", [1, -1], ids=["upwards", "downwards"])
def test_a_series_that_comes_in_order_is_not_copied(step):
    series = series_of([made(k, 5.0 * k) for k in range(6)][::step])

    head = series.volume()

    assert series.layout().in_order
    assert np.shares_memory(head.hu, series.volume().hu)
    assert head.hu[:, 0, 0].tolist() == [0, 100, 200, 300, 400, 500]


@pytest.mark.parametrize("order", [(3, 0, 5, 1, 4, 2), (1, 0, 3, 2, 5, 4), (5, 0, 1, 2, 3, 4)])
def test_slices_that_came_in_no_order_are_sorted_without_a_copy_of_the_volume(order):
    size = 256
    slices = [
        made(k, 5.0 * k, hu=_striped(100 * k, size), rows=size, columns=size) for k in range(6)
    ]
    series = series_of([slices[k] for k in order])
    before = series.volume()

    tracemalloc.start()
    series.sort()
    head = series.volume()
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most_bytes < 3 * head.hu[0].nbytes
    assert head.sop_uids == before.sop_uids
    np.testing.assert_array_equal(head.hu, before.hu)
    np.testing.assert_array_equal(head.grid.origins_lps_mm, before.grid.origins_lps_mm)


def test_a_series_that_goes_on_leaves_what_is_analysed_as_it_is():
    slices = [made(k, 5.0 * k) for k in range(6)]
    series = series_of([slices[k] for k in (3, 0, 5, 1, 4)])
    series.sort()
    analysed = series.volume()

    later = series.continued()
    later.add(*slices[2])
    later.sort()

    assert later.volume().hu[:, 0, 0].tolist() == [0, 100, 200, 300, 400, 500]
    assert analysed.hu[:, 0, 0].tolist() == [0, 100, 300, 400, 500]


def test_which_of_two_images_at_a_place_counts_is_the_same_once_they_are_sorted():
    slices = [made(k, 5.0 * min(k, 5), instance_number=1) for k in range(7)]
    series = series_of([slices[k] for k in (3, 5, 6, 0, 1, 4, 2)])
    before = series.volume().hu[:, 0, 0].tolist()

    series.sort()
    later = series.continued()
    later.add(*made(7, 30.0, instance_number=1))

    assert series.volume().hu[:, 0, 0].tolist() == before
    assert later.volume().hu[:, 0, 0].tolist() == [*before, 700]


def _striped(value, size):
    hu = np.full((size, size), value, np.int16)
    hu[0, 1] = 1000
    return hu


@pytest.mark.slow
def test_the_buffer_grows_and_keeps_what_it_holds():
    size = 2048
    n = RESERVED_BYTES // (2 * size * size) + 2
    series = GrowingSeries()
    for k in range(n):
        hu = np.full((size, size), k, np.int16)
        hu[0, 0] = 1000
        series.add(*made(k, float(k), hu=hu, rows=size, columns=size))

    assert series.volume().hu[:, 7, 7].tolist() == list(range(n))


def test_the_same_image_again_is_a_duplicate():
    series = series_of([made(0, 0.0), made(1, 5.0)])

    assert series.add(*made(1, 5.0)) is Added.DUPLICATE
    assert len(series.headers) == 2


def test_one_uid_with_two_images_refuses_the_series_for_good():
    series = series_of([made(0, 0.0)])

    with pytest.raises(IdentityError, match="two different images have the UID"):
        series.add(*made(0, 0.0, hu=np.zeros((4, 6), np.int16)))
    with pytest.raises(IdentityError):
        series.add(*made(1, 5.0))
    with pytest.raises(IdentityError):
        series.volume()


def test_one_uid_at_two_positions_refuses_the_series():
    with pytest.raises(IdentityError):
        series_of([made(0, 0.0), made(0, 5.0)])


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("patient_id", "patient id"),
        ("patient_name", "patient name"),
        ("birth_date", "birth date"),
        ("sex", "sex"),
        ("study_uid", "study uid"),
        ("accession", "accession"),
    ],
)
def test_two_patients_or_studies_refuse_the_series_without_being_quoted(field, named):
    other = replace(IDENTITY, **{field: "somebody else"})

    with pytest.raises(IdentityError, match=f"disagree about {named}$") as refused:
        series_of([made(0, 0.0), made(1, 5.0, identity=other)]).volume()

    assert "somebody" not in str(refused.value)


STRAYS = {
    "matrix": ({"rows": 8}, "images of 4 x 6 and 8 x 6"),
    "spacing": ({"row_spacing_mm": 0.6}, "pixel spacing differs"),
    "tilt": ({"column_direction": (0.0, 0.98, 0.199)}, "orientation differs"),
    "side": ({"row_direction": (-1.0, 0.0, 0.0)}, "orientation differs"),
    "frame": ({"frame_of_reference_uid": "9.9"}, "two frames of reference"),
    "derived": ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "derived"),
}


@pytest.mark.parametrize(("changes", "reason"), STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("at", [0, 1, 3, 6], ids=lambda at: f"image {at} of 7")
def test_what_cannot_be_stacked_on_most_is_set_aside_by_name(changes, reason, at):
    slices = [made(k, 5.0 * k) for k in range(6)]
    slices.insert(at, made(9, 12.5, **changes))

    series = series_of(slices)

    assert series.volume().grid.heights_mm.tolist() == [0, 5, 10, 15, 20, 25]
    assert series.facts().gaps == ()
    (caveat,) = series.remarks()
    assert re.match(rf"1 image\(s\) set aside: .*{reason}", english(caveat))


def test_images_without_a_place_are_set_aside_by_name():
    series = series_of([made(k, 5.0 * k) for k in range(6)])

    series.set_aside("1.9", IDENTITY, Reason("attribute_unusable", keyword="PixelSpacing"))

    assert series.facts().n_images == 7
    assert [english(one) for one in series.remarks()] == [
        "1 image(s) set aside: no usable PixelSpacing"
    ]
    series.set_aside("1.8", replace(IDENTITY, sex="F"), Reason("no_pixels"))
    with pytest.raises(IdentityError):
        series.volume()


def test_an_image_that_cannot_be_read_counts_until_it_can():
    cut = Reason("pixels_cut", n_bytes=1, n_declared=2)
    series = series_of([made(k, 5.0 * k) for k in range(6)])

    series.leave_unread("1.2.3.4.6", IDENTITY, cut)
    assert [english(one) for one in series.unread()] == [
        "1 of its files cannot be read: 1 of 2 bytes of pixels"
    ]
    assert series.marks == {"1.2.3.4.6 unread"}

    series.add(*made(6, 30.0))
    series.leave_unread("1.2.3.4.6", IDENTITY, cut)
    assert (series.unread(), series.marks) == ((), frozenset())


def test_an_axial_head_is_analysed_even_among_more_images_of_another_plane():
    coronal = [
        made(k, 5.0 * k, column_direction=(0.0, 0.0, -1.0), position_lps_mm=(0.0, k, 0.0))
        for k in range(10, 20)
    ]

    series = series_of([*coronal, *(made(k, 5.0 * k) for k in range(6))])

    assert len(series.volume().hu) == 6


def test_an_image_whose_file_has_changed_replaces_what_was_read_before():
    series = series_of([made(k, 5.0 * k) for k in range(6)])
    hu = np.arange(24, dtype=np.int16).reshape(4, 6) + 7000

    assert series.add(*made(2, 10.0, hu=hu), changed=True) is Added.REPLACED
    assert series.volume().hu[:, 0, 0].tolist() == [0, 100, 7000, 300, 400, 500]
    assert series.facts().n_slices == 6


def head_with_border(k: int, border_hu: int, top: int = 5) -> ReadSlice:
    """A slice of a head that has closed at the ``top`` one."""
    hu = np.full((16, 16), border_hu, np.int16)
    hu[4:12, 4 : 8 if k == top else 12] = 40
    if k == top:
        hu[8:12] = border_hu
    hu[0, :8] -= 5 * (border_hu > -1024)
    return made(k, 5.0 * k, hu=hu, rows=16, columns=16)


@pytest.mark.parametrize("comes", ["first", "last"])
@pytest.mark.parametrize(("border_hu", "is_unseen"), [(-1024, False), (-1000, True)])
def test_an_image_of_one_value_is_believed_where_surroundings_are_blanked(
    comes, border_hu, is_unseen
):
    slices = [head_with_border(k, border_hu) for k in range(6)]
    zeros = np.full((16, 16), -1024, np.int16)
    blank = made(6, 30.0, hu=zeros, rows=16, columns=16, only_zeros=True)
    slices.insert(0 if comes == "first" else 6, blank)

    series = series_of(slices)

    assert len(series.volume().hu) == 6
    assert bool(series.unread()) == is_unseen
    assert series.facts().n_images == (6 if is_unseen else 7)

    series.add(*head_with_border(6, border_hu))
    assert series.unread() == ()
    assert len(series.volume().hu) == 7


@pytest.mark.parametrize(
    ("height_mm", "hu", "only_zeros", "top", "is_air"),
    [
        (30.0, -1000, False, 5, True),
        (30.0, -1000, True, 5, False),
        (30.0, 0, False, 5, False),
        (30.0, -1000, False, None, False),
        (-5.0, -1000, False, 5, False),
        (12.5, -1000, False, 5, False),
    ],
    ids=[
        "above the vertex",
        "of zeros, which may not be written yet",
        "of water",
        "above a head that has not closed",
        "below the neck",
        "between others",
    ],
)
def test_an_image_of_one_value_is_air_above_a_head_or_shows_nothing(
    height_mm, hu, only_zeros, top, is_air
):
    pixels = np.full((16, 16), hu, np.int16)
    empty = made(9, height_mm, hu=pixels, rows=16, columns=16, only_zeros=only_zeros)

    series = series_of([*(head_with_border(k, -1000, top) for k in range(6)), empty])

    assert [reason.code for reason in series.unread()] == ([] if is_air else ["images_blank"])


@pytest.mark.parametrize(
    ("thickness_mm", "apart_mm", "changes", "is_told"),
    [
        (5.0, 10.0, {}, True),
        (0.6, 1.2, {}, True),
        (7.0, 14.4, {}, True),
        (5.0, 10.0, {"spacing_between_mm": 5.0}, True),
        (5.0, 10.0, {"spacing_between_mm": 10.3}, False),
        (5.0, 10.0, {"images_in_acquisition": 12}, False),
        (5.0, 10.0, {"images_in_acquisition": 24}, True),
        (5.0, 7.5, {}, False),
        (7.0, 7.4, {}, False),
        (3.0, 1.5, {}, False),
        (None, 10.0, {}, False),
    ],
)
def test_slices_that_leave_out_as_much_as_they_show_are_told(
    thickness_mm, apart_mm, changes, is_told
):
    series = series_of(
        [made(k, apart_mm * k, thickness_mm=thickness_mm, **changes) for k in range(12)]
    )

    assert [one.code for one in series.unseen_between()] == ["slices_apart"] * is_told


def test_localizers_are_set_aside_and_counted():
    scout = made(9, 0.0, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), rows=8)

    assert series_of([scout]).headers == [scout.header]
    series = series_of([scout, made(0, 0.0), made(1, 5.0)])

    assert scout.header not in series.headers
    assert series.remarks() == ()
    assert (series.facts().n_slices, series.facts().n_images) == (2, 3)
    assert len(series.volume().hu) == 2


def test_one_image_under_two_uids_is_kept_once():
    again = made(1, 5.0)
    again = ReadSlice(replace(again.header, sop_uid="1.2.3.4.99"), again.hu)

    head = series_of([made(0, 0.0), made(1, 5.0), again, made(2, 10.0)]).volume()

    assert head.grid.heights_mm.tolist() == [0, 5, 10]


def test_of_two_images_at_one_position_the_later_is_kept():
    series = series_of([made(0, 0.0), made(1, 5.0), made(2, 5.0), made(3, 10.0)])

    assert series.volume().hu[:, 0, 0].tolist() == [0, 200, 300]


def test_no_slice_or_one_of_unknown_thickness_is_no_volume():
    with pytest.raises(GeometryError, match="no slices"):
        GrowingSeries().volume()
    with pytest.raises(GeometryError, match="unknown thickness"):
        series_of([made(0, 0.0, thickness_mm=None)]).volume()
    assert GrowingSeries().facts().n_slices == 0
    assert GrowingSeries().identity is None


def test_coronal_images_are_not_eligible():
    coronal = made(0, 0.0, column_direction=(0.0, 0.0, -1.0))

    with pytest.raises(NotEligible, match="90° from axial"):
        series_of([coronal]).volume()


LYING = {
    "supine": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "prone": ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    "seen from above": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "on the left side": ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
    "on the right side": ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)),
}


@pytest.mark.parametrize(("row", "column"), LYING.values(), ids=LYING)
def test_every_voxel_keeps_its_place_however_the_patient_lies(row, column):
    slices = [made(k, 5.0 * k, row_direction=row, column_direction=column) for k in range(3)]

    head = series_of(slices).volume()

    assert head.grid.row_direction[0] > 0.9
    assert head.grid.column_direction[1] > 0.9
    assert head.grid.normal[2] > 0.9
    for k, j, i in np.ndindex(3, 4, 6):
        place = np.array([0, 0, 5.0 * k]) + np.array(row) * i * 0.25 + np.array(column) * j * 0.5
        found = np.argwhere(head.hu == slices[k].hu[j, i])
        np.testing.assert_allclose(head.grid.to_lps_mm(found)[0], place, atol=1e-9)


def test_a_single_slice_is_seen_as_in_the_volume():
    slices = [
        made(k, 5.0 * k, row_direction=(-1.0, 0.0, 0.0), column_direction=(0.0, -1.0, 0.0))
        for k in (1, 0)
    ]
    series = series_of(slices)

    layout, head = series.layout(), series.volume()

    for k, index in enumerate(layout.order):
        np.testing.assert_array_equal(series.hu(index), head.hu[k])


def head_slice(k: int, *, rows_of_head: int, number: int = 0) -> ReadSlice:
    hu = np.full((64, 64), -1000, np.int16)
    hu[:rows_of_head] = 40
    return made(k, 5.0 * k, hu=hu, rows=64, columns=64, instance_number=number or k + 1)


def test_an_export_that_goes_up_ends_with_the_vertex():
    series = series_of([head_slice(k, rows_of_head=60) for k in range(3)])
    assert not series.facts().end_seen

    series.add(*head_slice(3, rows_of_head=8))

    assert series.facts().end_seen


def test_an_export_that_goes_down_from_the_vertex_shows_no_end():
    down = [head_slice(4, rows_of_head=8, number=1)]
    down += [head_slice(4 - k, rows_of_head=60, number=k + 1) for k in (1, 2, 3)]

    assert [series_of(down[:n]).facts().end_seen for n in (1, 2, 3, 4)] == [False] * 4


@pytest.mark.parametrize(
    ("numbers", "ends"),
    [((4, 3, 2, 1), True), ((1, 2, 3, 4), False), ((4, 3, 2), False), ((5, 3, 2, 1), False)],
    ids=["falling-to-1", "rising", "not-at-1-yet", "one-left-out"],
)
def test_an_export_whose_image_numbers_fall_ends_with_number_1(numbers, ends):
    slices = [head_slice(9 - n, rows_of_head=60, number=m) for n, m in enumerate(numbers)]

    assert series_of(slices).facts().end_seen == ends


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{"images_in_acquisition": 2}] * 2, 2),
        ([{"images_in_acquisition": 2}, {"images_in_acquisition": 3}], 0),
        ([{"images_in_acquisition": 2, "acquisition_number": k} for k in range(2)], 0),
    ],
    ids=["agreed", "disagreed", "two acquisitions"],
)
def test_a_promised_count_is_trusted_for_one_acquisition_only(changes, expected):
    series = series_of([made(k, 5.0 * k, **change) for k, change in enumerate(changes)])

    assert series.facts().hinted_images == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expected_images": 9}, "only 6 of 9 images came"),
        ({"images_in_acquisition": 9}, None),
        ({"images_in_acquisition": 9, "thickness_mm": 2.5}, "only 6 of 9 images came"),
        ({"images_in_acquisition": 9, "thickness_mm": None}, "only 6 of 9 images came"),
    ],
    ids=["of the series", "of the acquisition", "with room between", "of unknown thickness"],
)
def test_what_an_acquisition_has_counts_only_where_slices_may_be_missing(changes, words):
    shortfall = series_of([made(k, 5.0 * k, **changes) for k in range(6)]).facts().shortfall

    assert (english(shortfall) if shortfall else None) == words


@pytest.mark.slow
@given(
    steps=st.lists(st.floats(0.3, 10), min_size=1, max_size=20),
    order=st.randoms(use_true_random=False),
    tilt_deg=st.floats(-30, 30),
)
def test_order_of_arrival_changes_nothing_and_shares_fill_the_extent(steps, order, tilt_deg):
    heights = np.r_[0, np.cumsum(steps)]
    tilt = np.radians(tilt_deg)
    slices = [
        made(
            k,
            float(height / np.cos(tilt)),
            column_direction=(0.0, float(np.cos(tilt)), float(-np.sin(tilt))),
        )
        for k, height in enumerate(heights)
    ]
    shuffled = slices.copy()
    order.shuffle(shuffled)

    head, again = series_of(slices).volume(), series_of(shuffled).volume()

    assert again.sop_uids == head.sop_uids
    np.testing.assert_array_equal(again.hu, head.hu)
    assert head.grid.tilt_deg == pytest.approx(tilt_deg, abs=1e-6)
    ends_mm = (steps[0] + steps[-1]) / 2
    assert head.grid.shares_mm.sum() == pytest.approx(sum(steps) + ends_mm)


def test_facts_are_gathered_again_only_when_a_slice_is_new():
    series = series_of([made(k, 5.0 * k) for k in range(6)])
    before = series.facts()

    series.add(*made(3, 15.0))
    assert series.facts() is before
    series.add(*made(6, 30.0))
    assert series.facts().n_slices == 7


def test_a_series_goes_on_in_a_second_one_and_stays_as_it_was():
    first = series_of([made(k, 5.0 * k) for k in range(6)])
    volume, facts = first.volume(), first.facts()

    second = first.continued()
    second.add(*made(6, 30.0))

    assert first.facts() == facts
    assert [header.sop_uid for header in first.headers] == list(volume.sop_uids)
    assert np.array_equal(first.volume().hu, volume.hu)
    assert second.volume().hu[:, 0, 0].tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert second.add(*made(2, 10.0)) is Added.DUPLICATE
