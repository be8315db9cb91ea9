"""A whole run: gather cases, train both networks, choose thresholds, write the bundle."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import OperatingPoint, Reading, VolumeInterval
from build_engine.train.config import TrainConfig
from build_engine.train.data import (
    Case,
    generated_case,
    held_out_patients,
    load_case,
    phe_case,
    save_case,
)
from build_engine.train.evaluate import (
    StudyResult,
    generated_results,
    real_negative_results,
    real_results,
)
from build_engine.train.export import Manifest, write_bundle
from build_engine.train.insert import with_bleed_laid_in
from build_engine.train.networks import SliceNetwork, VolumeNetwork
from build_engine.train.train import block_cases, fit_study_score, train_slices, train_volume

Say = Callable[[str], None]

ABSOLUTE_ML: Final = 1.0
"""Part of a volume's interval that does not grow with it [mL]."""

EVEN_ODDS: Final = 0.5
"""Study score at which a bleed is as likely as not."""

INTERVAL_SHARE: Final = 0.9


def patients_of(config: TrainConfig, real: Path) -> tuple[list[str], list[str]]:
    """Real patients to train on and to validate with; the held-out ones are in neither."""
    usable, _ = held_out_patients(real)
    return usable[config.data.real_validation :], usable[: config.data.real_validation]


def gather(
    config: TrainConfig, real: Path | None, work: Path
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Make or read the cases to train on and to validate with; ``work/cases`` keeps them."""
    (work / "cases").mkdir(parents=True, exist_ok=True)
    patients: tuple[list[str], list[str]] = ([], []) if real is None else patients_of(config, real)
    seeds = config.data.train_seeds, config.data.validation_seeds
    make = partial(_made, config=config, real=real, work=work)
    with ProcessPoolExecutor(config.threads) as pool:
        train, validation = (
            tuple(map(load_case, pool.map(make, [*map(str, some_seeds), *some_patients])))
            for some_seeds, some_patients in zip(seeds, patients, strict=True)
        )
    rng = np.random.default_rng(config.seed)
    laid_in = (
        with_bleed_laid_in(case, rng)
        for _ in range(config.data.bleeds_laid_in)
        for case in train
        if case.real
    )
    return (*train, *laid_in), validation


def _made(name: str, config: TrainConfig, real: Path | None, work: Path) -> Path:
    """Path of a case's file, made if it is not there. Patients' names start with a zero."""
    generated = not name.startswith("0")
    path = work / "cases" / (f"{name}.npz" if generated else f"phe_{name}.npz")
    if not path.exists():
        contract = config.contract.slices
        if generated or real is None:
            case = generated_case(int(name), contract)
        else:
            case = phe_case(real, name, contract)
        save_case(case, path)
    return path


def train(config: TrainConfig, real: Path | None, work: Path, say: Say) -> None:
    """Train both networks; the weights lie in ``work`` as ``slice.pt`` and ``volume.pt``."""
    torch.set_num_threads(config.threads)
    cases, validation = gather(config, real, work)
    slices = train_slices(config, cases, work, say)
    volume = train_volume(
        config, block_cases(config, _for_blocks(config, cases), slices), work, say
    )
    fit_study_score(volume, block_cases(config, validation, slices))
    torch.save(volume.state_dict(), work / "volume.pt")


def _for_blocks(config: TrainConfig, cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Keep the first generated heads, every real one, and one copy of it with a bleed laid in."""
    real = [case for case in cases if case.real]
    heads = len(real) // (1 + config.data.bleeds_laid_in)
    generated = [case for case in cases if not case.real]
    return (*generated[: config.data.generated_in_blocks], *real[: 2 * heads])


def export(config: TrainConfig, real: Path | None, work: Path, engines: Path) -> Path:
    """Write the bundle, with an operating point and an interval chosen on the validation heads."""
    folder = engines / config.name / config.version
    networks = (
        SliceNetwork(config.contract.slices, config.slices.width),
        VolumeNetwork(config.contract.volume, config.volume.width),
    )
    networks[0].load_state_dict(torch.load(work / "slice.pt", weights_only=True))
    networks[1].load_state_dict(torch.load(work / "volume.pt", weights_only=True))
    provisional = VolumeInterval(0.5, ABSOLUTE_ML), OperatingPoint("balanced", EVEN_ODDS)
    write_bundle(folder, networks, _manifest(config, *provisional, {}))
    results = validation_results(config, real, folder)
    chosen = volume_interval(results), operating_point(results)
    write_bundle(folder, networks, _manifest(config, *chosen, card(config, results, chosen[1])))
    return folder


def validation_results(config: TrainConfig, real: Path | None, folder: Path) -> list[StudyResult]:
    """Run the bundle in ``folder`` over all validation heads."""
    bundle = load_bundle(folder)
    backend = OnnxBackend(bundle, threads=os.cpu_count() or 1)
    results = list(generated_results(config.data.validation_seeds, bundle, backend))
    if real is not None:
        _, patients = patients_of(config, real)
        results += real_results(real, patients, bundle, backend)
        results += real_negative_results(real, patients, bundle, backend)
    return results


def operating_point(results: list[StudyResult]) -> OperatingPoint:
    """Even odds: the study score is calibrated on these results (``fit_study_score``).

    Choosing the best of a few dozen scores instead would fit the threshold to single heads.
    """
    clear = np.array([result.score for result in results if result.bleed is None])
    false_alerts_per_100 = 100 * float((clear >= EVEN_ODDS).mean())
    return OperatingPoint("balanced", EVEN_ODDS, round(false_alerts_per_100, 1))


def volume_interval(results: list[StudyResult]) -> VolumeInterval:
    """Interval that holds the true volume of nine in ten bleeds that were alerted to."""
    excess = [
        max(0.0, abs(result.found_ml - result.true_ml) - ABSOLUTE_ML) / result.found_ml
        for result in results
        if result.bleed is not None
        and result.score >= EVEN_ODDS
        and result.found_ml > 0
        and np.isfinite(result.true_ml)
    ]
    return VolumeInterval(round(float(np.quantile(excess, INTERVAL_SHARE)), 2), ABSOLUTE_ML)


def card(config: TrainConfig, results: list[StudyResult], point: OperatingPoint) -> dict[str, str]:
    """Say for the manifest what the model was trained on and where it was calibrated."""
    data = config.data
    clear = sum(result.bleed is None for result in results)
    return {
        "trained_on": (
            f"{data.generated_train} generated heads (build_engine.synth, seeds from "
            f"{data.first_train_seed}) and the PHE-SICH-CT-IDS patients that are neither held out "
            f"(15) nor used for validation ({data.real_validation}); blood outlined by density "
            "inside the annotators' boxes. Copies of these patients carry subdural, epidural and "
            "subarachnoid bleeds laid in by computer. Anatomy is from generated heads alone."
        ),
        "operating_point_chosen_on": (
            f"{data.generated_validation} generated heads (seeds from "
            f"{data.first_validation_seed}) and {data.real_validation} real patients, whole and "
            f"without their boxed slices: {len(results) - clear} with a bleed, {clear} without. "
            f"alerts_per_100 ({point.alerts_per_100}) is the false-alert rate there."
        ),
        "limits": (
            "A demonstration model. Real bleeds in training are spontaneous intracerebral ones; "
            "no real subdural, epidural or isolated subarachnoid bleed was seen, in training or in "
            "evaluation. Not evaluated on trauma, children, contrast or post-operative scans. Not "
            "a medical device."
        ),
        **config.card,
    }


def _manifest(
    config: TrainConfig, interval: VolumeInterval, point: OperatingPoint, text: dict[str, str]
) -> Manifest:
    contract, reading = config.contract, config.reading
    return Manifest(
        name=config.name,
        version=config.version,
        slices=contract.slices,
        volume=contract.volume,
        reading=Reading(reading.bleed_probability, reading.midline_shift),
        interval=interval,
        operating_points=(point,),
        card=text,
    )
