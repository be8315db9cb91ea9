#!/usr/bin/env python3
"""Print what the agent, its builder and their `gpu` tests need, one requirement a line."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
PACKED_BY_THEMSELVES = ("tensorrt", "pycuda")
TESTS_NEED = ("pytest", "pytest-timeout", "hypothesis")

extras = PROJECT["optional-dependencies"]
wanted = [
    *PROJECT["dependencies"],
    *(need for need in extras["gpu-jetson"] if not need.startswith(PACKED_BY_THEMSELVES)),
    *(need for need in extras["test"] if need.partition(">")[0] in TESTS_NEED),
]
print("\n".join(need.partition(";")[0] for need in wanted))
