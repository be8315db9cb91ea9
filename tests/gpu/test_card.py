"""On a real card: real builds of the shipped bundle, held against ONNX Runtime.

``tests/gpu/run_on_host.sh`` runs these on a host that has a driver and no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from agent.infer.golden import MOST_DIFFERENT
from agent.infer.tensorrt_backend import TensorRtBackend
from agent.infer.verification import FEWEST_HEADS
from build_engine.compile.golden import golden_heads
from build_engine.compile.verify import compare, head_ms
from tests.gpu.conftest import RealBox

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

PRECISIONS = ["fp32", "fp16"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_really_run_in_the_precision_asked_for(box: RealBox, precision):
    layers = box.build(precision).manifest.layers

    print(f"{precision}: {layers}")
    assert layers.get(precision.upper(), 0) >= 10


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_golden_heads_are_read_as_by_onnx_runtime(box: RealBox, precision):
    points = box.bundle.contract.operating_points[:1]
    tolerance = MOST_DIFFERENT[precision]

    with closing(TensorRtBackend(box.build(precision), box.bundle, box.gpu)) as backend:
        pair = backend, box.reference
        heads = golden_heads(FEWEST_HEADS)
        found = list(compare(heads, box.bundle.contract, pair, points, tolerance))
        took_ms = head_ms(box.bundle.contract, backend)

    probability = max(one.probability for one in found)
    volume_ml = max(one.volume_ml for one in found)
    print(f"{precision}: {len(found)} golden heads, networks {took_ms:.1f} ms a head")
    print(f"largest probability apart {probability:.4f}, volume {volume_ml:.3f} mL")
    assert [one.fault for one in found if one.fault] == []


def test_runs_are_replayed_as_cuda_graphs(box: RealBox):
    with closing(TensorRtBackend(box.build("fp16"), box.bundle, box.gpu)):
        events = [event["event"] for event in box.said]

    assert "no_cuda_graph" not in events


def test_slabs_keep_their_order_through_both_lanes(box: RealBox):
    rng = np.random.default_rng(3)
    shape = (8, *box.bundle.contract.slices.shape[1:])
    batches = [rng.random(shape, dtype=np.float32) for _ in range(7)]

    with closing(TensorRtBackend(box.build("fp32"), box.bundle, box.gpu)) as backend:
        found = list(backend.run_slices(batches))

    for slabs, probabilities in zip(batches, found, strict=True):
        halves = box.reference.run_slices([slabs[:4], slabs[4:]])
        np.testing.assert_allclose(probabilities, np.concatenate(list(halves)), atol=2e-3)


def test_memory_is_given_back(box: RealBox):
    plan = box.build("fp16")
    with closing(TensorRtBackend(plan, box.bundle, box.gpu)):
        pass
    free_before, _ = box.gpu.cuda.mem_get_info()

    for _ in range(5):
        with closing(TensorRtBackend(plan, box.bundle, box.gpu)):
            pass

    free_after, _ = box.gpu.cuda.mem_get_info()
    assert free_before - free_after < 2**24


def test_a_context_poisoned_by_a_kernel_costs_no_answer_and_is_left_behind(box: RealBox):
    """In a process of its own: what is broken here stays broken as long as that lives."""
    plan = box.build("fp16")
    script = Path(__file__).with_name("poisoned.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    ran = subprocess.run(
        [sys.executable, str(script), str(box.folder), plan.folder.name],
        capture_output=True, text=True, check=False, env=environment, timeout=300,
    )  # fmt: skip

    print(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert "answered by ONNX Runtime" in ran.stdout
    assert "GPU runs again" in ran.stdout or "a new process is asked for" in ran.stdout
