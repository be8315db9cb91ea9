"""One head's whole way: a played scanner, the inlet, the agent, and everybody who reads results."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import typer
from pydicom import Dataset, dcmread
from typer.testing import CliRunner
from typing_extensions import Self

from build_engine.play.scu import storing
from build_engine.play.simulate import simulate
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed
from tests.agent.deliver.test_fhir import Server
from tests.agent.deliver.test_hl7 import Mllp, fields, observed, read
from tests.agent.doctor.scratch import free_port
from tests.phantoms import slice_dataset, uid, write_series
from tests.program import Program, until

pytestmark = [
    unclosed,
    needs_orthanc,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="apt-get install dicom3tools"),
]

N = 24

STUDY = {"StudyDate": "20261130", "StudyTime": "082000", "StudyID": "S1"}

SETTINGS = """
[inlet]
senders = ["SIMULATOR@127.0.0.1"]
host = "127.0.0.1"
port = {inlet}
metrics_port = {metrics}
segmentations = true
[deliver]
listen_host = "127.0.0.1"
listen_port = {reports}
[[deliver.dicom]]
name = "pacs"
host = "127.0.0.1"
port = {archive}
ae_title = "ORTHANC"
objects = ["segmentation", "measurements", "key_images", "picture", "report", "outlines"]
[[deliver.hl7]]
name = "ris"
host = "127.0.0.1"
port = {ris}
[[deliver.fhir]]
name = "ehr"
url = "{ehr}/fhir"
"""


@dataclass(frozen=True)
class Site:
    """A box with its three services, and who reads its results."""

    box: Program
    inlet: str
    archive: Orthanc
    ris: Mllp
    ehr: Server

    def series(self) -> Any:
        """The one series, as ``show --json`` has it."""
        (examination,) = json.loads(self.box.call("show", uid("study", 0), "--json").stdout)
        (series,) = examination["series"]
        return series

    def result(self) -> Any:
        """Its one result."""
        (result,) = self.series()["results"]
        return result

    def sent_to(self, *channels: str) -> bool:
        with self.box.store() as store:
            rows = store.sql("SELECT channel FROM outbox WHERE delivered_utc IS NOT NULL")
        return set(channels) <= {row["channel"] for row in rows}


@dataclass(frozen=True)
class Archived:
    """What the archive keeps, as its REST gives it to anybody: files, and what is in them."""

    paths: list[Path]
    objects: dict[str, Dataset]

    @classmethod
    def of(cls, archive: Orthanc, folder: Path) -> Self:
        root, paths = f"http://127.0.0.1:{archive.http_port}/instances", []
        for one in archive.get("instances"):
            paths.append(folder / f"{one}.dcm")
            with urllib.request.urlopen(f"{root}/{one}/file", timeout=10) as answer:
                paths[-1].write_bytes(answer.read())
        read = [dcmread(path) for path in paths]
        return cls(paths, {one.SOPClassUID.name: one for one in read})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, engines: Path) -> Iterator[Site]:
    folder, ris, ehr = tmp_path_factory.mktemp("site"), Mllp(), Server()
    with ExitStack() as stack:
        archive = stack.enter_context(Orthanc(folder / "orthanc"))
        inlet_port = free_port()
        settings = SETTINGS.format(
            inlet=inlet_port,
            metrics=free_port(),
            reports=archive.report_port,
            archive=archive.port,
            ris=stack.enter_context(ris.listening()),
            ehr=stack.enter_context(ehr.listening()),
        )
        box, inlet, courier = (
            stack.enter_context(Program(folder / "box", engines, settings)) for _ in range(3)
        )
        box.start()
        inlet.start("inlet")
        courier.start("deliver", "run")
        until(lambda: box.log.exists() and "inlet_listening" in box.log.read_text())
        site = Site(box, f"BLEEDWATCH@127.0.0.1:{inlet_port}", archive, ris, ehr)
        write_series(folder / "head", N, **STUDY)
        play(folder / "head", site.inlet)
        until(lambda: site.sent_to("pacs", "ris", "ehr"))
        yield site


def play(head: Path, to: str) -> None:
    app = typer.Typer()
    app.command()(simulate)
    said = CliRunner().invoke(app, ["--to", to, "--from", str(head), "--rate", "1000"])
    assert said.exit_code == 0, said.output


@pytest.fixture(scope="module")
def archived(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    return Archived.of(site.archive, tmp_path_factory.mktemp("archived"))


def test_each_channel_has_said_that_it_has_the_result(site: Site) -> None:
    result = site.result()

    assert result["report"]["state"] == "suspected"
    deliveries = {one["channel"]: one for one in result["deliveries"]}
    assert set(deliveries) == {"console", "pacs", "ris", "ehr"}
    for name in ("pacs", "ris", "ehr"):
        assert deliveries[name]["sent_utc"]
        assert deliveries[name]["delivered_utc"]
        assert (deliveries[name]["n_attempts"], deliveries[name]["problem"]) == (0, None)
    assert site.box.call("deliver", "list").stdout == "all delivered\n"


def test_the_archive_keeps_six_objects_that_strangers_find_valid(archived: Archived) -> None:
    assert len(archived.paths) == 6
    assert set(archived.objects) == {
        "Segmentation Storage",
        "Comprehensive 3D SR Storage",
        "Key Object Selection Document Storage",
        "Secondary Capture Image Storage",
        "Basic Text SR Storage",
        "Grayscale Softcopy Presentation State Storage",
    }
    for path in archived.paths:
        said = subprocess.run(
            ["dciodvfy", path], capture_output=True, text=True, check=False
        ).stderr.splitlines()
        complaints = [line for line in said if line.startswith(("Error", "Warning"))]
        assert [line for line in complaints if "99BLEEDWATCH" not in line] == []


def test_another_library_reads_the_bleed_on_the_slices_that_were_sent(
    site: Site, archived: Archived
) -> None:
    """A block of 70 HU is in the phantom."""
    slices = [slice_dataset(k, N) for k in range(N)]
    hu = np.array([np.frombuffer(one.PixelData, "<u2") for one in slices]) - 1024.0
    segmentation = hd.seg.Segmentation.from_dataset(archived.objects["Segmentation Storage"])
    masks = segmentation.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in slices],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    assert np.median(hu[masks.reshape(hu.shape) > 0]) == 70

    measured = hd.sr.Comprehensive3DSR.from_dataset(archived.objects["Comprehensive 3D SR Storage"])
    volumes_ml = [
        one.value
        for group in measured.content.get_volumetric_roi_measurement_groups()
        for one in group.get_measurements()
        if one.name.meaning == "Volume"
    ]
    findings = site.result()["report"]["findings"]
    assert volumes_ml == [one["volume_ml"] for one in findings]

    key = hd.ko.KeyObjectSelectionDocument.from_dataset(
        archived.objects["Key Object Selection Document Storage"]
    )
    sent = {one.SOPInstanceUID for one in slices}
    named = {one.referenced_sop_instance_uid for one in key.content.get_references()}
    assert named <= sent
    assert archived.objects["Secondary Capture Image Storage"].pixel_array.ndim == 3


def test_ris_and_record_are_told_the_same(site: Site) -> None:
    (message,) = site.ris.fed
    read(message)
    assert observed(message, "answer").startswith("suspected^")
    assert fields(message, "OBR")[0][25] == "P"

    (report,) = site.ehr.of("DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{uid('study', 0)}"
    told = site.result()["report"]["findings"]
    volumes_ml = [
        [
            one["valueQuantity"]["value"]
            for one in finding["component"]
            if one["code"]["coding"][0]["code"] == "118565006"
        ]
        for finding in site.ehr.of("Observation")
    ][1:]  # the first is of the whole head
    assert volumes_ml == [[one["volume_ml"]] for one in told]
    for number, finding in enumerate(told, 1):
        assert float(observed(message, "118565006", str(number))) == finding["volume_ml"]


def test_a_segmentation_that_a_person_saved_comes_back_and_changes_no_result(
    site: Site, archived: Archived
) -> None:
    saved, before = archived.objects["Segmentation Storage"], site.result()
    saved.SeriesInstanceUID = saved.SOPInstanceUID = "1.2.840.99.1"
    saved.file_meta.MediaStorageSOPInstanceUID = saved.SOPInstanceUID
    saved.ContentCreatorName = "Grey^Meredith"
    file = BytesIO()
    saved.save_as(file, enforce_file_format=True)

    with storing(site.inlet, [file.getvalue()]) as store:
        store(file.getvalue())

    (drawn,) = site.series()["drawings"]
    assert drawn["who"] == "Grey^Meredith"
    ours = [one["volume_ml"] for one in before["report"]["findings"]]
    assert [one["volume_ml"] for one in drawn["segments"]] == pytest.approx(ours, abs=0.01)
    assert site.result() == before
