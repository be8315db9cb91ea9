"""Blood is outlined only where a reader, a network and density agree."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from agent.records import Subtype
from agent.voxels import HeadVolume
from build_engine.heads.fields import UNSURE
from build_engine.heads.pseudo_masks import pseudo_masks
from tests.heads import axial_grid

N_SLICES = 7
SIDE_PX = 120
EDGE_PX = 50
"""Radius of the inner table."""

UNDER_THE_BONE = (slice(55, 65), slice(96, 109))
DEEP = (slice(55, 65), slice(55, 65))


def skull(*clots: tuple[slice, slice]) -> HeadVolume:
    """A round skull about brain of 30 HU, with clots of 65 HU in all slices."""
    grid = axial_grid(np.arange(N_SLICES) * 5.0, rows=SIDE_PX, columns=SIDE_PX, pixel_mm=1.0)
    rows, columns = np.indices((SIDE_PX, SIDE_PX)) - SIDE_PX // 2
    away = np.hypot(rows, columns)
    plane = np.select([away < EDGE_PX, away < EDGE_PX + 5], [30, 100], -1000).astype(np.int16)
    for clot in clots:
        plane[clot] = np.where(away[clot] < EDGE_PX, 65, plane[clot])
    hu = np.repeat(plane[None], N_SLICES, axis=0)
    return HeadVolume(hu, grid, tuple(map(str, range(N_SLICES))), ())


def outlined(
    head: HeadVolume, kinds: dict[int, set[Subtype]], seen_at: float, peer_class: int | None = None
) -> np.ndarray:
    """Masks where a network saw each clot with ``seen_at``, and the peer named it."""
    clots = head.hu == 65
    peer = np.zeros((4, *head.hu.shape), dtype=np.float32)
    if peer_class is not None:
        peer[peer_class] = clots
    named = [frozenset(kinds.get(k, ())) for k in range(N_SLICES)]
    return pseudo_masks(head, named, clots * np.float32(seen_at), peer)


def test_what_a_reader_named_and_a_network_saw_is_outlined_up_to_the_bone():
    head = skull(UNDER_THE_BONE)

    mask = outlined(head, {3: {Subtype.EPIDURAL}}, 0.9)

    clot = head.hu[3] == 65
    beside = ndimage.binary_dilation(clot, iterations=3)
    assert (mask[3][clot] == Subtype.EPIDURAL).mean() > 0.9
    assert not mask[3][~beside].any()


def test_a_slice_labelled_free_holds_no_blood_and_is_unsure_beside_a_labelled_one():
    head = skull(UNDER_THE_BONE)

    mask = outlined(head, {3: {Subtype.EPIDURAL}}, 0.9)

    assert not mask[[0, 1, 5, 6]].any()
    assert set(np.unique(mask[[2, 4]])) == {0, UNSURE}


def test_where_no_network_saw_anything_nothing_is_outlined():
    assert not outlined(skull(UNDER_THE_BONE), {3: {Subtype.EPIDURAL}}, 0.0).any()


def test_what_was_hardly_seen_is_unsure():
    assert set(np.unique(outlined(skull(DEEP), {3: set()}, 0.2)[3])) == {0}
    assert set(np.unique(outlined(skull(DEEP), {3: {Subtype.SUBDURAL}}, 0.2)[3])) == {0, UNSURE}


def test_no_epidural_bleed_lies_deep_in_the_head():
    """Choroid plexus was seen as blood in slices that were labelled epidural."""
    mask = outlined(skull(DEEP, UNDER_THE_BONE), {3: {Subtype.EPIDURAL}}, 0.9)

    assert set(np.unique(mask[3][DEEP])) == {UNSURE}
    assert (mask[3] == Subtype.EPIDURAL).any()


def test_of_several_kinds_a_clot_gets_the_one_that_the_peer_names():
    both = {3: {Subtype.INTRAPARENCHYMAL, Subtype.SUBDURAL}}

    inside, outside = (outlined(skull(DEEP), both, 0.9, peer_class)[3] for peer_class in (0, 1))

    assert set(np.unique(inside)) == {0, Subtype.INTRAPARENCHYMAL, UNSURE}
    assert set(np.unique(outside)) == {0, Subtype.SUBDURAL, UNSURE}
