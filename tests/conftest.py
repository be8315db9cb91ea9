"""What all tests share: one thread for arithmetic, a small program, what is slow."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Read when numpy and torch are first imported: of more threads than cores all but some turn idly.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from tests.program import Program
from tests.tiny import write_engines

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

# Under nohup SIGINT is ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # while tests are collected: what is imported stays

SLOW_FILE = re.compile(r"^pytestmark = (\[[^\]]*)?pytest\.mark\.slow\b", re.MULTILINE)

settings.register_profile("all", deadline=None)
settings.register_profile("quick", settings.get_profile("all"), max_examples=25)


def spares_slow(config: pytest.Config) -> bool:
    """Whether slow tests are left out: the default."""
    return "not slow" in config.option.markexpr


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("quick" if spares_slow(config) else "all")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run tests/faults with all their faults")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are not run, spare a file that is slow as a whole: it may import torch."""
    if not spares_slow(config) or collection_path.suffix != ".py":
        return None
    return SLOW_FILE.search(collection_path.read_text(encoding="utf-8")) is not None or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: a process that is left with one alone ends last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what all tests have imported: it took 0.4 s each time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packaged protocol profiles, and a bundle that costs next to nothing."""
    return write_engines(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one that starts a process's browsers: a second beside it is refused."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - few tests need it

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def program(tmp_path: Path, engines: Path) -> Iterator[Program]:
    """The program on a box of its own; nothing runs yet."""
    with Program(tmp_path / "box", engines) as program:
        yield program
