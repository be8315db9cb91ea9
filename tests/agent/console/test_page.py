"""The page in a real browser, served by the real program over a real store."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.records import TEST_MARK, Identity, Instant
from agent.report import SeriesReport, reason_report
from agent.store.effects import ShowAnalysis, ShowProgress
from agent.store.rows import Selftest, SeriesProgress
from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, Console, suspect
from tests.agent.reports import (
    ENGINE,
    add_result,
    finding,
    live,
    not_analysed,
    not_suspected,
    receive,
    recorded,
    report,
)
from tests.program import until

pytestmark = IN_A_BROWSER


def test_a_suspected_bleed_comes_to_the_front_with_its_picture(
    page: Page, console: Console
) -> None:
    suspect(console)

    alert = page.locator(".alert")
    expect(alert).to_contain_text("SUSPECTED HEMORRHAGE")
    expect(alert).to_contain_text("DOE, JANE")
    expect(alert).to_contain_text("Subdural, left frontal: 31.4 mL (90 %: 24.0–39.0)")
    expect(alert).to_contain_text("midline shift 6 mm")
    expect(alert).to_contain_text("since the last slice")
    page.wait_for_function("() => document.querySelector('.alert img').naturalWidth > 0")
    expect(page).to_have_title("(1) SUSPECTED – Bleedwatch")


def test_a_gpu_that_failed_is_told_beside_what_is_going_on(page: Page, console: Console) -> None:
    suspect(console)
    fault = "degraded to CPU: running a network: an illegal memory access was encountered"

    live(console.store, system_clock, degraded=fault)

    expect(page.locator("#degraded")).to_have_text(f"▼ {fault}")
    expect(page.locator(".alert")).to_be_visible()


def test_a_self_tests_alert_is_marked_behind_patients_and_counted_as_none(
    page: Page, console: Console
) -> None:
    suspect(console, f"{TEST_MARK}1.9", "TEST^SELFTEST")
    expect(page.locator(".alert h2")).to_have_text("TEST")
    expect(page.locator(".alert .patient")).to_have_text("TEST, NO PATIENT: TEST, SELFTEST")
    expect(page.locator("#worklist")).to_contain_text("TEST, NO PATIENT: TEST, SELFTEST")
    expect(page).to_have_title("Bleedwatch")

    suspect(console)
    suspect(console, f"{TEST_MARK}1.10", "TEST^SELFTEST")

    expect(page.locator(".alert")).to_have_count(3)
    expect(page.locator(".alert h2").first).to_have_text("▲ SUSPECTED HEMORRHAGE")
    expect(page.locator("#pinned .strip:visible")).to_have_count(2)
    expect(page).to_have_title("(1) SUSPECTED – Bleedwatch")


def test_a_self_test_that_failed_is_told_beside_what_is_going_on(
    page: Page, console: Console
) -> None:
    suspect(console)

    console.store.console.note_selftest(
        Selftest(system_clock(), recorded("not suspected: score 0.31"))
    )

    expect(page.locator("#selftest")).to_have_text("▼ SELF-TEST FAILED: not suspected: score 0.31")
    expect(page.locator(".alert")).to_be_visible()


def test_what_was_shown_is_delivered(page: Page, console: Console) -> None:
    suspect(console)

    expect(page.locator(".alert")).to_be_visible()
    until(lambda: not console.store.queries.undelivered())


def test_what_no_page_has_shown_is_not_delivered(console: Console, browser: Browser) -> None:
    suspect(console)
    with urllib.request.urlopen(f"{console.url}api/events") as stream:
        assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
        assert any(b"SUBDURAL" in line.upper() for line in stream)
    assert len(console.store.queries.undelivered()) == 1

    page = browser.new_page()
    page.goto(console.url)

    until(lambda: not console.store.queries.undelivered())
    page.close()


def test_acknowledging_clears_the_alert_and_says_by_whom(page: Page, console: Console) -> None:
    suspect(console)

    name = page.get_by_label("Your name")
    name.press_sequentially("Ann")
    receive(console.store, system_clock, "1.9", "SECOND^PATIENT")
    expect(page.locator("#worklist")).to_contain_text("SECOND, PATIENT")
    expect(name).to_be_focused()
    page.keyboard.type(" Lee")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.locator(".alert")).to_have_count(0)
    expect(page.locator("#worklist")).to_contain_text("acknowledged by Ann Lee")
    row = console.store.queries.series("1.2.3.4")
    assert row is not None
    assert row.acknowledged is not None
    assert row.acknowledged.who == "Ann Lee"


def test_two_alerts_are_both_in_front(page: Page, console: Console) -> None:
    suspect(console, "1.1", "FIRST^PATIENT")
    suspect(console, "1.2", "SECOND^PATIENT")

    expect(page.locator(".alert")).to_have_count(2)
    expect(page.locator("#front")).to_contain_text("FIRST, PATIENT")
    expect(page.locator("#front")).to_contain_text("SECOND, PATIENT")


def test_every_state_is_a_word_and_a_shape(page: Page, console: Console) -> None:
    receive(console.store, system_clock, "1.1", expected=32)
    receive(console.store, system_clock, "1.2")
    console.store.agent.commit([ShowAnalysis("1.2")])
    receive(console.store, system_clock, "1.3")
    add_result(console.store, not_suspected("1.3"))
    receive(console.store, system_clock, "1.4")
    add_result(console.store, not_analysed("1.4"))
    live(console.store, system_clock)

    worklist = page.locator("#worklist")
    expect(worklist).to_contain_text("… receiving")
    expect(worklist).to_contain_text("17 of 32")
    expect(worklist).to_contain_text("… analysing")
    expect(worklist).to_contain_text("✓ not suspected")
    expect(worklist).to_contain_text("? not analysed")
    expect(worklist).to_contain_text("because slices missing between 70.0 and 80.0 mm (1)")
    expect(worklist).to_contain_text("check that the whole head was exported")
    expect(page.locator("#worklist progress")).to_have_count(2)


def test_an_alert_stays_in_front_while_its_series_is_received_again(
    page: Page, console: Console
) -> None:
    suspect(console)
    receive(console.store, system_clock)

    expect(page.locator("#worklist")).to_contain_text("… receiving")
    expect(page.locator(".alert")).to_be_visible()


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (not_suspected, "says not suspected"),
        (not_analysed, "says not analysed, because slices missing"),
    ],
    ids=["not-suspected", "not-analysed"],
)
def test_an_alert_stays_in_front_whatever_a_later_result_says(
    page: Page, console: Console, later: Callable[[str], SeriesReport], words: str
) -> None:
    suspect(console)
    second = later("1.2.3.4").model_copy(update={"revision": 2, "result_id": "later"})
    add_result(console.store, second)

    expect(page.locator(".alert")).to_contain_text(words)
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.locator(".alert")).to_have_count(0)


def test_a_missing_picture_is_a_word(page: Page, console: Console) -> None:
    receive(console.store, system_clock)
    add_result(console.store, report())

    expect(page.locator(".alert")).to_contain_text("No picture")


def test_a_revised_result_says_so(page: Page, console: Console) -> None:
    suspect(console)
    suspect(console, revision=2, findings=(finding(volume_ml=40.0),))

    expect(page.locator(".alert")).to_have_count(1)
    expect(page.locator(".alert")).to_contain_text("revised: result 2")


def test_an_unreachable_folder_stands_where_an_alert_would(page: Page, console: Console) -> None:
    live(console.store, system_clock, folder_problem="/srv/ct-export: Stale file handle")

    banner = page.locator("#front .banner")
    expect(banner).to_contain_text("EXPORT FOLDER UNREACHABLE")
    expect(banner).to_contain_text("Stale file handle")


def test_a_dead_agent_stands_where_an_alert_would(page: Page, console: Console) -> None:
    suspect(console)
    now = system_clock()

    live(console.store, lambda: Instant(now.utc, now.monotonic_s - 60))

    expect(page.locator("#front .banner")).to_contain_text("AGENT NOT RUNNING")
    expect(page.locator(".alert")).to_be_visible()


def test_an_agent_that_never_ran_stands_where_an_alert_would(page: Page, console: Console) -> None:
    console.empty()

    expect(page.locator("#front .banner")).to_contain_text("The agent has never run")


def test_a_page_without_its_script_does_not_look_calm(console: Console, browser: Browser) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(console.url)

    expect(page.locator(".banner")).to_contain_text("NOT CONNECTED")
    expect(page.locator("#empty")).to_be_hidden()
    page.close()


def test_a_lost_connection_is_told_and_so_is_its_return(page: Page, console: Console) -> None:
    expect(page.locator(".banner")).to_contain_text("Watching")

    console.stop()
    expect(page.locator(".banner")).to_contain_text("CONNECTION LOST")
    expect(page).to_have_title("✖ CONNECTION LOST – Bleedwatch")
    console.start()
    live(console.store, system_clock)

    expect(page.locator(".banner")).not_to_contain_text("CONNECTION LOST")


NAMES = (
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("<img src=x onerror=alert(1)>", "<img src (x onerror)"),  # "=" parts the scripts of a name
    ("\u202eEVIL^RIGHT TO LEFT", "\ufffdEVIL, RIGHT TO LEFT"),
    ("X" * 10_000, "X" * 120 + "…"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎)"),
    ("=王^小东", "王, 小东"),
    ("김^희중", "김, 희중"),
    ("DOE^JANE^ANN^DR", "DOE, JANE ANN DR"),
    ("", "Name not given"),
)
"""What a scanner may send for a name, and how it is shown."""


def test_hostile_and_foreign_names_are_shown_as_text(page: Page, console: Console) -> None:
    for n, (name, _) in enumerate(NAMES):
        suspect(console, f"1.2.{n}", name)

    patients = page.locator(".alert .patient")
    expect(patients).to_have_count(len(NAMES))
    for _, shown in NAMES:
        expect(patients.get_by_text(shown, exact=True)).to_have_count(1)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1280, "a name pushes the page out of shape"


HOSTILE = "<script>alert(1)</script>\"'><svg onload=alert(2)>\u202e\x00"


def test_hostile_text_is_text_wherever_it_stands(page: Page, console: Console) -> None:
    now = system_clock()
    who = Identity(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "1.2.3", HOSTILE)
    progress = SeriesProgress("1.2.3.4", who, HOSTILE, None, 17, 0, now, now)
    console.store.agent.commit([ShowProgress(progress)])
    said = report(
        caveats=(reason_report(recorded(HOSTILE)),),
        engine=ENGINE.model_copy(update={"backend": HOSTILE}),
    )
    add_result(console.store, said)
    receive(console.store, system_clock, "1.9")
    ended = not_analysed("1.9").model_copy(update={"reason": HOSTILE, "what_to_do": HOSTILE})
    add_result(console.store, ended)
    console.store.console.acknowledge("1.9", 1, HOSTILE, HOSTILE, HOSTILE)
    console.store.console.judge("1.9", 1, HOSTILE, HOSTILE, agrees=False)
    console.store.agent.notice(HOSTILE, recorded(HOSTILE))
    live(console.store, system_clock, folder_problem=HOSTILE, degraded=HOSTILE)

    expect(page.locator(".alert .whose")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#notices")).to_contain_text("<svg onload=alert(2)>")
    expect(page.locator("#worklist")).to_contain_text("disagrees")
    assert page.locator("script").count() == 1
    assert "\u202e" not in page.locator("body").inner_text()
