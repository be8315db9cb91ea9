"""Generated heads are what was asked for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from agent.records import LEFT_REGIONS, RIGHT_REGIONS, Region, Side, Subtype
from build_engine.synth.head import HeadRecipe, SynthHead, make_head

COARSE_KJI_MM = (5.0, 2.0, 2.0)
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


@pytest.mark.parametrize("bleed", Subtype)
def test_blood_is_denser_than_brain(bleed: Subtype):
    head = head_of(bleed)
    brain = (head.subtypes == 0) & (head.regions > 0) & (head.regions < Region.VENTRICLES)

    # A thin crescent shares most of its voxels with bone, so its darker half is looked at.
    blood_hu = np.quantile(head.hu[head.subtypes == bleed], 0.25)

    assert 40 < blood_hu < 95
    assert blood_hu > np.median(head.hu[brain]) + 8


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


def test_a_head_without_a_bleed_has_none_and_an_unmoved_midline():
    head = head_of(None)

    assert not head.subtypes.any()
    assert head.midline_shift_mm == 0.0


def test_a_large_clot_pushes_the_midline():
    assert head_of(Subtype.INTRAPARENCHYMAL, 90.0).midline_shift_mm > 2.0


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
