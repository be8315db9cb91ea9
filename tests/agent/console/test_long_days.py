"""A day of the page, accelerated; what it is like for who uses neither eyes nor a mouse."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, CDPSession, Page, expect

from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, THEMES, Console, suspect
from tests.agent.reports import add_result, finding, live, not_analysed, not_suspected, receive
from tests.program import until

pytestmark = IN_A_BROWSER

SNAPSHOTS_A_DAY = 24 * 3600
STUDIES_A_DAY = 150
"""Of a busy emergency department's scanner."""

FED_BY_HAND = """
    window.EventSource = class { constructor() { window.source = this; } close() {} };
"""

FEED = """
    async ([state, first, last, perStudy]) => {
        const rest = () => new Promise((done) => setTimeout(done, 0));
        const [alert, calm] = state.examinations;
        for (let n = first; n < last; n += 1) {
            const study = Math.floor(n / perStudy);
            const waits = study % 10 === 0 && n % perStudy < perStudy / 2;
            const examinations = Array.from({ length: 50 }, (_, k) => {
                const shown = k === 0 && waits ? alert : calm;
                const uid = `1.2.${study - k}`;
                const waiting = shown.waiting.map(() => uid);
                const age = { last_slice_age_s: n % perStudy };
                const series = [{ ...shown.series[0], series_uid: uid, ...age }];
                return { ...shown, examination_uid: uid, waiting, series };
            });
            window.source.onmessage({ data: JSON.stringify({ ...state, examinations }) });
            if (n % 50 === 0) await rest();
        }
        await rest();
    }
"""


def heap(session: CDPSession) -> tuple[float, int]:
    """Memory in use [MB] and nodes alive, after the rubbish was taken out."""
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    return used, session.send("Memory.getDOMCounters")["nodes"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_day_of_events_leaves_no_memory_behind(
    console: Console, browser: Browser, request: pytest.FixtureRequest
) -> None:
    receive(console.store, system_clock, "1.1")
    add_result(console.store, not_suspected("1.1"))
    suspect(console, findings=(finding(place=(0.8, 0.3, 0.6)),))
    page = browser.new_page()
    page.add_init_script(FED_BY_HAND)
    page.route("**/shown", lambda route: route.fulfill(status=204))
    page.goto(console.url)
    until(lambda: page.evaluate("Boolean(window.source?.onmessage)"))
    state = json.loads(page.request.get(f"{console.url}api/state").body())
    session = page.context.new_cdp_session(page)
    n = SNAPSHOTS_A_DAY if request.config.getoption("--full") else SNAPSHOTS_A_DAY // 48
    per_study = n // STUDIES_A_DAY

    page.evaluate(FEED, [state, 0, n // 3, per_study])
    early_mb, early_nodes = heap(session)
    page.evaluate(FEED, [state, n // 3, n, per_study])
    late_mb, late_nodes = heap(session)

    print(f"{n} snapshots: {early_mb:.1f} → {late_mb:.1f} MB, {early_nodes} → {late_nodes} nodes")
    expect(page.locator("#worklist tr")).to_have_count(50)
    assert late_mb < early_mb + 2
    assert late_nodes < early_nodes * 1.5
    page.close()


@pytest.fixture(params=["calm", "alerts", "trouble"])
def filled(request: pytest.FixtureRequest, page: Page, console: Console) -> Page:
    receive(console.store, system_clock, "1.1", expected=32)
    receive(console.store, system_clock, "1.3")
    add_result(console.store, not_suspected("1.3"))
    receive(console.store, system_clock, "1.4")
    add_result(console.store, not_analysed("1.4"))
    live(console.store, system_clock, alerts_per_100=(3.1, 13.3))
    if request.param == "calm":
        console.store.console.acknowledge("1.4", 1, "Ann", "")
        expect(page.locator(".banner.calm")).to_be_visible()
    if request.param == "alerts":
        for uid in ("1.5", "1.6"):
            suspect(console, uid, findings=(finding(place=(0.8, 0.3, 0.6)),))
        expect(page.locator(".alert")).to_have_count(3)
    if request.param == "trouble":
        live(console.store, system_clock, folder_problem="/srv/ct: gone", degraded="to CPU")
        expect(page.locator(".banner.trouble")).to_be_visible()
    expect(page.locator("#worklist tr")).to_have_count(5 if request.param == "alerts" else 3)
    row = page.locator("#worklist tr", has_text="not suspected")
    row.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Disagree").click()
    return page


def test_axe_finds_no_violation(filled: Page) -> None:
    for theme in THEMES:
        # An alert that moves has passing colours.
        filled.emulate_media(color_scheme=theme, reduced_motion="reduce")

        found = Axe().run(
            filled,
            options={
                "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
            },
        )

        assert found.response["violations"] == [], found.generate_report()


def test_an_alert_is_acknowledged_with_the_keyboard_alone(page: Page, console: Console) -> None:
    suspect(console)
    expect(page.locator(".alert")).to_be_visible()

    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name"))
        if reached[-1] == "who":
            break
    page.keyboard.type("Ann")
    page.keyboard.press("Tab")
    page.keyboard.type("rang the ward")
    page.keyboard.press("Enter")

    expect(page.locator("#worklist")).to_contain_text("acknowledged by Ann")
    expect(page.locator("#worklist")).to_contain_text("rang the ward")


def test_an_alert_is_dismissed_with_the_keyboard_alone(page: Page, console: Console) -> None:
    suspect(console)
    page.get_by_label("Your name").focus()
    page.keyboard.type("Ann")
    page.locator("select[name=reason]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")

    expect(page.locator("#worklist")).to_contain_text("dismissed by Ann")
    expect(page.locator("#worklist")).to_contain_text("calcification")


def test_an_alert_is_on_the_page_soon_after_it_is_committed(page: Page, console: Console) -> None:
    page.evaluate(
        """() => {
            window.shown = {};
            new MutationObserver(() => {
                for (const card of document.querySelectorAll(".alert .patient")) {
                    window.shown[card.textContent] ??= Date.now();
                }
            }).observe(document.getElementById("front"), { childList: true });
        }"""
    )
    waits_ms = []
    for n in range(5):
        suspect(console, f"1.{n}", f"PATIENT{n}")
        committed_ms = 1000 * console.store.queries.series(f"1.{n}").concluded_at.utc.timestamp()  # type: ignore[union-attr]
        expect(page.locator(".alert", has_text=f"PATIENT{n}")).to_be_visible()
        waits_ms.append(page.evaluate(f"window.shown['PATIENT{n}']") - committed_ms)

    waits_ms.sort()
    print(f"commit → alert on the page: median {waits_ms[2]:.0f} ms, longest {waits_ms[-1]:.0f} ms")
    assert len(waits_ms) == 5
