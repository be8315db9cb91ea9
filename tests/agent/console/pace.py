"""How soon an alert and its key image are painted, and how fast slices scroll, in a real browser.

``python -m tests.agent.console.pace`` on a machine that does nothing else. Nothing is asserted.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

from agent.draw.key_slice import render_key_slice
from agent.draw.reformats import render_reformat
from agent.voxels import HeadVolume
from agent.wiring import system_clock
from tests import heads
from tests.agent.console.browsing import CHROMIUM, QUIET, Console, alive
from tests.agent.console.stacks import keep
from tests.agent.doctor.scratch import free_port
from tests.agent.reports import add_result, finding, receive, report
from tests.agent.stored import Store
from tests.program import until

N_COMMITS = 30
N_SLICES, SIZE = 300, 512

PAINTED = """() => {
  window.painted = {};
  const at = () => performance.timeOrigin + performance.now();
  const next = (key) => requestAnimationFrame(() => requestAnimationFrame(() => {
    window.painted[key] = at();
  }));
  new MutationObserver(() => {
    const card = document.querySelector('#front .alert');
    const key = card?.dataset.result?.split(' ')[0];
    if (!key || key in window.painted) return;
    window.painted[key] = 0;
    next(key);
    const image = card.querySelector('.viewer .axial');
    image.decode().then(() => next(`${key} image`));
  }).observe(document, { childList: true, subtree: true, attributes: true });
}"""
"""Notes when each alert, and its key image, was painted [ms since 1970]."""

SCROLL = """async () => {
  const stage = document.querySelector('.viewer .stage');
  const press = { bubbles: true };
  const key = (name) => stage.dispatchEvent(new KeyboardEvent('keydown', { key: name, ...press }));
  const frame = () => new Promise(requestAnimationFrame);
  key('Home');
  while (stage.ariaValueNow !== '1') await frame();
  const shown = [];
  const watch = new MutationObserver(() => shown.push(stage.ariaValueNow));
  watch.observe(stage, { attributeFilter: ['aria-valuenow'] });
  const began = performance.now();
  for (let k = 1; k < 300; k += 1) { key('ArrowUp'); await frame(); }
  while (stage.ariaValueNow !== '300') await frame();
  const took_s = (performance.now() - began) / 1000;
  watch.disconnect();
  return { slices_per_s: new Set(shown).size / took_s, shown: new Set(shown).size, took_s };
}"""


def thin_head() -> tuple[HeadVolume, np.ndarray]:
    """Noisy slices of a head, and a bleed's labels."""
    heights_mm = 0.6 * np.arange(N_SLICES) - 90
    grid = heads.axial_grid(heights_mm, rows=SIZE, columns=SIZE, pixel_mm=0.45)
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    noise = np.random.default_rng(1).normal(0, 6, (SIZE, SIZE))
    hu = np.where(np.hypot(rows / 0.42, columns / 0.33) < 1, 32 + noise, -1000 + noise)
    volume = np.array([np.roll(hu, k, axis=1) for k in range(N_SLICES)]).round().astype(np.int16)
    labels = np.zeros(grid.shape_kji, np.uint8)
    labels[100:160, 200:260, 300:330] = 1
    return HeadVolume(volume, grid, tuple(map(str, range(N_SLICES))), ()), labels


def alerts_ms(page: Page, store: Store, pictures: dict[str, bytes]) -> list[tuple[float, float]]:
    """Commit suspicions, each answered before the next; return ms to each alert and key image."""
    taken = []
    for n in range(N_COMMITS):
        uid = f"1.2.3.{n + 10}"
        receive(store, system_clock, uid, f"DOE^JANE{n}", study=uid)
        time.sleep(1.5)  # until the page shows that, and has time again
        add_result(store, report(uid, study_uid=uid, findings=(finding(key_slice=0),)), pictures)
        committed_ms = time.time() * 1000
        painted = [f"window.painted['{uid}{of}']" for of in ("", " image")]
        until(lambda shown=painted: page.evaluate(" && ".join(shown)))
        at_ms, image_ms = page.evaluate(f"[{', '.join(painted)}]")
        taken.append((at_ms - committed_ms, image_ms - committed_ms))
        store.console.acknowledge(uid, 1, "Ann", "")
        expect(page.locator("#front .alert")).to_have_count(0)
    return taken


def scrolls(page: Page, store: Store, head: HeadVolume, labels: np.ndarray) -> list[dict]:
    """Scroll through all slices straight after opening, and when that was done twice."""
    receive(store, system_clock, "1.2.3.4")
    add_result(store, report(findings=(finding(key_slice=0),)))
    keep(store, head, labels)
    page.get_by_role("button", name="All slices").click()
    slider = page.get_by_role("slider", name="Slices")
    expect(slider).to_have_attribute("aria-valuetext", f"slice 1 of {N_SLICES}")
    cold, _, warm = (page.evaluate(SCROLL) for _ in range(3))
    return [cold, warm]


def tell(what: str, taken_ms: Sequence[float]) -> None:
    """Print the median and the most."""
    median_ms, most_ms = statistics.median(taken_ms), max(taken_ms)
    print(f"{what:40} median {median_ms:4.0f} ms, most {most_ms:4.0f} ms of {len(taken_ms)}")


def main() -> None:
    """Measure, and print."""
    head, labels = thin_head()
    pictures = {"axial": render_key_slice(head.hu[130], labels[130] > 0, (0.45, 0.45))}
    pictures |= {
        view: render_reformat(head, labels, (0.0, 0.0, 0.0), view)
        for view in ("coronal", "sagittal")
    }
    with (
        tempfile.TemporaryDirectory() as name,
        Store(Path(name) / "bleedwatch.sqlite", system_clock) as store,
        sync_playwright() as playwright,
    ):
        console = Console(Path(name), free_port(), store)
        console.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 1024})
        page.add_init_script(f"({PAINTED})()")
        alive(console)
        page.goto(console.url)
        expect(page.locator(".banner")).to_contain_text("Watching")
        try:
            taken = alerts_ms(page, store, pictures)
            tell("result committed → alert painted", [alert for alert, _ in taken])
            tell("result committed → key image painted", [image for _, image in taken])
            tell("alert painted → key image painted", [image - alert for alert, image in taken])
            cold, warm = scrolls(page, store, head, labels)
            for when, run in (("as they come", cold), ("the third time", warm)):
                told = f"{run['shown']} shown, {run['slices_per_s']:.0f} a second"
                print(f"{N_SLICES} slices of {SIZE}², {when}: {told}")
        finally:
            browser.close()
            console.stop()


if __name__ == "__main__":
    main()
