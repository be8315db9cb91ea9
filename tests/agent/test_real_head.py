"""The real bleed-free head through the shipped networks: found whole, and left in peace."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.report import SeriesReport
from tests.agent.box import Box

REAL = Path(__file__).parents[3] / "shared" / "data" / "head_ct_ge_tilted"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not here")]


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    return sorted(REAL.glob("*.dcm"))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    return Box(tmp_path / "store.sqlite", bundle, OnnxBackend(bundle, threads=2))


def facts(report: SeriesReport) -> dict:
    return report.model_dump(exclude={"timings_s", "completed_by"})


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, paths: list[Path]) -> SeriesReport:
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    backend = OnnxBackend(bundle, threads=2)
    box = Box(tmp_path_factory.mktemp("real") / "store.sqlite", bundle, backend)
    box.export(paths)
    box.wait()
    return box.report()


def test_it_is_not_suspected(result: SeriesReport) -> None:
    assert result.state == "not_suspected"


def test_its_midline_is_told_and_not_shifted(result: SeriesReport) -> None:
    assert result.midline_shift_mm is not None
    assert result.midline_shift_mm < 2.0


def test_its_tilt_and_spacing_come_from_its_positions(result: SeriesReport) -> None:
    assert result.geometry
    assert result.geometry.slices == 28
    assert result.geometry.tilt_deg == pytest.approx(18.5, abs=0.1)
    assert result.geometry.missing == ()
    spacing_mm = result.geometry.spacing_mm
    assert spacing_mm[:13] == pytest.approx([4.0] * 13, abs=0.01)
    assert spacing_mm[14:] == pytest.approx([7.0] * 13, abs=0.01)


def test_shuffled_order_gives_the_same_result_to_the_bit(
    box: Box, paths: list[Path], result: SeriesReport
) -> None:
    box.export(random.Random(7).sample(paths, len(paths)))
    box.wait()

    assert facts(box.report()) == facts(result)


@pytest.mark.parametrize("missing", [6, 20], ids=["thin-part", "thick-part"])
def test_with_one_slice_missing_the_gap_is_named(box: Box, paths: list[Path], missing: int) -> None:
    box.export(path for n, path in enumerate(paths) if n != missing)
    box.wait()

    report = box.report()
    assert report.state == "not_analysed"
    assert "slices missing between" in (report.text or "")


def test_as_jpeg_ls_it_gives_the_same_result(
    box: Box, paths: list[Path], tmp_path: Path, result: SeriesReport
) -> None:
    coded = []
    for path in paths:
        image = dcmread(path)
        image.compress(JPEGLSLossless, generate_instance_uid=False)
        coded.append(tmp_path / path.name)
        image.save_as(coded[-1])

    box.export(coded)
    box.wait()

    assert facts(box.report()) == facts(result)
