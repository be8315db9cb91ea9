"""agent.infer.platform: what to type on the box in hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.infer.platform import (
    Platform,
    driver_command,
    driver_release,
    install_command,
    platform_at,
)

NVRM = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Tue Feb  3 10:11:12 UTC 2026\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (x)\n"


def write(root: Path, name: str, text: str = "") -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


@pytest.mark.parametrize("text", [NVRM, OPEN])
@pytest.mark.parametrize(
    ("release", "extra"),
    [("535.183.01", "gpu-cu12"), ("570.211.01", "gpu-cu12"), ("580.95.05", "gpu-cu13")],
)
def test_a_cards_driver_says_which_cuda_its_packages_are_of(
    tmp_path: Path, text: str, release: str, extra: str
) -> None:
    root = write(tmp_path, "proc/driver/nvidia/version", text.format(release))

    assert platform_at(root) is Platform.CARD
    assert driver_release(root) == release
    assert install_command("tensorrt", root) == f"{sys.prefix}/bin/pip install '.[{extra}]'"
    assert "g++" in install_command("pycuda", root)


def test_a_jetsons_tensorrt_is_the_systems_own(tmp_path: Path) -> None:
    root = write(tmp_path, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3\n")
    write(root, "proc/driver/nvidia/version", NVRM.format("540.4.0"))

    assert platform_at(root) is Platform.JETSON
    assert "apt-get install python3-libnvinfer" in install_command("tensorrt", root)
    assert "gpu-jetson" in install_command("pycuda", root)


def test_windows_linux_is_known_by_its_driver(tmp_path: Path) -> None:
    root = write(tmp_path, "usr/lib/wsl/lib/libcuda.so.1")

    assert platform_at(root) is Platform.WSL
    assert install_command("tensorrt", root) == f"{sys.prefix}/bin/pip install '.[gpu-cu12]'"


def test_a_box_without_a_driver_is_none_of_them(tmp_path: Path) -> None:
    assert platform_at(tmp_path) is None
    assert driver_release(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"etc/os-release": "NAME=x\nID=ubuntu\n"}, "sudo ubuntu-drivers install"),
        ({"etc/os-release": "ID=debian\n"}, "sudo apt-get install nvidia-driver"),
        (
            {"etc/os-release": "ID=ubuntu\n", "proc/version": "Linux 5.15-microsoft-standard-WSL2"},
            "install NVIDIA's driver on Windows, then `wsl --shutdown`",
        ),
        (
            {"etc/os-release": "ID=ubuntu\n", "proc/version": "Linux 5.15.136-tegra"},
            "sudo apt-get install nvidia-jetpack",
        ),
        ({"etc/nv_tegra_release": "# R36"}, "sudo apt-get install nvidia-jetpack"),
        ({}, "install NVIDIA's driver for this system"),
    ],
    ids=["Ubuntu", "Debian", "Windows' Linux", "Jetson", "Jetson's own file", "another"],
)
def test_a_box_without_a_driver_is_told_the_command_for_its_system(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert driver_command(tmp_path) == command
