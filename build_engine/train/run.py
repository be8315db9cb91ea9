"""A whole run: gather cases, train both networks, choose thresholds, write the bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from agent.errors import ConfigError
from agent.infer.bundle import MANIFEST, Bundle, bundle_of
from agent.infer.contract import Contract, NetworkDigests
from agent.infer.onnx_backend import OnnxBackend
from agent.records import OperatingPoint, Reading, VolumeInterval
from build_engine.heads.ct_ich import trauma_split
from build_engine.heads.fields import Case
from build_engine.heads.known import (
    laid_in_cases,
    laid_in_copies,
    real_heads,
    trauma_heads,
    validation_heads,
)
from build_engine.judge.evaluate import StudyResult
from build_engine.judge.evaluate import results as results_of
from build_engine.judge.figures import draw_curves
from build_engine.train.choice import BALANCED, CUTS, EVEN_ODDS, chosen
from build_engine.train.config import TrainConfig
from build_engine.train.export import cost_text, manifest_text, write_networks
from build_engine.train.fit import Report, load_curve
from build_engine.train.gather import TRAUMA, RealData, gather, patients_of
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.origin import card
from build_engine.train.train import (
    SLICE_CHECKPOINT,
    SLICE_WEIGHTS,
    VOLUME_CHECKPOINT,
    VOLUME_WEIGHTS,
    block_files,
    fit_study_score,
    train_slices,
    train_volume,
)

SCORE_FILE: Final = "score.pt"

COPIES_IN_BLOCKS: Final = 4


def train(config: TrainConfig, real: RealData | None, work: Path, report: Report) -> None:
    """Train both networks; a stopped run goes on from what ``work`` holds."""
    cases, validation = gather(config, real, work)
    slices = train_slices(config, cases, work, report)
    blocks = block_files(config, _for_blocks(config, cases), slices, work)
    del cases
    volume = train_volume(config, blocks, work, report)
    if real is not None:
        validation += tuple(_laid_in(config, real, validation))
    fit_study_score(volume, block_files(config, validation, slices, work), config.processes)
    torch.save(volume.evidence.state_dict(), work / SCORE_FILE)
    draw_curves(
        {
            "slices": load_curve(work / SLICE_CHECKPOINT),
            "volume": load_curve(work / VOLUME_CHECKPOINT),
        },
        work / "curves.png",
    )


def _laid_in(config: TrainConfig, real: RealData, validation: tuple[Case, ...]) -> Iterator[Case]:
    """Lay bleeds into the real heads, or parts of them, that have none."""
    contract = config.contract.slices
    _, patients = patients_of(config, real.phe_sich)
    yield from laid_in_cases(real.phe_sich, patients, contract)
    for case in validation:
        if case.name.startswith(TRAUMA) and not case.boxed.any():
            yield from laid_in_copies(case, int(case.name.removeprefix(TRAUMA)), contract)


def _for_blocks(config: TrainConfig, cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Keep the first generated heads, all real ones, and some copies with a bleed laid in."""
    kept = list(islice((case for case in cases if not case.real), config.data.generated_in_blocks))
    for case in cases:
        copy = case.name.partition("+")[2]
        if case.real and (not copy or int(copy.partition("-")[0]) <= COPIES_IN_BLOCKS):
            kept.append(case)
    return tuple(kept)


def export(config: TrainConfig, real: RealData | None, work: Path, engines: Path) -> Path:
    """Write the bundle; cut, operating points and intervals are chosen on the validation heads.

    It appears in ``engines`` whole, or not at all.

    Raises
    ------
    ConfigError
        If there is a bundle of that name and version already.
    """
    folder = engines / config.name / config.version
    if folder.exists():
        raise ConfigError("bundle_is_there", folder=str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    inputs = config.contract.slices, config.contract.volume
    with TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
        new = Path(scratch) / config.version
        digests = write_networks(new, _trained(config, work), inputs)
        trial = _trial_contract(config, digests)
        results = validation_results(config, real, bundle_of(trial, "", new))
        cost = cost_text(new, trial.slices, trial.reading)
        text = {**card(config, results, real), "cost": cost}
        contract = replace(
            _with_alerts(chosen(trial, results), config.alerts_per_100),
            card={**text, **config.card},
        )
        (new / MANIFEST).write_text(manifest_text(contract), encoding="utf-8")
        new.rename(folder)
    return folder


def _trained(config: TrainConfig, work: Path) -> tuple[SliceNetwork, VolumeNetwork]:
    slices = SliceNetwork(config.contract.slices, config.slices.width)
    volume = VolumeNetwork(config.contract.volume, config.volume.width)
    slices.load_state_dict(torch.load(work / SLICE_WEIGHTS, weights_only=True))
    volume.load_state_dict(torch.load(work / VOLUME_WEIGHTS, weights_only=True))
    volume.evidence.load_state_dict(torch.load(work / SCORE_FILE, weights_only=True))
    return slices, volume


def _with_alerts(contract: Contract, alerts_per_100: tuple[float, float] | None) -> Contract:
    """Tell how many false alerts *balanced* is expected to give."""
    points = (
        replace(point, alerts_per_100=alerts_per_100) if point.name == BALANCED else point
        for point in contract.operating_points
    )
    return replace(contract, operating_points=tuple(points))


def _trial_contract(config: TrainConfig, digests: NetworkDigests) -> Contract:
    """Say how the networks are run over the validation heads, before anything is chosen."""
    return Contract(
        name=config.name,
        version=config.version,
        slices=config.contract.slices,
        volume=config.contract.volume,
        reading=Reading(CUTS[0], config.reading.midline_shift, config.reading.mirrored),
        interval=VolumeInterval(1.0, 1.0, 0.0, 0.0, 1.0),
        operating_points=(OperatingPoint(BALANCED, EVEN_ODDS),),
        sha256=digests,
        card={},
    )


def validation_results(
    config: TrainConfig, real: RealData | None, bundle: Bundle
) -> list[StudyResult]:
    """Run the networks over all validation heads."""
    backend = OnnxBackend(bundle, threads=os.cpu_count() or 1)
    heads = [validation_heads(config.data.validation_seeds)]
    if real is not None:
        _, patients = patients_of(config, real.phe_sich)
        heads.append(real_heads(real.phe_sich, patients))
        heads.append(trauma_heads(real.ct_ich, trauma_split(real.ct_ich).validation))
    return list(results_of(chain(*heads), bundle.contract, backend, CUTS))
