"""Twelve tasks of whoever sits at the page, each in clicks, typed characters and seconds.

``python -m tests.agent.console.usability`` carries them out in Chromium at 1280 x 1024 and prints a
table. A task that cannot be done, or not without scrolling where it says *seen*, fails it.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from agent.console.app import create_app
from agent.console.authorization import LOOPBACK, AccessPolicy
from agent.console.sessions import Sessions
from agent.records import Acquisition
from agent.wiring import boot_id, system_clock
from tests.agent.console.browsing import HEADLESS, QUIET, VIEWS, Console, alive, png
from tests.agent.console.made import context_of
from tests.agent.console.signed_in import hashed
from tests.agent.console.stacks import keep_stack
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import (
    add_result,
    finding,
    identity,
    not_analysed,
    not_suspected,
    receive,
    report,
)
from tests.agent.stored import Store
from tests.program import until

DECIDE_S, POINT_S, PRESS_S, HOME_S, TYPE_S = 1.35, 1.1, 0.2, 0.4, 0.28
"""A decision, a movement of the mouse, a press of its button, a hand's way to the keyboard, and a
typed character [s]. Source: Card, Moran and Newell, The keystroke-level model for user performance
time with interactive systems, CACM 23:396 (1980); characters of an average typist."""

AT = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - the scanner's clock, which has no zone
N_OTHERS = 60
"""Patients in the list beside those of the tasks: more than it shows at once."""


@dataclass
class Hand:
    """Who does the tasks, at one page."""

    page: Page
    clicks: int = 0
    typed: int = 0

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def choose(self, what: Locator, value: str) -> None:
        """Choose from a list, which takes two clicks."""
        what.select_option(value)
        self.clicks += 2

    def type(self, where: Locator, text: str) -> None:
        """Click into a field and type."""
        self.click(where)
        where.press_sequentially(text)
        self.typed += len(text)

    def sees(self, what: Locator, text: str) -> None:
        """Read an answer, which is on the screen without scrolling."""
        expect(what).to_contain_text(re.compile(text))
        expect(what).to_be_in_viewport()

    @property
    def own_s(self) -> float:
        """How long the person takes [s], by the model: a decision before each click, and one to
        read the answer."""
        typing_s = (2 * HOME_S if self.typed else 0.0) + self.typed * TYPE_S
        return DECIDE_S + self.clicks * (DECIDE_S + POINT_S + PRESS_S) + typing_s


def front(hand: Hand) -> Locator:
    return hand.page.locator(".alert:not(.behind)")


def row(hand: Hand, name: str) -> Locator:
    return hand.page.locator("#worklist tr", has_text=name).first


def opened(hand: Hand, name: str) -> Locator:
    """Open the card of a row."""
    hand.click(row(hand, name).get_by_role("button", name="Show"))
    return hand.page.locator(".opened")


def side(hand: Hand) -> None:
    hand.sees(front(hand).locator(".findings li").first, "left")


def volume(hand: Hand) -> None:
    hand.sees(front(hand).locator(".findings bdi").first, "40.0 mL")


def who_is_next(hand: Hand) -> None:
    strip = hand.page.locator("#pinned .strip:visible").first
    hand.sees(strip, "SECOND, PATIENT.*1950")


def what_to_do(hand: Hand) -> None:
    hand.sees(front(hand).locator(".next"), "4711")


def grown(hand: Hand) -> None:
    hand.sees(front(hand).locator(".before"), "Before 8.0 mL.*grew 32.0 mL")


def acknowledge(hand: Hand) -> None:
    hand.type(front(hand).get_by_label("Your name"), "Ann")
    hand.click(front(hand).get_by_role("button", name="Acknowledge"))
    hand.sees(front(hand).locator(".patient"), "SECOND")


def take_back(hand: Hand) -> None:
    answers = opened(hand, "FIRST").locator(".answers")
    hand.click(answers.get_by_role("button", name="Take the answer back"))
    hand.click(answers.get_by_role("button", name="Store"))
    hand.sees(hand.page.locator("#pinned .strip:visible").first, "FIRST")


def undo_a_dismissal(hand: Hand) -> None:
    answers = opened(hand, "DISMISSED").locator(".answers")
    hand.click(answers.get_by_role("button", name="Take the answer back"))
    hand.click(answers.get_by_role("button", name="Store"))
    expect(hand.page.locator("#pinned .strip", has_text="DISMISSED")).to_be_attached()


def not_analysed_head(hand: Hand) -> None:
    hand.click(hand.page.locator("#pinned .strip", has_text="NOT ANALYSED"))
    hand.sees(front(hand).locator(".findings"), "slices missing between 70.0 and 80.0 mm")
    hand.sees(front(hand).locator(".pictures"), "Look at them on the scanner")


def search(hand: Hand) -> None:
    hand.type(hand.page.get_by_label("Search: name"), "other n03")
    expect(hand.page.locator("#worklist tr")).to_have_count(1)
    expect(row(hand, "OTHER, N03")).to_be_visible()


def score(hand: Hand) -> None:
    hand.sees(opened(hand, "OTHER, N59").locator(".numbers"), "score 0.02")


def images_of_not_suspected(hand: Hand) -> None:
    hand.click(opened(hand, "OTHER, N59").get_by_role("button", name="All slices"))
    expect(hand.page.get_by_role("slider", name="Slices")).to_be_visible()


def sign(hand: Hand) -> None:
    hand.click(hand.page.locator("#list a[href='/exam/1.2']"))
    hand.click(hand.page.get_by_role("button", name="Sign", exact=True))
    expect(hand.page.locator(".version summary")).to_contain_text("signed by rae")


def compare(hand: Hand) -> None:
    hand.click(hand.page.locator("#list a[href='/exam/1.2']"))
    hand.click(hand.page.get_by_role("button", name="Previous examination beside it"))
    expect(hand.page.get_by_role("slider", name="Slices")).to_have_count(2)


Task = Callable[[Hand], None]

AT_THE_SCANNER: Final[dict[str, Task]] = {
    "Which side is the bleed on?": side,
    "How large is it?": volume,
    "Who is next: name, ID, birth date": who_is_next,
    "What is to be done next?": what_to_do,
    "Has it grown since the examination before?": grown,
    "Acknowledge, for the first time in a shift": acknowledge,
    "Take back that answer": take_back,
    "Undo a dismissal": undo_a_dismissal,
    "A head that was not analysed: why, and where its images are": not_analysed_head,
    "Find a patient of whom the list shows nothing": search,
    "The score of a head that is not suspected": score,
    "The images of a head that is not suspected": images_of_not_suspected,
}
AT_THE_READING_LIST: Final[dict[str, Task]] = {
    "Sign the draft of the most urgent": sign,
    "Compare with the examination before, side by side": compare,
}


def add_examinations(store: Store) -> None:
    """Store what the tasks are about: what is most urgent came first, and is no longer last."""
    for n in range(N_OTHERS):
        uid = f"5.{n}"
        receive(store, system_clock, uid, f"OTHER^N{n:02d}", study=f"{uid}.9")
        add_result(store, not_suspected(uid).model_copy(update={"study_uid": f"{uid}.9"}))
    keep_stack(store, f"5.{N_OTHERS - 1}")
    for uid, hours_ago, volume_ml in (("1.1", 5, 8.0), ("1.2", 0, 40.0)):
        at = AT - timedelta(hours=hours_ago)
        found = finding(
            key_slice=5, volume_ml=volume_ml, volume_interval_ml=(volume_ml - 1, volume_ml + 1)
        )
        patient = replace(identity("FIRST^PATIENT", "P-100"), study_uid=f"{uid}.9")
        acquisition = Acquisition(acquired=(at, at), thickness_mm=5.0)
        receive(store, system_clock, uid, identity=patient, acquisition=acquisition)
        told = report(uid, findings=(found,), total_volume_ml=volume_ml)
        add(store, told.model_copy(update={"study_uid": patient.study_uid}))
    store.console.acknowledge("1.1", 1, "Bob", "")
    for uid, name, volume_ml in (("2.1", "SECOND^PATIENT", 5.0), ("3.1", "DISMISSED^PATIENT", 4.0)):
        found = finding(key_slice=5, volume_ml=volume_ml, side="right")
        receive(store, system_clock, uid, name, study=f"{uid}.9")
        add(
            store,
            report(
                uid,
                study_uid=f"{uid}.9",
                findings=(found,),
                total_volume_ml=volume_ml,
                midline_shift_mm=None,
            ),
        )
    store.console.acknowledge("3.1", 1, "Ann", "artefact")
    receive(store, system_clock, "4.1", "UNREAD^PATIENT", study="4.1.9")
    add_result(store, not_analysed("4.1").model_copy(update={"study_uid": "4.1.9"}))


def add(store: Store, told: object) -> None:
    add_result(store, told, {view: png(grey) for view, grey in VIEWS.items()})
    keep_stack(store, told.series_uid)


@contextmanager
def served(store: Store, policy: AccessPolicy) -> Iterator[str]:
    """Serve the page of a store; gives its address."""
    port = free_port()
    app = create_app(context_of(store, policy=policy, call="Call neurosurgery: 4711"))
    config = uvicorn.Config(
        app, "127.0.0.1", port, log_level="critical", timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def carried_out(page: Page, url: str, task: Task) -> tuple[Hand, float]:
    """Carry a task out on a page that has just been loaded; the page's own seconds."""
    page.goto(url)
    expect(page.locator("#worklist tr, #list tr").first).to_be_visible()
    hand = Hand(page)
    began_s = time.monotonic()
    task(hand)
    return hand, time.monotonic() - began_s


def done(browser: Browser) -> Iterator[tuple[str, Hand, float]]:
    """Carry out every task: its name, what the hand did, and the page's own seconds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(Store(folder / "bleedwatch.sqlite", system_clock))
        store.console.accounts.add_user("rae", "radiologist", hashed("rae"), system_clock())
        add_examinations(store)
        alive(Console(folder, 0, store))
        open_url = stack.enter_context(served(store, LOOPBACK))
        own_url = stack.enter_context(served(store, AccessPolicy(sign_in=True)))
        page = browser.new_page(viewport={"width": 1280, "height": 1024}, locale="en")
        stack.callback(page.close)
        token = Sessions(store.console.accounts, system_clock, boot_id()).begin("rae")
        page.context.add_cookies([{"name": "bleedwatch", "value": token, "url": own_url}])
        for url, tasks in ((open_url, AT_THE_SCANNER), (f"{own_url}/reading", AT_THE_READING_LIST)):
            for name, task in tasks.items():
                yield name, *carried_out(page, url, task)


def main() -> None:
    """Carry out every task, and print the table."""
    print("| task | clicks | typed | person [s] | page [s] |\n| --- | --- | --- | --- | --- |")
    with browsing() as browser:
        for name, hand, page_s in done(browser):
            print(f"| {name} | {hand.clicks} | {hand.typed} | {hand.own_s:.1f} | {page_s:.1f} |")


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=HEADLESS, args=QUIET)
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
