"""One BLAS thread, as the agent has it, and no test that fails because a machine is slow."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is first imported: more fight the agent

settings.register_profile("bleedwatch", deadline=None)
settings.load_profile("bleedwatch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run tests/faults with all their faults")
