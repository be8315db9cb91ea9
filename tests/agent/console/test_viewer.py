"""The pictures of an alert in a real browser: three views, and all slices to scroll through."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from agent.packing import OUTLINE_RGB
from agent.records import EXTRA_AXIAL
from tests.agent.console.browsing import (
    IN_A_BROWSER,
    VIEWS,
    Console,
    suspect,
)
from tests.agent.console.stacks import BLEED, OUTLINED, SIZE, grey_of, keep_stack
from tests.agent.reports import add_result, finding, not_suspected
from tests.program import until

pytestmark = IN_A_BROWSER

N = 24
KEY = 5
LONG_AGO = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def kept(console: Console) -> Console:
    """A suspicion whose slices are kept."""
    suspect(console, findings=(finding(key_slice=KEY, subtype="intraparenchymal"),))
    keep_stack(console.store, n=N)
    return console


def opened(page: Page) -> Locator:
    """Open all slices; returns what is focused and scrolled."""
    page.get_by_role("button", name="All slices").click()
    slider = page.get_by_role("slider", name="Slices")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("slice"))
    return slider


def at(k: int, n: int = N) -> str:
    return f"slice {k + 1} of {n}"


def rgb(page: Page, row: int, column: int) -> tuple[int, ...]:
    """Read a pixel of what is drawn."""
    values = page.evaluate(
        "([x, y]) => [...document.querySelector('.viewer canvas').getContext('2d')"
        ".getImageData(x, y, 1, 1).data]",
        [column, row],
    )
    return tuple(values[:3])


def until_drawn(page: Page, k: int, window: str = "brain") -> None:
    until(lambda: rgb(page, 2, 2) == (grey_of(k, window),) * 3)


def test_the_key_slice_stands_beside_two_reformats(page: Page, kept: Console) -> None:
    for alt, grey in zip(("Key slice", "Coronal", "Sagittal"), VIEWS.values(), strict=True):
        picture = page.get_by_role("img", name=re.compile(alt))
        expect(picture).to_be_visible()
        until(lambda picture=picture: picture.evaluate("image => image.naturalWidth") == 64)
        drawn = picture.evaluate(
            "image => { const on = new OffscreenCanvas(1, 1).getContext('2d');"
            "on.drawImage(image, 0, 0); return on.getImageData(0, 0, 1, 1).data[0]; }"
        )
        assert drawn == grey


def test_all_slices_open_at_the_key_slice(page: Page, kept: Console) -> None:
    slider = opened(page)

    expect(slider).to_have_attribute("aria-valuetext", at(KEY))
    expect(slider).to_be_focused()
    expect(page.locator(".viewer .where")).to_contain_text(f"{at(KEY)} · {5.0 * KEY:.1f} mm")
    until_drawn(page, KEY)


def test_a_neighbour_that_stands_in_for_a_slice_is_named_as_what_it_is(
    page: Page, kept: Console
) -> None:
    held_back: list[Route] = []

    def hold_back(route: Route) -> None:
        held_back.append(route)

    page.route(re.compile(rf"/slices/{KEY}\.hu"), hold_back)

    slider = opened(page)

    words, grey = page.evaluate(
        "() => [document.querySelector('.viewer .where').textContent, document"
        ".querySelector('.viewer canvas').getContext('2d').getImageData(2, 2, 1, 1).data[0]]"
    )
    shown = {f"{at(k)} · {5.0 * k:.1f} mm": grey_of(k, "brain") for k in range(N) if k != KEY}
    assert shown[words.rpartition(" · ")[0]] == grey
    expect(slider).to_have_class(re.compile("waiting"))

    for route in held_back:
        route.continue_()
    until_drawn(page, KEY)
    expect(slider).to_have_attribute("aria-valuetext", at(KEY))
    expect(slider).not_to_have_class(re.compile("waiting"))


def test_a_click_on_the_key_slice_opens_all_slices(page: Page, kept: Console) -> None:
    page.get_by_role("img", name=re.compile("Key slice")).click()

    expect(page.get_by_role("slider", name="Slices")).to_be_visible()


def test_a_wheel_scrolls_a_slice_a_notch(page: Page, kept: Console) -> None:
    slider = opened(page)
    expect(slider).to_have_attribute("aria-valuetext", at(KEY))
    slider.hover()

    for _ in range(3):
        page.mouse.wheel(0, -120)
    expect(slider).to_have_attribute("aria-valuetext", at(KEY + 3))
    until_drawn(page, KEY + 3)
    page.mouse.wheel(0, 120)
    expect(slider).to_have_attribute("aria-valuetext", at(KEY + 2))
    assert page.evaluate("scrollY") == 0


KEYS = {
    "ArrowUp ArrowUp": KEY + 2,
    "ArrowRight": KEY + 3,
    "ArrowDown ArrowLeft": KEY + 1,
    "PageUp": KEY + 11,
    "PageDown": KEY + 1,
    "Home": 0,
    "ArrowDown PageDown": 0,
    "End": N - 1,
    "ArrowUp PageUp": N - 1,
}
"""Keys pressed one after another, and the slice that is then shown."""


def test_keys_scroll(page: Page, kept: Console) -> None:
    slider = opened(page)

    for keys, k in KEYS.items():
        for key in keys.split():
            slider.press(key)
        expect(slider).to_have_attribute("aria-valuetext", at(k))
        until_drawn(page, k)


def test_a_finger_scrolls(page: Page, kept: Console) -> None:
    slider = opened(page)
    expect(slider).to_have_attribute("aria-valuetext", at(KEY))
    box = slider.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points: float) -> None:
        values = {"type": kind, "touchPoints": [{"x": x, "y": at_y} for at_y in points]}
        touch.send("Input.dispatchTouchEvent", values)

    send("touchStart", y)
    for moved in range(5, 105, 5):
        send("touchMove", y - moved)
    send("touchEnd")

    expect(slider).to_have_attribute("aria-valuetext", at(KEY + 5))  # 20 px to a slice


def test_the_range_beside_the_slices_scrolls_and_is_marked_where_they_bleed(
    page: Page, kept: Console
) -> None:
    slider = opened(page)

    page.locator(".viewer .track input").fill(str(N - 2))

    expect(slider).to_have_attribute("aria-valuetext", at(N - 2))
    mark = page.locator(".viewer .marks i")
    expect(mark).to_have_count(1)
    shares = mark.evaluate("mark => [mark.style.left, mark.style.width].map(parseFloat)")
    wanted = [100 * (OUTLINED[0] - 0.5) / (N - 1), 100 * len(OUTLINED) / (N - 1)]
    assert shares == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("by", ["button", "key"])
def test_windows_change_the_grey_values(page: Page, kept: Console, by: str) -> None:
    slider = opened(page)
    slider.press("End")
    until_drawn(page, N - 1)

    for key, window in (("2", "subdural"), ("3", "bone"), ("1", "brain")):
        name = window.capitalize()
        if by == "key":
            slider.press(key)
        else:
            page.get_by_role("button", name=name, exact=True).click()
        until_drawn(page, N - 1, window)
        expect(page.locator(".viewer [aria-pressed=true]")).to_have_text(
            [name, "Outline", "Scroll"]
        )
        expect(slider).to_have_attribute("aria-valuetext", at(N - 1))


def test_the_outline_can_be_taken_off_and_put_on(page: Page, kept: Console) -> None:
    slider = opened(page)
    row, beside = BLEED[0].start + 3, BLEED[1].stop
    until_drawn(page, KEY)  # until then a neighbour may stand in for it, named as what it is
    until(lambda: rgb(page, row, beside) == OUTLINE_RGB)
    assert rgb(page, row, beside - 2) == (grey_of(KEY, "brain"),) * 3

    slider.press("o")
    until(lambda: rgb(page, row, beside) == (grey_of(KEY, "brain"),) * 3)
    slider.press("ArrowUp")
    until_drawn(page, KEY + 1)
    assert rgb(page, row, beside) == (grey_of(KEY + 1, "brain"),) * 3

    page.get_by_role("button", name="Outline").click()
    until(lambda: rgb(page, row, beside) == OUTLINE_RGB)


def test_what_the_networks_hold_for_probable_and_where_they_disagree_is_shown_on_demand(
    page: Page, kept: Console
) -> None:
    slider = opened(page)
    until_drawn(page, KEY)
    legend = page.locator(".viewer .legend")
    expect(legend).to_be_hidden()
    top, low = 10, SIZE - 10  # both networks see blood at the left of the top
    grey = (grey_of(KEY, "brain"),) * 3

    page.get_by_role("button", name="Probability").click()
    until(lambda: rgb(page, top, top) != grey)
    assert (rgb(page, top, low), rgb(page, low, top), rgb(page, low, low)) == (grey,) * 3
    expect(legend).to_contain_text("Uncoloured does not mean free of blood")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    slider.press("d")
    until(lambda: rgb(page, top, top) == grey)
    red, _, blue = rgb(page, top, low)
    assert red < blue  # the slice network alone
    red, _, blue = rgb(page, low, top)
    assert red > blue  # the volume network alone
    expect(legend).to_contain_text("slice network alone")
    page.get_by_label("Opacity").fill("1")
    until(lambda: rgb(page, low, top) == (255, 140, 26))

    slider.press("Home")
    until_drawn(page, 0)
    expect(legend).to_contain_text("did not look at this slice")
    slider.press("d")
    expect(legend).to_be_hidden()


def drag(page: Page, by: tuple[int, int], button: str = "left") -> None:
    """Drag over the middle of the slice."""
    box = page.locator(".viewer .stage").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up(button=button)


def width_of(page: Page) -> float:
    """Return how wide the slice is on the screen, as it is zoomed [px]."""
    return page.evaluate("document.querySelector('.viewer canvas').getBoundingClientRect().width")


@pytest.mark.parametrize("kind", ["epidural", EXTRA_AXIAL])
def test_extra_axial_blood_opens_in_the_subdural_window(
    page: Page, console: Console, kind: str
) -> None:
    suspect(console, findings=(finding(key_slice=KEY, subtype=kind),))
    keep_stack(console.store, n=N)

    opened(page)

    until_drawn(page, KEY, "subdural")


def test_a_drag_changes_the_window_and_fetches_nothing(page: Page, kept: Console) -> None:
    opened(page)
    until_drawn(page, KEY)
    until(lambda: page.evaluate("document.querySelector('.viewer').held.blobs") == N)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    drag(page, (40, -20), "right")

    words = page.locator(".viewer .where")
    expect(words).to_contain_text("level 30, width 100 HU")
    hu = 4 * KEY + 3
    until(lambda: rgb(page, 2, 2) == (round(((hu - 30) / 100 + 0.5) * 255),) * 3)
    expect(page.locator(".viewer [aria-pressed=true]")).to_have_text(["Outline", "Scroll"])
    page.keyboard.press("3")
    until_drawn(page, KEY, "bone")
    assert not [url for url in asked if "/slices/" in url]


def test_the_value_under_the_cursor_is_told_in_hu(page: Page, kept: Console) -> None:
    slider = opened(page)
    until_drawn(page, KEY)
    under = page.locator(".viewer .under")

    slider.hover()
    expect(under).to_have_text(f"{4 * KEY + 3} HU")
    page.mouse.move(5, 5)
    expect(under).to_have_text("")


def test_a_slice_is_zoomed_moved_and_fitted_again(page: Page, kept: Console) -> None:
    slider = opened(page)
    until_drawn(page, KEY)
    whole = width_of(page)

    slider.press("+")
    slider.press("+")
    assert width_of(page) == pytest.approx(whole * 1.25**2)
    left = page.evaluate("document.querySelector('.viewer canvas').getBoundingClientRect().x")
    slider.press("m")
    drag(page, (30, 0))
    moved = page.evaluate("document.querySelector('.viewer canvas').getBoundingClientRect().x")
    assert moved == pytest.approx(left + 30)
    slider.press("0")
    assert width_of(page) == pytest.approx(whole)
    slider.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    until(lambda: width_of(page) > whole * 1.2)


def test_a_ruler_measures_in_millimetres_at_any_zoom(page: Page, kept: Console) -> None:
    slider = opened(page)
    until_drawn(page, KEY)
    slider.press("r")

    for zoom in ("0", "+"):
        slider.press(zoom)
        drag(page, (60, 80))
        mm = 100 * 64 * 1.8 / width_of(page)  # 64 columns of 1.8 mm
        told = page.locator(".viewer .over text").text_content() or ""
        assert float(told.removesuffix(" mm")) == pytest.approx(mm, rel=0.02)
        bar = page.locator(".viewer .bar")
        bar_mm = float((bar.text_content() or "").removesuffix(" mm"))
        box = bar.bounding_box()
        assert box
        assert box["width"] == pytest.approx(bar_mm * width_of(page) / (64 * 1.8), abs=1)
    slider.press("s")
    expect(page.locator(".viewer .over text")).to_have_count(0)


def test_slices_play_by_themselves_until_they_are_stopped(page: Page, kept: Console) -> None:
    slider = opened(page)
    play = page.get_by_role("button", name="Play")
    slider.press("p")
    expect(play).to_have_attribute("aria-pressed", "true")
    expect(slider).to_have_attribute("aria-valuetext", at(KEY + 3))

    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")
    stopped = slider.get_attribute("aria-valuetext")
    page.wait_for_timeout(400)
    assert slider.get_attribute("aria-valuetext") == stopped


def test_keys_are_told_on_demand(page: Page, kept: Console) -> None:
    slider = opened(page)
    expect(page.locator(".viewer .hints")).to_be_hidden()

    slider.press("?")

    expect(page.locator(".viewer .hints")).to_contain_text("outline on and off")


def test_all_of_it_works_by_keyboard_alone(page: Page, kept: Console) -> None:
    expect(page.locator(".alert")).to_be_visible()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "All slices":
            break
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name="Slices")
    expect(slider).to_be_focused()

    page.keyboard.press("PageUp")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Brain")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until_drawn(page, KEY + 10, "subdural")
    page.keyboard.press("ArrowUp")
    until_drawn(page, KEY + 11, "subdural")
    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="All slices")).to_be_focused()
    expect(page.get_by_role("img", name=re.compile("Key slice"))).to_be_visible()


def test_slices_that_are_not_kept_are_said_not_to_be(page: Page, console: Console) -> None:
    suspect(console)
    console.store.sql("UPDATE results SET at_utc = ?", LONG_AGO)

    page.get_by_role("button", name="All slices").click()

    expect(page.get_by_role("status").last).to_contain_text("are not kept")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("img", name=re.compile("Key slice"))).to_be_visible()


def test_slices_that_are_still_being_stored_are_waited_for(page: Page, console: Console) -> None:
    suspect(console, findings=(finding(key_slice=KEY),))
    page.get_by_role("button", name="All slices").click()
    expect(page.get_by_role("status").last).to_contain_text("still being stored")

    keep_stack(console.store, n=N)

    expect(page.get_by_role("slider", name="Slices")).to_have_attribute("aria-valuetext", at(KEY))


def test_slices_that_are_forgotten_while_they_are_looked_at_are_said_to_be(
    page: Page, kept: Console
) -> None:
    opened(page)
    until_drawn(page, KEY)
    for change in (f"UPDATE results SET at_utc = '{LONG_AGO}'", "DELETE FROM volumes"):
        kept.store.sql(change)

    page.keyboard.press("Escape")
    page.get_by_role("button", name="All slices").click()

    expect(page.get_by_role("status").last).to_contain_text("are not kept")


def test_each_revision_shows_its_own_slices(page: Page, kept: Console) -> None:
    expect(page.locator(".alert")).to_be_visible()
    suspect(kept, revision=2, findings=(finding(key_slice=1),))
    keep_stack(kept.store, revision=2, n=9)
    expect(page.locator(".alert")).to_contain_text("revised: result 2")

    expect(opened(page)).to_have_attribute("aria-valuetext", at(1, 9))

    third = not_suspected("1.2.3.4").model_copy(update={"revision": 3, "result_id": "third"})
    add_result(kept.store, third)
    expect(page.locator(".alert")).to_contain_text("says not suspected")
    page.keyboard.press("End")
    expect(page.get_by_role("slider", name="Slices")).to_have_attribute("aria-valuetext", at(8, 9))


def test_a_suspicion_without_an_outline_opens_in_the_middle(page: Page, console: Console) -> None:
    suspect(console, findings=())
    keep_stack(console.store, n=N)

    expect(page.locator(".alert")).to_contain_text("look at every slice")
    expect(page.locator(".alert img")).to_have_count(0)
    expect(opened(page)).to_have_attribute("aria-valuetext", at(N // 2))


def test_what_the_viewer_holds_goes_with_the_alert(page: Page, kept: Console) -> None:
    opened(page)
    until_drawn(page, KEY)
    viewer = page.evaluate_handle("document.querySelector('.viewer')")
    assert viewer.evaluate("viewer => viewer.held.decoded") > 0

    kept.store.console.acknowledge("1.2.3.4", 1, "Ann", "")

    expect(page.locator(".alert")).to_have_count(0)
    assert viewer.evaluate("viewer => viewer.held") == {"blobs": 0, "decoded": 0}
    assert viewer.evaluate("viewer => viewer.childElementCount") == 0


@pytest.mark.parametrize("size", [(1280, 1024), (1920, 1080)], ids=["1280x1024", "1920x1080"])
def test_the_alert_fits_the_screen_with_its_views_and_with_its_slices(
    page: Page, kept: Console, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})

    for look in (lambda: None, lambda: expect(opened(page)).to_be_visible()):
        look()
        box = page.locator(".alert").bounding_box()
        assert box
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
