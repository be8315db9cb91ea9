"""``bleedwatch protocol`` as a service engineer uses it, on files as scanners write them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import MRImageStorage, XRayRadiationDoseSRStorage

from agent.errors import ConfigError, FolderUnreachable, NotEligible
from build_engine.play.simulate import axial_files, localizer_file
from build_engine.synth.dicom import SyntheticStudy
from build_engine.synth.head import HeadRecipe, make_head
from build_engine.synth.presets import PRESETS
from tests.build_engine.protocols.made import installed, paced, run, run_json
from tests.phantoms import uid, write_enhanced, write_series

OWN = 'name = "own"\nbased_on = "generic-head"\n'


@pytest.fixture(scope="module")
def head():
    return make_head(HeadRecipe(3, None), (5.0, 2.5, 2.5))


@pytest.fixture
def config(tmp_path):
    return installed(tmp_path)


def export(folder, head, preset):
    """Write what the scanner would, with its own pace; 64 pixels a side are enough here."""
    small = replace(preset, matrix=64, pixel_mm=preset.pixel_mm * preset.matrix / 64)
    study = SyntheticStudy(7, "SECRET^PATIENT", "S-4711", datetime.now(timezone.utc))
    scout, upwards = localizer_file(head, small, study), axial_files(head, small, study)
    paths = []
    for file in (scout, *(upwards if preset.ascending else upwards[::-1])):
        paths.append(folder / file.name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_bytes(file.content)
    paced(paths, 1 / preset.slices_per_s)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_a_draft_from_a_generated_scanner_is_valid_and_matches_it(tmp_path, config, head, name):
    preset = PRESETS[name]
    sample, draft = export(tmp_path / "in", head, preset), tmp_path / "draft.toml"

    learned = run_json("learn", sample, "--output", draft, "--config", config)

    assert run("check", draft, "--config", config).exit_code == 0
    assert "SECRET" not in draft.read_text()
    tested = run_json("test", sample, "--draft", draft, "--config", config)
    matches = {one["description"]: one["profile"] for one in tested["series"]}
    assert matches == {"Scout": None, f"Head {preset.kernel}": learned["name"]}
    values = {one["key"]: one["value"] for one in learned["inferred"]}
    n = len(preset.thicknesses_mm)
    assert values["min_slices"] <= n <= values["max_slices"]
    assert values["thickness_mm"][0] <= min(preset.thicknesses_mm)
    assert values["thickness_mm"][1] >= max(preset.thicknesses_mm)
    assert values["quiet_s"] >= 2.0


@pytest.mark.slow
def test_an_installed_draft_is_taken_before_the_makers_profile(tmp_path, config, head):
    sample = export(tmp_path / "in", head, PRESETS["canon-32x5"])
    before = run_json("test", sample, "--config", config)
    protocols = tmp_path / "engines" / "protocols"

    run_json("learn", sample, "--output", protocols / "ours.toml", "--config", config)

    after = run_json("test", sample, "--config", config)
    assert "canon-head" in {one["profile"] for one in before["series"]}
    assert "canon-aquilion-one-head" in {one["profile"] for one in after["series"]}
    assert run("check", "--config", config).exit_code == 0


def test_a_draft_is_printed_where_no_file_is_named(tmp_path, config, head):
    sample = export(tmp_path / "in", head, PRESETS["ge-dual"])

    result = run("learn", sample, "--output", "-", "--config", config)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Drafted by `bleedwatch protocol learn` from 1 series of 29")
    assert 'name = "ge-hispeed-dual-head"' in result.stdout
    assert "learned from: Head STD+ · kernel STD+ · 29 slices" in result.stderr
    assert "left out: Scout" in result.stderr
    assert "SECRET" not in result.output


def test_a_file_that_is_there_is_kept(tmp_path, config):
    write_series(tmp_path / "in", 24)
    draft = tmp_path / "draft.toml"
    draft.write_text("mine")

    refused = run("learn", tmp_path / "in", "--output", draft, "--config", config)
    kept = draft.read_text()
    forced = run("learn", tmp_path / "in", "--output", draft, "--force", "--config", config)

    assert "is there already" in str(refused.exception)
    assert kept == "mine"
    assert forced.exit_code == 0, forced.output
    assert draft.read_text().startswith("# Drafted by")


def test_learning_again_replaces_the_installed_profile_under_its_name(tmp_path, config):
    write_series(tmp_path / "in", 24)
    ours = tmp_path / "engines" / "protocols" / "ours.toml"
    run("learn", tmp_path / "in", "--output", ours, "--config", config)

    again = run_json("learn", tmp_path / "in", "--output", ours, "--force", "--config", config)
    beside = run_json("learn", tmp_path / "in", "--output", "-", "--config", config)

    assert again["name"] == "phantom-p1-head"
    assert beside["name"] == "phantom-p1-head-2"
    assert [one["profile_with_draft"] for one in beside["series"]] == ["phantom-p1-head"]


def test_names_are_as_plans_can_carry_them(tmp_path, config):
    write_series(tmp_path / "in", 24)

    for name in ('x"\nkvp = 1', "Über", "../x", ""):
        refused = run("learn", tmp_path / "in", "--name", name, "--config", config)
        assert "cannot be named" in str(refused.exception)
    taken = run("learn", tmp_path / "in", "--name", "ge-head", "--config", config)
    assert "named ge-head already" in str(taken.exception)


def test_copied_files_leave_the_rhythm_to_the_base(tmp_path, config):
    paced(write_series(tmp_path / "in", 24, ContentDate="20240101"), 0.05)

    learned = run_json("learn", tmp_path / "in", "--output", "-", "--config", config)

    left = {one["key"]: one["why"] for one in learned["left_to_base"]}
    assert "days from when the images were made: they are copies" in left["quiet_s"]
    assert "quiet_s =" not in learned["draft"]


def test_frames_of_one_file_are_slices_without_a_rhythm(tmp_path, config):
    (tmp_path / "in").mkdir()
    write_enhanced(tmp_path / "in" / "enhanced.dcm", 24)

    learned = run_json("learn", tmp_path / "in", "--output", "-", "--config", config)

    assert [one["slices"] for one in learned["series"]] == [24]
    assert learned["series"][0]["profile_with_draft"] == learned["name"]
    assert "1 of 8 files" in learned["draft"]


def messy(folder):
    """A head, its bone series, and all else that scanners export with them."""
    write_series(folder / "head", 24)
    write_series(folder / "bone", 24, seed=1, ConvolutionKernel="H70h", SeriesDescription="Bone")
    torn = write_series(folder / "torn", 24, seed=2, SeriesDescription="Torn")
    pixels = pydicom.dcmread(torn[5])
    del pixels.PixelSpacing
    pixels.save_as(torn[5])
    write_series(folder / "mr", 1, seed=3, SOPClassUID=MRImageStorage)
    write_series(folder / "dose", 1, seed=4, SOPClassUID=XRayRadiationDoseSRStorage)
    (folder / "notes.txt").write_text("not an image")
    cut = folder / "head" / "023.dcm"
    whole = cut.read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:3000])
    (folder / "link.dcm").symlink_to(cut)
    return folder


@pytest.mark.slow
def test_each_series_and_each_file_of_a_messy_folder_is_accounted_for(tmp_path, config):
    tested = run_json("test", messy(tmp_path / "in"), "--config", config)

    series = {one["description"]: one for one in tested["series"]}
    assert set(series) == {"Head 5.0", "Bone", "Torn"}
    assert series["Head 5.0"]["profile"] == "generic-head"
    assert series["Head 5.0"]["series_uid"] == uid("series", 0)
    assert series["Head 5.0"]["slices"] == 24
    assert set(series["Head 5.0"]["others"]) > {"ge-head", "siemens-head"}
    assert "bone reconstruction" in series["Bone"]["refusal"]["text"]
    assert "slices missing" in series["Torn"]["missing"][0]["text"]
    reasons = {
        one["reason"]["text"]: [path[-9:] for path in one["paths"]] for one in tested["left_out"]
    }
    assert reasons["not a CT image but MR Image Storage"] == ["r/000.dcm"]
    assert reasons["not a CT image but X-Ray Radiation Dose SR Storage"] == ["e/000.dcm"]
    assert reasons["not a DICOM file"] == ["notes.txt"]
    assert len(reasons) == 3  # cut.dcm is of a series, and whole there


@pytest.mark.slow
def test_series_are_told_without_the_patient(tmp_path, config):
    result = run("test", messy(tmp_path / "in"), "--config", config)

    assert result.exit_code == 0, result.output
    assert "Head 5.0 · kernel STANDARD · 24 slices · PHANTOM P1" in result.output
    assert "→ generic-head" in result.output
    assert "bone reconstruction (kernel H70h)" in result.output
    assert "scanner maker 'PHANTOM' is not the profile's" in result.output
    assert "Müller" not in result.output


@pytest.mark.slow
def test_learning_from_a_messy_folder_takes_the_head_alone(tmp_path, config):
    learned = run_json("learn", messy(tmp_path / "in"), "--output", "-", "--config", config)

    left_out = {one["description"]: one["left_out"] for one in learned["series"]}
    assert left_out["Head 5.0"] is None
    assert "bone reconstruction" in left_out["Bone"]["text"]
    assert "slices missing" in left_out["Torn"]["text"]
    assert "Müller" not in learned["draft"]


@pytest.mark.slow
def test_a_learned_profile_lies_beside_the_others_unless_it_is_printed(tmp_path, config):
    write_series(tmp_path / "in", 24)

    learned = run_json("learn", tmp_path / "in", "--config", config)
    named = ("learn", tmp_path / "in", "--name", learned["name"], "--config", config)
    again = run(*named)
    assert run(*named, "--force").exit_code == 0

    listed = run_json("list", "--config", config)
    assert Path(learned["written"]).parent == Path(listed["folder"])
    assert learned["name"] in [one["name"] for one in listed["profiles"]]
    assert isinstance(again.exception, ConfigError)


def test_a_folder_without_a_head_teaches_nothing(tmp_path, config):
    write_series(tmp_path / "in", 24, ConvolutionKernel="H70h")
    (tmp_path / "empty").mkdir()

    bone = run("learn", tmp_path / "in", "--output", "-", "--config", config)
    empty = run("learn", tmp_path / "empty", "--output", "-", "--config", config)

    assert isinstance(bone.exception, NotEligible)
    assert "bone reconstruction (kernel H70h)" in str(bone.exception)
    assert "no CT series" in str(empty.exception)


def test_a_folder_that_is_not_there_is_named(tmp_path, config):
    for command in ("learn", "test"):
        result = run(command, tmp_path / "nowhere", "--config", config)
        assert isinstance(result.exception, FolderUnreachable)
        assert "nowhere" in str(result.exception)


def test_an_empty_folder_has_no_series(tmp_path, config):
    (tmp_path / "empty").mkdir()

    result = run("test", tmp_path / "empty", "--config", config)

    assert result.exit_code == 0
    assert "no CT series in" in result.output


def test_control_characters_in_headers_do_not_reach_the_terminal(tmp_path, config):
    write_series(tmp_path / "in", 24, SeriesDescription="Head\x1b[31m [red]", Manufacturer="[/b]")
    write_series(tmp_path / "in" / "bone", 24, seed=1, ConvolutionKernel="BONE\x1b[31m [b]")

    result = run("test", tmp_path / "in", "--config", config)

    assert "\x1b" not in result.output
    assert "[red] · kernel" in result.output
    assert "[/b] P1" in result.output
    assert "bone reconstruction (kernel BONE" in result.output


def test_the_list_runs_from_the_most_specific_profile_to_the_broken_ones(tmp_path):
    broken = OWN + "quite_s = 1.0"
    specific = 'name = "ours"\nbased_on = "generic-head"\nmanufacturer = "a"\nkernels = "b"'
    config = installed(tmp_path, broken=broken, ours=specific)

    listed = run_json("list", "--config", config)
    shown = run("list", "--config", config)

    names = [one["name"] for one in listed["profiles"]]
    assert (names[0], names[-2], names[-1]) == ("ours", "generic-head", "own")
    assert listed["profiles"][0]["kernels"] == "b"
    assert listed["profiles"][0]["operating_point"] == "balanced"
    assert listed["profiles"][-1]["problems"][0]["reason"]["what_to_do"] == "did you mean quiet_s?"
    assert shown.exit_code == 0
    assert "broken.toml: quite_s: no such key" in shown.output
    assert "any scanner" in shown.output


def test_every_value_is_shown_with_where_it_is_from(config):
    shown = run_json("show", "ge-head", "--config", config)

    assert shown["values"]["bone_kernels"]["from"] == "own"
    assert shown["values"]["quiet_s"] == {"value": 4.0, "from": "generic-head"}
    assert shown["values"]["kernels"] == {"value": None, "from": "not asked"}
    text = run("show", "ge-head", "--config", config).output
    assert "'bone|edge|detail|lung|ultra'" in text
    assert "engines/protocols/ge-head.toml" in text


def test_a_profile_that_is_not_there_is_named_with_those_there_are(config):
    for command in ("show", "check"):
        result = run(command, "nobody", "--config", config)
        assert isinstance(result.exception, ConfigError)
        assert "ge-head" in result.exception.what_to_do


def test_checking_fails_where_anything_is_wrong(tmp_path):
    config = installed(tmp_path, own=OWN + "kernels = '('\nquite_s = 1.0")

    whole = run("check", "--config", config)
    good = run("check", "ge-head", "--config", config)
    by_name = run("check", "own", "--config", config)

    assert (whole.exit_code, good.exit_code, by_name.exit_code) == (1, 0, 1)
    assert "own.toml: kernels: not a regular expression" in whole.output
    assert "→ did you mean quiet_s?" in by_name.output


def test_a_draft_under_a_name_that_is_taken_fails_its_check(tmp_path, config):
    (tmp_path / "draft.toml").write_text('name = "ge-head"\nbased_on = "generic-head"\n')

    result = run("check", tmp_path / "draft.toml", "--config", config)

    assert result.exit_code == 1
    assert "ge-head.toml has the name 'ge-head' too" in result.output


def test_checking_without_a_bundle_says_what_is_not_checked(tmp_path, config):
    (tmp_path / "engines" / "default").unlink()

    checked, listed = run("check", "--config", config), run("list", "--config", config)

    assert (checked.exit_code, listed.exit_code) == (1, 0)
    assert "operating points are not checked" in checked.output
    assert "operating points are not checked" in listed.output


def test_a_draft_is_tried_in_place_of_the_installed_profile_of_its_name(tmp_path, config):
    write_series(tmp_path / "in", 24)
    draft = 'name = "generic-head"\nbased_on = "generic-head"\nmanufacturer = "phantom"\n'
    (tmp_path / "draft.toml").write_text(draft + "min_slices = 25")

    tested = run_json(
        "test", tmp_path / "in", "--draft", tmp_path / "draft.toml", "--config", config
    )

    (series,) = tested["series"]
    assert series["refusal"]["text"] == "only 24 slices, 25 needed"
    assert "generic-head" not in series["others"]


def test_a_broken_draft_is_not_tried(tmp_path, config):
    (tmp_path / "draft.toml").write_text(OWN + "quite_s = 1.0")

    result = run("test", tmp_path, "--draft", tmp_path / "draft.toml", "--config", config)

    assert isinstance(result.exception, ConfigError)
    assert "quite_s" in str(result.exception)
