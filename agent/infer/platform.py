"""What a box is to CUDA: a computer with a card, a Jetson, Windows' Linux; told without a driver.

Sources: NVIDIA, CUDA Compatibility (CUDA 13 needs driver 580 or later); CUDA on WSL, which keeps
libcuda.so.1 in /usr/lib/wsl/lib; JetPack 6, whose TensorRT comes by apt for the system's Python.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import Path
from typing import Final

from packaging.version import Version

DRIVER_VERSION: Final = Path("proc/driver/nvidia/version")

FIRST_OF_CUDA_13: Final = Version("580")
"""The oldest driver that serves CUDA 13."""

HEADERS: Final = "g++, python3-dev and CUDA's headers (cuda.h)"
"""What pycuda is compiled with: it has no wheels."""


PIP: Final = f"{sys.prefix}/bin/pip"
"""The pip of this environment: the system's own would install elsewhere."""


class Platform(Enum):
    """What kind of box NVIDIA's software is on."""

    CARD = "card"
    JETSON = "jetson"
    WSL = "wsl"


def platform_at(root: Path = Path("/")) -> Platform | None:
    """Tell what kind of box this is; None where no NVIDIA GPU has a driver."""
    if (root / "etc/nv_tegra_release").exists():
        return Platform.JETSON
    if (root / "usr/lib/wsl/lib/libcuda.so.1").exists():
        return Platform.WSL
    return Platform.CARD if (root / DRIVER_VERSION).exists() else None


def driver_release(root: Path = Path("/")) -> str | None:
    """Read the driver's release, such as 550.54.15; None where it hides that."""
    try:
        text = (root / DRIVER_VERSION).read_text()
    except OSError:
        return None
    release = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", text)
    return release[1] if release else None


def install_command(package: str, root: Path = Path("/")) -> str:
    """Say what to type where ``tensorrt`` or ``pycuda`` is missing, on the box in hand."""
    if platform_at(root) is Platform.JETSON:
        if package == "tensorrt":
            return (
                "apt-get install python3-libnvinfer, in an environment made by "
                "`python3 -m venv --system-site-packages`"
            )
        return (
            f"{PIP} install '.[gpu-jetson]', once there are {HEADERS}: apt-get install cuda-toolkit"
        )
    release = driver_release(root)
    of_cuda_13 = release is not None and Version(release) >= FIRST_OF_CUDA_13
    extra = f"{PIP} install '.[gpu-{'cu13' if of_cuda_13 else 'cu12'}]'"
    return extra if package == "tensorrt" else f"{extra}, once there are {HEADERS}"


def driver_command(root: Path = Path("/")) -> str:
    """Say what brings NVIDIA's driver to the box in hand.

    Sources: NVIDIA, CUDA on WSL (the driver is Windows' own); JetPack 6, Installation; Ubuntu
    Server, NVIDIA drivers installation; Debian wiki, NvidiaGraphicsDrivers.
    """
    kernel = _text(root / "proc/version").lower()
    if (root / "etc/nv_tegra_release").exists() or "tegra" in kernel:
        return "sudo apt-get install nvidia-jetpack"
    if "microsoft" in kernel:
        return "install NVIDIA's driver on Windows, then `wsl --shutdown`"
    system = _text(root / "etc/os-release").lower()
    if "id=ubuntu" in system:
        return "sudo ubuntu-drivers install"
    if "id=debian" in system:
        return "sudo apt-get install nvidia-driver"
    return "install NVIDIA's driver for this system"


def _text(path: Path) -> str:
    """Read a file of the system, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
