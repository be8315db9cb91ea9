"""The radiologist's pages in a real browser: signed in, reading, and signing."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from agent.console.app import create_app
from agent.console.authorization import AccessPolicy
from agent.console.sessions import Sessions
from agent.store.drawings import DrawnSegment
from agent.store.readings import Judgement
from agent.voxels import HeadVolume
from agent.wiring import boot_id, system_clock
from tests import heads
from tests.agent.console.browsing import IN_A_BROWSER, THEMES
from tests.agent.console.made import context_of
from tests.agent.console.signed_in import PASSWORD, hashed
from tests.agent.console.stacks import keep
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import add_result, finding, not_suspected, receive, report
from tests.agent.stored import Store
from tests.program import until

pytestmark = IN_A_BROWSER

N, SIZE, PIXEL_MM = 20, 256, 0.9
FINDINGS = (
    finding(key_slice=9, place=(0.8, 0.3, 0.6)),
    finding(subtype="epidural", side="right", region="temporal", volume_ml=2.5, key_slice=4),
)


def head() -> tuple[HeadVolume, np.ndarray]:
    """A round head with a subdural bleed along its left."""
    grid = heads.axial_grid(5.0 * np.arange(N), rows=SIZE, columns=SIZE, pixel_mm=PIXEL_MM)
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    radius = np.hypot(row / 0.42, column / 0.34)
    noise = np.random.default_rng(1).normal(0, 5, (SIZE, SIZE))
    hu = np.select([radius < 0.9, radius < 1], [32 + noise, 900 + noise], -1000)
    bleed = (radius > 0.8) & (radius < 0.9) & (column > 0.1) & (abs(row) < 0.2)
    volume = np.broadcast_to(np.where(bleed, 68 + noise, hu), grid.shape_kji)
    labels = np.zeros(grid.shape_kji, np.uint8)
    labels[6:13, bleed] = 4
    return HeadVolume(volume.round().astype(np.int16), grid, ("",) * N, ()), labels


@dataclass
class Ward:
    """A console for named users, served to a real browser."""

    store: Store
    port: int
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        policy = AccessPolicy(sign_in=True)
        app = create_app(context_of(self.store, policy=policy, signed_to=("pacs",)))
        config = uvicorn.Config(
            app, "127.0.0.1", self.port, log_level="critical", timeout_graceful_shutdown=0
        )
        self.server = server = uvicorn.Server(config)
        self.thread = threading.Thread(target=server.run)
        self.thread.start()
        until(lambda: server.started)

    def stop(self) -> None:
        assert self.server
        assert self.thread
        self.server.should_exit = True
        self.thread.join()

    def page(self, browser: Browser, name: str, **options: object) -> Page:
        """Return a page of somebody who has signed in, led by a link from the PACS."""
        page = browser.new_page(viewport={"width": 1600, "height": 1200}, **options)
        token = Sessions(self.store.console.accounts, system_clock, boot_id()).begin(name)
        page.context.add_cookies([{"name": "bleedwatch", "value": token, "url": self.url}])
        page.goto(f"{self.url}/exam?accession=A1")
        return page


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder, port = tmp_path_factory.mktemp("ward"), free_port()
    with Store(folder / "store.sqlite", system_clock) as store:
        for name, role in (("rae", "radiologist"), ("ann", "technologist")):
            store.console.accounts.add_user(name, role, hashed(name), system_clock())
        receive(store, system_clock, "1.2.3.4", "MÜLLER^KARL")
        add_result(store, report(findings=FINDINGS))
        keep(store, *head())
        ward = Ward(store, port)
        ward.start()
        yield ward
        ward.stop()


@pytest.fixture
def rae(ward: Ward, browser: Browser) -> Iterator[Page]:
    for table in ("extents", "readings", "signed_reports", "drawings"):
        ward.store.sql(f"DELETE FROM {table}")
    ward.store.sql("DELETE FROM outbox WHERE signed > 0")
    page = ward.page(browser, "rae", reduced_motion="reduce")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    expect(page.locator("#findings .finding")).to_have_count(2)
    yield page
    page.close()
    assert complaints == []


def first_finding(page: Page) -> Locator:
    return page.locator("#findings .finding").first


def impression(page: Page) -> Locator:
    return page.locator("#draft .for-impression textarea")


def test_a_link_from_the_pacs_leads_through_the_sign_in(ward: Ward, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{ward.url}/exam?accession=A1")
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").press("Enter")

    page.wait_for_url("**/exam/1.2.3.4")
    for hostile in ("https://example.org/exam", "//example.org/exam", "javascript:alert(1)"):
        page.goto(f"{ward.url}/sign-in?to={hostile}")
        page.wait_for_url(f"{ward.url}/")
    page.close()


def test_all_slices_are_open_at_the_bleed_in_a_window_for_it(rae: Page) -> None:
    expect(rae.get_by_role("slider", name="Slices")).to_have_attribute(
        "aria-valuetext", "slice 10 of 20"
    )
    expect(rae.locator("#session")).to_contain_text("rae · radiologist")
    expect(rae.locator(".viewer [aria-pressed=true]").first).to_have_text("Subdural")
    expect(rae.locator("#reading .answer")).to_contain_text("▲ suspected")


def test_axe_finds_no_violation(rae: Page) -> None:
    first_finding(rae).get_by_role("button", name="Not blood").click()
    rae.get_by_role("button", name="Draw a missed bleed").click()
    expect(rae.locator(".drawing")).to_be_visible()
    assert violations(rae) == []

    rae.get_by_role("link", name="Reading list").click()
    expect(rae.locator("#list tr")).to_have_count(1)
    assert violations(rae) == []


def violations(page: Page) -> list[object]:
    """What axe finds by day and by night."""
    found = []
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found += Axe().run(page).response["violations"]
    return found


def test_a_name_or_a_note_is_text_and_nothing_else(rae: Page, ward: Ward) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e"
    dialogs: list[str] = []
    rae.on("dialog", lambda dialog: dialogs.append(dialog.message))
    ward.store.sql("UPDATE series SET patient_name = ?, description = ?", hostile, hostile)
    try:
        note = Judgement(judged="not_blood", finding=0, instead="other", note=hostile)
        ward.store.console.read("1.2.3.4", 1, hostile, note)
        for path in ("exam/1.2.3.4", "reading"):
            rae.goto(f"{ward.url}/{path}")
            expect(rae.locator("main")).to_contain_text("<img src")
            assert rae.locator("main img").count() == 0
        assert dialogs == []
    finally:
        ward.store.sql("UPDATE series SET patient_name = 'MÜLLER^KARL', description = 'HEAD 5.0'")


def test_each_finding_is_read_and_taken_back(rae: Page, ward: Ward) -> None:
    expect(impression(rae)).to_have_value(re.compile("^Suspected intracranial"))

    first_finding(rae).get_by_role("button", name="Correct", exact=True).click()
    expect(first_finding(rae).locator(".standing")).to_contain_text("correct – rae")
    expect(impression(rae)).to_have_value(re.compile("^Intracranial hemorrhage: subdural"))

    second = rae.locator("#findings .finding").nth(1)
    second.get_by_role("button", name="Not blood").click()
    second.get_by_label("What it is").select_option("calcification")
    second.get_by_role("button", name="Store").click()
    expect(second.locator(".standing")).to_contain_text("not blood: calcification")

    first_finding(rae).get_by_role("button", name="Take back").click()
    first_finding(rae).get_by_role("button", name="Other kind or side").click()
    first_finding(rae).get_by_label("Kind").select_option("epidural")
    first_finding(rae).get_by_label("Side").select_option("right")
    first_finding(rae).get_by_role("button", name="Store").click()
    expect(first_finding(rae).locator(".standing")).to_contain_text("changed: epidural, right")
    made = [one.judgement.judged for one in ward.store.queries.readings("1.2.3.4")]
    assert made == ["correct", "not_blood", "changed"]


def test_a_missed_bleed_is_marked_by_a_click_in_its_slice(rae: Page, ward: Ward) -> None:
    slider = rae.get_by_role("slider", name="Slices")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "slice 1 of 20")
    expect(slider).not_to_have_class(re.compile("waiting"))

    rae.get_by_role("button", name="Missed bleed …", exact=True).click()
    box = rae.locator(".viewer .stage canvas").bounding_box()
    assert box
    rae.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    rae.locator("#missed").get_by_label("Kind").select_option("subarachnoid")
    rae.locator("#missed").get_by_role("button", name="Store").click()

    expect(rae.locator("#missed .standing")).to_contain_text("missed: subarachnoid")
    (made,) = ward.store.queries.readings("1.2.3.4")
    k, row, column = made.judgement.voxel_kji or (-1, -1, -1)
    assert k == 0
    assert abs(row - 0.25 * SIZE) <= 2
    assert abs(column - 0.75 * SIZE) <= 2
    slider.press("Escape")
    rae.locator("#missed").get_by_role("button", name="slice 1").click()
    expect(slider).to_have_attribute("aria-valuetext", "slice 1 of 20")


def strokes(page: Page, *points: tuple[float, float]) -> None:
    """Draw a line through points of the slice, each a share of its width and height."""
    box = page.locator(".viewer .stage canvas").bounding_box()
    assert box
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def drawn_ml(page: Page) -> float:
    return float((page.locator(".drawing output").text_content() or "").split(" mL")[0])


def test_an_extent_is_drawn_from_the_outline_on_and_stored_beside_it(rae: Page, ward: Ward) -> None:
    first_finding(rae).get_by_role("button", name="Extent").click()
    expect(rae.locator(".drawing [aria-pressed=true]")).to_have_text("Brush")
    outlined_ml = drawn_ml(rae)
    _, labels = head()
    assert outlined_ml == pytest.approx(labels.astype(bool).sum() * 5 * PIXEL_MM**2 / 1000, abs=0.1)

    strokes(rae, (0.62, 0.35), (0.66, 0.5), (0.62, 0.62))
    with_brush_ml = drawn_ml(rae)
    assert with_brush_ml > outlined_ml + 1
    rae.keyboard.press("e")
    strokes(rae, (0.62, 0.35), (0.66, 0.5))
    assert outlined_ml < drawn_ml(rae) < with_brush_ml
    rae.keyboard.press("z")
    assert drawn_ml(rae) == with_brush_ml
    first_finding(rae).get_by_role("button", name="Store").click()

    expect(first_finding(rae).locator(".standing")).to_contain_text(f"changed: {with_brush_ml} mL")
    expect(impression(rae)).to_have_value(re.compile(f"subdural, left frontal, {with_brush_ml} mL"))
    expect(rae.locator(".drawing")).to_have_count(0)
    first_finding(rae).get_by_role("button", name="Show extent").click()
    expect(rae.get_by_role("slider", name="Slices")).to_have_attribute(
        "aria-valuetext", "slice 7 of 20"
    )
    (made,) = ward.store.queries.readings("1.2.3.4")
    assert made.volume_ml == pytest.approx(with_brush_ml, abs=0.06)
    assert ward.store.queries.history("1.2.3.4")[0].findings == FINDINGS


def test_a_lasso_on_two_slices_and_what_lies_between_is_a_bleeds_extent(
    rae: Page, ward: Ward
) -> None:
    rae.get_by_role("button", name="Draw a missed bleed").click()
    rae.locator(".drawing .lasso").click()
    slider = rae.get_by_role("slider", name="Slices")
    loop = (0.4, 0.3), (0.6, 0.3), (0.6, 0.5), (0.4, 0.5), (0.4, 0.32)
    strokes(rae, *loop)
    of_one_ml = drawn_ml(rae)
    side_mm = 0.2 * SIZE * PIXEL_MM
    assert of_one_ml == pytest.approx(side_mm**2 * 5 / 1000, rel=0.1)

    for _ in range(4):
        slider.press("ArrowUp")
    expect(slider).to_have_attribute("aria-valuetext", "slice 14 of 20")
    strokes(rae, *loop)
    rae.locator(".drawing .between").click()
    assert drawn_ml(rae) == pytest.approx(5 * of_one_ml, rel=0.02)
    slider.press("z")
    assert drawn_ml(rae) == pytest.approx(2 * of_one_ml, rel=0.02)
    slider.press("f")
    assert drawn_ml(rae) == pytest.approx(5 * of_one_ml, rel=0.02)


def test_a_missed_bleed_is_drawn_by_keyboard_alone(rae: Page, ward: Ward) -> None:
    begin = rae.get_by_role("button", name="Draw a missed bleed")
    begin.focus()
    begin.press("Enter")
    expect(rae.locator(".drawing [aria-pressed=true]")).to_have_text("Brush")
    slider = rae.get_by_role("slider", name="Slices")
    expect(slider).to_be_focused()
    for keys, k in (("Shift+ArrowRight Shift+ArrowRight ] Space PageUp", 19), ("Space z", 19)):
        expect(slider).not_to_have_class(re.compile("waiting"))
        for key in keys.split():
            rae.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"slice {k + 1} of 20")
    rae.locator("#missed").get_by_role("button", name="Store").press("Enter")

    expect(rae.locator("#missed .standing")).to_contain_text("missed: 0.5 mL")
    (made,) = ward.store.queries.readings("1.2.3.4")
    assert (made.judgement.voxel_kji or ())[0] == 9
    extent = ward.store.queries.extent("1.2.3.4", 1, made.reading_id)
    assert extent
    assert [one.k for one in extent.slices] == [9]


def test_a_report_is_edited_in_a_language_and_signed_and_signed_again(
    rae: Page, ward: Ward
) -> None:
    rae.locator("#draft .for-clinical textarea").fill("Sturz von der Leiter.")
    rae.get_by_label("Language").select_option("de")
    expect(impression(rae)).to_have_value(re.compile("^Verdacht auf intrakranielle Blutung"))
    expect(rae.locator("#draft .for-clinical textarea")).to_have_value("Sturz von der Leiter.")

    rae.get_by_role("button", name="Sign", exact=True).click()
    expect(rae.locator(".version summary")).to_contain_text("Version 1, signed by rae")
    expect(rae.locator(".version").first).to_contain_text("Sturz von der Leiter.")
    expect(rae.locator(".version .sent")).to_have_text("pacs: not sent yet")
    impression(rae).fill("Subduralhämatom links.")
    rae.get_by_role("button", name="Sign", exact=True).click()

    expect(rae.locator(".version")).to_have_count(2)
    first, second = ward.store.queries.signed_reports(["1.2.3.4"])
    assert first.language == second.language == "de"
    assert second.sections[-1].sentences[0].text == "Subduralhämatom links."


def test_a_technologist_sees_it_and_can_change_nothing(ward: Ward, browser: Browser) -> None:
    page = ward.page(browser, "ann")

    expect(page.locator("#may-not-read")).to_contain_text("by radiologists")
    expect(page.get_by_role("button", name="Correct", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Sign", exact=True)).to_be_disabled()
    page.goto(ward.url)
    expect(page.locator("#session")).to_contain_text("ann")
    expect(page.locator(".alert .patient")).to_be_visible()
    expect(page.locator(".alert .read")).to_be_hidden()
    page.close()


def test_an_alert_leads_a_radiologist_to_its_page_and_back(ward: Ward, browser: Browser) -> None:
    alerts = ward.page(browser, "rae")
    alerts.goto(ward.url)
    link = alerts.locator(".alert").get_by_role("link", name="Read findings and report")

    with alerts.context.expect_page() as opened:
        link.click()
    reading = opened.value
    expect(reading).to_have_url(f"{ward.url}/exam/1.2.3.4")
    expect(alerts).to_have_url(f"{ward.url}/")  # which goes on watching
    reading.get_by_role("link", name="Alerts").click()

    expect(alerts.locator(".alert")).to_be_visible()
    assert len(alerts.context.pages) == 2
    alerts.context.close()


def test_a_newer_result_is_told_and_not_shown_unasked(rae: Page, ward: Ward) -> None:
    newer = not_suspected("1.2.3.4").model_copy(update={"revision": 2, "result_id": "second"})
    add_result(ward.store, newer)
    try:
        expect(rae.locator("#newer")).to_contain_text("A newer result has come")
        expect(rae.locator("#reading .answer")).to_contain_text("▲ suspected")
        rae.get_by_role("button", name="Show it").click()
        expect(rae.locator("#reading .answer")).to_contain_text("✓ not suspected · score 0.02")
    finally:
        for change in (
            "DELETE FROM outbox WHERE revision = 2",
            "DELETE FROM results WHERE revision = 2",
        ):
            ward.store.sql(change)
        ward.store.sql("UPDATE series SET revision = 1, state = 'suspected'")


def test_what_another_reads_comes_by_itself_and_disturbs_no_answer_that_is_being_given(
    rae: Page, ward: Ward, browser: Browser
) -> None:
    second = rae.locator("#findings .finding").nth(1)
    second.get_by_role("button", name="Not blood").click()
    second.get_by_label("What it is").select_option("calcification")
    reading = ward.store.console.read("1.2.3.4", 1, "mo", Judgement(judged="correct", finding=0))
    expect(impression(rae)).to_have_value(re.compile("^Intracranial hemorrhage: subdural"))
    expect(first_finding(rae).locator(".standing")).to_have_count(0)

    second.get_by_role("button", name="Store").click()
    expect(second.locator(".standing")).to_contain_text("not blood: calcification")
    expect(first_finding(rae).locator(".standing")).to_contain_text("correct – mo")

    ward.stop()
    expect(rae.locator("#problem")).to_contain_text("Trying again")
    ward.store.console.take_back("1.2.3.4", 1, "mo", reading.reading_id)
    ward.start()
    expect(first_finding(rae).get_by_role("button", name="Correct", exact=True)).to_be_visible()
    expect(rae.locator("#problem")).to_have_text("")


@pytest.mark.parametrize(
    ("path", "shown", "api"), [("", "#exam", "exam"), ("/reading", "#list tr", "reading")]
)
def test_a_page_that_nobody_touches_asks_no_more_so_that_its_session_ends(
    rae: Page, ward: Ward, path: str, shown: str, api: str
) -> None:
    asked: list[str] = []
    rae.on("request", lambda request: asked.append(request.url))
    rae.clock.install()
    rae.goto(f"{ward.url}{path}" if path else rae.url)
    expect(rae.locator(shown).first).to_be_visible()

    rae.clock.fast_forward("15:01")
    rae.wait_for_load_state("networkidle")
    asked.clear()
    rae.clock.run_for(20_000)
    rae.wait_for_load_state("networkidle")
    assert asked == []

    with rae.expect_request(re.compile(f"/api/{api}")):
        rae.keyboard.press("Tab")
        rae.clock.run_for(5000)


def test_the_list_leads_to_an_examination(rae: Page, ward: Ward) -> None:
    rae.get_by_role("link", name="Reading list").click()

    row = rae.locator("#list tr").first
    expect(row).to_contain_text("▲ suspected")
    expect(row).to_contain_text("0 of 2 findings read · alert not answered")
    row.get_by_role("link").click()
    rae.wait_for_url("**/exam/1.2.3.4")
    rae.goto(f"{ward.url}/exam?accession=none-such")
    expect(rae.locator("#problem")).to_have_text("No examination here.")


def test_nothing_is_cut_off_on_a_narrow_screen(rae: Page) -> None:
    rae.emulate_media(color_scheme="dark")
    for width in (390, 768, 1280):
        rae.set_viewport_size({"width": width, "height": 900})
        rae.wait_for_timeout(200)

        assert rae.evaluate("document.documentElement.scrollWidth") <= width


def test_what_somebody_outlined_elsewhere_is_shown_below_as_theirs(ward: Ward, rae: Page) -> None:
    label = "Left <b>bleed</b>"
    segments = [DrawnSegment(label=one, volume_ml=ml) for one, ml in ((label, 27.5), ("b", 1.0))]
    ward.store.console.draw(("1.2.3.4", 1), "1.2.9", "Grey, Meredith", segments)
    rae.reload()

    drawn = rae.locator("#drawn .drawn")
    expect(drawn).to_contain_text("outlined by Grey, Meredith: 28.5 mL")
    expect(drawn.locator("li")).to_have_text([f"{label}: 27.5 mL", "b: 1.0 mL"])
    expect(rae.locator("#findings .finding")).to_have_count(2)
