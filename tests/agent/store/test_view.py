"""agent.store.view: one shape for page, command line, bundle and export; whose it is, is added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.console.settings import PageSettings
from agent.console.snapshot import View
from agent.handover.facts import series_facts
from agent.store.view import SeriesView
from tests.agent.box import SetClock
from tests.agent.reports import add_result, not_suspected, receive, report, series_shown
from tests.agent.stored import Store

UID = "1.2.3.4"
ONLY_ON_THE_PAGE = {
    *("last_slice_age_s", "committed_monotonic_s", "escalation_problem"),  # of the moment
    "sent",  # told apart by channel in its results
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A suspicion that Ann acknowledged and a page showed, and its revision."""
    clock = SetClock()
    with Store(tmp_path / "store.sqlite", clock) as opened:
        receive(opened, clock)
        add_result(opened, report())
        opened.console.receipt(UID, 1, "console")
        opened.console.acknowledge(UID, 1, "Ann", "called", "artefact")
        second = not_suspected(UID).model_copy(update={"revision": 2, "result_id": "2"})
        add_result(opened, second)
        opened.console.judge(UID, 2, "Dr Bob", "right", agrees=True)
        yield opened


@pytest.fixture
def view(store: Store) -> SeriesView:
    row = store.queries.series(UID)
    assert row
    return SeriesView.of(row)


def test_a_series_is_shown_without_whose_it_is_unless_that_is_added(
    store: Store, view: SeriesView
) -> None:
    row = store.queries.series(UID)
    assert row

    bare = view.with_history(store.queries).model_dump_json()
    named = view.identified(row.identity, row.description).model_dump_json()

    whose = ("DOE^JANE", '"P1"', "19500101", "A1", "HEAD 5.0")
    assert [word for word in whose if word in bare] == []
    assert [word for word in whose if word not in named] == []


def test_the_history_is_every_result_and_what_became_of_it(store: Store, view: SeriesView) -> None:
    first, second = view.with_history(store.queries).results

    assert (first.report.state, second.report.state) == ("suspected", "not_suspected")
    assert [result.deliveries[0].delivered_utc is None for result in (first, second)] == [
        False,
        True,
    ]
    assert first.acknowledged
    assert (first.acknowledged.who, first.acknowledged.dismissed_because) == ("Ann", "artefact")
    assert second.acknowledged is None
    states = [change.state.value for change in view.with_history(store.queries).transitions]
    assert states == ["receiving", "suspected", "not_suspected"]


def test_page_and_export_show_the_same_fields_under_the_same_names(
    store: Store, view: SeriesView
) -> None:
    whole = view.with_history(store.queries).model_dump(mode="json")
    page = series_shown(View(store.queries, SetClock()(), "this", PageSettings(), {}).snapshot())[0]
    export = series_facts(view.with_history(store.queries))

    assert page.keys() - ONLY_ON_THE_PAGE == whole.keys()
    assert export.keys() <= whole.keys() - {"unread_files"}  # scanners name files for patients
    assert {name: page[name] for name in export if name not in ("results", "transitions")} == {
        name: whole[name] for name in export if name not in ("results", "transitions")
    }


def test_what_it_writes_it_reads_and_every_time_is_utc(store: Store, view: SeriesView) -> None:
    whole = view.with_history(store.queries)
    text = whole.model_dump_json()

    assert SeriesView.model_validate_json(text) == whole
    times = [value for name, value in _leaves(json.loads(text)) if name.endswith("_utc") and value]
    assert len(times) > 8
    assert [time for time in times if "T" not in time or not time.endswith("Z")] == []


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value
