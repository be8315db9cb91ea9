"""Bleeds laid into heads are where they are labelled, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from agent.records import Subtype
from build_engine.heads.fields import BONE_HU, UNSURE, Bytes, Case
from build_engine.heads.known import laid_in_copies
from build_engine.heads.laid_in import with_bleed_laid_in
from tests.build_engine.cases import CONTRACT, clear_case

pytestmark = pytest.mark.slow

UNDER_THE_SKULL = (Subtype.SUBDURAL, Subtype.EPIDURAL)


@cache
def laid_in() -> list[Case]:
    return [with_bleed_laid_in(clear_case(), np.random.default_rng(n)) for n in range(14)]


def blood_of(case: Case) -> Bytes:
    """Labels of the blood that is known to be there."""
    return case.subtypes % UNSURE


def test_bleeds_that_the_real_patients_lack_are_laid_in():
    kinds = {int(kind) for case in laid_in() for kind in np.unique(blood_of(case)) if kind}

    assert kinds >= {Subtype.SUBDURAL, Subtype.EPIDURAL, Subtype.SUBARACHNOID}


def test_what_is_labelled_is_as_dense_as_blood_and_in_a_boxed_slab():
    for case in laid_in():
        blood = blood_of(case) > 0
        if blood.sum() < 30:
            continue
        assert 44 < np.median(case.fields[blood]) < 85
        assert not (blood.any(axis=(1, 2)) & ~case.boxed).any()


def test_blood_under_the_skull_reaches_into_the_blur_of_bone_and_is_left_open_further_on():
    under_the_skull = [case for case in laid_in() if np.isin(case.subtypes, UNDER_THE_SKULL).any()]

    assert under_the_skull
    for case in under_the_skull:
        bright = case.fields >= BONE_HU
        blood, left_open = blood_of(case) > 0, case.subtypes == UNSURE
        assert 0.02 < (blood & bright).sum() / blood.sum() < 0.5
        assert left_open.any()
        assert bright[left_open].all()


def test_blood_beside_bone_is_no_darker_than_further_in():
    darker_hu = []
    for case in laid_in():
        blood, bright = np.isin(case.subtypes, UNDER_THE_SKULL), case.fields >= BONE_HU
        away_px = np.stack([ndimage.distance_transform_edt(~bone) for bone in bright])
        rim, further_in = blood & (away_px > 1) & (away_px < 3.5), blood & (away_px >= 3.5)
        if min(rim.sum(), further_in.sum()) > 100:
            darker_hu.append(np.median(case.fields[further_in]) - np.median(case.fields[rim]))

    assert darker_hu
    assert np.median(darker_hu) < 4


def test_far_from_it_nothing_but_calcium_changes():
    before = clear_case()
    for case in laid_in():
        clear = ~case.boxed
        changed_hu = case.fields[clear] - before.fields[clear]
        darker = changed_hu < -15  # a thin rim of blood that is shared with bone may lose a little
        assert darker.mean() < 1e-3
        assert (np.abs(changed_hu) > 2).mean() < 0.01


def test_a_smaller_bleed_can_be_laid_in():
    def voxels(size: float) -> int:
        cases = (with_bleed_laid_in(clear_case(), np.random.default_rng(n), size) for n in range(6))
        return sum(np.count_nonzero(blood_of(case)) for case in cases)

    assert 0 < voxels(0.4) < voxels(1.0) / 2


def test_the_same_seed_lays_in_the_same_bleed():
    first, second = (with_bleed_laid_in(clear_case(), np.random.default_rng(5)) for _ in range(2))

    assert np.array_equal(first.packed, second.packed)
    assert np.array_equal(first.subtypes, second.subtypes)


def test_nothing_is_laid_into_a_slab_that_shows_a_sinus_or_an_orbit_inside_the_skull():
    opened = clear_case().packed.copy()
    middle = opened.shape[1] // 2
    opened[::2, middle : middle + 12, middle : middle + 12] = 0  # air
    case = replace(clear_case(), packed=opened)

    laid_in = [with_bleed_laid_in(case, np.random.default_rng(n)) for n in range(8)]

    assert any(one.subtypes[1::2].any() for one in laid_in)
    assert not any(one.subtypes[::2].any() for one in laid_in)


def test_a_head_without_room_stays_as_it_is():
    air = replace(clear_case(), packed=np.zeros_like(clear_case().packed))

    case = with_bleed_laid_in(air, np.random.default_rng(0))

    assert np.array_equal(case.packed, air.packed)
    assert not case.subtypes.any()


def test_every_copy_of_a_head_has_a_bleed_and_one_without_room_gives_none():
    host = clear_case()
    nothing_but_air = replace(host, packed=np.zeros_like(host.packed))

    copies = list(laid_in_copies(host, 1, CONTRACT))

    assert copies
    assert all(blood_of(copy).any() for copy in copies)
    assert not list(laid_in_copies(nothing_but_air, 1, CONTRACT))
