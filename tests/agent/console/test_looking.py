"""The list in a real browser: searched, filtered, paged. The page in other languages, offline."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from agent.console.settings import LANGUAGES
from agent.console.words import words
from agent.wiring import system_clock
from tests.agent.console.browsing import IN_A_BROWSER, Console, alive, suspect
from tests.agent.reports import add_result, not_suspected, receive
from tests.program import until

pytestmark = IN_A_BROWSER


def many(console: Console, n: int) -> None:
    for k in range(n):
        uid = f"1.{k}"
        receive(console.store, system_clock, uid, f"PATIENT^N{k}", study=f"2.{k}")
        add_result(console.store, not_suspected(uid).model_copy(update={"study_uid": f"2.{k}"}))
    alive(console)


def test_the_list_is_paged_searched_and_filtered(page: Page, console: Console) -> None:
    many(console, 58)
    rows, more = page.locator("#worklist tr"), page.locator("#more")
    expect(more).to_contain_text("8 more studies")  # all were shown once
    expect(rows).to_have_count(50)

    more.get_by_role("button").click()
    expect(rows).to_have_count(58)
    expect(more).to_be_hidden()

    page.get_by_label("Search: name").fill("n57")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("PATIENT, N57")
    page.get_by_label("Search: name").fill("nobody")
    expect(page.locator("#none-found")).to_be_visible()

    page.get_by_label("Search: name").fill("")
    page.locator("#look [name=show]").select_option("suspected")
    expect(rows).to_have_count(0)
    suspect(console, "1.99", "NEW^ALERT")  # what is looked for comes in by itself
    expect(rows).to_have_count(1)
    expect(page.locator(".alert")).to_contain_text("NEW, ALERT")
    until(lambda: not console.store.queries.undelivered())


def test_what_was_typed_before_the_page_was_ready_is_looked_for(
    page: Page, console: Console
) -> None:
    """Regression: until somebody typed again, all were shown under what had been typed."""
    suspect(console)
    page.route("**/api/words", lambda route: (typed(page, "nobody"), route.continue_()))

    page.goto(console.url)

    expect(page.locator("#none-found")).to_be_visible()


def typed(page: Page, text: str) -> None:
    page.locator("#look [name=words]").evaluate("(field, text) => { field.value = text; }", text)


def test_an_alert_is_in_front_whatever_is_looked_for(page: Page, console: Console) -> None:
    suspect(console)
    page.get_by_label("Search: name").fill("nobody")

    expect(page.locator("#none-found")).to_be_visible()
    expect(page.locator(".alert")).to_contain_text("DOE, JANE")


def test_the_calm_page_tells_the_time_and_the_last_examination(
    page: Page, console: Console
) -> None:
    many(console, 1)

    expect(page.locator("#clock")).to_have_text(re.compile(r"\d\d:\d\d"))
    expect(page.locator("#last")).to_contain_text("Last examination: ")
    expect(page.locator("#last")).to_contain_text("✓ not suspected")


def test_a_language_is_chosen_and_kept(page: Page) -> None:
    page.locator("#language").select_option("de")

    expect(page.locator(".banner")).to_contain_text("Kein Alarm offen.")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#language")).to_have_value("de")


def test_the_glossary_has_every_text_in_every_language(page: Page, console: Console) -> None:
    page.goto(f"{console.url}static/glossary.html")
    heads = page.locator("#languages th")
    expect(heads).to_have_count(len(LANGUAGES))
    expect(page.locator("#texts tr")).to_have_count(len(words("de")))

    page.get_by_label("Search").fill("Quittieren")

    expect(page.locator("#texts tr:visible").first).to_contain_text("Acknowledge")
    assert Axe().run(page).response["violations"] == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_box_that_cannot_be_reached_is_told_where_the_page_was(
    console: Console, browser: Browser, theme: str
) -> None:
    page = browser.new_page(color_scheme="dark" if theme == "dark" else "light")
    page.goto(console.url)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.context.set_offline(True)

    page.goto(console.url)

    expect(page.locator(".banner")).to_contain_text("cannot be reached")
    expect(page).to_have_title("✖ NOT CONNECTED – Bleedwatch")
    page.close()


def test_it_can_be_installed(page: Page, console: Console) -> None:
    manifest = page.request.get(f"{console.url}static/manifest.webmanifest").json()

    assert (manifest["start_url"], manifest["display"]) == ("/", "standalone")
    assert page.request.get(console.url + manifest["icons"][0]["src"].lstrip("/")).ok
