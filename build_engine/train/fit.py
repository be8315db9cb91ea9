"""The training loop: several processes whose gradients are averaged, checkpoints, a curve."""

from __future__ import annotations

import copy
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from build_engine.heads.processes import keep_freed_memory

Batch = tuple[Tensor, ...]
Weights = dict[str, Tensor]
BatchOf = Callable[[np.random.Generator], Batch]
LossOf = Callable[[Any, Batch], Tensor]
Report = Callable[[str, int, int, float], None]

SAVE_EVERY: Final = 100
REPORT_EVERY: Final = 20
WARM_UP_SHARE: Final = 0.04
"""The rate climbs over this share of the steps, then falls to 0 along half a cosine."""

AVERAGED_STEPS: Final = 200
"""Weights are averaged over about so many steps, and the average is what is kept. Ours."""

WEIGHT_DECAY: Final = 1e-3
LARGEST_GRADIENT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long one network is trained, and in what steps.

    On a CPU each of ``processes`` trains on batches of its own, and their gradients are averaged;
    with a GPU they make its batches.
    """

    name: str
    seed: int
    steps: int
    learning_rate: float
    processes: int

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm_up = max(1, round(self.steps * WARM_UP_SHARE))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Batches(Dataset[Batch]):
    """The batch of every step from ``first``: it follows from seed, process and step alone."""

    def __init__(self, batch_of: BatchOf, schedule: Schedule, rank: int, first: int) -> None:
        self._batch_of, self._schedule = batch_of, schedule
        self._rank, self._first = rank, first

    def __len__(self) -> int:
        return self._schedule.steps - self._first

    def __getitem__(self, index: int) -> Batch:
        seed = self._schedule.seed, self._rank, self._first + index
        return self._batch_of(np.random.default_rng(seed))


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What to train, on what, and where its checkpoint lies.

    ``batch_of`` gives the input first and then what ``loss_of`` compares the output with.
    """

    network: nn.Module
    schedule: Schedule
    batch_of: BatchOf
    loss_of: LossOf
    path: Path


def fit(task: Task, report: Report) -> None:
    """Train a network in place, going on from its checkpoint if there is one.

    The mean loss of every ``REPORT_EVERY`` steps is reported and kept in the checkpoint.
    """
    keep_freed_memory()
    if torch.cuda.is_available():
        task.network.cuda()
        _train(task, 0, report)
        task.network.cpu()
        return
    torch.set_num_threads(1)
    with _others(task):
        _train(task, 0, report)


@contextmanager
def _others(task: Task) -> Iterator[None]:
    """Run all processes but this one; forked, so that they share the cases in memory."""
    count = task.schedule.processes
    with tempfile.TemporaryDirectory() as folder:
        meeting_point = f"file://{folder}/meeting"
        fork = multiprocessing.get_context("fork")
        others = [
            fork.Process(target=_other, args=(task, meeting_point, rank), daemon=True)
            for rank in range(1, count)
        ]
        for other in others:
            other.start()
        distributed.init_process_group("gloo", meeting_point, rank=0, world_size=count)
        try:
            yield
        except BaseException:
            for other in others:
                other.terminate()  # they wait for a gradient that will not come
            raise
        finally:
            distributed.destroy_process_group()
            for other in others:
                other.join()


def _other(task: Task, meeting_point: str, rank: int) -> None:
    count = task.schedule.processes
    distributed.init_process_group("gloo", meeting_point, rank=rank, world_size=count)
    _train(task, rank, lambda *_: None)
    distributed.destroy_process_group()


def _train(task: Task, rank: int, report: Report) -> None:
    network, schedule = task.network, task.schedule
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    first, curve, average = _resume(task.path, network, optimiser)
    loaders = schedule.processes if device.type == "cuda" else 0
    batches = DataLoader(
        _Batches(task.batch_of, schedule, rank, first), batch_size=None, num_workers=loaders
    )
    losses: list[float] = []
    network.train()
    for step, (inputs, *truth) in enumerate(batches, start=first):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        with torch.autocast(device.type, torch.bfloat16):
            outputs = network(inputs.to(device))
        loss = task.loss_of(outputs, tuple(part.to(device) for part in truth))
        optimiser.zero_grad()
        loss.backward()
        _share_gradients(network)
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        _follow(average, network, step)
        losses.append(loss.item())
        done = step + 1
        if rank == 0 and done % REPORT_EVERY == 0:
            curve.append((done, float(np.mean(losses[-REPORT_EVERY:]))))
            report(schedule.name, done, schedule.steps, curve[-1][1])
        if rank == 0 and done % SAVE_EVERY == 0:
            _save(task.path, network, optimiser, average, done, curve)
    if rank == 0 and (first < schedule.steps or not task.path.exists()):
        _save(task.path, network, optimiser, average, schedule.steps, curve)
    network.load_state_dict(average)


def _follow(average: Weights, network: nn.Module, step: int) -> None:
    """Move the average towards the network's weights, in place; fast in the first steps."""
    share = max(1 / AVERAGED_STEPS, 1 / (1 + step))
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            average[name].lerp_(value.detach(), share)
        else:
            average[name].copy_(value)


def _share_gradients(network: nn.Module) -> None:
    """Average the gradients of all processes, in place."""
    if not distributed.is_initialized():
        return
    gradients = []
    for part in network.parameters():
        if part.grad is None:  # a batch may leave a head of the network out, in this process only
            part.grad = torch.zeros_like(part)
        gradients.append(part.grad)
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(joined)
    joined /= distributed.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, shared in zip(gradients, joined.split(sizes), strict=True):
        gradient.copy_(shared.view_as(gradient))


def _save(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Weights,
    step: int,
    curve: list[tuple[int, float]],
) -> None:
    beside = path.with_suffix(".new")
    kept = {
        "weights": average,
        "latest": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "curve": curve,
    }
    torch.save(kept, beside)
    beside.replace(path)


def _resume(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[tuple[int, float]], Weights]:
    """Go on from a checkpoint: its step, its curve and the averaged weights."""
    if not path.exists():
        return 0, [], copy.deepcopy(network.state_dict())
    kept = torch.load(path, weights_only=True)
    network.load_state_dict(kept["latest"])
    optimiser.load_state_dict(kept["optimiser"])
    return kept["step"], kept["curve"], kept["weights"]


def load_curve(path: Path) -> list[tuple[int, float]]:
    """Read the steps and losses of a checkpoint."""
    curve: list[tuple[int, float]] = torch.load(path, weights_only=True)["curve"]
    return curve
