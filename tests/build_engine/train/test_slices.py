"""What the slice network is shown in training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from agent.records import Subtype  # noqa: E402
from build_engine.heads.fields import PUBLISHED_HU, Case  # noqa: E402
from build_engine.synth.acquisition import HIGHEST_HU  # noqa: E402
from build_engine.train.networks import N_CLASSES  # noqa: E402
from build_engine.train.slices import kinds_loss, make_batch, slabs_of_cases  # noqa: E402
from tests.build_engine.cases import CONTRACT, clear_case  # noqa: E402

pytestmark = pytest.mark.slow

WIDE_HU = CONTRACT.windows_hu[1]


@pytest.mark.parametrize("most_hu", [int(PUBLISHED_HU), HIGHEST_HU], ids=["published", "scanned"])
def test_bone_is_shown_cut_off_and_as_dense_as_it_is(most_hu: int):
    """A site's bone is not cut off at 100 HU as the published patients' is; training shows both."""
    batch_of = partial(make_batch, slabs_of_cases((clear_case(most_hu),)), contract=CONTRACT)
    inputs, *_ = batch_of(np.random.default_rng(5), count=32)

    wide = inputs[:, 3].numpy() * (WIDE_HU[1] - WIDE_HU[0]) + WIDE_HU[0]
    bone_hu = np.quantile(wide, 0.97, axis=(1, 2))
    cut_off = (bone_hu > 80) & (bone_hu < 200)  # bone spills into bone, calibration differs
    assert 8 <= np.count_nonzero(cut_off) <= 24
    assert np.count_nonzero(bone_hu > 250) >= 6


def labelled_case(slab: int, *kinds: Subtype) -> Case:
    """A real head in which readers named kinds in one slab, and an earlier bundle alarmed below."""
    case = clear_case()
    named = np.zeros((len(case.packed), len(Subtype)), dtype=np.bool_)
    named[slab, [kind - 1 for kind in kinds]] = True
    alarming = np.arange(len(case.packed)) == slab - 1
    return replace(case, named=True, kinds=named, boxed=named.any(axis=1), alarming=alarming)


def test_slabs_without_a_bleed_on_which_a_bundle_alarmed_are_drawn_as_often_as_all_others():
    slabs = slabs_of_cases((labelled_case(8, Subtype.EPIDURAL),))

    drawn = [slab for _, slab in slabs.draw(np.random.default_rng(3), 400)]

    clear = [slab for slab in drawn if slab != 8]
    assert 0.35 < np.mean(np.array(clear) == 7) < 0.65


def test_a_slab_whose_bleed_nobody_outlined_is_shown_with_the_kinds_that_were_named():
    slabs = slabs_of_cases((labelled_case(8, Subtype.EPIDURAL),))

    *_, kinds = make_batch(slabs, np.random.default_rng(3), contract=CONTRACT, count=40)

    epidural = kinds[:, Subtype.EPIDURAL - 1]
    assert epidural.any()
    assert not epidural.all()
    assert kinds.sum() == epidural.sum()


def seen_in_a_corner(subtype: Subtype, logit: float) -> torch.Tensor:
    logits = torch.zeros((1, N_CLASSES, 32, 32))
    logits[:, 0] = 6.0
    logits[:, subtype, :8, :8] = logit
    return logits


def test_a_named_kind_has_to_be_seen_somewhere_and_as_what_it_is():
    epidural = torch.tensor([[kind is Subtype.EPIDURAL for kind in Subtype]])

    seen, unseen, misnamed = (
        float(kinds_loss(seen_in_a_corner(*one), epidural))
        for one in ((Subtype.EPIDURAL, 12.0), (Subtype.EPIDURAL, 0.0), (Subtype.SUBDURAL, 12.0))
    )

    assert seen < 0.05
    assert 1.0 < unseen <= misnamed < 1.5  # a wrong name cannot drive it far


def test_where_no_kind_was_named_none_is_asked_for():
    nothing = torch.zeros((1, len(Subtype)), dtype=torch.bool)

    assert kinds_loss(seen_in_a_corner(Subtype.EPIDURAL, 12.0), nothing) == 0
