""".ci/sbom: what a box gets, and what is known against it."""

from __future__ import annotations

import json
import runpy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

SBOM = runpy.run_path(str(Path(__file__).parent.parent / ".ci" / "sbom"))

WELL = {"name": "numpy", "version": "2.4.6", "vulns": []}
SKIPPED = {"name": "rich", "version": "15.0.0", "skip_reason": "not found on PyPI"}
KNOWN = {
    "name": "pillow",
    "version": "11.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["11.1"]}],
}


@pytest.mark.slow
def test_the_bill_holds_what_a_box_gets_and_nothing_of_the_tests(tmp_path: Path) -> None:
    lock = SBOM["locked"]()

    SBOM["write_sbom"](lock, tmp_path / "sbom.json")

    bill = json.loads((tmp_path / "sbom.json").read_text())
    names = {SBOM["plain"](one["name"]) for one in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == version("bleedwatch")
    assert names == set(lock) - {"bleedwatch"}
    assert {"numpy", "pydicom", "onnxruntime", "anyio"} <= names
    assert not {"pytest", "torch", "onnx"} & names
    references = {one["bom-ref"] for one in bill["components"]}
    for one in bill["dependencies"]:
        assert set(one["dependsOn"]) <= references


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([WELL], 0, "1 of 1 packages looked up, 0 known to be weak"),
        ([WELL, KNOWN], 1, "pillow 11.0: PYSEC-2026-1, mended in ['11.1']"),
        ([WELL, SKIPPED], 0, "1 of 2 packages looked up"),
        ([SKIPPED], 0, "were not looked up: no data on any package"),
    ],
    ids=["well", "known", "in part", "no data"],
)
def test_what_is_known_fails_and_what_is_not_looked_up_is_said(
    packages: list[dict[str, Any]], code: int, said: str
) -> None:
    found, told = SBOM["verdict"](packages)

    assert found == code
    assert said in told
