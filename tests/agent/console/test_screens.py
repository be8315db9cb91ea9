"""The page's main states as a kiosk shows them: nothing cut off; pictures are kept to be looked at.

They lie in ``.shots/`` of the checkout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, Console, suspect
from tests.agent.reports import add_result, finding, live, not_analysed, not_suspected, receive

pytestmark = IN_A_BROWSER

SHOTS = Path(__file__).parents[3] / ".shots"

PHONE, TABLET, ZOOMED = (390, 844), (768, 1024), (640, 512)
SMALL, LARGE = (1280, 1024), (1920, 1080)
"""``ZOOMED`` is what 200 % leaves of the small kiosk."""

BLEEDS = (
    finding(place=(0.8, 0.3, 0.6)),
    finding(subtype="intraventricular", side="midline", region="ventricles", volume_ml=2.3),
)

CUT_OFF = """
    () => [...document.querySelectorAll("body *")].filter((node) => {
        const box = node.getBoundingClientRect();
        if (!box.width || !box.height || node.closest("thead")) return false;
        return box.left < -1 || box.right > innerWidth + 1;
    }).map((node) => `${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`)
"""
"""What reaches out of the window on either side."""


def calm(console: Console) -> None:
    console.store.console.acknowledge("1.4", 1, "Ann", "")
    live(console.store, system_clock, alerts_per_100=(3.1, 13.3))


def not_analysed_alone(_console: Console) -> None:
    """Leave what stands in front by itself."""


def one_alert(console: Console) -> None:
    suspect(console, "1.7", findings=BLEEDS)


def small_alert(console: Console) -> None:
    console.store.console.acknowledge("1.4", 1, "Ann", "")
    small = (finding(volume_ml=0.2, volume_interval_ml=(0.1, 0.4), probability=0.6),)
    suspect(console, "1.7", findings=small, total_volume_ml=0.2, midline_shift_mm=None)


def three_alerts(console: Console) -> None:
    for n, name in enumerate(("FIRST^PATIENT", "SECOND^PATIENT", "VERYLONGFAMILYNAME^MARIA")):
        suspect(console, f"1.{7 + n}", name, findings=BLEEDS)


def folder_gone(console: Console) -> None:
    live(console.store, system_clock, folder_problem="/srv/ct-export: Stale file handle")


def degraded(console: Console) -> None:
    suspect(console, "1.7", findings=BLEEDS)
    live(console.store, system_clock, degraded="degraded to CPU: an illegal memory access")


def agent_down(console: Console) -> None:
    console.store.sql("DELETE FROM agent")


@pytest.mark.parametrize(
    ("state", "size", "theme", "language"),
    [
        *((state, SMALL, "dark", "en") for state in (folder_gone, degraded, agent_down)),
        *((state, SMALL, "light", "en") for state in (calm, one_alert, small_alert)),
        *((state, SMALL, "dark", "en") for state in (calm, not_analysed_alone)),
        *((one_alert, size, "light", "de") for size in (PHONE, TABLET, ZOOMED)),
        *((three_alerts, size, "dark", "en") for size in (PHONE, TABLET, ZOOMED, SMALL, LARGE)),
        (calm, PHONE, "dark", "fr"),
    ],
)
def test_a_screen_shows_it_whole(
    console: Console,
    browser: Browser,
    state: Callable[[Console], None],
    size: tuple[int, int],
    theme: Literal["dark", "light"],
    language: str,
) -> None:
    receive(console.store, system_clock, "1.1", "MÜLLER^KARL", expected=32)
    receive(console.store, system_clock, "1.3", "ROE^RICHARD")
    add_result(console.store, not_suspected("1.3"))
    receive(console.store, system_clock, "1.4", "POE^EDGAR")
    add_result(console.store, not_analysed("1.4"))
    live(console.store, system_clock)
    state(console)
    width, height = size
    viewport: ViewportSize = {"width": width, "height": height}
    page = browser.new_page(viewport=viewport, color_scheme=theme, locale=language)
    page.goto(console.url)
    expect(page.locator("#worklist tr").first).to_be_attached()
    page.wait_for_timeout(300)

    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{state.__name__}_{width}_{theme}_{language}.png")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    front = page.locator(".alert:not(.behind)")
    if front.count():
        expect(front.locator("h2")).to_be_in_viewport(ratio=1)
        expect(front.locator(".patient")).to_be_in_viewport(ratio=1)
        answer = front.locator("[value=acknowledge]")
        answer.scroll_into_view_if_needed()  # a phone and a zoomed page are short
        if height > PHONE[1] or page.locator(".strip:visible").count() == 0:
            expect(answer).to_be_in_viewport(ratio=1)
    else:
        expect(page.locator(".banner")).to_be_in_viewport(ratio=1)
    for strip in page.locator("#pinned .strip:visible").all():
        strip.scroll_into_view_if_needed()
        expect(strip).to_be_in_viewport(ratio=0.9)
    page.close()
