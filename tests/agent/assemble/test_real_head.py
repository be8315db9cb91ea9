"""A real head CT: tilted gantry, thin slices below and thick ones above."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from agent.assemble.completeness import judge
from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.limits import ReadLimits
from agent.assemble.protocol import check_extent, choose, load_profiles
from agent.assemble.series import Added, GrowingSeries

ROOT = Path(__file__).parents[3]
HEAD = ROOT.parent / "shared" / "data" / "head_ct_ge_tilted"

pytestmark = pytest.mark.skipif(not HEAD.is_dir(), reason=f"no real head at {HEAD}")


@pytest.fixture(scope="module")
def slices() -> list[ReadSlice]:
    return [read_slices(path, ReadLimits())[0] for path in sorted(HEAD.glob("*.dcm"))]


def series_of(slices: list[ReadSlice]) -> GrowingSeries:
    series = GrowingSeries()
    for read in slices:
        series.add(*read)
    return series


def test_tilt_and_spacing_come_from_the_positions(slices):
    head = series_of(slices).volume()

    assert head.hu.shape == (28, 512, 512)
    assert head.grid.tilt_deg == pytest.approx(18.5, abs=0.2)
    along_table_mm = np.diff(head.grid.origins_lps_mm[:, 2])
    assert along_table_mm[:13] == pytest.approx(4.22, abs=0.01)
    assert along_table_mm[14:] == pytest.approx(7.38, abs=0.01)
    assert head.gaps == ()


def test_it_is_taken_for_a_whole_plain_head(slices):
    profiles = load_profiles(ROOT / "engines" / "protocols")
    series = series_of(slices)

    profile = choose(series.headers, profiles)
    check_extent(series.volume(), profile)

    seen_s = [k / 20 for k in range(28)]
    completion = judge(series.facts(), seen_s, seen_s[-1] + 0.3, profile)
    assert profile.name == "ge-head"
    assert completion
    assert completion.rule == "geometry"


@pytest.mark.parametrize("missing", range(1, 27))
def test_each_missing_slice_is_named(slices, missing):
    head = series_of(slices[:missing] + slices[missing + 1 :]).volume()
    whole = series_of(slices).volume().grid.heights_mm

    assert [gap.slices for gap in head.gaps] == [1]
    assert head.gaps[0].below_mm == pytest.approx(whole[missing - 1])
    assert head.gaps[0].above_mm == pytest.approx(whole[missing + 1])


def test_no_part_of_it_shows_a_gap_while_it_arrives(slices):
    for n in range(1, 28):
        assert series_of(slices[:n]).facts().gaps == ()
        assert series_of(slices[-n:]).facts().gaps == ()


def test_shuffled_and_sent_twice_it_is_the_same_volume(slices):
    shuffled = slices * 2
    random.Random(7).shuffle(shuffled)

    once, twice = series_of(slices).volume(), series_of(shuffled).volume()

    np.testing.assert_array_equal(once.hu, twice.hu)
    assert once.sop_uids == twice.sop_uids
    assert once.grid.heights_mm.tolist() == twice.grid.heights_mm.tolist()


def test_compressed_it_is_the_same_slice(slices, tmp_path):
    image = dcmread(HEAD / "14.dcm")
    image.compress(JPEGLSLossless, generate_instance_uid=False)
    image.save_as(tmp_path / "14")

    series = series_of(slices)

    assert series.add(*read_slices(tmp_path / "14", ReadLimits())[0]) is Added.DUPLICATE
