"""Trained networks to a bundle: two ONNX files and their manifest (engines/CONTRACT.md)."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.preprocess import SliceInput, VolumeInput
from agent.records import OperatingPoint, Reading, VolumeIntervals
from build_engine.judge.cost import cost_of
from build_engine.train.networks import N_CLASSES, SliceNetwork, VolumeNetwork

OPSET: Final = 17

SLICE_FILE: Final = "slice.onnx"
VOLUME_FILE: Final = "volume.onnx"

SCORE_POOL_PX: Final = 5
"""A slice's score is the largest bleed probability that persists over this many pixels square."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that ``bundle.toml`` says beside the files' digests."""

    name: str
    version: str
    slices: SliceInput
    volume: VolumeInput
    reading: Reading
    intervals: VolumeIntervals
    operating_points: tuple[OperatingPoint, ...]
    card: dict[str, str]


class _SliceGraph(nn.Module):  # type: ignore[misc]
    """The slice network with the outputs that the contract names."""

    def __init__(self, network: SliceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, slabs: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = self.network(slabs).softmax(dim=1)
        bleed = functional.avg_pool2d(1.0 - probabilities[:, :1], SCORE_POOL_PX, stride=1)
        return probabilities, bleed.amax(dim=(1, 2, 3)).clamp(0.0, 1.0)


class _VolumeGraph(nn.Module):  # type: ignore[misc]
    """The volume network with the outputs that the contract names."""

    def __init__(self, network: VolumeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bleed, region, study = self.network(block)
        return bleed.softmax(dim=1), region.argmax(dim=1).to(torch.int32), study.sigmoid()


def write_bundle(
    folder: Path, networks: tuple[SliceNetwork, VolumeNetwork], manifest: Manifest
) -> None:
    """Export both networks and their manifest to ``folder``; each file is replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    slices, volume = networks
    slabs = torch.zeros(manifest.slices.shape)
    block_channels = N_CLASSES - 1 + len(manifest.volume.windows_hu)
    block = torch.zeros((1, block_channels, *manifest.volume.shape_kji))
    slice_onnx = _onnx_bytes(_SliceGraph(slices), slabs, ("slabs", "probabilities", "score"))
    volume_onnx = _onnx_bytes(_VolumeGraph(volume), block, ("block", "bleed", "anatomy", "score"))
    text = _manifest_text(manifest, _sha256(slice_onnx), _sha256(volume_onnx))
    for name, content in (
        (SLICE_FILE, slice_onnx),
        (VOLUME_FILE, volume_onnx),
        ("bundle.toml", text.encode()),
    ):
        _replace(folder / name, content)


def cost_text(folder: Path, contract: SliceInput, reading: Reading) -> str:
    """Say what the networks of a bundle cost to run, counted from their graphs."""
    slabs = cost_of((folder / SLICE_FILE).read_bytes(), batch=contract.batch)
    head = cost_of((folder / VOLUME_FILE).read_bytes(), batch=1)
    slab_flops = slabs.flops / contract.batch * reading.runs_per_slab
    return (
        f"slice network {slab_flops / 1e9:.1f} GFLOP a slab of {contract.slab_mm:g} mm, "
        f"volume network {head.flops / 1e9:.1f} GFLOP a head"
    )


def _onnx_bytes(graph: nn.Module, sample: Tensor, names: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The tracing exporter is deprecated, but keeps to the plain operators that old TensorRTs
        # know, and folds batch normalisation by itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            graph.eval(),
            (sample,),
            str(path),
            input_names=list(names[:1]),
            output_names=list(names[1:]),
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest_text(manifest: Manifest, slice_sha256: str, volume_sha256: str) -> str:
    slices, volume = manifest.slices, manifest.volume
    lines = [
        "[bundle]",
        f'name = "{manifest.name}"',
        f'version = "{manifest.version}"',
        f"opset = {OPSET}",
        "",
        "[slice]",
        f'file = "{SLICE_FILE}"',
        f'sha256 = "{slice_sha256}"',
        f"pixel_mm = {slices.pixel_mm}",
        f"size_px = {slices.size_px}",
        f"slab_mm = {slices.slab_mm}",
        f"neighbours = {slices.neighbours}",
        f"windows_hu = {_array(slices.windows_hu)}",
        f"batch = {slices.batch}",
        "",
        "[volume]",
        f'file = "{VOLUME_FILE}"',
        f'sha256 = "{volume_sha256}"',
        f"voxel_kji_mm = {list(volume.voxel_kji_mm)}",
        f"shape_kji = {list(volume.shape_kji)}",
        f"windows_hu = {_array(volume.windows_hu)}",
        "",
        "[reading]",
        f"bleed_probability = {manifest.reading.bleed_probability}",
        f"midline_shift = {str(manifest.reading.midline_shift).lower()}",
        f"mirrored = {str(manifest.reading.mirrored).lower()}",
    ]
    for subtype, interval in manifest.intervals.items():
        lines += [
            "",
            f"[interval.{subtype.name.lower()}]",
            f"below = {interval.below}",
            f"above = {interval.above}",
            f"absolute_ml = {interval.absolute_ml}",
        ]
    for point in manifest.operating_points:
        lines += ["", f"[operating_points.{point.name}]", f"score = {point.score}"]
        if point.alerts_per_100 is not None:
            lines.append(f"alerts_per_100 = {point.alerts_per_100}")
    lines += ["", "[card]"]
    lines += [f'{key} = """\n{text}"""' for key, text in manifest.card.items()]
    return "\n".join(lines) + "\n"


def _array(windows_hu: tuple[tuple[float, float], ...]) -> str:
    return str([list(window) for window in windows_hu])
