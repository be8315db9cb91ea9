"""Generated heads are what was asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from agent.records import LEFT_REGIONS, RIGHT_REGIONS, Region, Side, Subtype
from build_engine.heads.known import evaluation_recipe
from build_engine.synth.acquisition import Acquisition
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from build_engine.synth.lookalike import LookAlike

COARSE_KJI_MM = (5.0, 2.0, 2.0)
PLAIN = Acquisition(
    blur_mm=0.7,
    overshoot=0.0,
    noise_hu=2.5,
    grain_mm=0.6,
    slice_blur=0.3,
    scale=1.0,
    offset_hu=0.0,
)
VOXEL_ML = 5.0 * 2.0 * 2.0 / 1000


@cache
def head_of(bleed: Subtype | None, volume_ml: float = 20.0, side: Side | None = None) -> SynthHead:
    return make_head(HeadRecipe(7, bleed, volume_ml, side), COARSE_KJI_MM)


@pytest.mark.parametrize("bleed", Subtype)
@pytest.mark.parametrize("volume_ml", [4.0, 20.0])
def test_the_bleed_has_the_volume_asked_for(bleed: Subtype, volume_ml: float):
    head = head_of(bleed, volume_ml)

    found_ml = (head.subtypes == bleed).sum() * VOXEL_ML

    assert found_ml == pytest.approx(volume_ml, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("bleed", Subtype)
def test_fresh_blood_is_denser_than_brain(bleed: Subtype):
    above_brain_hu = []
    for seed in range(5):  # a single one may be isodense or layered
        head = make_head(HeadRecipe(seed, bleed, acquisition=PLAIN), COARSE_KJI_MM)
        brain = (head.subtypes == 0) & (head.regions > 0) & (head.regions < Region.VENTRICLES)
        blood_hu = np.median(head.hu[head.subtypes == bleed])
        above_brain_hu.append(blood_hu - np.median(head.hu[brain]))

    assert 10 < np.median(above_brain_hu) < 60


@pytest.mark.slow
def test_subdural_blood_is_now_and_then_as_dense_as_brain():
    medians_hu = []
    for seed in range(24):
        recipe = HeadRecipe(seed, Subtype.SUBDURAL, 60.0, acquisition=PLAIN)
        head = make_head(recipe, COARSE_KJI_MM)
        medians_hu.append(np.median(head.hu[head.subtypes == Subtype.SUBDURAL]))

    assert min(medians_hu) < 46
    assert np.median(medians_hu) > 52


def test_several_bleeds_at_once_are_all_there():
    more = ((Subtype.SUBARACHNOID, 8.0), (Subtype.INTRAPARENCHYMAL, 5.0))
    head = make_head(HeadRecipe(4, Subtype.SUBDURAL, 20.0, more=more), COARSE_KJI_MM)

    kinds = {Subtype.SUBDURAL, Subtype.SUBARACHNOID, Subtype.INTRAPARENCHYMAL}
    assert set(np.unique(head.subtypes).tolist()) == {0, *kinds}


@pytest.mark.slow
@pytest.mark.parametrize("look_alike", LookAlike)
def test_a_look_alike_shows_and_is_no_bleed(look_alike: LookAlike):
    plain, conspicuous = (
        make_head(HeadRecipe(11, None, look_alike=one, acquisition=PLAIN), COARSE_KJI_MM)
        for one in (None, look_alike)
    )

    assert not conspicuous.subtypes.any()
    inside = plain.regions > 0
    changed_hu = np.abs(conspicuous.hu[inside].astype(int) - plain.hu[inside])
    assert np.quantile(changed_hu, 0.999) > 15


def test_a_poor_scan_is_noisier_and_off_its_calibration():
    poor = replace(PLAIN, noise_hu=12.0, offset_hu=6.0)
    plain, noisy = (
        make_head(HeadRecipe(12, None, acquisition=one), COARSE_KJI_MM) for one in (PLAIN, poor)
    )
    brain = (plain.regions > 0) & (plain.regions < Region.VENTRICLES)
    differences_hu = noisy.hu[brain].astype(int) - plain.hu[brain]

    assert np.median(differences_hu) == pytest.approx(6.0, abs=1.0)
    assert differences_hu.std() == pytest.approx(9.5 / np.sqrt(2), rel=0.15)  # of slices of 5 mm


@pytest.mark.parametrize("bleed", [Subtype.INTRAPARENCHYMAL, Subtype.SUBDURAL, Subtype.EPIDURAL])
@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
def test_the_bleed_is_on_the_side_asked_for(bleed: Subtype, side: Side):
    head = head_of(bleed, 20.0, side)
    columns = np.arange(head.hu.shape[2])

    middle = columns[np.isin(head.regions, LEFT_REGIONS + RIGHT_REGIONS).any(axis=(0, 1))].mean()
    blood = columns[np.nonzero(head.subtypes == bleed)[2]].mean()

    assert blood > middle if side is Side.LEFT else blood < middle


def test_the_same_seed_gives_the_same_head():
    first = make_head(HeadRecipe(3, Subtype.SUBDURAL), COARSE_KJI_MM)
    second = make_head(HeadRecipe(3, Subtype.SUBDURAL), COARSE_KJI_MM)

    assert np.array_equal(first.hu, second.hu)
    assert np.array_equal(first.subtypes, second.subtypes)


def test_a_head_without_a_bleed_has_none_and_a_midline_that_nothing_moved():
    head = head_of(None)

    assert not head.subtypes.any()
    assert head.midline_shift_mm < 3.0


def test_a_large_clot_pushes_the_midline():
    assert head_of(Subtype.INTRAPARENCHYMAL, 90.0).midline_shift_mm > 2.0


@pytest.mark.parametrize("bleed", [Subtype.SUBDURAL, Subtype.EPIDURAL])
def test_blood_on_the_brain_pushes_the_midline_too(bleed: Subtype):
    small, large = (head_of(bleed, volume_ml).midline_shift_mm for volume_ml in (5.0, 90.0))

    assert small < 3.0 < large < 20.0


def test_a_clot_too_thick_for_its_place_pushes_the_brain_no_further_than_brains_go():
    recipe, _, _ = evaluation_recipe(20_050)  # 100 mL in a narrow place: the midline was 72 mm off

    assert 5.0 < make_head(recipe, COARSE_KJI_MM).midline_shift_mm < 25.0


@pytest.mark.parametrize("seed", range(4))
def test_the_falx_keeps_an_uneven_heads_midline_straight(seed: int):
    head = make_head(HeadRecipe(seed, None, deformation=1.4), COARSE_KJI_MM)

    assert head.midline_shift_mm < 3.0


def test_left_lies_towards_higher_columns_and_every_region_is_there():
    head = head_of(None)
    columns = np.broadcast_to(np.arange(head.hu.shape[2]), head.hu.shape)

    left, right = (np.isin(head.regions, side) for side in (LEFT_REGIONS, RIGHT_REGIONS))

    assert columns[left].mean() > columns[right].mean() + 20
    assert set(np.unique(head.regions)) >= set(Region)


def test_air_brain_fluid_and_bone_have_their_densities():
    head = head_of(None)
    cortex = np.isin(head.regions, (Region.LEFT_FRONTAL, Region.RIGHT_FRONTAL))

    assert head.hu[0, 0, 0] < -950
    assert 24 < np.median(head.hu[cortex]) < 42
    assert np.median(head.hu[head.regions == Region.VENTRICLES]) < 20
    assert (head.hu > 500).mean() > 0.02
