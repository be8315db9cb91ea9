"""The page's main states as a kiosk shows them: nothing cut off; pictures are kept to be looked at.

They lie in ``.shots/`` of the checkout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, Console, suspect
from tests.agent.reports import add_result, finding, live, not_analysed, not_suspected, receive

pytestmark = IN_A_BROWSER

SHOTS = Path(__file__).parents[3] / ".shots"

SMALL, LARGE = (1280, 1024), (1920, 1080)

BLEEDS = (
    finding(place=(0.8, 0.3, 0.6)),
    finding(subtype="intraventricular", side="midline", region="ventricles", volume_ml=2.3),
)


def calm(console: Console) -> None:
    live(console.store, system_clock, alerts_per_100=(3.1, 13.3))


def one_alert(console: Console) -> None:
    suspect(console, "1.7", findings=BLEEDS)


def three_alerts(console: Console) -> None:
    for n, name in enumerate(("FIRST^PATIENT", "SECOND^PATIENT", "THIRD^PATIENT")):
        suspect(console, f"1.{7 + n}", name, findings=BLEEDS)


def folder_gone(console: Console) -> None:
    live(console.store, system_clock, folder_problem="/srv/ct-export: Stale file handle")


def degraded(console: Console) -> None:
    suspect(console, "1.7", findings=BLEEDS)
    live(console.store, system_clock, degraded="degraded to CPU: an illegal memory access")


def agent_down(console: Console) -> None:
    console.store.sql("DELETE FROM agent")


@pytest.mark.parametrize(
    ("state", "size"),
    [
        *((state, SMALL) for state in (calm, one_alert, folder_gone, degraded, agent_down)),
        *((three_alerts, size) for size in (SMALL, LARGE)),
    ],
)
def test_a_kiosk_shows_it_whole(
    console: Console,
    browser: Browser,
    state: Callable[[Console], None],
    size: tuple[int, int],
) -> None:
    receive(console.store, system_clock, "1.1", "MÜLLER^KARL", expected=32)
    receive(console.store, system_clock, "1.3", "ROE^RICHARD")
    add_result(console.store, not_suspected("1.3"))
    receive(console.store, system_clock, "1.4", "POE^EDGAR")
    add_result(console.store, not_analysed("1.4"))
    live(console.store, system_clock)
    state(console)
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(console.url)
    expect(page.locator("#worklist tr").first).to_be_attached()
    page.wait_for_timeout(300)

    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{state.__name__}_{size[0]}.png")

    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    waiting = page.locator(".alert")
    for n in range(waiting.count()):
        expect(waiting.nth(n).locator("h2")).to_be_in_viewport(ratio=1)
        expect(waiting.nth(n).locator(".patient")).to_be_in_viewport(ratio=1)
    if waiting.count():
        button = waiting.first.get_by_role("button", name="Acknowledge")
        expect(button).to_be_in_viewport(ratio=1)
    else:
        expect(page.locator(".banner")).to_be_in_viewport(ratio=1)
    page.close()
