"""Whether the whole of a head is in a stack is seen in the head itself."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.assemble.coverage import unseen_of, unsure_of
from agent.assemble.head_facts import facts_of
from agent.voxels import HeadVolume
from build_engine.synth.head import HeadRecipe, SynthHead, make_head
from tests.agent.assemble.whole_heads import cut, volume

SLICES_MM = [1.25, 2.5, 5.0, 7.5]


def unseen_in(head: HeadVolume) -> set[str]:
    return {reason.code for reason in unseen_of(facts_of(head))}


@lru_cache(maxsize=8)
def synthetic(seed: int, slice_mm: float) -> SynthHead:
    return make_head(HeadRecipe(seed, None), (slice_mm, 1.0, 1.0))


def whole(seed: int = 5, slice_mm: float = 5.0) -> HeadVolume:
    return volume(synthetic(seed, slice_mm).hu, slice_mm, 1.0)


def brain_px(seed: int = 5, slice_mm: float = 5.0) -> NDArray[np.intp]:
    """How many pixels of each slice are brain, as the generator knows."""
    return np.count_nonzero(synthetic(seed, slice_mm).regions, axis=(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "slice_mm"), [*((5, mm) for mm in SLICES_MM), (1, 2.5), (1, 5.0), (1, 7.5)]
)
def test_a_whole_head_is_seen_whole(seed: int, slice_mm: float) -> None:
    assert unseen_in(whole(seed, slice_mm)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("slice_mm", SLICES_MM)
@pytest.mark.parametrize("end", ["vertex", "base"])
def test_a_head_cut_within_the_brain_is_told_at_every_level(end: str, slice_mm: float) -> None:
    """Cuts that take a tenth of the brain or more, up to those that leave a tenth."""
    head, per_slice = whole(5, slice_mm), brain_px(5, slice_mm)
    gone = np.cumsum(per_slice[::-1] if end == "vertex" else per_slice) / per_slice.sum()
    counts = [n for n, share in enumerate(gone, 1) if 0.1 <= share <= 0.9]
    assert len(counts) >= 8

    for n in counts:
        kept = slice(0, -n) if end == "vertex" else slice(n, None)
        assert f"{end}_not_seen" in unseen_in(cut(head, kept)), n


@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
def test_slices_that_are_said_to_lie_half_as_far_apart_are_told(slice_mm: float) -> None:
    assert unseen_in(volume(whole(5, slice_mm).hu, slice_mm / 2, 1.0)) == {"too_flat"}


@pytest.mark.slow
def test_slices_below_the_skull_are_not_asked_for() -> None:
    """The neck may be in it or not."""
    head, per_slice = whole(), brain_px()
    lowest = int(np.flatnonzero(per_slice > 0.05 * per_slice.max())[0])

    assert unseen_in(cut(head, slice(lowest, None))) == set()


def test_empty_slices_above_a_head_do_not_show_its_vertex() -> None:
    head = whole()
    hu = head.hu.copy()
    top = int(np.flatnonzero(brain_px())[-1])
    hu[top - 5 :] = -1000

    assert unseen_in(volume(hu, 5.0, 1.0)) == {"vertex_not_seen"}


@pytest.mark.slow
@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
def test_air_above_a_head_that_has_not_closed_is_told(slice_mm: float) -> None:
    """From the first slice on that shows a sixth of the largest section."""
    head, brain = whole(slice_mm=slice_mm), brain_px(slice_mm=slice_mm)
    noise = np.random.default_rng(0).normal(-1000, 10, head.hu.shape)
    top = int(np.flatnonzero(brain > 0.16 * brain.max())[-1])
    for n_blanked in range(len(brain) - top, len(brain) // 2, 2):
        hu = head.hu.copy()
        hu[-n_blanked:] = noise[-n_blanked:]

        assert unseen_in(volume(hu, slice_mm, 1.0)) & {"vertex_not_seen", "head_ends_in_air"}


@pytest.mark.parametrize("n_blanked", [1, 2, 5])
def test_air_below_a_head_is_told(n_blanked: int) -> None:
    """No body ends below a neck."""
    hu = whole().hu.copy()
    hu[:n_blanked] = -1000

    assert unseen_in(volume(hu, 5.0, 1.0)) & {"base_not_seen", "head_ends_in_air"}


@pytest.mark.parametrize("blanked", [1, 2])
@pytest.mark.parametrize("left_hu", [-1000, 0, 3000], ids=["air", "water", "bone"])
def test_slices_that_show_nothing_within_a_head_are_told(blanked: int, left_hu: int) -> None:
    hu = whole().hu.copy()
    middle = int(brain_px().argmax())
    hu[middle : middle + blanked] = left_hu

    assert unseen_in(volume(hu, 5.0, 1.0)) == {"levels_without_brain"}


@pytest.mark.parametrize("above", [0, 2, 4])
def test_a_head_that_ends_in_a_blanked_slice_ends_before_it(above: int) -> None:
    head = whole()
    middle = int(brain_px().argmax())
    hu = head.hu[: middle + 2 + above].copy()
    hu[-1] = np.where(np.indices(hu.shape[1:]).sum(axis=0) < 60, 900, -1000)  # a rest of bone

    assert "vertex_not_seen" in unseen_in(volume(hu, 5.0, 1.0))


def test_a_brain_that_reaches_the_edge_of_the_image_is_told() -> None:
    head = whole()
    columns = np.flatnonzero((head.hu[int(brain_px().argmax())] > 500).any(axis=0))
    narrow = head.hu[:, :, columns[0] + 40 :]

    assert "brain_cut_off" in unseen_in(volume(narrow, 5.0, 1.0))


def test_a_skull_opened_by_surgery_is_seen_whole() -> None:
    """A piece of bone is missing, and scalp lies in its place."""
    head = whole()
    hu = head.hu.copy()
    rows, columns = np.mgrid[: hu.shape[1], : hu.shape[2]]
    opened = (np.abs(rows - hu.shape[1] // 2) < 35) & (columns > hu.shape[2] // 2)
    levels = slice(len(hu) // 2, len(hu) // 2 + 8)
    hu[levels] = np.where(opened & (hu[levels] > 100), 40, hu[levels])

    assert unseen_in(volume(hu, 5.0, 1.0)) == set()


def test_an_end_beyond_which_the_next_slice_would_show_brain_is_unsure() -> None:
    """Told of a head that still counts as whole; one whose end has closed is sure."""
    head, brain = whole(), brain_px()
    told = {}
    for n_cut in range(1, len(brain) // 2):
        facts = facts_of(cut(head, slice(0, -n_cut)))
        if not unseen_of(facts):
            told[n_cut] = {reason.code for reason in unsure_of(facts)}

    assert unsure_of(facts_of(head)) == ()
    assert told[max(told)] == {"goes_on_above"}
    assert told[1] == set()
