"""Training goes on from a bundle's weights."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("onnx", reason="exporting needs the train extra")

import onnx
import torch
from onnx import numpy_helper

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import ConfigError
from agent.infer.bundle import MANIFEST, SLICE_FILE, VOLUME_FILE, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Subtype
from agent.voxels import HeadVolume
from build_engine.heads.fields import case_of, grid_of
from build_engine.synth.head import HeadRecipe, make_head
from build_engine.train.config import DEFAULT, TrainConfig, load_config
from build_engine.train.export import manifest_text, write_networks
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.train import train_slices
from build_engine.train.warm_start import average_with, channels_of, start_from
from tests.heads import SEEING

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SLICES = SliceInput(4.0, 64, 5.0, 1, ((0.0, 80.0),), 2)
VOLUME = VolumeInput((8.0, 8.0, 8.0), (16, 32, 32), ((0.0, 80.0),))
BLOCK = (1, 6, *VOLUME.shape_kji)


def write_bundle(folder: Path, networks: tuple[SliceNetwork, VolumeNetwork]) -> Path:
    digests = write_networks(folder, networks, (SLICES, VOLUME))
    contract = replace(SEEING, slices=SLICES, volume=VOLUME, sha256=digests)
    (folder / MANIFEST).write_text(manifest_text(contract))
    return folder


def used(network: torch.nn.Module, shape: tuple[int, ...]) -> torch.nn.Module:
    """Let a network's normalisation see something, and not pass it on as it came."""
    rng = torch.Generator().manual_seed(4)
    for part in network.modules():
        if hasattr(part, "running_mean"):
            part.weight.data.uniform_(0.5, 1.5, generator=rng)
            part.bias.data.uniform_(-0.3, 0.3, generator=rng)
    network.train()
    for _ in range(8):
        network(torch.rand(shape, generator=rng))
    return network.eval()


def first(output: object) -> torch.Tensor:
    """Take the bleed logits, which both networks give first."""
    return output[0] if isinstance(output, tuple) else output


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SliceNetwork, VolumeNetwork]:
    torch.manual_seed(1)
    slices = used(SliceNetwork(SLICES, 4), SLICES.shape)
    volume = used(VolumeNetwork(VOLUME, 4), BLOCK)
    volume.correction.weight.data.normal_()
    folder = write_bundle(tmp_path_factory.mktemp("bundle") / "1", (slices, volume))
    return folder, slices, volume


@pytest.mark.parametrize("which", [SLICE_FILE, VOLUME_FILE])
def test_training_starts_from_what_the_bundle_does(which: str, exported):
    folder, slices, volume = exported
    is_slices = which == SLICE_FILE
    shape = SLICES.shape if is_slices else BLOCK
    samples = [torch.rand(shape, generator=torch.Generator().manual_seed(n)) for n in range(6)]
    was = slices if is_slices else volume
    now = SliceNetwork(SLICES, 4) if is_slices else VolumeNetwork(VOLUME, 4)

    start_from(now, folder / which, samples, range(shape[1]))

    with torch.no_grad():
        wanted = first(was(samples[0])).numpy()
        assert np.allclose(first(now(samples[0])).numpy(), wanted, atol=1e-4)
        in_training = first(now.train()(samples[0])).numpy()
    assert np.abs(in_training - wanted).mean() < 0.1 * wanted.std()


@pytest.mark.parametrize("which", [SLICE_FILE, VOLUME_FILE])
def test_the_mean_with_the_start_is_the_mean_of_both_exports_layer_by_layer(
    which: str, exported, tmp_path: Path
):
    torch.manual_seed(7)
    folder, *_ = exported
    slices, volume = (
        used(SliceNetwork(SLICES, 4), SLICES.shape),
        used(VolumeNetwork(VOLUME, 4), BLOCK),
    )
    trained = write_bundle(tmp_path / "trained", (slices, volume))
    now, shape = (slices, SLICES.shape) if which == SLICE_FILE else (volume, BLOCK)
    samples = [torch.rand(shape, generator=torch.Generator().manual_seed(n)) for n in range(3)]

    average_with(now, folder / which, samples, range(shape[1]), share=0.25)

    averaged = write_bundle(tmp_path / "averaged", (slices, volume))
    first, last, mean = (layers(one / which) for one in (folder, trained, averaged))
    assert len(mean) == len(first)
    for own, start, between in zip(last, first, mean, strict=True):
        assert np.allclose(between, 0.75 * own + 0.25 * start, atol=1e-5)


def layers(path: Path) -> list[np.ndarray]:
    """Read the weights and biases of an exported network, in the order of its graph."""
    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    taken = [node.input[1:3] for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return [stored[name] for names in taken for name in names]


def test_a_bundle_of_another_width_is_refused(exported):
    folder, *_ = exported
    samples = [torch.rand(SLICES.shape)]

    with pytest.raises(ConfigError, match="layers are not those"):
        start_from(SliceNetwork(SLICES, 6), folder / SLICE_FILE, samples, range(3))


WIDE = (-20.0, 500.0)
"""A window that the exported networks do not have."""


@pytest.mark.parametrize(
    ("wider", "where"),
    [
        (replace(SLICES, windows_hu=(WIDE, *SLICES.windows_hu)), [1, 3, 5]),
        (replace(SLICES, neighbours=2), [1, 2, 3]),
    ],
    ids=["window", "neighbour"],
)
def test_what_the_bundle_does_not_see_says_nothing_at_first(exported, wider, where):
    folder, slices, _ = exported
    neighbours = wider.neighbours, SLICES.neighbours
    channels = channels_of(wider.windows_hu, SLICES.windows_hu, neighbours)
    samples = [torch.rand(wider.shape, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
    now = SliceNetwork(wider, 4)

    start_from(now, folder / SLICE_FILE, samples, channels)

    assert channels == where
    with torch.no_grad():
        wanted = slices(samples[0][:, channels])
        assert np.allclose(now(samples[0]).numpy(), wanted.numpy(), atol=1e-4)


@pytest.fixture
def new_layers_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build_engine.train.warm_start.NEW_LAYER_SHARE", 0.0)


@pytest.mark.usefixtures("new_layers_say_nothing")
@pytest.mark.parametrize("which", [SLICE_FILE, VOLUME_FILE])
def test_but_for_its_new_layers_a_deeper_network_starts_from_what_the_bundle_does(
    which: str, tmp_path: Path
):
    torch.manual_seed(2)
    slices, volume = SliceNetwork(SLICES, 4), VolumeNetwork(VOLUME, 4)
    for network in (slices, volume):
        network.down[-1] = network.down[-1][:-1]  # one residual block less where pixels are few
    used(slices, SLICES.shape)
    used(volume, BLOCK).correction.weight.data.normal_()
    folder = write_bundle(tmp_path / "1", (slices, volume))
    was, now, shape = (
        (slices, SliceNetwork(SLICES, 4), SLICES.shape)
        if which == SLICE_FILE
        else (volume, VolumeNetwork(VOLUME, 4), BLOCK)
    )
    samples = [torch.rand(shape, generator=torch.Generator().manual_seed(n)) for n in range(3)]

    start_from(now, folder / which, samples, range(shape[1]))

    with torch.no_grad():
        assert np.allclose(first(now(samples[0])), first(was(samples[0])), atol=1e-4)


def test_training_starts_from_what_the_shipped_slice_network_does():
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    rng = torch.Generator().manual_seed(4)
    samples = [torch.rand(bundle.contract.slices.shape, generator=rng) for _ in range(3)]
    now = SliceNetwork(bundle.contract.slices, load_config(DEFAULT).slices.width)

    start_from(now, bundle.folder / SLICE_FILE, samples, range(bundle.contract.slices.shape[1]))

    wanted = next(OnnxBackend(bundle, threads=1).run_slices(iter([samples[0].numpy()])))
    with torch.no_grad():
        found = now(samples[0]).softmax(dim=1).numpy()
    assert np.allclose(found, wanted, atol=1e-3)


def test_training_starts_from_what_the_shipped_volume_network_does_with_a_window_more():
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    wider = replace(
        bundle.contract.volume, windows_hu=(*bundle.contract.volume.windows_hu, (-100.0, 900.0))
    )
    channels = channels_of(wider.windows_hu, bundle.contract.volume.windows_hu, before=len(Subtype))
    rng = torch.Generator().manual_seed(3)
    samples = [torch.rand(wider.shape, generator=rng) * 0.3 for _ in range(2)]
    now = VolumeNetwork(wider, load_config(DEFAULT).volume.width)

    start_from(now, bundle.folder / VOLUME_FILE, samples, channels)

    block = np.ascontiguousarray(samples[0][:, channels])
    wanted = OnnxBackend(bundle, threads=1).run_volume(block).bleed
    with torch.no_grad():
        found = first(now(samples[0])).softmax(dim=1)[0].numpy()
    assert np.allclose(found, wanted, atol=1e-3)


def test_a_window_that_the_bundle_sees_is_not_left_out():
    with pytest.raises(ConfigError, match="sees the window"):
        channels_of((WIDE,), SLICES.windows_hu)


def test_a_neighbour_that_the_bundle_sees_is_not_left_out():
    with pytest.raises(ConfigError, match="1 neighbours on either side, not 0"):
        channels_of(SLICES.windows_hu, SLICES.windows_hu, (0, 1))


def test_a_run_starts_from_the_bundle_that_it_names(tmp_path: Path, exported):
    folder, slices, _ = exported
    no_training = {"width": 4, "steps": 0, "batch": 2, "learning_rate": 1e-3}
    contract = {"slices": asdict(SLICES), "volume": asdict(VOLUME)}
    changed = {
        "start_from": folder, "processes": 1, "contract": contract, "slices": no_training,
    }  # fmt: skip
    config = TrainConfig.model_validate(load_config(DEFAULT).model_dump() | changed)
    head = make_head(HeadRecipe(3, None), (5.0, 4.0, 4.0))
    read = HeadVolume(head.hu, grid_of(head), tuple(map(str, range(len(head.hu)))), ())
    nothing = np.zeros(head.hu.shape, dtype=np.uint8)
    case = case_of("one", read, nothing, config.contract.slices, named=False)

    network = train_slices(config, (case,), tmp_path, lambda *_: None)

    sample = torch.rand(SLICES.shape)
    with torch.no_grad():
        assert np.allclose(network(sample).numpy(), slices(sample).numpy(), atol=1e-4)
