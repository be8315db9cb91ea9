"""agent.infer.cpu_side: OpenVINO where it was verified on this computer, else the reference."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import structlog

from agent.errors import InferenceError
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.cpu_side import FILE, CpuSide, CpuVerification, Where, cpu_side, objection
from agent.infer.gpu_side import GpuSettings, GpuSide
from agent.infer.networks import Networks
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.openvino_backend import installed_version
from agent.reasons import english
from tests.tiny import write_tiny_bundle

pytestmark = pytest.mark.skipif(installed_version() is None, reason="openvino is not installed")

QUIET = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_tiny_bundle(tmp_path))


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    folder = tmp_path / "plans"
    folder.mkdir()
    return folder


def report(plans: Path, bundle: Bundle, *, where: dict | None = None, **changes: object) -> None:
    """Leave a report as ``engine openvino`` does, of a verification that passed."""
    here = Where.here(bundle, str(installed_version())).model_copy(update=where or {})
    verification = CpuVerification(
        where=here,
        made_at=datetime.now(timezone.utc),
        heads=50,
        faults=(),
        largest_probability_difference=1e-6,
        largest_volume_difference_ml=0.0,
        head_ms=100.0,
        reference_ms=170.0,
    ).model_copy(update=changes)
    (plans / FILE).write_text(verification.model_dump_json())


def networks(bundle: Bundle, plans: Path, cpu: CpuSide) -> Networks:
    reference = OnnxBackend(bundle, threads=1)
    settings = GpuSettings(plans, None, 0.5, allowed=False, expected=False)
    gpu = GpuSide(settings, bundle, reference, lambda: pytest.fail("no GPU is wanted"))
    return Networks(reference, gpu, lambda: 0.0, QUIET, cpu)


def ran(some: Networks, bundle: Bundle) -> str:
    block = np.full(bundle.contract.volume.shape, 0.5, np.float32)
    return some.run("any", lambda one: (one.run_volume(block), one.run_by.backend)[1])


def test_verified_here_openvino_runs_the_networks(bundle, plans):
    report(plans, bundle)

    some = networks(bundle, plans, cpu_side("auto", bundle, plans, threads=1))
    some.refresh()

    assert ran(some, bundle) == f"OpenVINO {installed_version()}"
    assert some.run_by.backend == f"OpenVINO {installed_version()}"
    assert some.degraded is None


@pytest.mark.parametrize(
    ("where", "changes", "why"),
    [
        ({"networks": ("0" * 64, "1" * 64)}, {}, "verified with networks 000000000000, this is "),
        ({"machine_id": "another"}, {}, "verified with computer another, this is "),
        ({"processor": "8086"}, {}, "verified with processor 8086, this is "),
        ({"openvino": "2024.0"}, {}, "verified with OpenVINO 2024.0, this is "),
        ({"onnxruntime": "1.0"}, {}, "verified with ONNX Runtime 1.0, this is "),
        ({}, {"heads": 49}, "verified on 49 golden heads, 50 are needed"),
        ({}, {"faults": ("golden head 3: x",)}, "it failed its verification: golden head 3: x"),
        ({}, {"head_ms": 170.0}, "ONNX Runtime is as fast here"),
        ({}, {"head_ms": None}, "ONNX Runtime is as fast here"),
    ],
)
def test_a_report_of_something_else_leaves_the_reference(bundle, plans, where, changes, why):
    report(plans, bundle, where=where, **changes)

    assert english(objection(plans, bundle)).startswith(why)
    assert cpu_side("auto", bundle, plans, threads=1).backend is None


def test_without_a_report_or_with_one_that_cannot_be_read_the_reference_runs(bundle, plans):
    assert english(objection(plans, bundle)) == "it was never verified here"
    (plans / FILE).write_text("{")

    assert english(objection(plans, bundle)).startswith(f"{plans / FILE}: ")
    assert cpu_side("auto", bundle, plans, threads=1) == CpuSide()


def test_it_is_not_used_where_the_site_wants_the_reference(bundle, plans):
    report(plans, bundle)

    some = networks(bundle, plans, cpu_side("onnxruntime", bundle, plans, threads=1))

    assert ran(some, bundle).startswith("ONNX Runtime")


def test_where_it_fails_at_a_series_the_reference_runs_it_whole_and_goes_on(bundle, plans):
    report(plans, bundle)
    some = networks(bundle, plans, cpu_side("auto", bundle, plans, threads=1))
    tried = []

    def failing_once(backend):
        tried.append(backend.run_by.backend)
        if len(tried) == 1:
            raise InferenceError("openvino_failed", why="out of memory")
        return backend.run_by.backend

    answered_by = some.run("any", failing_once)
    some.refresh()

    assert answered_by.startswith("ONNX Runtime")
    assert ran(some, bundle).startswith("ONNX Runtime")
    assert some.run_by.backend.startswith("ONNX Runtime")
    told = english(some.degraded)
    assert told == "degraded, ONNX Runtime in place of OpenVINO: OpenVINO: out of memory"
