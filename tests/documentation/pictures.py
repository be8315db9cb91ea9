"""The page as the documentation shows it: the demo's studies, read by the bundle in use.

``python -m tests.documentation.pictures`` takes ``console.png``, ``daylight.png``, ``phone.png``,
``slices.png`` and ``exam.png`` in ``.docs``, after the page or the bundle has changed.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from build_engine.play.console_client import ConsoleClient
from build_engine.play.demo import READY_S, demo_studies, play_study
from build_engine.play.local_agent import local_agent
from tests.agent.console.browsing import CHROMIUM, QUIET
from tests.program import until

DOCS = Path(__file__).parents[2] / ".docs"
KIOSK: ViewportSize = {"width": 1280, "height": 1024}
PHONE: ViewportSize = {"width": 390, "height": 844}


def main() -> None:
    """Take the pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local_agent(Path(folder) / "agent") as agent,
        ConsoleClient(agent.port, lambda _: None) as client,
        sync_playwright() as playwright,
    ):
        agent.wait_for("agent ready", lambda shown: client.well(shown) or None, READY_S)
        for study in reversed(demo_studies(short=True)):  # the bleed last, with its alert in front
            play_study(agent, client, study)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport=KIOSK, reduced_motion="reduce", color_scheme="dark")
        page.goto(agent.address)
        take(page)
        take_examination(page, agent.address)
        browser.close()


def take(page: Page) -> None:
    """Take the page with its alert, by daylight and on a phone too, then with all slices."""
    expect(page.locator(".alert img")).to_have_count(3)
    page.mouse.click(KIOSK["width"] / 2, KIOSK["height"] - 10)  # browsers let no page sound before
    until(lambda: page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"))
    page.screenshot(path=DOCS / "console.png")
    page.emulate_media(color_scheme="light")
    page.screenshot(path=DOCS / "daylight.png")
    page.set_viewport_size(PHONE)
    page.screenshot(path=DOCS / "phone.png")
    page.set_viewport_size(KIOSK)
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="All slices").click()
    slider = page.get_by_role("slider", name="Slices")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("slice"), timeout=60_000)
    page.wait_for_timeout(1000)  # until the slice is drawn with its outline
    page.screenshot(path=DOCS / "slices.png")


def take_examination(page: Page, address: str) -> None:
    """Take the radiologist's page of the first examination to be read, one finding of it read."""
    page.set_viewport_size({"width": 1600, "height": 1200})
    page.goto(f"{address}reading")
    page.locator("#list a").first.click()
    slider = page.get_by_role("slider", name="Slices")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("slice"), timeout=60_000)
    page.get_by_label("Your name").fill("Dr. Rae")
    page.get_by_role("button", name="Correct", exact=True).first.click()
    expect(page.locator(".standing")).to_have_count(1)
    page.wait_for_timeout(1000)
    page.screenshot(path=DOCS / "exam.png")


if __name__ == "__main__":
    main()
