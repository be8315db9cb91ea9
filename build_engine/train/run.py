"""A whole run: gather cases, train both networks, choose thresholds, write the bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
import torch

from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import OperatingPoint, Reading, Subtype, VolumeInterval, VolumeIntervals
from build_engine.heads.ct_ich import trauma_split
from build_engine.heads.fields import Case
from build_engine.heads.known import (
    laid_in_cases,
    real_heads,
    trauma_heads,
    validation_heads,
)
from build_engine.judge.evaluate import CUTS, StudyResult, best_cut, intervals_of
from build_engine.judge.evaluate import results as results_of
from build_engine.judge.figures import draw_curves
from build_engine.train.config import TrainConfig
from build_engine.train.export import Manifest, cost_text, write_bundle
from build_engine.train.fit import Report, load_curve, load_weights
from build_engine.train.gather import RealData, gather, patients_of
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.train import (
    SLICE_WEIGHTS,
    VOLUME_WEIGHTS,
    block_files,
    fit_study_score,
    train_slices,
    train_volume,
)

SCORE_FILE: Final = "score.pt"

EVEN_ODDS: Final = 0.5
"""Study score at which a bleed is as likely as not."""

INTERVAL_SHARE: Final = 0.9
COPIES_IN_BLOCKS: Final = 4

FALSE_SHARE: Final = 0.01
MISSED_SHARE: Final = 0.03

BALANCED: Final = "balanced"


@dataclass(frozen=True, slots=True)
class Choice:
    """How the trained networks are to be read, as seen on the validation heads."""

    reading: Reading
    intervals: VolumeIntervals
    operating_points: tuple[OperatingPoint, ...]


def train(config: TrainConfig, real: RealData | None, work: Path, report: Report) -> None:
    """Train both networks; ``slice.pt`` and ``volume.pt`` in ``work`` let a stopped run go on."""
    cases, validation = gather(config, real, work)
    slices = train_slices(config, cases, work, report)
    blocks = block_files(config, _for_blocks(config, cases), slices, work)
    del cases
    volume = train_volume(config, blocks, work, report)
    if real is not None:
        _, patients = patients_of(config, real.phe_sich)
        validation += tuple(laid_in_cases(real.phe_sich, patients, config.contract.slices))
    fit_study_score(volume, block_files(config, validation, slices, work), config.processes)
    torch.save(volume.evidence.state_dict(), work / SCORE_FILE)
    draw_curves(
        {"slices": load_curve(work / SLICE_WEIGHTS), "volume": load_curve(work / VOLUME_WEIGHTS)},
        work / "curves.png",
    )


def _for_blocks(config: TrainConfig, cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Keep the first generated heads, all real ones, and some copies with a bleed laid in."""
    kept = list(islice((case for case in cases if not case.real), config.data.generated_in_blocks))
    for case in cases:
        copy = case.name.partition("+")[2]
        if case.real and (not copy or int(copy.partition("-")[0]) <= COPIES_IN_BLOCKS):
            kept.append(case)
    return tuple(kept)


def export(config: TrainConfig, real: RealData | None, work: Path, engines: Path) -> Path:
    """Write the bundle; cut, operating points and interval are chosen on the validation heads."""
    folder = engines / config.name / config.version
    networks = (
        SliceNetwork(config.contract.slices, config.slices.width),
        VolumeNetwork(config.contract.volume, config.volume.width),
    )
    load_weights(work / SLICE_WEIGHTS, networks[0])
    load_weights(work / VOLUME_WEIGHTS, networks[1])
    networks[1].evidence.load_state_dict(torch.load(work / SCORE_FILE, weights_only=True))
    guess = Choice(
        _reading(config, CUTS[0]),
        dict.fromkeys(Subtype, VolumeInterval(0.5, 0.5, 1.0)),
        (OperatingPoint(BALANCED, EVEN_ODDS),),
    )
    write_bundle(folder, networks, _manifest(config, guess, {}))
    results = validation_results(config, real, folder)
    cost = cost_text(folder, config.contract.slices, guess.reading)
    text = {**card(config, results), "cost": cost, **config.card}
    write_bundle(folder, networks, _manifest(config, _choice(config, results), text))
    return folder


def _choice(config: TrainConfig, results: list[StudyResult]) -> Choice:
    cut = best_cut(results)
    alerted = [
        replace(result, found_ml=at.found_ml, found=at.found)
        for result, at in ((one, one.at_cuts[CUTS.index(cut)]) for one in results)
        if result.score >= EVEN_ODDS
    ]
    intervals = intervals_of(alerted, INTERVAL_SHARE)
    return Choice(_reading(config, cut), intervals, operating_points(results))


def _reading(config: TrainConfig, cut: float) -> Reading:
    return Reading(cut, config.reading.midline_shift, config.reading.mirrored)


def validation_results(
    config: TrainConfig, real: RealData | None, folder: Path
) -> list[StudyResult]:
    """Run the bundle in ``folder`` over all validation heads."""
    bundle = load_bundle(folder)
    backend = OnnxBackend(bundle, threads=os.cpu_count() or 1)
    heads = [validation_heads(config.data.validation_seeds)]
    if real is not None:
        _, patients = patients_of(config, real.phe_sich)
        heads.append(real_heads(real.phe_sich, patients))
        heads.append(trauma_heads(real.ct_ich, trauma_split(real.ct_ich).validation))
    return list(results_of(chain(*heads), bundle, backend, CUTS))


def operating_points(results: list[StudyResult]) -> tuple[OperatingPoint, ...]:
    """Choose three points, from the study scores of the validation heads.

    *balanced* is even odds: the score is calibrated on these heads (``fit_study_score``), and the
    best of a few dozen scores would fit the threshold to single heads. *specific* lets 1 % of the
    heads without a bleed pass, *sensitive* misses 3 % of the bleeds.
    """
    clear = np.array([result.score for result in results if not result.bleeds])
    bleeding = np.array([result.score for result in results if result.bleeds])
    scores = {
        BALANCED: EVEN_ODDS,
        "specific": max(EVEN_ODDS, float(np.quantile(clear, 1 - FALSE_SHARE))),
        "sensitive": min(EVEN_ODDS, float(np.quantile(bleeding, MISSED_SHARE))),
    }
    return tuple(
        OperatingPoint(
            name,
            min(max(round(score, 3), 0.001), 0.999),
            round(100 * float((clear >= score).mean()), 1),
        )
        for name, score in scores.items()
    )


def card(config: TrainConfig, results: list[StudyResult]) -> dict[str, str]:
    """Say for the manifest what the model was trained on and where it was calibrated."""
    data = config.data
    clear = sum(not result.bleeds for result in results)
    return {
        "trained_on": (
            f"{data.generated_train} generated heads (build_engine.synth, seeds from "
            f"{data.first_train_seed}) and the PHE-SICH-CT-IDS patients that are neither held out "
            f"(15) nor used for validation ({data.real_validation}); blood outlined by density "
            "inside the annotators' boxes. Copies of these patients carry subdural, epidural and "
            "subarachnoid bleeds laid in by computer. Anatomy is from generated heads alone."
            + _began_with(config.start_from)
        ),
        "operating_point_chosen_on": (
            f"{data.generated_validation} generated heads (seeds from "
            f"{data.first_validation_seed}) and {data.real_validation} real patients, whole and "
            f"without their boxed slices: {len(results) - clear} with a bleed, {clear} without. "
            "alerts_per_100 is the false-alert rate there."
        ),
        "limits": (
            "A demonstration model. Real bleeds in training are spontaneous intracerebral ones; "
            "no real subdural, epidural or isolated subarachnoid bleed was seen, in training or in "
            "evaluation. Not evaluated on trauma, children, contrast or post-operative scans. Not "
            "a medical device."
        ),
    }


def _began_with(bundle: Path | None) -> str:
    if bundle is None:
        return ""
    return f" The weights go on from those of {'/'.join(bundle.parts[-2:])}, with what taught them."


def _manifest(config: TrainConfig, choice: Choice, text: dict[str, str]) -> Manifest:
    return Manifest(
        name=config.name,
        version=config.version,
        slices=config.contract.slices,
        volume=config.contract.volume,
        reading=choice.reading,
        intervals=choice.intervals,
        operating_points=choice.operating_points,
        card=text,
    )
