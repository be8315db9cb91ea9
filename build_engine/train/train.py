"""Training: first the slice network, then the volume network on what the slice network gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from agent.preprocess import Floats, SliceInput, slice_input
from build_engine.train.blocks import BlockCase, block_case, block_loss, draw_block, without_bleed
from build_engine.train.config import TrainConfig
from build_engine.train.data import (
    Case,
)
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.slices import Slabs, make_batch, slabs_of_cases, slice_loss

SAVE_EVERY: Final = 200
REPORT_EVERY: Final = 50

EVIDENCE_DECAY: Final = 0.02
"""Weight decay of the study score's fit. Ours."""


def train_slices(
    config: TrainConfig, cases: tuple[Case, ...], folder: Path, say: Callable[[str], None]
) -> SliceNetwork:
    """Train the slice network, saving weights to ``folder/slice.pt`` as it goes.

    A second, shorter round at half the rate adds bone that blooms.
    """
    torch.manual_seed(config.seed)
    network = SliceNetwork(config.contract.slices, config.slices.width)
    network.to(memory_format=torch.channels_last)
    slabs, stage = slabs_of_cases(cases), config.slices
    first = Round(config.seed, stage.steps, stage.learning_rate, last=False)
    second = Round(config.seed + 2, stage.refine_steps, stage.learning_rate / 2, last=True)
    for round_ in (first, second):
        refine_slices(network, slabs, round_, config, (folder, say))
    network.eval()
    return network


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the slice network's training."""

    seed: int
    steps: int
    learning_rate: float
    last: bool


def refine_slices(
    network: SliceNetwork,
    slabs: Slabs,
    round_: Round,
    config: TrainConfig,
    folder_and_say: tuple[Path, Callable[[str], None]],
) -> None:
    """Train the slice network for one round, in place."""
    folder, say = folder_and_say
    rng = np.random.default_rng(round_.seed)
    contract, batch = config.contract.slices, config.slices.batch
    started_s = time.monotonic()
    for step, optimiser in _steps(network, round_.steps, round_.learning_rate):
        inputs, target, real = make_batch(slabs.draw(rng, batch), rng, contract, bloom=round_.last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
        loss = slice_loss(logits, target, real)
        _descend(network, optimiser, loss)
        if step % SAVE_EVERY == 0 or step == round_.steps:
            torch.save(network.state_dict(), folder / "slice.pt")
        if step % REPORT_EVERY == 0:
            seconds = time.monotonic() - started_s
            say(f"slices {step}/{round_.steps} loss {loss.item():.3f} {seconds:.0f} s")


def _steps(
    network: nn.Module, count: int, learning_rate: float
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Count steps from 1, warming the rate up over a twentieth and then letting it fall to 0."""
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=count + 1, pct_start=0.05
    )
    for step in range(1, count + 1):
        yield step, optimiser
        schedule.step()


def _descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def slice_probabilities(network: SliceNetwork, fields: Floats, contract: SliceInput) -> Floats:
    """Run the slice network over all slabs: fields (slab, j, i) to (slab, class, j, i)."""
    reach = range(-contract.neighbours, contract.neighbours + 1)
    last = len(fields) - 1
    samples = [
        slice_input(tuple(fields[min(max(slab + step, 0), last)] for step in reach), contract)
        for slab in range(len(fields))
    ]
    found = []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for first in range(0, len(samples), contract.batch):
            batch = torch.from_numpy(np.stack(samples[first : first + contract.batch]))
            logits = network(batch.contiguous(memory_format=torch.channels_last))
            found.append(logits.float().softmax(dim=1).numpy())
    return np.concatenate(found)


def block_cases(
    config: TrainConfig, cases: tuple[Case, ...], network: SliceNetwork
) -> tuple[BlockCase, ...]:
    """Run the slice network over every case and bring the answers into blocks."""
    contracts = config.contract.slices, config.contract.volume
    return tuple(
        block_case(case, slice_probabilities(network, case.fields, contracts[0]), contracts)
        for case in cases
    )


def train_volume(
    config: TrainConfig, blocks: tuple[BlockCase, ...], folder: Path, say: Callable[[str], None]
) -> VolumeNetwork:
    """Train the volume network, saving weights to ``folder/volume.pt`` as it goes.

    A second round at half the rate favours small regions.
    """
    torch.manual_seed(config.seed + 1)
    network = VolumeNetwork(config.contract.volume, config.volume.width)
    network.to(memory_format=torch.channels_last_3d)
    stage = config.volume
    first = Round(config.seed + 1, stage.steps, stage.learning_rate, last=False)
    second = Round(config.seed + 3, stage.refine_steps, stage.learning_rate / 2, last=True)
    for round_ in (first, second):
        refine_volume(network, blocks, round_, config, (folder, say))
    network.eval()
    return network


def refine_volume(
    network: VolumeNetwork,
    blocks: tuple[BlockCase, ...],
    round_: Round,
    config: TrainConfig,
    folder_and_say: tuple[Path, Callable[[str], None]],
) -> None:
    """Train the volume network for one round, in place."""
    folder, say = folder_and_say
    rng = np.random.default_rng(round_.seed)
    started_s = time.monotonic()
    for step, optimiser in _steps(network, round_.steps, round_.learning_rate):
        samples = [draw_block(blocks, rng) for _ in range(config.volume.batch)]
        block, *truth = (torch.cat(parts) for parts in zip(*samples, strict=True))
        subtypes, regions, real, bleeds = truth
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(block.contiguous(memory_format=torch.channels_last_3d))
        known = subtypes, regions, real, bleeds
        _descend(network, optimiser, block_loss(outputs, known, favour_small=round_.last))
        if step % SAVE_EVERY == 0 or step == round_.steps:
            torch.save(network.state_dict(), folder / "volume.pt")
        if step % REPORT_EVERY == 0:
            say(f"volume {step}/{round_.steps} {time.monotonic() - started_s:.0f} s")


def fit_study_score(network: VolumeNetwork, blocks: tuple[BlockCase, ...]) -> None:
    """Fit the study logit to heads that neither network was trained on, in place.

    Real heads count once as they are and once with their bleed cut out. A little weight decay keeps
    the four numbers finite where the heads part cleanly.
    """
    cut = (without_bleed(block) for block in blocks if block.regions is None and block.bleeds)
    heads = [*blocks, *(block for block in cut if block is not None)]
    with torch.no_grad():
        evidence = torch.stack(
            [
                network.evidence_of(torch.from_numpy(head.block.astype(np.float32))[None])[0]
                for head in heads
            ]
        )
    bleeds = torch.tensor([float(head.bleeds) for head in heads])
    weight = torch.where(bleeds > 0, 0.5 / bleeds.sum(), 0.5 / (1 - bleeds).sum())
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
