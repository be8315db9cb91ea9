"""A played scanner writes what it says, as it says."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import typer
from typer.testing import CliRunner

from agent.errors import ConfigError, RequestRefused
from build_engine.play.simulate import ExportFile, Order, files_below, in_order, play, simulate
from build_engine.synth.presets import GE_DUAL
from tests.agent.doctor.scratch import free_port
from tests.agent.inlet.dcmtk import inlet_in
from tests.phantoms import write_series
from tests.program import until

FILES = tuple(ExportFile(Path("DEMO-001") / f"{n}.dcm", bytes([n])) for n in range(20))


def run(*arguments):
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_each_file_is_written_once_to_its_final_name(tmp_path):
    on_disk = []

    played = play(tmp_path, FILES, 1000.0, lambda: on_disk.append(len(files_below(tmp_path))))

    assert on_disk == list(range(1, 21))
    assert {file.name: file.content for file in files_below(tmp_path)} == {
        file.name: file.content for file in FILES
    }
    assert played.first_on_disk_monotonic_s < played.last_on_disk_monotonic_s


def test_orders():
    assert in_order(FILES, Order.ASCENDING, 1) == FILES
    assert in_order(FILES, Order.DESCENDING, 1) == FILES[::-1]
    shuffled = in_order(FILES, Order.SHUFFLED, 1)
    assert shuffled not in (FILES, FILES[::-1])
    assert sorted(shuffled, key=FILES.index) == list(FILES)
    assert in_order(FILES, Order.SHUFFLED, 1) == shuffled


@pytest.mark.slow
def test_a_generated_study_is_exported_scout_first(tmp_path):
    result = run(
        tmp_path, "--preset", "ge-dual", "--bleed", "subdural", "--rate", 1000, "--seed", 5
    )

    assert result.exit_code == 0, result.output
    assert "subdural 20 mL" in result.output
    paths = sorted((path for path in tmp_path.rglob("*.dcm")), key=lambda p: p.stat().st_mtime_ns)
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert [image.ImageType[2] for image in images] == ["LOCALIZER"] + ["AXIAL"] * 29
    assert len({image.SeriesInstanceUID for image in images}) == 2
    assert {image.StudyInstanceUID for image in images} == {images[0].StudyInstanceUID}
    assert [image.InstanceNumber for image in images[1:]] == list(range(1, 30))
    assert len(GE_DUAL.thicknesses_mm) == 29


@pytest.mark.slow
def test_slices_can_be_missing_from_an_export(tmp_path):
    result = run(
        tmp_path / "out", "--preset", "ge-dual", "--bleed", "none", "--rate", 1000, "--seed", 5,
        "--missing", 7, "--missing", 8,
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    images = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    numbers = sorted(image.InstanceNumber for image in images if image.ImageType[2] == "AXIAL")
    assert numbers == [n for n in range(1, 30) if n not in (7, 8)]


@pytest.mark.slow
def test_a_slice_that_is_not_there_cannot_be_missing(tmp_path):
    result = run(tmp_path, "--preset", "ge-dual", "--rate", 1000, "--seed", 5, "--missing", 30)

    assert "no slice 30" in str(result.exception)


def test_an_existing_folder_is_played_again(tmp_path):
    play(tmp_path / "old", FILES, 1000.0, lambda: None)

    result = run(tmp_path / "new", "--from", tmp_path / "old", "--rate", 1000)

    assert result.exit_code == 0, result.output
    assert {file.name for file in files_below(tmp_path / "new")} == {file.name for file in FILES}


def test_a_folder_without_files_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no files"):
        files_below(tmp_path)


def test_an_unknown_scanner_is_named_with_those_there_are(tmp_path):
    result = run(tmp_path, "--preset", "philips")

    assert isinstance(result.exception, ConfigError)
    assert "ge-32x5" in result.exception.what_to_do


def test_an_inlet_is_sent_what_a_folder_would_hold(tmp_path):
    paths = write_series(tmp_path / "head", 3)
    with inlet_in(tmp_path, "SIMULATOR@127.0.0.1") as inlet:
        to = f"BLEEDWATCH@127.0.0.1:{inlet.port}"
        result = run("--to", to, "--from", tmp_path / "head", "--rate", 1000)

        assert result.exit_code == 0, result.output
        until(lambda: len(inlet.files()) == 3)
        received = inlet.files().values()
    sent = [pydicom.dcmread(path) for path in paths]
    got = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, map(BytesIO, received))}
    assert [got[image.SOPInstanceUID].PixelData for image in sent] == [
        image.PixelData for image in sent
    ]


@pytest.mark.parametrize("refuses", ["an association", "a folder that cannot be written"])
def test_an_inlet_that_takes_nothing_is_told(tmp_path, refuses):
    write_series(tmp_path / "head", 2)
    caller = "CT1" if refuses == "an association" else "SIMULATOR"
    with inlet_in(tmp_path, f"{caller}@127.0.0.1") as inlet:
        (tmp_path / "received").rename(tmp_path / "away")
        to = f"BLEEDWATCH@127.0.0.1:{inlet.port}"
        result = run("--to", to, "--from", tmp_path / "head", "--rate", 1000)

    assert isinstance(result.exception, RequestRefused)
    assert result.exception.reason.code in ("receiver_not_reached", "image_not_taken")
    assert to in str(result.exception)


def test_whom_to_send_to_is_said_and_what_is_sent_is_dicom(tmp_path):
    play(tmp_path / "old", FILES[:1], 1000.0, lambda: None)
    nobody = f"BLEEDWATCH@127.0.0.1:{free_port()}"

    assert run(tmp_path, "--to", nobody).exit_code == 2
    assert run("--bleed", "none").exit_code == 2
    for to, why in (("127.0.0.1:11112", "no receiver"), (nobody, "not DICOM")):
        refused = run("--to", to, "--from", tmp_path / "old")
        assert isinstance(refused.exception, ConfigError)
        assert why in str(refused.exception)
