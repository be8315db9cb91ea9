"""A real pycuda over ``libcuda.c``, for processes of their own: what is built, and the card there.

Built with what PyPI has: pycuda's source, and CUDA's headers. It takes a minute of a core, and is
kept in pytest's cache.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PYCUDA = "pycuda==2026.1"
HEADERS = ("nvidia-cuda-runtime>=13,<14", "nvidia-cuda-profiler-api>=13,<14")
SITECONF = """
BOOST_INC_DIR = BOOST_LIB_DIR = BOOST_PYTHON_LIBNAME = BOOST_THREAD_LIBNAME = []
BOOST_COMPILER = "gcc43"
USE_SHIPPED_BOOST = True
CUDA_TRACE = CUDA_ENABLE_GL = CUDA_ENABLE_CURAND = False
CUDA_ROOT = "{root}"
CUDADRV_LIB_DIR, CUDADRV_LIBNAME = ["{root}"], ["cuda"]
CUDART_LIB_DIR = CUDART_LIBNAME = CURAND_LIB_DIR = CURAND_LIBNAME = []
CXXFLAGS, LDFLAGS = ["-O0", "-w"], ["-Wl,--no-as-needed", "-L{root}", "-lcuda"]
"""
TENSORRT = """
from tests.nvidia.driver import installed_tensorrt
globals().update(installed_tensorrt())
"""
STUB = "int {name}(void) {{ return 801; }}  /* CUDA_ERROR_NOT_SUPPORTED */\n"


def is_built(cache: Path) -> bool:
    """Say whether pycuda was compiled for this Python."""
    return (_site(cache) / "pycuda").exists()


def build(cache: Path) -> Path:
    """Make a folder with pycuda, a TensorRT that uses it, and the driver; returns it."""
    site = _site(cache)
    if not is_built(cache):
        _build_pycuda(cache, site)
    _build_driver(site, left_out="")
    (site / "tensorrt.py").write_text(TENSORRT)
    return site


def _site(cache: Path) -> Path:
    return cache / f"{PYCUDA}-{sys.implementation.cache_tag}"


def build_old_driver(site: Path) -> Path:
    """Make a driver of before CUDA 13, which lacks what pycuda was compiled for."""
    folder = site / "old"
    folder.mkdir(exist_ok=True)
    _build_driver(site, left_out="cuEventElapsedTime_v2", to=folder)
    return folder


def _build_pycuda(cache: Path, site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "download", "--no-deps", "--no-binary", "pycuda", "-d", cache, PYCUDA)
    _run(*pip, "download", "--no-deps", "-d", cache, *HEADERS)
    for wheel in cache.glob("nvidia_cuda_*.whl"):
        with zipfile.ZipFile(wheel) as headers:
            headers.extractall(cache)
    (archive,) = cache.glob("pycuda-*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(cache, filter="data")
    source_folder = archive.with_name(archive.name.removesuffix(".tar.gz"))
    (source_folder / "siteconf.py").write_text(SITECONF.format(root=cache))
    _run(
        "gcc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", cache / "libcuda.so", "-xc", os.devnull
    )
    (include,) = {path.parent for path in cache.glob("nvidia/*/include/cuda.h")}
    _run(
        *pip, "install", "--no-deps", "--target", site, source_folder,
        environment={"CPATH": str(include)},
    )  # fmt: skip
    _run(*pip, "install", "--no-deps", "--target", site, "pytools", "platformdirs", "mako")


def _build_driver(site: Path, *, left_out: str, to: Path | None = None) -> None:
    """Compile ``libcuda.c``, with a stub for whatever else pycuda asks for."""
    (module,) = site.glob("pycuda/_driver*.so")
    asked = _symbols("--undefined-only", module)
    known = (HERE / "libcuda.c").read_text()
    stubs = (to or site) / "stubs.c"
    stubs.write_text(
        "".join(
            STUB.format(name=name)
            for name in sorted(asked)
            if name.startswith("cu") and f"int {name}(" not in known and name != left_out
        )
    )
    library = (to or site) / "libcuda.so.1"
    _run(
        "gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so.1",
        "-o", library, HERE / "libcuda.c", stubs,
    )  # fmt: skip


def _symbols(which: str, library: Path) -> set[str]:
    listed = subprocess.run(
        ["nm", "-D", which, library], capture_output=True, text=True, check=True
    )
    return {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines()}


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    ran = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


class DriverCard:
    """What the double of TensorRT needs of a card, from whatever libcuda.so.1 is loaded."""

    HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    def __init__(self) -> None:
        self.name = "the driver's"
        self.nan_outputs = False
        self._libcuda = ctypes.CDLL("libcuda.so.1")
        self._libcuda.is_allocated.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self._launches = 0
        self._breaks_at = int(os.environ.get("BREAKS_AT_LAUNCH", "0"))
        self._kept: list[Any] = []

    @property
    def memory_bytes(self) -> int:
        return 2**62

    def in_use_bytes(self) -> int:
        return 0

    def call(self, name: str) -> None:
        """The driver itself looks at each call."""

    def enqueue(self, stream_handle: int, work: Callable[[], None]) -> None:
        """Give a stream work, in the way that CUDA has for a host's."""
        function = self.HOST_FUNCTION(lambda _: self._guarded(work))
        self._kept.append(function)
        code = self._libcuda.cuLaunchHostFunc(ctypes.c_void_p(stream_handle), function, None)
        assert code == 0, code

    def launch(self) -> None:
        self._launches += 1
        if self._launches == self._breaks_at:
            raise ZeroDivisionError("as it was told to")

    def allocated(self, address: int, size_bytes: int) -> np.ndarray:
        assert self._libcuda.is_allocated(address, size_bytes), "an illegal memory access"
        return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (AssertionError, ZeroDivisionError):
            self._libcuda.spoil_context()


def installed_tensorrt() -> dict[str, Any]:
    """Make what ``import tensorrt`` gives: the double, over the driver's card."""
    from tests.nvidia.tensorrt import Nvidia  # noqa: PLC0415 - takes onnx, in its own process

    nvidia = Nvidia(os.environ.get("TENSORRT", "10.7.0"), DriverCard())
    nvidia.cannot_start = os.environ.get("TENSORRT_CANNOT_START")
    return vars(nvidia.trt)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
