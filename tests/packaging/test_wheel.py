"""The wheel: the shipped bundle alone, the page with it, and a version wherever it is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from agent.config import InferConfig

pytest.importorskip("hatch_vcs", reason="building needs the dev extra")

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).resolve().parents[2]
FALLBACK = "0.1.0.dev0"


def build(source: Path, to: Path, kind: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(to)]
    # Ours stands in a folder of its own: no repository above it may lend it a version.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(source.parent)}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True, text=True)
    return next(to.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def plain_copy(to: Path) -> Path:
    """Copy what a wheel takes, without git."""
    for name in ("agent", "build_engine", "systemd"):
        shutil.copytree(SOURCE / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        SOURCE / "engines", to / "engines", ignore=shutil.ignore_patterns("*.onnx", "plans")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(SOURCE / name, to / name)
    return to


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    wheel = build(SOURCE, tmp_path_factory.mktemp("wheel"), "wheel")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_one_bundle_which_is_the_one_in_use(files: list[str]) -> None:
    bundles = {"/".join(name.split("/")[1:3]) for name in files if name.endswith(".onnx")}

    assert bundles == {InferConfig().bundle}


def test_the_wheel_holds_the_page_the_units_and_the_protocols(files: list[str]) -> None:
    assert {
        "agent/console/static/index.html",
        "agent/console/languages/de.po",
        "systemd/bleedwatch-agent.service",
        "systemd/agent.toml",
        "engines/protocols/generic-head.toml",
    } <= set(files)


def test_the_wheel_holds_no_tests_and_no_tools(files: list[str]) -> None:
    tops = {name.split("/")[0] for name in files if ".dist-info" not in name}

    assert tops == {"agent", "build_engine", "engines", "systemd"}
    assert [name for name in files if "node_modules" in name or name.endswith(".d.ts")] == []


def test_a_copy_without_git_has_a_version(tmp_path: Path) -> None:
    wheel = build(plain_copy(tmp_path / "copy"), tmp_path / "out", "wheel")

    assert wheel.name.split("-")[1] == FALLBACK


def test_a_clone_without_tags_has_a_version(tmp_path: Path) -> None:
    copy = plain_copy(tmp_path / "copy")
    commit(copy)

    assert ".dev" in build(copy, tmp_path / "out", "wheel").name


def test_a_tagged_commit_has_the_tags_version_and_its_sdist_too(tmp_path: Path) -> None:
    copy = plain_copy(tmp_path / "copy")
    commit(copy)
    subprocess.run(["git", "-C", copy, "tag", "v3.2.1"], check=True)

    sdist = build(copy, tmp_path / "out", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    wheel = build(next((tmp_path / "sdist").iterdir()), tmp_path / "out", "wheel")

    assert (sdist.name, wheel.name.split("-")[1]) == ("bleedwatch-3.2.1.tar.gz", "3.2.1")


def commit(folder: Path) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
