"""What a soak calls lost and doubled."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from build_engine.bench_soak import Outcome, _growth_mb, _table


def outcome(fault: str = "none", slices: int = 32, revision: int = 1) -> Outcome:
    return Outcome(fault, 32, slices, revision, 1.5)


def test_a_study_is_lost_where_slices_of_it_are_in_no_result() -> None:
    assert outcome(slices=31).lost
    assert outcome(slices=0, revision=0).lost
    assert not outcome().lost


def test_a_second_result_is_doubled_where_nothing_came_late() -> None:
    assert outcome("sent again", revision=2).doubled
    assert not outcome("half a file for a while", revision=2).doubled
    assert not outcome().doubled


def test_the_table_counts_each_fault_and_all() -> None:
    out = Console(file=StringIO(), width=200)

    out.print(_table([outcome(), outcome("agent killed", revision=2), outcome(slices=9)]))

    lines = [line.split() for line in out.file.getvalue().splitlines()]
    assert lines[-1][:6] == ["all", "3", "1", "1", "1", "0"]
    assert lines[2][:7] == ["agent", "killed", "1", "0", "1", "0", "0"]


def test_growth_is_counted_from_when_the_agent_has_its_size() -> None:
    assert _growth_mb([100.0, 300.0, 400.0, 400.0, 410.0, 415.0, 425.0]) == 15.0
    assert _growth_mb([100.0]) == 0.0
