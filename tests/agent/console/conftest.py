"""A browser, and the real program's console over a real store, for every test of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect

from agent.wiring import system_clock
from tests.agent.console.browsing import HEADLESS, QUIET, Console, alive
from tests.agent.doctor.scratch import free_port
from tests.agent.stored import Store
from tests.program import PATIENCE_S

# What Chromium itself says where a server was stopped: of a file, and of the offline page's script.
OUT_OF_REACH = ("Failed to load", "An unknown error occurred when fetching the script")


expect.set_options(timeout=1000 * PATIENCE_S)  # 5 s are too few on a very busy machine


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    opened = playwright.chromium.launch(executable_path=HEADLESS, args=QUIET)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    with Store(folder / "bleedwatch.sqlite", system_clock) as store:
        opened = Console(folder, free_port(), store)
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

    def complain(said: ConsoleMessage) -> None:
        if said.type == "error" and not said.text.startswith(OUT_OF_REACH):
            complaints.append(said.text)

    opened.on("console", complain)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: complaints.append(request.url)
              if not request.url.startswith(console.url) else None)  # fmt: skip
    alive(console)
    opened.goto(console.url)
    yield opened
    opened.close()
    assert complaints == []
