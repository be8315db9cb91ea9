"""Trained networks to the files of a bundle: two of ONNX and their manifest."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Final

import tomli_w
import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.infer.bundle import SLICE_FILE, VOLUME_FILE
from agent.infer.contract import CONTRACT, Contract, NetworkDigests
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Reading
from build_engine.judge.cost import cost_of
from build_engine.train.networks import SliceNetwork, VolumeNetwork

OPSET: Final = 17

SCORE_POOL_PX: Final = 5
"""A slice's score is the largest bleed probability that persists over this many pixels square."""


class _SliceGraph(nn.Module):
    """The slice network with the outputs that the contract names."""

    def __init__(self, network: SliceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, slabs: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = self.network(slabs).softmax(dim=1)
        bleed = functional.avg_pool2d(1.0 - probabilities[:, :1], SCORE_POOL_PX, stride=1)
        return probabilities, bleed.amax(dim=(1, 2, 3)).clamp(0.0, 1.0)


class _VolumeGraph(nn.Module):
    """The volume network with the outputs that the contract names."""

    def __init__(self, network: VolumeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bleed, region, study = self.network(block)
        return bleed.softmax(dim=1), region.argmax(dim=1).to(torch.int32), study.sigmoid()


def write_networks(
    folder: Path,
    networks: tuple[SliceNetwork, VolumeNetwork],
    inputs: tuple[SliceInput, VolumeInput],
) -> NetworkDigests:
    """Export both networks to a new folder; what they take is ``inputs``."""
    folder.mkdir(parents=True)
    slices = _onnx_bytes(
        _SliceGraph(networks[0]), inputs[0].shape, ("slabs", "probabilities", "score")
    )
    volume = _onnx_bytes(
        _VolumeGraph(networks[1]), inputs[1].shape, ("block", "bleed", "anatomy", "score")
    )
    (folder / SLICE_FILE).write_bytes(slices)
    (folder / VOLUME_FILE).write_bytes(volume)
    return NetworkDigests(*(hashlib.sha256(content).hexdigest() for content in (slices, volume)))


def manifest_text(contract: Contract) -> str:
    """Write a contract as ``read_contract`` reads it."""
    table = CONTRACT.dump_python(contract, exclude_none=True)
    return tomli_w.dumps(table)


def cost_text(folder: Path, contract: SliceInput, reading: Reading) -> str:
    """Say what the networks of a bundle cost to run, counted from their graphs."""
    slabs = cost_of((folder / SLICE_FILE).read_bytes(), batch=contract.batch)
    head = cost_of((folder / VOLUME_FILE).read_bytes(), batch=1)
    slab_flops = slabs.flops / contract.batch * reading.runs_per_slab
    return (
        f"slice network {slab_flops / 1e9:.1f} GFLOP a slab of {contract.slab_mm:g} mm, "
        f"volume network {head.flops / 1e9:.1f} GFLOP a head"
    )


def _onnx_bytes(graph: nn.Module, shape: tuple[int, ...], names: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The tracing exporter is deprecated, but keeps to the plain operators that old TensorRTs
        # know, and folds batch normalisation by itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            graph.eval(),
            (torch.zeros(shape),),
            str(path),
            input_names=list(names[:1]),
            output_names=list(names[1:]),
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()
