"""What is made is valid for strangers: dicom3tools, DCMTK and PixelMed have nothing against it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.deliver.dicom.objects import objects_of
from agent.deliver.settings import KINDS
from tests.agent.deliver.results import HEIGHTS_MM, stored_result

JARS = Path("/usr/share/java")

NEEDED = {"dciodvfy": "dicom3tools", "dsrdump": "dcmtk", "dcmconv": "dcmtk"}

missing = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"missing: apt-get install {' '.join(NEEDED[name] for name in missing)}"
)

RESULTS = {
    "first": {},
    "tilted": {"heights_mm": HEIGHTS_MM["uneven"], "tilt_deg": 18.0},
    "enhanced": {"enhanced": True},
    "later": {"revision": 2, "predecessor": "before"},
    "not suspected": {"state": "not_suspected", "findings": (), "total_volume_ml": 0.0},
}

HELD_AGAINST_US_WRONGLY = (
    # A report may hold groups of both templates (PS3.16 TID 1500 rows 6 to 9). This program tries
    # the volumetric one on each group, that of the head as well.
    r"Template 1411 .*within 1\.8\.1: .*Missing conditional content item",
    # TID 300 includes TID 310 by HAS PROPERTIES; this program tries TID 1419's rows for sources.
    r"Template 1419 .*uncertainty.*expected INFERRED FROM - found HAS PROPERTIES",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("objects")
    written = {}
    for name, changes in RESULTS.items():
        for one in objects_of(stored_result(**changes), KINDS):
            path = folder / f"{name} {one.SOPClassUID.name}.dcm"
            one.save_as(path, enforce_file_format=True)
            written[path.stem] = path
    return written


def said(*command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=os.environ
    )
    return done.stdout + done.stderr


def test_dciodvfy_finds_no_error(files: dict[str, Path]) -> None:
    for name, path in files.items():
        lines = said("dciodvfy", path).splitlines()
        assert [line for line in lines if line.startswith("Error")] == [], name
        warnings = [line for line in lines if line.startswith("Warning")]
        assert [line for line in warnings if "99BLEEDWATCH" not in line] == [], name


def test_dciodvfy_would_find_one(files: dict[str, Path], tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.dcm"
    shutil.copy(files["first Segmentation Storage"], spoilt)
    subprocess.run(["dcmodify", "-nb", "-e", "(0062,0001)", spoilt], check=True)

    assert "Error" in said("dciodvfy", spoilt)


def test_dcmtk_reads_every_document_and_rewrites_every_object(
    files: dict[str, Path], tmp_path: Path
) -> None:
    for name, path in files.items():
        subprocess.run(["dcmconv", "+ti", path, tmp_path / "implicit.dcm"], check=True)
        if "SR" in name or "Key" in name:
            subprocess.run(["dsrdump", "-q", path], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(
    not (JARS / "pixelmed.jar").exists() or shutil.which("java") is None,
    reason="missing: apt-get install libpixelmed-java default-jre-headless",
)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "first Comprehensive 3D SR Storage",
        "first Key Object Selection Document Storage",
        "first Basic Text SR Storage",
    ],
)
def test_pixelmed_finds_the_templates_kept(files: dict[str, Path], name: str) -> None:
    names = ("pixelmed", "vecmath", "commons-codec", "slf4j-api", "slf4j-nop")
    jars = ":".join(str(JARS / f"{one}.jar") for one in names)
    limits = [f"-Djdk.xml.xpath{one}Limit=0" for one in ("TotalOp", "ExprOp", "ExprGrp")]

    lines = said(
        "java", *limits, "-cp", jars, "com.pixelmed.validate.DicomSRValidator", files[name]
    ).splitlines()

    assert "IOD validation complete" in lines
    errors = [line for line in lines if line.startswith("Error")]
    wrongly = re.compile("|".join(HELD_AGAINST_US_WRONGLY))
    assert [line for line in errors if not wrongly.search(line)] == []
