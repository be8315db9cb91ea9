"""What is made is valid for strangers: dicom3tools, DCMTK and PixelMed have nothing against it."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.deliver.dicom.objects import letter_of, objects_of
from agent.deliver.settings import KINDS
from tests.agent.deliver.results import HEIGHTS_MM, stored_result
from tests.agent.deliver.test_signed_report import CHANNEL, SIGNED

DCMQI = Path(sysconfig.get_path("scripts"))

JARS = Path("/usr/share/java")

NEEDED = {"dciodvfy": "dicom3tools", "dsrdump": "dcmtk", "dcmconv": "dcmtk"}

missing = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"missing: apt-get install {' '.join(NEEDED[name] for name in missing)}"
)

VALIDATOR = Path(__file__).with_name("Validator.java")

FOR_PIXELMED = (
    "first Comprehensive 3D SR Storage",
    "first Key Object Selection Document Storage",
    "first Basic Text SR Storage",
    "corrected",
)

BRIEFLY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Java for a program that ends soon: thorough compilation takes longer than what it would speed."""

RESULTS = {
    "first": {},
    "tilted": {"heights_mm": HEIGHTS_MM["uneven"], "tilt_deg": 18.0},
    "enhanced": {"enhanced": True},
    "later": {"revision": 2, "predecessor": "before"},
    "not suspected": {"state": "not_suspected", "findings": (), "total_volume_ml": 0.0},
}

CORRECTED = replace(SIGNED, version=2, former_version=1)

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
        for one in objects_of(stored_result(**changes), (*KINDS, "outlines")):
            path = folder / f"{name} {one.SOPClassUID.name}.dcm"
            one.save_as(path, enforce_file_format=True)
            written[path.stem] = path
    for name, signed in {"signed": SIGNED, "corrected": CORRECTED}.items():
        (one,) = letter_of(replace(stored_result(), signed=signed), CHANNEL)
        written[name] = folder / f"{name}.dcm"
        one.save_as(written[name], enforce_file_format=True)
    return written


def said(*command: str | Path) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=os.environ
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_dciodvfy_finds_no_error(files: dict[str, Path]) -> None:
    for name, path in files.items():
        lines = said("dciodvfy", path).splitlines()
        assert [line for line in lines if line.startswith("Error")] == [], name
        warnings = [line for line in lines if line.startswith("Warning")]
        assert [line for line in warnings if "99BLEEDWATCH" not in line] == [], name


@pytest.mark.slow
def test_dciodvfy_would_find_one(files: dict[str, Path], tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.dcm"
    shutil.copy(files["first Segmentation Storage"], spoilt)
    subprocess.run(["dcmodify", "-nb", "-e", "(0062,0001)", spoilt], check=True)

    assert "Error" in said("dciodvfy", spoilt)


@pytest.mark.slow
def test_dcmtk_reads_every_document_and_rewrites_every_object(
    files: dict[str, Path], tmp_path: Path
) -> None:
    for name, path in files.items():
        subprocess.run(["dcmconv", "+ti", path, tmp_path / "implicit.dcm"], check=True)
        if "Presentation" in name:
            assert "Test passed" in said("dcmpschk", path), name
        elif "Segmentation" not in name and "Secondary" not in name:
            subprocess.run(["dsrdump", "-q", path], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(
    not (JARS / "pixelmed.jar").exists() or shutil.which("java") is None,
    reason="missing: apt-get install libpixelmed-java default-jre-headless",
)
@pytest.mark.timeout(300)
def test_pixelmed_finds_the_templates_kept(files: dict[str, Path]) -> None:
    jars = ":".join(
        str(JARS / f"{one}.jar")
        for one in ("pixelmed", "vecmath", "commons-codec", "slf4j-api", "slf4j-nop")
    )
    limits = [f"-Djdk.xml.xpath{one}Limit=0" for one in ("TotalOp", "ExprOp", "ExprGrp")]
    paths = [files[name] for name in FOR_PIXELMED]

    all_said = said("java", *BRIEFLY, *limits, "-cp", jars, VALIDATOR, *paths)

    of_each = all_said.split("document ")[1:]
    assert [one.splitlines()[0] for one in of_each] == list(map(str, paths))
    wrongly = re.compile("|".join(HELD_AGAINST_US_WRONGLY))
    for lines in map(str.splitlines, of_each):
        assert "IOD validation complete" in lines
        errors = [line for line in lines if line.startswith("Error")]
        assert [line for line in errors if not wrongly.search(line)] == [], lines[0]


@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_dcmqi_reads_as_many_voxels_of_each_finding_as_there_are(
    tmp_path: Path, tilt_deg: float
) -> None:
    """Where slices are evenly spaced: of others it drops slices without a word."""
    result = stored_result(tilt_deg=tilt_deg)
    made = tmp_path / "seg.dcm"
    next(objects_of(result, ["segmentation"])).save_as(made, enforce_file_format=True)

    said(DCMQI / "segimage2itkimage", "--inputDICOM", made, "--outputDirectory", tmp_path)

    for number in range(1, len(result.report.findings) + 1):
        header, _, voxels = (tmp_path / f"{number}.nrrd").read_bytes().partition(b"\n\n")
        assert b"encoding: gzip" in header
        assert b"type: short" in header
        shown = np.frombuffer(gzip.decompress(voxels), "<i2")
        assert np.count_nonzero(shown) == np.count_nonzero(result.numbers == number)


def test_dcmqi_reads_the_measurements(tmp_path: Path) -> None:
    made, told = tmp_path / "sr.dcm", tmp_path / "told.json"
    next(objects_of(stored_result(), ["measurements"])).save_as(made, enforce_file_format=True)

    said(DCMQI / "tid1500reader", "--inputDICOM", made, "--outputMetadata", told)

    groups = json.loads(told.read_text())["Measurements"]
    measured = [
        (group["Finding"]["CodeValue"], item["value"])
        for group in groups
        if "Finding" in group
        for item in group["measurementItems"]
        if item["quantity"]["CodeMeaning"] == "Volume"
    ]
    assert measured == [("35486000", "31.4"), ("1386000", "4.1")]
