"""A bundle is written whole, and says what its contract says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("onnx", reason="exporting needs the train extra")

import torch

from agent.errors import ConfigError
from agent.infer.bundle import MANIFEST
from agent.infer.contract import Contract, NetworkDigests, read_contract
from agent.preprocess import SliceInput, VolumeInput
from agent.records import OperatingPoint, Reading, VolumeInterval
from build_engine.train.config import DEFAULT, TrainConfig, load_config
from build_engine.train.export import manifest_text
from build_engine.train.gather import RealData
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.origin import card
from build_engine.train.run import SCORE_FILE, export
from build_engine.train.train import SLICE_WEIGHTS, VOLUME_WEIGHTS

pytestmark = pytest.mark.slow

POSITIVE = st.floats(0.0, 1e300, exclude_min=True)
NOT_NEGATIVE = st.floats(0.0, 1e300)
PROBABILITY = st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)
COUNT = st.integers(1, 2**31)
FOLDER_NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", fullmatch=True)
WINDOW = st.tuples(st.floats(-1e300, 0.0), POSITIVE)
SHA256 = st.from_regex("[0-9a-f]{64}", fullmatch=True)
CONTRACTS = st.builds(
    Contract,
    name=FOLDER_NAME,
    version=FOLDER_NAME,
    slices=st.builds(
        SliceInput, POSITIVE, COUNT, POSITIVE, st.integers(0, 9), st.tuples(WINDOW), COUNT
    ),
    volume=st.builds(
        VolumeInput,
        st.tuples(POSITIVE, POSITIVE, POSITIVE),
        st.tuples(COUNT, COUNT, COUNT),
        st.lists(WINDOW).map(tuple),
    ),
    reading=st.builds(Reading, PROBABILITY, st.booleans(), st.booleans()),
    interval=st.builds(VolumeInterval, *[NOT_NEGATIVE] * 5),
    operating_points=st.lists(
        st.builds(
            OperatingPoint,
            st.text(),
            PROBABILITY,
            st.none() | st.tuples(NOT_NEGATIVE, NOT_NEGATIVE),
        ),
        min_size=1,
        unique_by=lambda point: point.name,
    ).map(tuple),
    sha256=st.builds(NetworkDigests, SHA256, SHA256),
    card=st.dictionaries(st.text(), st.text()),
)


def trained(work: Path) -> TrainConfig:
    """Write networks as training leaves them, small and untrained."""
    work.mkdir()
    narrow = {"width": 4, "steps": 0, "batch": 2, "learning_rate": 1e-3}
    inputs = {
        "slices": asdict(SliceInput(4.0, 64, 5.0, 1, ((0.0, 80.0),), 2)),
        "volume": asdict(VolumeInput((8.0, 8.0, 8.0), (16, 32, 32), ((0.0, 80.0),))),
    }
    shrunk = {"contract": inputs, "slices": narrow, "volume": narrow}
    config = TrainConfig.model_validate(load_config(DEFAULT).model_dump() | shrunk)
    slices = SliceNetwork(config.contract.slices, config.slices.width)
    volume = VolumeNetwork(config.contract.volume, config.volume.width)
    torch.save(slices.state_dict(), work / SLICE_WEIGHTS)
    torch.save(volume.state_dict(), work / VOLUME_WEIGHTS)
    torch.save(volume.evidence.state_dict(), work / SCORE_FILE)
    return config


@given(CONTRACTS)
def test_what_export_writes_is_what_the_agent_reads(contract: Contract):
    assert read_contract(manifest_text(contract), Path(MANIFEST)) == contract


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")
def test_an_export_that_fails_at_the_validation_heads_leaves_nothing(tmp_path: Path):
    """It left a bundle that could be loaded, its intervals and operating point guessed."""
    config, work, engines = trained(tmp_path / "work"), tmp_path / "work", tmp_path / "engines"
    impossible = config.data.model_copy(update={"first_validation_seed": -1})

    with pytest.raises(ValueError, match="non-negative"):
        export(config.model_copy(update={"data": impossible}), None, work, engines)

    assert [path for path in engines.rglob("*") if path.is_file()] == []


def test_a_bundle_is_not_exported_over_another(tmp_path: Path):
    config = load_config(DEFAULT)
    there = tmp_path / config.name / config.version
    there.mkdir(parents=True)

    with pytest.raises(ConfigError, match="is there already"):
        export(config, None, tmp_path / "work", tmp_path)

    assert list(there.iterdir()) == []


def real_patients(folder: Path) -> RealData:
    """Write the names of two patients after trauma."""
    folder.mkdir()
    (folder / "labels.json").write_text('{"901": {}, "902": {}}')
    return RealData(folder, folder)


def test_the_card_does_not_name_patients_that_were_not_trained_on(tmp_path: Path):
    config, patients = load_config(DEFAULT), real_patients(tmp_path / "ct_ich")

    without, with_them = (card(config, [], real) for real in (None, patients))

    assert "PHE-SICH" not in " ".join(without.values())
    assert "CT-ICH" not in " ".join(without.values())
    assert "No real intraparenchymal, intraventricular" in without["limits"]
    assert "PHE-SICH" in with_them["trained_on"]
    assert "2 CT-ICH patients" in with_them["trained_on"]
    assert "No real" not in with_them["limits"]


def test_the_card_speaks_of_no_generated_heads_where_there_were_none(tmp_path: Path):
    config, patients = load_config(DEFAULT), real_patients(tmp_path / "ct_ich")
    none = config.data.model_copy(update={"generated_train": 0})

    said = card(config.model_copy(update={"data": none}), [], patients)

    assert "generated heads (" not in said["trained_on"]
    assert "Anatomy" not in said["trained_on"]


def test_the_card_says_of_what_weights_a_mean_was_exported():
    config = load_config(DEFAULT)

    trained, mean = (
        card(config.model_copy(update={"start_share": share}), [], None)["trained_on"]
        for share in (0.0, 0.25)
    )

    assert mean == f"{trained} The mean of both was exported, the former's share 25 %."
