"""Thick and thin slices of one scan, side by side in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from playwright.sync_api import Locator, Page, expect

from agent.records import Acquisition
from agent.report import GeometryReport
from agent.voxels import HeadVolume
from agent.wiring import system_clock
from tests import heads
from tests.agent.console.browsing import IN_A_BROWSER, Console
from tests.agent.console.stacks import keep
from tests.agent.reports import add_result, finding, identity, receive, report

pytestmark = IN_A_BROWSER

AT = datetime(2026, 11, 30, 12)  # noqa: DTZ001 - the scanner's clock, which has no zone
SERIES = {"1.1": ("THIN", 1.0, 0), "1.2": ("THICK", 5.0, 1)}
"""Name, distance of slices [mm], and which is preferred."""


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
        at = AT - timedelta(hours=hours_ago)
        acquisition = Acquisition(acquired=(at, at), thickness_mm=5.0)
        patient = replace(identity(), study_uid=f"{uid}.9")
        receive(console.store, system_clock, uid, identity=patient, acquisition=acquisition)
        volume_ml = 8.0 if hours_ago else 9.0
        found = finding(key_slice=6, subtype="intraparenchymal", volume_ml=volume_ml)
        told = report(uid, findings=(found,)).model_copy(update={"study_uid": patient.study_uid})
        add_result(console.store, told)
        grid = heads.axial_grid(np.arange(lowest_mm, lowest_mm + 60.1, 5.0), rows=64, columns=64)
        head = HeadVolume(np.full(grid.shape_kji, 40, np.int16), grid, ("",) * 13, ())
        labels = np.zeros(grid.shape_kji, np.uint8)
        keep(console.store, head, labels, uid, vertex_mm=vertex_mm)
    page.goto(f"{console.url}exam/1.2")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 7 of 13")  # 130 mm

    page.get_by_role("button", name="Previous examination beside it").click()
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 8 of 13")  # 35 mm
    slice_of(page, 0).press("ArrowUp")
    expect(slice_of(page, 1)).to_have_attribute("aria-valuetext", "slice 9 of 13")
    slice_of(page, 1).press("Home")
    expect(slice_of(page, 0)).to_have_attribute("aria-valuetext", "slice 1 of 13")  # 95 mm
    expect(page.locator("#images .aligned")).to_have_text(re.compile("not registered"))

    console.store.console.acknowledge("1.2", 1, "Ann", "")
    page.goto(console.url)
    answered = page.locator("#worklist tr", has_text="acknowledged by Ann")
    answered.get_by_role("button", name="Show").click()
    expect(page.locator(".opened .before")).to_contain_text("Before 8.0 mL")
