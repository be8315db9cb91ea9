"""Alerts in a real browser: what they tell, how they are answered, how they go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from agent.reasons import Reason
from agent.records import Acquisition
from agent.report import reason_report
from agent.wiring import system_clock
from tests.agent.console.browsing import (
    HEADLESS,
    IN_A_BROWSER,
    QUIET,
    Console,
    alive,
    suspect,
)
from tests.agent.reports import (
    add_result,
    finding,
    live,
    not_analysed,
    not_suspected,
    receive,
    report,
)
from tests.agent.stored import Store
from tests.program import until

pytestmark = IN_A_BROWSER

TWO_BLEEDS = (
    finding(place=(0.8, 0.3, 0.6)),
    finding(
        subtype="intraventricular",
        side="midline",
        region="ventricles",
        volume_ml=2.3,
        probability=0.71,
        place=(0.5, 0.5, 0.5),
    ),
)

SILENT_UNTIL_TOUCHED = """
    window.AudioContext = class extends AudioContext { constructor() { super(); this.suspend(); } };
"""
"""As in a browser that lets no page sound before it is touched; Chromium does so at its whim."""

GAP = Reason("slices_missing", n_missing=1, below_mm=34.2, above_mm=49.0)
UNCERTAIN = reason_report(Reason("volume_uncertain", because=GAP))

COUNT_PULSES = """
    window.pulses = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) {
        window.pulses += 1;
        start.apply(this, when);
    };
"""


def test_an_alert_tells_who_what_where_and_how_much(page: Page, console: Console) -> None:
    suspect(console, findings=TWO_BLEEDS, total_volume_ml=33.7, caveats=(UNCERTAIN,))

    alert = page.locator(".alert")
    for words in (
        "DOE, JANE",
        "born 1950-01-01",
        "accession A1",
        "HEAD 5.0",
        "Subdural, left frontal: 31.4 mL (90 %: 24.0–39.0)",
        "blood: very likely (97 %)",
        "blood in the ventricles",
        "33.7 mL in all",
        "midline shift 6 mm",
        UNCERTAIN.text,
    ):
        expect(alert).to_contain_text(words)


def test_an_alert_tells_what_the_patients_previous_examination_said(
    page: Page, console: Console
) -> None:
    small = finding(volume_ml=8.0, volume_interval_ml=(6.0, 11.0))
    for uid, hours_ago, found in (("1.1", 5, small), ("1.2", 0, finding())):
        at = datetime(2026, 11, 30, 12) - timedelta(hours=hours_ago)  # noqa: DTZ001
        acquisition = Acquisition(acquired=(at, at))
        receive(console.store, system_clock, uid, study=f"{uid}.9", acquisition=acquisition)
        add_result(console.store, report(uid, study_uid=f"{uid}.9", findings=(found,)))
        if hours_ago:
            console.store.console.acknowledge(uid, 1, "Ann", "")

    told = (
        "efore 8.0 mL (90 %: 6.0–11.0) · now 31.4 mL (90 %: 24.0–39.0) · "
        "grew 23.4 mL (15.4 to 31.3) in 5.0 h"
    )
    expect(page.locator(".alert .before")).to_have_text(f"B{told}")
    page.goto(f"{console.url}exam/1.2")
    expect(page.locator("#reading .before")).to_have_text(f"Previous examination · b{told}")
    expect(page.locator("#draft .for-comparison textarea")).to_have_value(
        re.compile("outlines: grew 23.4 mL")
    )
    page.get_by_role("link", name="Previous examination").click()
    expect(page.locator("#reading .before")).to_be_empty()


def test_the_head_map_marks_each_bleed_on_its_side(page: Page, console: Console) -> None:
    suspect(console, findings=TWO_BLEEDS)

    maps = page.locator(".alert .head-map svg")
    expect(maps).to_have_count(3)
    expect(page.locator(".alert .head-map")).to_have_attribute(
        "aria-label", "Head map: left frontal; midline ventricles"
    )
    marks = maps.nth(0).locator("circle")
    left, middle = (float(marks.nth(n).get_attribute("cx") or 0) for n in (0, 1))
    assert left > middle  # seen from below, the patient's left is on the right
    lower = maps.nth(1).locator("circle").nth(1)
    assert float(lower.get_attribute("cy") or 0) > float(
        maps.nth(1).locator("circle").nth(0).get_attribute("cy") or 0
    )  # seen from the front, what is lower in the head is lower in the map


def test_an_alert_without_anatomy_has_no_map(page: Page, console: Console) -> None:
    suspect(console)

    expect(page.locator(".alert")).to_be_visible()
    expect(page.locator(".head-map svg")).to_have_count(0)


def test_dismissing_needs_a_reason_and_tells_it(page: Page, console: Console) -> None:
    suspect(console)
    page.get_by_label("Your name").fill("Ann")

    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("select[name=reason]")).to_be_focused()
    expect(page.locator(".alert")).to_have_count(1)
    page.select_option("select[name=reason]", "calcification")
    page.get_by_role("button", name="Dismiss").click()

    expect(page.locator(".alert")).to_have_count(0)
    expect(page.locator("#worklist")).to_contain_text("dismissed by Ann")
    expect(page.locator("#worklist")).to_contain_text("calcification")
    expect(page.locator("#day [data-count=dismissed]")).to_have_text("1")


def test_dismissed_as_other_says_what_else(page: Page, console: Console) -> None:
    suspect(console)
    page.get_by_label("Your name").fill("Ann")
    page.select_option("select[name=reason]", "other")

    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".alert .failed")).to_contain_text("Not stored")
    page.get_by_label("Note").fill("wrong patient in the scanner")
    page.get_by_role("button", name="Dismiss").click()

    expect(page.locator("#worklist")).to_contain_text("wrong patient in the scanner")


def test_who_answers_second_is_told_who_was_first(
    page: Page, console: Console, browser: Browser
) -> None:
    suspect(console)
    other = browser.new_page()
    other.goto(console.url)
    for opened, name in ((page, "Ann"), (other, "Bob")):
        opened.get_by_label("Your name").fill(name)

    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    other.route("**/acknowledge", hold)
    other.get_by_role("button", name="Acknowledge").click()
    until(lambda: other.wait_for_timeout(20) or held)
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".alert")).to_have_count(0)
    held[0].continue_()

    for opened in (page, other):
        expect(opened.locator("#worklist")).to_contain_text("acknowledged by Ann")
        expect(opened.locator(".alert")).to_have_count(0)
    other.close()


def test_alerts_queue_and_none_is_hidden(page: Page, console: Console) -> None:
    for n, name in enumerate(("FIRST", "SECOND", "THIRD")):
        suspect(console, f"1.{n}", name)

    alerts, strips = page.locator(".alert"), page.locator("#pinned .strip:visible")
    expect(alerts).to_have_count(3)
    expect(page.locator("#waiting")).to_have_text("▲ 3 suspected")
    expect(strips).to_have_count(2)
    for n in range(2):
        expect(strips.nth(n)).to_be_in_viewport(ratio=1)
        expect(strips.nth(n)).to_contain_text("P1born 1950-01-01")
        expect(strips.nth(n).locator(".much")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(1)

    expect(alerts.nth(0).locator(".patient")).not_to_have_text("FIRST")
    strips.filter(has_text="FIRST").click()

    expect(alerts.nth(0).locator(".patient")).to_have_text("FIRST")
    expect(alerts.nth(0).get_by_role("button", name="Acknowledge")).to_be_visible()


def test_other_alerts_and_a_front_one_scrolled_away_stay_in_view(
    page: Page, console: Console
) -> None:
    suspect(console, "1.1", "FIRST^PATIENT", findings=TWO_BLEEDS)
    suspect(console, "1.2", "SECOND^PATIENT")
    strips = page.locator("#pinned .strip:visible")
    expect(strips).to_have_count(1)

    page.set_viewport_size({"width": 1280, "height": 500})
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")

    expect(strips).to_have_count(2)
    for n, name in enumerate(("FIRST, PATIENT", "SECOND, PATIENT")):
        expect(strips.filter(has_text=name)).to_be_in_viewport(ratio=1)
        expect(strips.nth(n)).to_contain_text("P1born 1950-01-01")


def refuse(console: Console) -> None:
    receive(console.store, system_clock, "1.4", "POE^EDGAR")
    add_result(console.store, not_analysed("1.4"))
    alive(console)


def test_a_head_that_was_not_analysed_stands_in_front_until_somebody_answers(
    page: Page, console: Console
) -> None:
    refuse(console)

    alert = page.locator(".alert")
    expect(alert.locator("h2")).to_have_text("? HEAD NOT ANALYSED")
    expect(alert.locator(".findings")).to_contain_text("because slices missing")
    expect(alert.locator(".next")).to_contain_text("check that the whole head was exported")
    expect(page.locator(".banner")).to_be_hidden()
    expect(page).to_have_title("(1) NOT ANALYSED – Bleedwatch")
    expect(page.get_by_role("button", name="Dismiss")).to_be_hidden()

    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()

    expect(alert).to_have_count(0)
    expect(page.locator(".banner")).to_contain_text("Watching")
    expect(page.locator("#worklist")).to_contain_text("acknowledged by Ann")


def test_an_answer_is_taken_back_beside_the_pictures(page: Page, console: Console) -> None:
    suspect(console)
    console.store.console.acknowledge("1.2.3.4", 1, "Ann", "", "artefact")
    expect(page.locator("#worklist td").first).to_have_text("✗ dismissed")

    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Take the answer back").click()
    page.get_by_label("Your name").fill("Bob")
    page.get_by_role("button", name="Store").click()

    expect(page.locator(".alert")).to_have_count(1)
    expect(page.locator("#worklist td").first).to_have_text("▲ suspected")
    expect(page.locator("#worklist")).to_contain_text("answer of Ann taken back by Bob")


def test_a_name_is_asked_once_and_then_one_touch_acknowledges(page: Page, console: Console) -> None:
    suspect(console, "1.1", "FIRST^PATIENT")
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".alert")).to_have_count(0)

    suspect(console, "1.2", "SECOND^PATIENT")
    expect(page.locator(".alert .as")).to_contain_text("as Ann")
    expect(page.get_by_label("Your name")).to_be_hidden()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".alert")).to_have_count(0)

    suspect(console, "1.3", "THIRD^PATIENT")
    page.get_by_role("button", name="not you?").click()
    page.get_by_label("Your name").fill("Bob")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#worklist")).to_contain_text("acknowledged by Bob")


NOTIFICATIONS = """
    window.told = [];
    window.Notification = class {
        static permission = "default";
        static async requestPermission() { return (this.permission = "granted"); }
        constructor(title, { body }) { window.told.push(`${title} | ${body}`); }
        close() { window.told.push("closed"); }
    };
    document.hasFocus = () => false;
"""


def test_a_notification_has_headline_and_initials_alone(page: Page, console: Console) -> None:
    page.add_init_script(NOTIFICATIONS)
    page.reload()
    page.get_by_role("button", name="Notify on this desktop").click()
    expect(page.locator("#notify")).to_be_hidden()

    suspect(console)
    until(lambda: page.evaluate("told.length") == 1)
    console.store.console.acknowledge("1.2.3.4", 1, "Ann", "")
    until(lambda: page.evaluate("told.length") == 2)

    assert page.evaluate("told") == [
        "SUSPECTED HEMORRHAGE | D. J.: Subdural, left frontal: 31.4 mL (90 %: 24.0–39.0)",
        "closed",
    ]


def test_a_result_is_judged_afterwards(page: Page, console: Console) -> None:
    suspect(console)
    console.store.console.acknowledge("1.2.3.4", 1, "Ann", "")

    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Agree", exact=True).click()
    page.get_by_label("Your name").fill("Dr Bob")
    page.get_by_label("Note").fill("operated on")
    receive(console.store, system_clock, "1.9", "SECOND^PATIENT")
    expect(page.locator("#worklist")).to_contain_text("SECOND, PATIENT")
    expect(page.get_by_label("Note")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("#worklist")).to_contain_text("✓ Dr Bob agrees")
    expect(page.locator("#worklist")).to_contain_text("operated on")
    expect(page.locator("#worklist tr", has_text="DOE").first).to_contain_text("▲ confirmed")
    expect(page.locator("#day [data-count=confirmed]")).to_have_text("1")


def test_a_bleed_that_was_missed_can_be_told(page: Page, console: Console) -> None:
    receive(console.store, system_clock)
    add_result(console.store, not_suspected("1.2.3.4"))

    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Disagree").click()
    page.get_by_label("Your name").fill("Dr Bob")
    page.get_by_role("button", name="Store").click()

    expect(page.locator("#worklist")).to_contain_text("✗ Dr Bob disagrees")


def test_a_result_is_drawn_once_though_it_is_then_noted_as_shown(
    page: Page, console: Console
) -> None:
    """A button that was drawn anew while it was being pressed swallowed the click."""
    receive(console.store, system_clock)
    expect(page.locator("#worklist tr")).to_have_count(1)
    page.evaluate(
        "window.drawn = 0; new MutationObserver(() => window.drawn++)"
        ".observe(document.getElementById('worklist'), { childList: true })"
    )

    with page.expect_response("**/shown"):
        add_result(console.store, not_suspected("1.2.3.4"))
    page.wait_for_timeout(1500)  # longer than the page takes to hear of it

    assert console.store.queries.undelivered() == []
    assert page.evaluate("window.drawn") == 1


def test_a_button_pressed_while_another_series_goes_on_is_still_pressed(
    page: Page, console: Console
) -> None:
    """All rows were drawn anew whenever one of them changed, which swallowed the click."""
    for uid in ("1.2.3.4", "1.2.3.5"):
        receive(console.store, system_clock, uid)
    add_result(console.store, not_suspected("1.2.3.4"))
    page.locator("#worklist tr", has_text="not suspected").get_by_role("button").click()
    page.get_by_role("button", name="Disagree").hover()

    page.mouse.down()
    receive(console.store, system_clock, "1.2.3.5", expected=40)
    expect(page.locator("#worklist")).to_contain_text("17 of 40")
    page.mouse.up()

    expect(page.locator("#worklist form")).to_be_visible()


def test_what_is_expected_of_the_operating_point_is_said_in_plain_words(
    page: Page, console: Console
) -> None:
    live(console.store, system_clock, alerts_per_100=(3.1, 13.3))

    expect(page.locator("#expected")).to_have_text(
        "Of 100 scans without a bleed, 3 to 13 are expected to alarm."
    )


def test_progress_is_shown_where_the_count_is_known(page: Page, console: Console) -> None:
    receive(console.store, system_clock, "1.1", expected=32)
    receive(console.store, system_clock, "1.2")

    expect(page.locator("#worklist progress")).to_have_count(1)
    assert page.locator("#worklist progress").evaluate("bar => bar.value / bar.max") == 17 / 32


def test_an_escalation_is_told_on_the_alert(page: Page, console: Console) -> None:
    suspect(console)
    console.store.console.escalated("1.2.3.4", 1)

    expect(page.locator(".alert .escalated")).to_contain_text("Nobody answered: told elsewhere")


def test_a_page_that_may_not_sound_says_so(page: Page) -> None:
    page.add_init_script(SILENT_UNTIL_TOUCHED)
    page.reload()
    button = page.locator("#sound")
    expect(button).to_have_text("▼ Sound is off: touch to turn it on")

    button.click()

    expect(button).to_have_text("Mute for 2 min")


@pytest.fixture(scope="module")
def kiosk(browser: Browser) -> Iterator[Browser]:
    """A browser whose pages may sound untouched."""
    opened = browser.browser_type.launch(
        executable_path=HEADLESS,
        args=[*QUIET, "--autoplay-policy=no-user-gesture-required"],
    )
    yield opened
    opened.close()


@pytest.fixture
def sounding(console: Console, kiosk: Browser) -> Iterator[Page]:
    """A page that may sound."""
    page = kiosk.new_page()
    page.add_init_script(COUNT_PULSES)
    alive(console)
    page.goto(console.url)
    expect(page.locator("#sound")).to_have_text("Mute for 2 min")
    yield page
    page.close()


def test_an_alert_sounds_and_sounds_again_until_it_is_acknowledged(
    sounding: Page, console: Console
) -> None:
    assert sounding.evaluate("pulses") == 0

    suspect(console)
    alive(console)
    until(lambda: sounding.evaluate("pulses") >= 3)
    until(lambda: sounding.evaluate("pulses") >= 6)
    expect(sounding.locator(".alert")).to_have_class("alert again")

    console.store.console.acknowledge("1.2.3.4", 1, "Ann", "")
    expect(sounding.locator(".alert")).to_have_count(0)
    pulses = sounding.evaluate("pulses")
    sounding.wait_for_timeout(1500)
    assert sounding.evaluate("pulses") == pulses


def test_a_head_that_was_not_analysed_and_trouble_are_heard(
    sounding: Page, console: Console
) -> None:
    refuse(console)
    until(lambda: sounding.evaluate("pulses") >= 2)
    console.store.console.acknowledge("1.4", 1, "Ann", "")
    expect(sounding.locator(".alert")).to_have_count(0)
    pulses = sounding.evaluate("pulses")

    live(console.store, system_clock, folder_problem="/srv/ct: gone")

    until(lambda: sounding.evaluate("pulses") >= pulses + 2)
    expect(sounding).to_have_title("✖ EXPORT FOLDER UNREACHABLE – Bleedwatch")


def test_a_mute_is_seen_and_can_be_ended(sounding: Page, console: Console) -> None:
    sounding.locator("#sound").click()
    expect(sounding.locator("#sound")).to_contain_text("▼ Sound off for 1 min")
    expect(sounding.locator("#sound")).to_have_attribute("aria-pressed", "true")

    suspect(console)
    expect(sounding.locator(".alert.again")).to_be_visible()
    assert sounding.evaluate("pulses") == 0

    sounding.locator("#sound").click()
    until(lambda: sounding.evaluate("pulses") >= 3)


def test_a_mute_expires(console: Console, browser: Browser) -> None:
    page = browser.new_page()
    page.add_init_script(SILENT_UNTIL_TOUCHED)
    page.clock.install()
    live(console.store, system_clock)
    page.goto(console.url)
    expect(page.locator("#sound")).to_contain_text("Sound is off")  # the page's script runs
    page.locator("#sound").click()
    page.clock.run_for(1000)
    expect(page.locator("#sound")).to_have_text("Mute for 2 min")
    page.locator("#sound").click()
    expect(page.locator("#sound")).to_contain_text("Sound off for 1 min 59 s")

    page.clock.run_for(121_000)

    expect(page.locator("#sound")).to_have_text("Mute for 2 min")
    page.close()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "de",
            [
                "BLUTUNGSVERDACHT",
                "Subdural, frontal links: 31,4 mL (90 %: 24,0–39,0)",
                "Quittieren",
            ],
        ),
        ("fr", ["HÉMORRAGIE SUSPECTÉE", "Sous-dural, frontal gauche: 31,4 mL", "Prendre acte"]),
        ("es", ["SOSPECHA DE HEMORRAGIA", "Subdural, frontal izquierdo: 31,4 mL", "Descartar"]),
        ("zh", ["疑似颅内出血", "硬膜下, 左侧额叶: 31.4 mL", "知悉"]),
    ],
)
def test_the_alert_speaks_the_browsers_language(
    console: Console, browser: Browser, language: str, words: list[str]
) -> None:
    suspect(console, caveats=(UNCERTAIN,))
    page = browser.new_page(locale=language)
    page.goto(console.url)

    for text in words:
        expect(page.locator(".alert")).to_contain_text(text)
    expect(page.locator(".alert .caveats")).not_to_contain_text("missing")
    expect(page.locator("html")).to_have_attribute("lang", language)
    page.close()


def test_an_older_report_without_a_place_is_shown(page: Page, console: Console) -> None:
    receive(console.store, system_clock)
    add_result(console.store, report())
    store: Store = console.store
    store.sql("UPDATE results SET report = json_remove(report, '$.findings[0].place')")

    expect(page.locator(".alert")).to_contain_text("Subdural, left frontal")
