"""Training: first the slice network, then the volume network on what the slice network gives."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, load_bundle
from agent.preprocess import Floats, SliceInput, slice_input
from build_engine.heads.fields import Case
from build_engine.train.blocks import (
    BlockCase,
    block_case,
    block_loss,
    draw_blocks,
    load_block,
    save_block,
    without_bleed,
)
from build_engine.train.config import TrainConfig
from build_engine.train.fit import BatchOf, Report, Schedule, Task, fit
from build_engine.train.networks import N_CLASSES, SliceNetwork, VolumeNetwork
from build_engine.train.slices import (
    NAMED_WEIGHT,
    kinds_loss,
    make_batch,
    slabs_of_cases,
    slice_loss,
)
from build_engine.train.warm_start import average_with, channels_of, start_from

SLICE_CHECKPOINT: Final = "slice.pt"
VOLUME_CHECKPOINT: Final = "volume.pt"
"""What a stopped training goes on from."""

SLICE_WEIGHTS: Final = "slice-trained.pt"
VOLUME_WEIGHTS: Final = "volume-trained.pt"
"""The trained network's weights."""

WARM_START_BATCHES: Final = 12
"""Batches by which normalisation is taken out of weights again that an export folded it into."""

EVIDENCE_DECAY: Final = 0.02
"""Weight decay of the study score's fit. Ours."""


def train_slices(
    config: TrainConfig, cases: tuple[Case, ...], folder: Path, report: Report
) -> SliceNetwork:
    """Train the slice network; ``folder`` keeps its checkpoint and the trained weights."""
    torch.manual_seed(config.seed)
    network = SliceNetwork(config.contract.slices, config.slices.width)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    slabs, contract = slabs_of_cases(cases), config.contract.slices
    batch_of = partial(make_batch, slabs, contract=contract, count=config.slices.batch)
    start = _start(config, "slices", batch_of)
    if start and not (folder / SLICE_CHECKPOINT).exists():
        start_from(network, *start)
    schedule = _schedule(config, "slices")
    fit(Task(network, schedule, batch_of, _slice_loss, folder / SLICE_CHECKPOINT), report)
    if start and config.start_share:
        average_with(network, *start, config.start_share)
    _keep(network.eval(), folder / SLICE_WEIGHTS)
    return network


def train_volume(
    config: TrainConfig, blocks: tuple[Path, ...], folder: Path, report: Report
) -> VolumeNetwork:
    """Train the volume network on files of blocks; in ``folder`` as ``train_slices`` does."""
    torch.manual_seed(config.seed + 1)
    network = VolumeNetwork(config.contract.volume, config.volume.width)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    batch_of = partial(draw_blocks, blocks, count=config.volume.batch)
    start = _start(config, "volume", batch_of)
    if start and not (folder / VOLUME_CHECKPOINT).exists():
        start_from(network, *start)
    schedule = _schedule(config, "volume")
    fit(Task(network, schedule, batch_of, block_loss, folder / VOLUME_CHECKPOINT), report)
    if start and config.start_share:
        average_with(network, *start, config.start_share)
    _keep(network.eval(), folder / VOLUME_WEIGHTS)
    return network


def _keep(network: nn.Module, path: Path) -> None:
    """Write trained weights, unless the same are there: blocks made by them then stay valid."""
    state = network.state_dict()
    kept = torch.load(path, weights_only=True) if path.exists() else {}
    if kept.keys() != state.keys() or any(not torch.equal(kept[key], state[key]) for key in state):
        torch.save(state, path)


def _start(
    config: TrainConfig, name: Literal["slices", "volume"], batch_of: BatchOf
) -> tuple[Path, list[Tensor], list[int]] | None:
    """Find the network to start from, samples for it and the channels that it takes; None: none."""
    if config.start_from is None:
        return None
    bundle = load_bundle(config.start_from)  # refuses what is not whole
    rng = np.random.default_rng(config.seed)
    samples = [batch_of(rng)[0] for _ in range(WARM_START_BATCHES)]
    wanted, had = config.contract, bundle.contract
    if name == "slices":
        neighbours = wanted.slices.neighbours, had.slices.neighbours
        channels = channels_of(wanted.slices.windows_hu, had.slices.windows_hu, neighbours)
        return bundle.folder / SLICE_FILE, samples, channels
    channels = channels_of(wanted.volume.windows_hu, had.volume.windows_hu, before=N_CLASSES - 1)
    return bundle.folder / VOLUME_FILE, samples, channels


def _schedule(config: TrainConfig, name: Literal["slices", "volume"]) -> Schedule:
    stage = config.slices if name == "slices" else config.volume
    return Schedule(name, config.seed, stage.steps, stage.learning_rate, config.processes)


def _slice_loss(logits: Tensor, truth: tuple[Tensor, ...]) -> Tensor:
    target, named, kinds = truth
    return slice_loss(logits, target, named) + NAMED_WEIGHT * kinds_loss(logits, kinds)


def slice_probabilities(
    network: SliceNetwork, fields: Floats, contract: SliceInput, *, mirrored: bool
) -> Floats:
    """Run the slice network over all slabs: fields (slab, j, i) to (slab, class, j, i).

    Where a bundle is read ``mirrored``, so are they: what it is fitted to is what it will see.
    """
    if mirrored:
        seen, turned = (
            slice_probabilities(network, one, contract, mirrored=False)
            for one in (fields, fields[..., ::-1])
        )
        return (seen + turned[..., ::-1]) * np.float32(0.5)
    reach = range(-contract.neighbours, contract.neighbours + 1)
    last = len(fields) - 1
    samples = [
        slice_input(tuple(fields[min(max(slab + step, 0), last)] for step in reach), contract)
        for slab in range(len(fields))
    ]
    outputs = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for first in range(0, len(samples), contract.batch):
            batch = torch.from_numpy(np.stack(samples[first : first + contract.batch]))
            logits = network(batch.contiguous(memory_format=torch.channels_last))
            outputs.append(logits.float().softmax(dim=1).numpy())
    return np.concatenate(outputs)


def block_files(
    config: TrainConfig, cases: tuple[Case, ...], network: SliceNetwork, folder: Path
) -> tuple[Path, ...]:
    """Run the slice network over every case and keep the answers as blocks in ``folder/blocks``.

    They are too many for memory. A file that is newer than the slice network's weights is kept.
    """
    contracts = config.contract.slices, config.contract.volume
    trained_at = (folder / SLICE_WEIGHTS).stat().st_mtime
    (folder / "blocks").mkdir(exist_ok=True)

    def file_of(case: Case) -> Path:
        path = folder / "blocks" / f"{case.name}.npz"
        if not path.exists() or path.stat().st_mtime < trained_at:
            seen = slice_probabilities(
                network, case.fields, contracts[0], mirrored=config.reading.mirrored
            )
            save_block(block_case(case, seen, contracts), path)
        return path

    torch.set_num_threads(1)
    with ThreadPoolExecutor(config.processes) as pool:
        return tuple(pool.map(file_of, cases))


def fit_study_score(network: VolumeNetwork, blocks: tuple[Path, ...], processes: int) -> None:
    """Fit the study logit to heads that neither network was trained on, in place.

    Real heads count once as they are and once with their bleed cut out. Real and generated, with
    and without a bleed: each of the four weighs the same. A little weight decay keeps the numbers
    finite where the heads part cleanly.
    """

    def seen_of(path: Path) -> list[_Seen]:
        head = load_block(path)
        cut = without_bleed(head) if head.regions is None and head.bleeds else None
        return [_seen(network, one) for one in (head, cut) if one is not None]

    with ThreadPoolExecutor(processes) as pool:
        seen = list(chain.from_iterable(pool.map(seen_of, blocks)))
    evidence = torch.stack([head.evidence for head in seen])
    bleeds = torch.tensor([float(head.bleeds) for head in seen])
    weight = torch.tensor(_even_weights([(head.real, head.bleeds) for head in seen]))
    parameters = list(network.evidence.parameters())
    optimiser = torch.optim.LBFGS(parameters, max_iter=200)

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = network.evidence(evidence)[:, 0]
        fit = nn.functional.binary_cross_entropy_with_logits(
            logits, bleeds, weight=weight, reduction="sum"
        )
        loss: Tensor = fit + EVIDENCE_DECAY * network.evidence.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What speaks for a bleed in a head, and what is known of the head."""

    evidence: Tensor
    real: bool
    bleeds: bool


def _seen(network: VolumeNetwork, head: BlockCase) -> _Seen:
    block = torch.from_numpy(head.block.astype(np.float32))[None]
    with torch.no_grad():
        return _Seen(network.evidence_of(block)[0], head.regions is None, head.bleeds)


def _even_weights(groups: list[tuple[bool, bool]]) -> list[float]:
    """Weights that sum to 1, the same for every group there is."""
    counts = Counter(groups)
    return [1 / (len(counts) * counts[group]) for group in groups]
