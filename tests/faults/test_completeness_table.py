"""The table of completeness: how often series end too early, and how long they wait for nothing."""

from __future__ import annotations

from agent.assemble.protocol import load_profiles
from agent.config import PACKAGED_ENGINES
from build_engine.bench.completeness import lines
from build_engine.bench.rhythms import run
from tests.faults.conftest import Row

MOST_WRONG = 0.001
MOST_ADDED_S = 0.5


def test_series_are_seldom_called_complete_too_early_and_soon_when_they_are(row: Row) -> None:
    n_series = row.amount(5_000, 150)
    profiles = load_profiles(PACKAGED_ENGINES / "protocols")
    (generic,) = [profile for profile in profiles if profile.name == "generic-head"]

    rows = run(generic, n_series, 20261124, lambda: None)

    for line in lines(rows):
        row.tell(line)
    chosen = [each for each in rows if each.rule == "chosen rules"]
    waits_s = sorted(wait_s for each in chosen for wait_s in each.added_wait_s)
    assert max(each.wrong_rate for each in chosen) <= MOST_WRONG
    assert waits_s[len(waits_s) // 2] <= MOST_ADDED_S
