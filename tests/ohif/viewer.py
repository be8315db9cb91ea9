"""OHIF in a headless browser over an archive: what it was told, and what it draws."""

from __future__ import annotations

import http.server
import json
import mimetypes
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.agent.deliver.web import serving
from tests.program import until

PATIENCE_MS: Final = 120_000
"""A busy machine without a GPU takes long to draw."""

SOFTWARE_GL: Final = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)

CONFIGURATION: Final = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 1,
    "showCPUFallbackMessage": False,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "wadoUriRoot": "/wado",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
            },
        }
    ],
}

NO_TOUR: Final = """localStorage.setItem("shownTours", '["basicViewerTour"]');"""
"""Who opens OHIF for the first time is led around in it."""

SEGMENTS: Final = """() => {
    const { segmentationService, viewportGridService } = window.services;
    const viewport = viewportGridService.getActiveViewportId();
    return segmentationService.getSegmentations().flatMap(({ segmentationId, segments }) =>
        Object.values(segments).map(({ label, segmentIndex }) => ({
            label,
            rgb: [...segmentationService.getSegmentColor(viewport, segmentationId, segmentIndex)]
                .slice(0, 3),
        })));
}"""

ALL_LOADED: Final = """() => {
    const { cornerstoneViewportService, viewportGridService } = window.services;
    const viewport = cornerstoneViewportService.getCornerstoneViewport(
        viewportGridService.getActiveViewportId());
    return viewport.getImageIds().every((id) => window.cornerstone.cache.getImage(id));
}"""

SAVE: Final = """() => {
    const [{ segmentationId }] = window.services.segmentationService.getSegmentations();
    return window.commandsManager.runCommand("downloadSegmentation", { segmentationId });
}"""

TURN_TO: Final = """async (uid) => {
    const { cornerstoneViewportService, viewportGridService } = window.services;
    const viewport = cornerstoneViewportService.getCornerstoneViewport(
        viewportGridService.getActiveViewportId());
    const imageIndex = viewport.getImageIds().findIndex((id) => id.includes(`/${uid}/`));
    await window.cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex });
    return viewport.getCurrentImageId();
}"""

DRAWN: Final = """(points) => {
    const { cornerstoneViewportService, viewportGridService } = window.services;
    const viewport = cornerstoneViewportService.getCornerstoneViewport(
        viewportGridService.getActiveViewportId());
    const canvas = viewport.getCanvas(), { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const coloured = [];
    for (let at = 0; at < width * height; at += 1) {
        const rgb = [...data.subarray(4 * at, 4 * at + 3)];
        if (Math.max(...rgb) - Math.min(...rgb) > 60)
            coloured.push([at % width, Math.floor(at / width), ...rgb]);
    }
    const scale = width / canvas.clientWidth;
    return {
        coloured,
        points: points.map((point) => viewport.worldToCanvas(point).map((x) => x * scale)),
    };
}"""


def dist() -> Path:
    """The folder with OHIF as its makers built it; ``.ci/run`` fetches it."""
    named = os.environ.get("OHIF_DIST", "")
    if not named or not Path(named, "index.html").exists():
        pytest.skip("OHIF_DIST names no built OHIF; .ci/run and .ci/ohif fetch one by npm")
    return Path(named)


@contextmanager
def serving_ohif(folder: Path, archive: str) -> Iterator[str]:
    """Serve OHIF, and the archive's DICOMweb below the same address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web"):
                status, kind, body = self._asked_of_the_archive()
            elif path == "/app-config.js":
                config = f"window.config = {json.dumps(CONFIGURATION)};"
                status, kind, body = 200, "text/javascript", config.encode()
            else:
                file = folder / path.lstrip("/")
                file = file if file.is_file() else folder / "index.html"
                guessed = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                kind = "application/wasm" if file.suffix == ".wasm" else guessed
                status, body = 200, file.read_bytes()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            # Without both, a browser denies the memory that OHIF's threads share.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.end_headers()
            self.wfile.write(body)

        def _asked_of_the_archive(self) -> tuple[int, str, bytes]:
            wanted = {"Accept": self.headers.get("Accept", "*/*")}
            request = urllib.request.Request(archive + self.path, headers=wanted)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.headers["Content-Type"], answer.read()
            except urllib.error.HTTPError as error:
                return error.code, "text/plain", error.read()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as address:
        yield address


@dataclass(frozen=True)
class Drawn:
    """What is coloured on a slice, as (x, y, red, green, blue), and where points in mm lie."""

    coloured: np.ndarray
    points_px: np.ndarray

    def of(self, rgb: Sequence[int]) -> np.ndarray:
        """Pixels (x, y) that are more like this colour's hue than grey, or than any other's."""
        if not len(self.coloured):
            return np.zeros((0, 2))
        given, wanted = _hues(self.coloured[:, 2:]), _hues(np.array([rgb]))
        return self.coloured[given @ wanted[0] > 0.95, :2]


def _hues(rgb: np.ndarray) -> np.ndarray:
    """What is left of colours without their grey, as unit vectors."""
    without = rgb - rgb.mean(axis=1, keepdims=True)
    return without / np.linalg.norm(without, axis=1, keepdims=True)


class Viewer:
    """A study that is open in OHIF, with its segmentation."""

    def __init__(self, page: Page, address: str, study_uid: str) -> None:
        self._page = page
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(NO_TOUR)
        page.goto(f"{address}/viewer?StudyInstanceUIDs={study_uid}")
        page.wait_for_selector("canvas")
        page.get_by_text("Bleedwatch segmentati").first.dblclick()
        page.get_by_text("Yes", exact=True).click()
        page.wait_for_function(f"() => ({SEGMENTS})().length > 0")
        # It turns to a slice of the first segment; what is asked of it before is lost.
        until(lambda: len(self.drawn([]).coloured))

    def lists(self, label: str) -> bool:
        """Whether the panel of segments, which this opens, names one so."""
        panel = self._page.locator('[data-cy^="panelSegmentation"]').first
        if panel.is_visible():
            panel.click()
        return self._page.get_by_text(label).first.is_visible()

    def segments(self) -> list[dict[str, Any]]:
        """Label and colour of each segment."""
        return self._page.evaluate(SEGMENTS)

    def saved(self, path: Path) -> bytes:
        """Have it save the segmentation as a file of its own; returns that."""
        self._page.wait_for_function(ALL_LOADED)
        with self._page.expect_download() as download:
            self._page.evaluate(SAVE)
        download.value.save_as(path)
        return path.read_bytes()

    def turn_to(self, sop_uid: str) -> None:
        """Show an image; it may not be drawn yet."""
        until(lambda: f"/{sop_uid}/" in (self._page.evaluate(TURN_TO, sop_uid) or ""))

    def drawn(self, points_lps_mm: Sequence[Sequence[float]]) -> Drawn:
        """Return what is coloured now, and where points lie on the canvas."""
        found = self._page.evaluate(DRAWN, points_lps_mm)
        return Drawn(np.array(found["coloured"]).reshape(-1, 5), np.array(found["points"]))

    def picture(self, path: Path) -> None:
        """Keep what the window shows."""
        self._page.screenshot(path=path)
