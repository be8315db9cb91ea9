"""What a soak calls lost and doubled."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from build_engine.bench.soak import Outcome, _growth_mb, _table


def outcome(*results: int, fault: str = "none") -> Outcome:
    return Outcome(fault, 32, results, latency_s=1.5, at_s=60.0)


def test_a_study_is_lost_where_slices_of_it_are_in_no_result() -> None:
    assert outcome(31).lost
    assert outcome().lost
    assert not outcome(20, 32).lost


def test_a_second_result_is_doubled_where_nothing_came_late() -> None:
    assert outcome(32, 32).doubled
    assert not outcome(31, 32).doubled
    assert not outcome(32).doubled


def test_the_table_counts_each_fault_and_all() -> None:
    out = Console(file=StringIO(), width=200)

    out.print(_table([outcome(32), outcome(31, 32, fault="agent killed"), outcome(9)]))

    lines = [line.split() for line in out.file.getvalue().splitlines()]
    assert lines[-1][:6] == ["all", "3", "1", "1", "1", "0"]
    assert lines[2][:7] == ["agent", "killed", "1", "0", "1", "0", "0"]


def test_growth_is_counted_from_when_the_agent_has_its_size() -> None:
    assert _growth_mb([100.0, 300.0, 400.0, 400.0, 410.0, 415.0, 425.0]) == 15.0
    assert _growth_mb([100.0]) == 0.0
