"""A site trains, exports and evaluates a bundle of its own with three commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("onnx", reason="exporting needs the train extra")

from agent.infer.bundle import load_bundle
from agent.records import Subtype
from build_engine.heads.annotated import annotated_case
from build_engine.heads.ct_ich import trauma_split
from build_engine.heads.fields import save_case
from build_engine.train.blocks import load_block
from build_engine.train.config import DEFAULT, load_config
from build_engine.train.gather import TRAUMA, RealData, gather, patients_of
from build_engine.train.networks import SliceNetwork
from build_engine.train.train import SLICE_WEIGHTS, block_files, slice_probabilities
from tests.build_engine.cases import clear_case
from tests.build_engine.heads.test_annotated import RAS, write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.timeout(900),
]

PAGE = Path(__file__).parents[3] / ".docs" / "own-model.md"

SITE = 'folder = "my-heads"'


def shown(kind: str) -> str:
    """Return what the page's worked example shows as one kind of code."""
    example = PAGE.read_text("utf-8").partition("## A worked example")[2].partition("\n## ")[0]
    return "\n".join(re.findall(rf"```{kind}\n(.*?)```", example, re.DOTALL))


TINY = shown("toml")


TYPED = """
import json, sys
from agent.cli import main

if __name__ == "__main__":  # workers are spawned
    for sys.argv in json.loads(sys.argv[1]):
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, ended.code
"""
"""The program called several times in one process, which loads PyTorch once."""


def run(commands: str, folder: Path) -> str:
    """Run commands in a process of its own: training forks, which one full of tests must not."""
    typed = [shlex.split(command) for command in commands.splitlines()]
    assert {words[0] for words in typed} == {"bleedwatch"}
    program = folder / "typed.py"
    program.write_text(TYPED)
    result = subprocess.run(
        [sys.executable, program, json.dumps(typed)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_pages_worked_example_trains_exports_and_evaluates_a_bundle(tmp_path: Path):
    write_study(tmp_path / "my-heads" / "one", RAS)
    (tmp_path / "mine.toml").write_text(TINY)

    printed = run(shown("sh"), tmp_path)

    bundle = load_bundle(tmp_path / "engines" / "mine" / "0.1.0")
    assert {point.name for point in bundle.contract.operating_points} == {
        "balanced",
        "specific",
        "sensitive",
    }
    assert "GFLOP" in bundle.contract.card["cost"]
    assert bundle.contract.card["trained_on"] == (
        "3 generated heads (build_engine.synth, seeds from 1). 1 annotated heads of my-heads, "
        "their bleeds named subdural or epidural. Anatomy is from generated heads alone."
    )
    assert (tmp_path / "work" / "curves.png").exists()
    assert (tmp_path / "work" / "cases" / "my-heads-one.npz").exists()
    assert json.loads(printed[printed.index("\n{") :])["generated"]


def test_blocks_older_than_the_slice_network_are_made_again(tmp_path: Path):
    study = write_study(tmp_path / "my-heads" / "one", RAS)
    (tmp_path / "tiny.toml").write_text(TINY.replace(SITE, f'folder = "{tmp_path / "my-heads"}"'))
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
    assert block.name == "my-heads-one"
    assert set(block.subtypes.ravel().tolist()) == {0, Subtype.SUBDURAL, Subtype.EPIDURAL}
    assert block.bleeds
    assert block.regions is None


def test_bleeds_are_laid_into_patients_as_they_are_kept(tmp_path: Path):
    """Each copy took seven times as long while an earlier bundle was run over the patient anew."""
    boxes = {f"{patient:04}": {} for patient in range(17)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    (tmp_path / "labels.json").write_text('{"901": {"slices": {}}}', encoding="utf-8")
    real = RealData(tmp_path, tmp_path)  # without images
    config = load_config(DEFAULT)
    wanted = {"generated_train": 0, "generated_validation": 0, "real_validation": 1}
    data = config.data.model_copy(update={**wanted, "bleeds_laid_in": 1})
    config = config.model_copy(update={"data": data, "processes": 1})
    (train,), (validation,) = patients_of(config, real.phe_sich)
    trauma = [TRAUMA + one for one in ("901", *trauma_split(real.ct_ich).validation)]
    (tmp_path / "cases").mkdir()
    for name in (train, validation, *trauma):
        save_case(clear_case(), tmp_path / "cases" / f"{name}.npz")

    cases, _ = gather(config, real, tmp_path)

    laid_in = [case for case in cases if "+" in case.name]
    assert len(laid_in) == len(cases) / 2 == 2
    assert all(case.boxed.any() for case in laid_in)


def test_where_a_bundle_is_read_mirrored_what_it_is_fitted_to_is_as_well(tmp_path: Path):
    (tmp_path / "tiny.toml").write_text(TINY)
    config = load_config(tmp_path / "tiny.toml")
    network = SliceNetwork(config.contract.slices, config.slices.width).eval()
    fields = clear_case().fields

    seen, turned = (
        slice_probabilities(network, one, config.contract.slices, mirrored=True)
        for one in (fields, fields[..., ::-1])
    )

    assert np.allclose(seen, turned[..., ::-1], atol=1e-6)


def test_the_committed_configuration_is_the_shipped_bundles(tmp_path: Path):
    config = load_config(DEFAULT)

    bundle = load_bundle(DEFAULT.parents[2] / "engines" / config.name / config.version)

    assert bundle.contract.slices == config.contract.slices
    assert bundle.contract.volume == config.contract.volume
