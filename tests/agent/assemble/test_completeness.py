"""Which rule finds a series complete, and when none does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.assemble.completeness import judge, silence_needed_s
from agent.assemble.protocol import load_profiles
from agent.assemble.series import SeriesFacts
from agent.records import Gap

PROFILE = load_profiles(Path(__file__).parents[3] / "engines" / "protocols")[0]
HEAD = SeriesFacts(
    n_slices=30,
    n_images=30,
    n_unread=0,
    expected_images=0,
    hinted_images=0,
    touching=False,
    multi_frame=False,
    coverage_mm=145.0,
    gaps=(),
    end_seen=True,
)
STEADY_S = [k / 20 for k in range(30)]
LAST_S = STEADY_S[-1]
GAP = (Gap(10.0, 20.0, 1),)


def rule(facts: SeriesFacts, silence_s: float, seen_s: list[float] = STEADY_S) -> str | None:
    completion = judge(facts, seen_s, seen_s[-1] + silence_s, PROFILE)
    return completion.rule if completion else None


@pytest.mark.parametrize(
    ("changes", "silence_s", "expected"),
    [
        ({"expected_images": 30}, 0.0, "count"),
        ({"expected_images": 28}, 0.0, "count"),
        ({"expected_images": 30, "gaps": GAP}, 0.3, None),
        ({"expected_images": 31}, 3.9, None),
        ({"expected_images": 31}, 8.1, "quiet"),
        ({"expected_images": 30, "multi_frame": True, "gaps": GAP}, 0.0, "multi_frame"),
        ({"expected_images": 0, "multi_frame": True}, 0.3, "geometry"),
        ({}, 0.1, None),
        ({}, 0.26, "geometry"),
        ({"end_seen": False}, 1.0, None),
        ({"coverage_mm": 80.0}, 1.0, None),
        ({"n_slices": 8}, 1.0, None),
        ({"n_slices": 8}, 4.1, "quiet"),
        ({"gaps": GAP}, 4.0, None),
        ({"gaps": GAP}, 8.1, "quiet"),
        ({"n_slices": 0, "coverage_mm": 0.0}, 4.1, "quiet"),
        ({"performed_images": 32}, 0.3, None),
        ({"performed_images": 32, "touching": True}, 4.1, None),
        ({"performed_images": 1_000_000}, 8.1, "quiet"),
        ({"performed_images": 30}, 0.1, None),
        ({"performed_images": 30}, 0.26, "geometry"),
        ({"performed_images": 32, "expected_images": 30}, 0.0, "count"),
    ],
)
def test_rules_in_order(changes, silence_s, expected):
    assert rule(replace(HEAD, **changes), silence_s) == expected


def test_the_deadline_counts_from_the_first_slice():
    seen_s = [0.0, PROFILE.deadline_s - 1]
    gapped = replace(HEAD, gaps=GAP)

    assert judge(gapped, seen_s, PROFILE.deadline_s - 0.1, PROFILE) is None
    completion = judge(gapped, seen_s, PROFILE.deadline_s, PROFILE)

    assert completion
    assert completion.rule == "deadline"
    assert completion.detail == "120 s since the first slice"


@pytest.mark.parametrize("per_s", [20, 100, 1000])
def test_fast_exports_are_over_within_half_a_second(per_s):
    assert silence_needed_s([k / per_s for k in range(32)], PROFILE) <= 0.3


def test_one_stall_in_a_head_does_not_slow_the_decision():
    stalled = [*STEADY_S[:16], *(s + 3 for s in STEADY_S[16:])]

    assert silence_needed_s(stalled, PROFILE) <= 0.3


def test_a_stall_may_be_a_pause_between_bursts_once_as_many_files_have_come_after_it():
    bursts = [*STEADY_S[:15], *(s + 2 for s in STEADY_S[15:])]

    assert silence_needed_s(bursts[:-1], PROFILE) <= 0.3
    assert silence_needed_s(bursts, PROFILE) == pytest.approx(3.0, abs=0.1)


def test_a_slow_or_bursty_export_is_given_its_own_rhythm():
    slow = [0.5 * k for k in range(30)]
    bursty = [2.0 * (k // 10) + 0.01 * (k % 10) for k in range(60)]

    assert silence_needed_s(slow, PROFILE) == pytest.approx(2.0)
    assert silence_needed_s(bursty, PROFILE) > 2.0


def test_no_rhythm_asks_for_more_than_the_quiet_period():
    assert silence_needed_s([0.0], PROFILE) == PROFILE.quiet_s
    assert silence_needed_s(list(np.arange(30) * 5.0), PROFILE) == PROFILE.quiet_s


def test_nothing_seen_is_never_complete():
    assert judge(replace(HEAD, n_slices=0, coverage_mm=0.0), [], 1e6, PROFILE) is None
