"""Several reconstructions of one scan on the page: one card, one row, told in place."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from agent.reasons import Reason, plain
from agent.records import Acquisition
from agent.report import SeriesReport
from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, VIEWS, Console, png
from tests.agent.reports import add_result, finding, live, not_suspected, receive, report
from tests.program import until

pytestmark = IN_A_BROWSER

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

THICK, THIN = "1.2.3.5", "1.2.3.1"
FRAME = frozenset({"1.2.9"})
SCANS = {
    THICK: Acquisition(frozenset({2}), FRAME, thickness_mm=5.0, preference=2),
    THIN: Acquisition(frozenset({2}), FRAME, thickness_mm=0.6, preference=0),
}
PLACED = finding(place=(0.8, 0.3, 0.6))


def begin(console: Console, uid: str) -> None:
    receive(console.store, system_clock, uid, acquisition=SCANS[uid])


def suspect(console: Console, uid: str, **changes: object) -> None:
    begin(console, uid)
    pictures = {view: png(grey) for view, grey in VIEWS.items()}
    add_result(console.store, report(uid, findings=(PLACED,), **changes), pictures)
    live(console.store, system_clock)


def clear(console: Console, uid: str) -> None:
    begin(console, uid)
    add_result(console.store, not_suspected(uid))
    live(console.store, system_clock)


def set_aside(console: Console, uid: str, code: str, **values: object) -> None:
    of_scan = {"acquisition": SCANS[THICK], "description": code, "protocol": None}
    receive(console.store, system_clock, uid, **of_scan)
    refused: SeriesReport = report(
        uid,
        state="not_analysed",
        **plain(Reason(code, **values)),
        score=None,
        findings=(),
        total_volume_ml=None,
        engine=None,
    )
    add_result(console.store, refused)
    live(console.store, system_clock)


def test_thin_slices_confirm_on_the_card_that_is_there(page: Page, console: Console) -> None:
    suspect(console, THICK)
    page.get_by_label("Note").fill("told the ward")
    expect(page.locator("#worklist tr")).to_have_count(1)

    begin(console, THIN)
    expect(page.locator(".alert .history")).to_contain_text("… receiving 0.6 mm")
    suspect(console, THIN, total_volume_ml=29.8)

    alert = page.locator(".alert")
    expect(alert).to_have_count(1)
    expect(alert.locator(".second")).to_have_text(
        "The thin slices (0.6 mm) confirm what those of 5 mm suspected"
    )
    expect(alert.locator(".history li")).to_have_count(2)
    expect(alert.locator(".history li").first).to_contain_text("▲ suspected 5 mm")
    expect(alert.locator(".history li").last).to_contain_text("29.8 mL")
    expect(alert.locator(".history li").last).to_contain_text("default 0.1.0, CPU")
    expect(page.get_by_label("Note")).to_have_value("told the ward")
    expect(page.locator("#worklist tr")).to_have_count(1)
    expect(page.locator("#day [data-count=examinations]")).to_have_text("1")
    expect(page.locator("#day dt").first).to_have_text("examination today")
    expect(page).to_have_title("(1) SUSPECTED – Bleedwatch")
    until(lambda: not console.store.queries.undelivered())

    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()

    expect(alert).to_have_count(0)
    expect(page.locator("#worklist")).to_contain_text("acknowledged by Ann")


def test_thin_slices_withdraw_on_the_card_which_stays(page: Page, console: Console) -> None:
    suspect(console, THICK)
    expect(page.locator(".alert h2")).to_have_text("▲ SUSPECTED HEMORRHAGE")

    clear(console, THIN)

    alert = page.locator(".alert")
    expect(alert.locator("h2")).to_have_text("▽ SUSPICION WITHDRAWN")
    expect(alert.locator(".second")).to_contain_text("withdraw what those of 5 mm suspected")
    expect(alert.locator(".findings")).to_contain_text("31.4 mL")
    expect(page).to_have_title("Bleedwatch")
    row = page.locator("#worklist tr")
    expect(row).to_have_count(1)
    expect(row.locator("td").first).to_have_text("✓ not suspected")
    assert Axe().run(page, options={"runOnly": RULES}).response["violations"] == []

    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()

    expect(alert).to_have_count(0)
    expect(row).to_contain_text("withdraw what those of 5 mm suspected")
    expect(row.locator(".history li")).to_have_count(2)
    expect(row).to_contain_text("acknowledged by Ann")


def test_what_needs_nobody_is_folded_grey_under_its_examination(
    page: Page, console: Console
) -> None:
    set_aside(console, "1.2.3.2", "localizers_only")
    expect(page.locator("#worklist td").first).to_have_text("– not analysed")
    clear(console, THICK)
    set_aside(console, "1.2.3.3", "bone_kernel", kernel="H70h", profile="generic-head")
    set_aside(
        console, "1.2.3.4", "not_original_axial", image_type="DERIVED", profile="generic-head"
    )

    row = page.locator("#worklist tr")
    expect(row).to_have_count(1)
    expect(row.locator("td").first).to_have_text("✓ not suspected")
    expect(row.locator("summary")).to_have_text("further series: 3")
    expect(row.locator(".not_analysed, .to-do")).to_have_count(0)
    expect(row).not_to_contain_text("protocol profile")
    expect(page.locator("#day [data-count=not_analysed]")).to_have_text("0")
    expect(page.locator("#day [data-count=examinations]")).to_have_text("1")

    row.locator("summary").click()
    expect(row.locator("details li")).to_have_count(3)
    expect(row).to_contain_text("bone reconstruction (kernel H70h)")
    receive(console.store, system_clock, "1.9", "SECOND^PATIENT")
    expect(page.locator("#worklist")).to_contain_text("SECOND, PATIENT")
    expect(page.locator("details li").first).to_be_visible()
    assert Axe().run(page, options={"runOnly": RULES}).response["violations"] == []


def test_an_answered_alert_opens_again_with_its_pictures(page: Page, console: Console) -> None:
    suspect(console, THICK)
    console.store.console.acknowledge(THICK, 1, "Ann", "")
    expect(page.locator(".alert")).to_have_count(0)

    page.get_by_role("button", name="Show", exact=True).click()

    card = page.locator(".opened")
    expect(card).to_contain_text("Subdural, left frontal: 31.4 mL")
    page.wait_for_function("() => document.querySelector('.opened img').naturalWidth > 0")
    expect(card.get_by_role("button", name="All slices")).to_be_visible()
    assert Axe().run(page, options={"runOnly": RULES}).response["violations"] == []
    page.get_by_role("button", name="Close").click()
    expect(card).to_have_count(0)
