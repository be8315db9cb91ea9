"""The page in a real browser, served by the real program over a real store."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent.records import TEST_MARK, Instant
from agent.report import SeriesReport
from agent.store import Selftest, Store
from agent.wiring import system_clock
from tests.agent.reports import finding, live, not_analysed, not_suspected, receive, report

CHROMIUM = shutil.which("chromium")

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@dataclass
class Console:
    """The console's process, and the store it reads."""

    folder: Path
    port: int
    store: Store
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        config = self.folder / "agent.toml"
        config.write_text(
            f'export_folder = "{self.folder}"\nstate_folder = "{self.folder}"\n'
            f"[console]\nport = {self.port}\n"
        )
        command = [sys.executable, "-m", "agent", "console", "--config", str(config)]
        self.process = subprocess.Popen(command)
        until(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def empty(self) -> None:
        """Forget everything, as if nothing had run yet."""
        tables = "outbox acknowledgements results transitions notices files agent selftests series"
        for table in tables.split():
            self.store._db._db.execute(f"DELETE FROM {table}")


def until(fact: Callable[[], object]) -> None:
    """Wait for what another process brings about."""
    deadline_s = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Store(folder / "bleedwatch.sqlite", system_clock) as store:
        opened = Console(folder, port, store)
        opened.start()
        yield opened
        opened.stop()


@pytest.fixture
def console(served: Console) -> Console:
    served.empty()
    return served


@pytest.fixture
def page(console: Console, browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 1024})
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text)
              if said.type == "error" and "Failed to load" not in said.text else None)  # fmt: skip
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: complaints.append(request.url)
              if not request.url.startswith(console.url) else None)  # fmt: skip
    live(console.store, system_clock)
    opened.goto(console.url)
    yield opened
    opened.close()
    assert complaints == []


def suspect(
    console: Console, uid: str = "1.2.3.4", name: str = "DOE^JANE", **changes: object
) -> None:
    picture = BytesIO()
    Image.new("L", (64, 64), 90).save(picture, "PNG")
    receive(console.store, system_clock, uid, name)
    console.store.conclude(report(uid, **changes), picture.getvalue(), ["console"])
    live(console.store, system_clock)


def test_a_suspected_bleed_comes_to_the_front_with_its_picture(
    page: Page, console: Console
) -> None:
    suspect(console)

    alert = page.locator(".alert")
    expect(alert).to_contain_text("SUSPECTED HEMORRHAGE")
    expect(alert).to_contain_text("DOE, JANE")
    expect(alert).to_contain_text("Subdural, left frontal: 31.4 mL (24–39)")
    expect(alert).to_contain_text("midline shift 6 mm")
    expect(alert).to_contain_text("since the last slice")
    page.wait_for_function("document.querySelector('.alert img').naturalWidth > 0")
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
    expect(page).to_have_title("(1) SUSPECTED – Bleedwatch")


def test_a_self_test_that_failed_is_told_beside_what_is_going_on(
    page: Page, console: Console
) -> None:
    suspect(console)

    console.store.note_selftest(Selftest(system_clock(), "not suspected: score 0.31"))

    expect(page.locator("#selftest")).to_have_text("▼ SELF-TEST FAILED: not suspected: score 0.31")
    expect(page.locator(".alert")).to_be_visible()


def test_what_was_shown_is_delivered(page: Page, console: Console) -> None:
    suspect(console)

    expect(page.locator(".alert")).to_be_visible()
    until(lambda: not console.store.undelivered())


def test_what_no_page_has_shown_is_not_delivered(console: Console, browser: Browser) -> None:
    suspect(console)
    with urllib.request.urlopen(f"{console.url}api/events") as stream:
        assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
        assert any(b"SUBDURAL" in line.upper() for line in stream)
    assert len(console.store.undelivered()) == 1

    page = browser.new_page()
    page.goto(console.url)

    until(lambda: not console.store.undelivered())
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
    row = console.store.series("1.2.3.4")
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
    console.store.begin_analysis("1.2")
    receive(console.store, system_clock, "1.3")
    console.store.conclude(not_suspected("1.3"), None, ["console"])
    receive(console.store, system_clock, "1.4")
    console.store.conclude(not_analysed("1.4"), None, ["console"])
    live(console.store, system_clock)

    worklist = page.locator("#worklist")
    expect(worklist).to_contain_text("… receiving")
    expect(worklist).to_contain_text("17 of 32")
    expect(worklist).to_contain_text("… analysing")
    expect(worklist).to_contain_text("✓ not suspected")
    expect(worklist).to_contain_text("? not analysed")
    expect(worklist).to_contain_text("because 1 slice missing between 70.0 and 80.0 mm")
    expect(worklist).to_contain_text("send the whole series again")
    expect(page.locator(".banner")).to_contain_text("No alert is waiting")


def test_an_alert_stays_in_front_while_its_series_is_received_again(
    page: Page, console: Console
) -> None:
    suspect(console)
    receive(console.store, system_clock)

    expect(page.locator("#worklist")).to_contain_text("… receiving")
    expect(page.locator(".alert")).to_be_visible()


@pytest.mark.parametrize(
    ("later", "words"),
    [(not_suspected, "says not suspected"), (not_analysed, "says not analysed, because 1 slice")],
    ids=["not-suspected", "not-analysed"],
)
def test_an_alert_stays_in_front_whatever_a_later_result_says(
    page: Page, console: Console, later: Callable[[str], SeriesReport], words: str
) -> None:
    suspect(console)
    second = later("1.2.3.4").model_copy(update={"revision": 2, "result_id": "later"})
    console.store.conclude(second, None, ["console"])

    expect(page.locator(".alert")).to_contain_text(words)
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Acknowledge").click()

    expect(page.locator(".alert")).to_have_count(0)


def test_a_missing_picture_is_a_word(page: Page, console: Console) -> None:
    receive(console.store, system_clock)
    console.store.conclude(report(), None, ["console"])

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
    expect(page.locator(".banner")).to_contain_text("CONNECTION LOST", timeout=15_000)
    console.start()
    live(console.store, system_clock)

    expect(page.locator(".banner")).not_to_contain_text("CONNECTION LOST", timeout=30_000)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("<img src=x onerror=alert(1)>", "<img src (x onerror)"),  # "=" parts the scripts of a name
        ("\u202eEVIL^RIGHT TO LEFT", "\ufffdEVIL, RIGHT TO LEFT"),
        ("X" * 10_000, "X" * 120 + "…"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎)"),
        ("=王^小东", "王, 小东"),
        ("김^희중", "김, 희중"),
        ("DOE^JANE^ANN^DR", "DOE, JANE ANN DR"),
        ("", "Name not given"),
    ],
    ids=["script", "image", "bidi", "long", "japanese", "chinese", "korean", "title", "none"],
)
def test_hostile_and_foreign_names_are_shown_as_text(
    page: Page, console: Console, name: str, shown: str
) -> None:
    suspect(console, name=name)

    expect(page.locator(".alert .patient")).to_have_text(shown)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1280, "a name pushes the page out of shape"
