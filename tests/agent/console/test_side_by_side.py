"""Thick and thin slices of one scan, side by side in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from scipy import ndimage

from agent.packing import unpacked
from agent.records import Acquisition
from agent.report import GeometryReport
from agent.voxels import HeadVolume
from agent.wiring import system_clock
from tests import heads
from tests.agent.console.browsing import IN_A_BROWSER, Console
from tests.agent.console.stacks import keep
from tests.agent.reports import add_result, finding, identity, receive, report
from tests.agent.test_registration import NOW, head_at, motion, planes, points_of

pytestmark = IN_A_BROWSER

AT = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - the scanner's clock, which has no zone
SERIES = {"1.1": ("THIN", 1.0, 0), "1.2": ("THICK", 5.0, 1)}
"""Name, distance of slices [mm], and which is preferred."""
PIXEL_MM = 1.8
SPOT_MM = np.array([60.0, 90.0, 130.0])
"""Where blood lies in a head that was scanned twice: (height, down, across)."""


def scan(console: Console, **tilts_deg: float) -> None:
    """Keep thin slices from 0 to 60 mm, and thick ones from 10 to 60 mm, of one scan."""
    for uid, (name, apart_mm, preference) in SERIES.items():
        acquisition = Acquisition(
            frozenset({1}), frozenset({"1.9"}), (AT, AT), None, apart_mm, preference
        )
        receive(console.store, system_clock, uid, description=name, acquisition=acquisition)
        found = finding(key_slice=30 if name == "THIN" else 4, subtype="intraparenchymal")
        tilt_deg = tilts_deg.get(name, 0.0)
        geometry = GeometryReport(slices=9, tilt_deg=tilt_deg, spacing_mm=(), missing=())
        add_result(console.store, report(uid, findings=(found,), geometry=geometry))
        heights_mm = np.arange(0.0 if name == "THIN" else 10.0, 60.1, apart_mm)
        grid = heads.axial_grid(heights_mm, rows=64, columns=64)
        hu = np.full(grid.shape_kji, 40, np.int16)
        labels = np.zeros(grid.shape_kji, np.uint8)
        keep(console.store, HeadVolume(hu, grid, ("",) * len(hu), ()), labels, uid)


def scan_of_jane_doe(
    console: Console,
    uid: str,
    hours_ago: int,
    stack: tuple[np.ndarray, np.ndarray, np.ndarray],
    vertex_mm: float | None = None,
) -> None:
    """Keep a scan of one patient, of a study of its own; what came earlier has less blood.

    ``stack`` is the slices' heights [mm], their HU and where blood is.
    """
    heights_mm, hu, bleed = stack
    at = AT - timedelta(hours=hours_ago)
    acquisition = Acquisition(acquired=(at, at), thickness_mm=5.0)
    patient = replace(identity(), study_uid=f"{uid}.9")
    receive(console.store, system_clock, uid, identity=patient, acquisition=acquisition)
    found = finding(
        key_slice=len(hu) // 2, subtype="intraparenchymal", volume_ml=8.0 if hours_ago else 9.0
    )
    told = report(uid, findings=(found,)).model_copy(update={"study_uid": patient.study_uid})
    add_result(console.store, told)
    rows, columns = hu.shape[1:]
    grid = heads.axial_grid(heights_mm, rows=rows, columns=columns, pixel_mm=PIXEL_MM)
    head = HeadVolume(hu, grid, ("",) * len(hu), ())
    keep(console.store, head, bleed.astype(np.uint8), uid, vertex_mm=vertex_mm)


def slice_of(page: Page, n: int) -> Locator:
    return page.get_by_role("slider", name="Slices").nth(n)


def test_they_are_scrolled_together_by_position(page: Page, console: Console) -> None:
    scan(console)
    page.goto(f"{console.url}exam/1.1")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 31 of 61")
    for _ in range(5):
        slice_of(page, 0).press("ArrowDown")

    page.get_by_role("button", name=re.compile("Beside it: 5 mm · THICK")).click()
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 4 of 11")  # 25 mm
    for key, (thin, thick) in {"PageUp": (36, 6), "ArrowUp": (37, 6), "Home": (1, 1)}.items():
        slice_of(page, 0).press(key)
        expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", f"slice {thin} of 61")
        expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", f"slice {thick} of 11")
    slice_of(page, 1).press("End")

    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 61 of 61")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_slices_that_are_tilted_otherwise_are_not_put_beside(page: Page, console: Console) -> None:
    scan(console, THICK=12.0)
    page.goto(f"{console.url}exam/1.1")

    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 31 of 61")
    expect(page.get_by_role("button", name=re.compile("Beside it"))).to_have_count(0)


def test_the_previous_examination_is_scrolled_in_step_by_the_height_below_the_vertex(
    page: Page, console: Console
) -> None:
    for uid, hours_ago, lowest_mm, vertex_mm in (("1.1", 5, 0.0, 60.0), ("1.2", 0, 100.0, 155.0)):
        heights_mm = np.arange(lowest_mm, lowest_mm + 60.1, 5.0)
        hu = np.full((13, 64, 64), 40, np.int16)
        nowhere = np.zeros(hu.shape, np.bool_)
        scan_of_jane_doe(console, uid, hours_ago, (heights_mm, hu, nowhere), vertex_mm)
    page.goto(f"{console.url}exam/1.2")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 7 of 13")  # 130 mm

    page.get_by_role("button", name="Previous examination beside it").click()
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 8 of 13")  # 35 mm
    slice_of(page, 0).press("ArrowUp")
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 9 of 13")
    slice_of(page, 1).press("Home")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 1 of 13")  # 95 mm
    said = "do not fit upon one another → look whether both are this patient's"
    expect(page.locator("#images .aligned")).to_contain_text(said)

    console.store.console.acknowledge("1.2", 1, "Ann", "")
    page.goto(console.url)
    answered = page.locator("#worklist tr", has_text="acknowledged by Ann")
    answered.get_by_role("button", name="Show").click()
    expect(page.locator(".opened .before")).to_contain_text("Before 8.0 mL")


def test_the_previous_examination_is_laid_over_this_one_where_both_fit(
    page: Page, console: Console
) -> None:
    turned = motion((0.0, 6.0, 9.0), (8.0, -6.0, 4.0))
    former = planes(np.arange(-10.0, 140.0, 5.0))
    for uid, hours_ago, of, moved in (
        ("2.1", 5, former, turned),
        ("2.2", 0, NOW, motion((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))),
    ):
        hu = head_at(moved.back(points_of(of))).astype(np.int16)
        away_mm = np.linalg.norm(points_of(of) - moved.of(SPOT_MM), axis=-1)
        scan_of_jane_doe(console, uid, hours_ago, (of.heights_mm, hu, away_mm < 12))
    page.goto(f"{console.url}exam/2.2")
    page.get_by_role("button", name="Previous examination beside it").click()

    expect(page.locator("#images .aligned")).to_contain_text("Registered")
    expect(page.locator("#images .aligned")).to_contain_text(re.compile("turned by 1[01]°"))
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 14 of 26")  # 65 mm
    slice_of(page, 1).press("ArrowUp")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 15 of 26")
    slice_of(page, 0).press("ArrowDown")
    api = f"{console.url}api/series/2.2/1/before"
    laid = unpacked(page.request.get(f"{api}/slices/12.hu").body(), (NOW.rows, NOW.columns))
    expected = head_at(points_of(NOW)[12])
    brain = ndimage.binary_erosion(expected == 34, iterations=5)
    assert np.abs(laid[brain] - 34).max() <= 1
    outline = np.asarray(
        Image.open(BytesIO(page.request.get(f"{api}/slices/12/outline.png").body()))
    )
    middle_mm = np.argwhere(outline > 0).mean(axis=0) * NOW.spacing_mm
    assert np.linalg.norm(middle_mm - SPOT_MM[1:]) < 2.0
    outlined = page.request.get(f"{api}/slices").json()["outlined"]
    assert {10, 11, 12, 13, 14} <= set(outlined) <= set(range(8, 17))
    assert page.request.get(f"{api}/slices/26.hu").status == 404
    assert page.request.get(f"{console.url}api/series/2.1/1/before").status == 404


def test_slices_that_are_kept_only_later_are_registered_then(page: Page, console: Console) -> None:
    hu = head_at(points_of(NOW)).astype(np.int16)
    for uid, hours_ago in (("3.1", 5), ("3.2", 0)):
        scan_of_jane_doe(console, uid, hours_ago, (NOW.heights_mm, hu, np.zeros(hu.shape, bool)))
    console.store.sql("CREATE TABLE aside AS SELECT * FROM volumes WHERE series_uid = '3.1'")
    console.store.sql("DELETE FROM volumes WHERE series_uid = '3.1'")
    api = f"{console.url}api/series/3.2/1/before"

    assert page.request.get(api).json()["said"]["code"] == "not_registered_not_kept"
    console.store.sql("INSERT INTO volumes SELECT * FROM aside")
    console.store.sql("DROP TABLE aside")

    assert page.request.get(api).json()["said"]["code"] == "registered"
