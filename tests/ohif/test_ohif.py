"""A stranger's viewer shows our segmentation where the bleed is: OHIF on Orthanc, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright

from agent.deliver.commitments import Commitments
from agent.deliver.dicom.drawn import DrawnOn, measured, read_segmentation, series_referred_to
from agent.deliver.dimse import DicomArchive
from agent.deliver.result import StoredResult
from agent.deliver.settings import DicomChannel
from agent.errors import FileRefused
from tests.agent.console.browsing import CHROMIUM, IN_A_BROWSER, QUIET
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed
from tests.agent.deliver.results import HEIGHTS_MM, image_files, stored_result
from tests.ohif.viewer import SOFTWARE_GL, Drawn, Viewer, dist, serving_ohif
from tests.program import until

pytestmark = [*IN_A_BROWSER, needs_orthanc, unclosed, pytest.mark.timeout(900)]

HEADS = {
    "tilted": {"tilt_deg": 18.0},
    "unevenly spaced": {"heights_mm": HEIGHTS_MM["uneven"]},
    "300 thin slices": {"heights_mm": np.arange(300) * 0.5},
}

SHOTS = Path(__file__).parents[2] / ".shots"


def shown_on(result: StoredResult) -> list[tuple[int, int]]:
    """First and last slice of each finding."""
    slices = [
        np.flatnonzero((result.numbers == number).any(axis=(1, 2)))
        for number in range(1, len(result.report.findings) + 1)
    ]
    return [(int(on[0]), int(on[-1])) for on in slices]


def looked_at(result: StoredResult) -> list[int]:
    """The slices at which each finding begins and ends, those beside them, and its middle."""
    chosen = {0, len(result.numbers) - 1}
    for first, last in shown_on(result):
        chosen |= {first - 1, first, (first + last) // 2, last, last + 1}
    return sorted(chosen & set(range(len(result.numbers))))


def middle_lps_mm(result: StoredResult, k: int, number: int) -> list[float]:
    """Where the middle of a finding's area on a slice is."""
    j, i = np.argwhere(result.numbers[k] == number).mean(axis=0)
    of = result.images
    down, across = (np.array(of.column_direction), np.array(of.row_direction))
    step_j_mm, step_i_mm = of.pixel_spacing_mm
    at = np.array(of.images[k].position_lps_mm) + j * step_j_mm * down + i * step_i_mm * across
    return at.tolist()


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    flags = [flag for flag in QUIET if flag != "--disable-gpu"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*flags, *SOFTWARE_GL])
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=HEADS)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> Iterator[tuple[str, StoredResult, Viewer]]:
    folder, result = dist(), stored_result(**HEADS[request.param])
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        for image in image_files(result):
            archive.has(image)
        settings = DicomChannel(
            name="pacs", host="127.0.0.1", port=archive.port, ae_title="ORTHANC", commitment=False
        )
        channel = DicomArchive(settings, Commitments())
        channel.send(channel.letter(result))
        root = f"http://127.0.0.1:{archive.http_port}"
        with serving_ohif(folder, root) as address:
            page = browser.new_page(viewport={"width": 1000, "height": 700})
            yield request.param, result, Viewer(page, address, result.report.study_uid)
            page.close()


def test_segments_are_named_and_coloured(opened: tuple[str, StoredResult, Viewer]) -> None:
    _, _, viewer = opened

    subdural, ventricular = viewer.segments()
    assert subdural["label"] == "1 Subdural hemorrhage, left frontal"
    assert ventricular["label"] == "2 Intraventricular hemorrhage, right ventricles"
    assert subdural["rgb"] != ventricular["rgb"]
    until(lambda: viewer.lists(subdural["label"]) and viewer.lists(ventricular["label"]))


def test_each_finding_is_drawn_on_its_own_slices_in_its_place(
    opened: tuple[str, StoredResult, Viewer],
) -> None:
    name, result, viewer = opened
    colours = [one["rgb"] for one in viewer.segments()]
    middles_of_findings = [(first + last) // 2 for first, last in shown_on(result)]

    for k in looked_at(result):
        viewer.turn_to(result.images.images[k].sop_uid)
        there = [n for n in (1, 2) if (result.numbers[k] == n).any()]
        middles = [middle_lps_mm(result, k, n) for n in there]
        until(lambda: seen(viewer.drawn(middles), colours) == there)  # noqa: B023 - called at once
        if k in middles_of_findings:
            viewer.picture(SHOTS / f"ohif {name} {k}.png")
        drawn = viewer.drawn(middles)
        for n, wanted_px in zip(there, drawn.points_px, strict=True):
            assert drawn.of(colours[n - 1]).mean(axis=0) == pytest.approx(wanted_px, abs=3)


def test_what_it_saves_is_read_when_it_comes_back(
    opened: tuple[str, StoredResult, Viewer], tmp_path: Path
) -> None:
    """OHIF writes one of its own making, and the slices of an unevenly spaced head in reverse."""
    name, result, viewer = opened

    data = read_segmentation(viewer.saved(tmp_path / "saved.dcm"))

    series_uid = result.report.series_uid
    assert series_referred_to(data) == [series_uid]
    on = DrawnOn(series_uid, result.identity, result.images)
    if name == "unevenly spaced":
        with pytest.raises(FileRefused, match="unevenly spaced"):
            measured(data, on)
        return
    drawn = measured(data, on)
    expected_ml = [
        float((result.numbers == n).sum(axis=(1, 2)) @ result.images.voxels_ml) for n in (1, 2)
    ]
    assert [one.volume_ml for one in drawn.segments] == pytest.approx(expected_ml)
    assert drawn.segments[0].label == "1 Subdural hemorrhage, left frontal"


def seen(drawn: Drawn, colours: list[list[int]]) -> list[int]:
    """Number of each finding whose colour is there."""
    return [n for n, rgb in enumerate(colours, 1) if len(drawn.of(rgb))]
