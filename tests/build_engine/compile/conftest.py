"""A box whose card is a double: ``bleedwatch engine`` finds it as it would find a real one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import pytest

from build_engine.compile import golden
from build_engine.heads.known import generated_head
from tests.nvidia.box import GpuBox
from tests.nvidia.cuda import cuda_module
from tests.tiny import BUNDLE

MADE_ONCE = cache(generated_head)


@pytest.fixture(autouse=True)
def golden_heads_are_made_once(monkeypatch) -> None:
    """Spare each verification a second: it is of the same heads."""
    monkeypatch.setattr(golden, "generated_head", MADE_ONCE)


@pytest.fixture
def card_box(card_box_of) -> GpuBox:
    """A box with a TensorRT of today."""
    return card_box_of("11.4.0.106")


@pytest.fixture
def card_box_of(tmp_path, monkeypatch) -> Callable[[str], GpuBox]:
    """Make a box with a version of TensorRT."""
    return partial(installed, tmp_path, monkeypatch)


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> GpuBox:
    """Install the double's modules and driver, and configure an agent for its folder."""
    box = GpuBox(tmp_path / "engines", version)
    pycuda = ModuleType("pycuda")
    pycuda.driver = cuda_module(box.card)
    monkeypatch.setitem(sys.modules, "tensorrt", box.nvidia.trt)
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: {"libcuda.so.1": box.libcuda}[name])
    (tmp_path / "agent.toml").write_text(
        f'export_folder = "{tmp_path}/in"\nengines_folder = "{tmp_path}/engines"\n'
        f'state_folder = "{tmp_path}/engines/state"\n'
        f'[infer]\nbundle = "{BUNDLE}"\n'
    )
    return box
