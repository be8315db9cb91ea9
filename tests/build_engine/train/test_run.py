"""A site trains, exports and evaluates a bundle of its own with three commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("onnx", reason="exporting needs the train extra")

from agent.infer.bundle import load_bundle
from agent.records import Subtype
from build_engine.heads.annotated import annotated_case
from build_engine.train.blocks import load_block
from build_engine.train.config import DEFAULT, load_config
from build_engine.train.networks import SliceNetwork
from build_engine.train.train import SLICE_WEIGHTS, block_files
from tests.build_engine.heads.test_annotated import RAS, write_study

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.timeout(400),
]

TINY = """
name = "tiny"
version = "0.0.1"
seed = 3
processes = 2

[data]
first_train_seed = 1
generated_train = 3
generated_in_blocks = 2
first_validation_seed = 9001
generated_validation = 6
bleeds_laid_in = 0
real_validation = 0

[[annotated]]
folder = "{site}"
labels = {{ 1 = "subdural", 4 = "epidural" }}

[contract.slices]
pixel_mm = 2.0
size_px = 128
slab_mm = 5.0
neighbours = 1
windows_hu = [[0.0, 80.0]]
batch = 4

[contract.volume]
voxel_kji_mm = [8.0, 4.0, 4.0]
shape_kji = [24, 64, 64]
windows_hu = [[0.0, 80.0]]

[slices]
width = 4
steps = 20
batch = 4
learning_rate = 2e-3

[volume]
width = 4
steps = 20
batch = 1
learning_rate = 2e-3

[reading]
midline_shift = false
mirrored = true

[card]
limits = "Trained for a test: it finds nothing."
"""


def run(*arguments: object) -> str:
    """Run a command as a site does: training forks, which a process full of tests must not."""
    program = [sys.executable, "-c", "from build_engine.train.cli import model; model()"]
    command = [*program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_site_trains_exports_and_evaluates_its_own_bundle(tmp_path: Path):
    write_study(tmp_path / "site" / "one", RAS)
    config = tmp_path / "tiny.toml"
    config.write_text(TINY.format(site=tmp_path / "site"))

    run("train", config, "--work", tmp_path / "work")
    run("export", config, "--work", tmp_path / "work", "--to", tmp_path / "engines")
    folder = tmp_path / "engines" / "tiny" / "0.0.1"
    printed = run("evaluate", folder, "--heads", 4, "--json")

    bundle = load_bundle(folder)
    assert {point.name for point in bundle.contract.operating_points} == {
        "balanced",
        "specific",
        "sensitive",
    }
    assert "GFLOP" in bundle.contract.card["cost"]
    assert bundle.contract.card["trained_on"] == (
        "3 generated heads (build_engine.synth, seeds from 1). 1 annotated heads of site, their "
        "bleeds named subdural or epidural. Anatomy is from generated heads alone."
    )
    assert (tmp_path / "work" / "curves.png").exists()
    assert (tmp_path / "work" / "cases" / "site-one.npz").exists()
    assert json.loads(printed)["generated"]


def test_blocks_older_than_the_slice_network_are_made_again(tmp_path: Path):
    study = write_study(tmp_path / "site" / "one", RAS)
    (tmp_path / "tiny.toml").write_text(TINY.format(site=tmp_path / "site"))
    config = load_config(tmp_path / "tiny.toml")
    case = annotated_case(study, config.annotated[0].labels, config.contract.slices)
    network = SliceNetwork(config.contract.slices, config.slices.width).eval()
    (tmp_path / SLICE_WEIGHTS).touch()

    (path,) = block_files(config, (case,), network, tmp_path)
    made_at = path.stat().st_mtime_ns
    block_files(config, (case,), network, tmp_path)
    kept_at = path.stat().st_mtime_ns
    os.utime(tmp_path / SLICE_WEIGHTS, ns=(made_at + 10**9, made_at + 10**9))
    block_files(config, (case,), network, tmp_path)

    assert kept_at == made_at
    assert path.stat().st_mtime_ns != made_at
    block = load_block(path)
    assert block.name == "site-one"
    assert set(block.subtypes.ravel().tolist()) == {0, Subtype.SUBDURAL, Subtype.EPIDURAL}
    assert block.bleeds
    assert block.regions is None


def test_the_committed_configuration_is_the_shipped_bundles(tmp_path: Path):
    config = load_config(DEFAULT)

    bundle = load_bundle(DEFAULT.parents[2] / "engines" / config.name / config.version)

    assert bundle.contract.slices == config.contract.slices
    assert bundle.contract.volume == config.contract.volume
