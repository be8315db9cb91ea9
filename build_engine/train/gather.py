"""Cases to train on and to validate with: generated heads, real data sets, a site's own heads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from agent.errors import ConfigError
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import label_head
from agent.preprocess import Floats, SliceInput
from agent.records import Subtype
from agent.voxels import HeadVolume
from build_engine.heads.annotated import annotated_case, studies_in
from build_engine.heads.ct_ich import bleed_free_patients, trauma_case, trauma_head, trauma_split
from build_engine.heads.fields import Case, generated_case, load_case, save_case
from build_engine.heads.laid_in import with_bleed_laid_in
from build_engine.heads.phe_sich import held_out_patients, phe_case
from build_engine.heads.processes import head_makers
from build_engine.train.config import TrainConfig

TRAUMA: Final = "trauma-"
"""What the names of CT-ICH's cases begin with."""

SMALLEST_LAID_IN: Final = 0.4
"""Bleeds laid into training patients reach down to this share of what is laid in to evaluate."""


@dataclass(frozen=True, slots=True)
class RealData:
    """Folders of the two real data sets."""

    phe_sich: Path
    ct_ich: Path


def real_data(folder: Path) -> RealData:
    """Find both data sets in ``folder``; ConfigError if one is missing."""
    data = RealData(folder / "phe_sich", folder / "ct_ich")
    for needed in (data.phe_sich / "boxes.json", data.ct_ich / "labels.json"):
        if not needed.exists():
            raise ConfigError("real_data_missing", path=str(needed))
    return data


def patients_of(config: TrainConfig, phe_sich: Path) -> tuple[list[str], list[str]]:
    """PHE-SICH patients to train on and to validate with; the held-out ones are in neither."""
    usable, _ = held_out_patients(phe_sich)
    return usable[config.data.real_validation :], usable[: config.data.real_validation]


def gather(
    config: TrainConfig, real: RealData | None, work: Path
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Make or read the cases to train on and to validate with; ``work/cases`` keeps them."""
    (work / "cases").mkdir(parents=True, exist_ok=True)
    train, validation = _real_names(config, real)
    make = partial(_made, config=config, real=real, work=work)
    with head_makers(config.processes) as pool:
        cases = tuple(
            tuple(map(load_case, pool.map(make, names, chunksize=4)))
            for names in (
                [*map(str, config.data.train_seeds), *train],
                [*map(str, config.data.validation_seeds), *validation],
            )
        )
        sites = tuple(
            map(load_case, pool.map(partial(_annotated, work=work), _annotated_studies(config)))
        )
    return (*cases[0], *sites), cases[1]


def _real_names(config: TrainConfig, real: RealData | None) -> tuple[list[str], list[str]]:
    """Names of real cases to train on and to validate with.

    Bleeds are laid into all patients of PHE-SICH that train, and into those of CT-ICH that do not
    bleed.
    """
    if real is None:
        return [], []
    train, validation = patients_of(config, real.phe_sich)
    split, clear = trauma_split(real.ct_ich), bleed_free_patients(real.ct_ich)
    wholes = [*train, *(TRAUMA + one for one in split.train)]
    hosts = [*train, *(TRAUMA + one for one in split.train if one in clear)]
    copies = range(1, config.data.bleeds_laid_in + 1)
    laid_in = [f"{host}+{copy}" for copy in copies for host in hosts]
    return [*wholes, *laid_in], [*validation, *(TRAUMA + one for one in split.validation)]


@dataclass(frozen=True, slots=True)
class Study:
    """One of a site's own studies, and how to read it."""

    folder: Path
    names: dict[int, Subtype]
    contract: SliceInput


def _annotated_studies(config: TrainConfig) -> list[Study]:
    return [
        Study(study, source.labels, config.contract.slices)
        for source in config.annotated
        for study in studies_in(source.folder)
    ]


def _annotated(study: Study, work: Path) -> Path:
    path = work / "cases" / f"{study.folder.parent.name}-{study.folder.name}.npz"
    if not path.exists():
        save_case(annotated_case(study.folder, study.names, study.contract), path)
    return path


def _made(name: str, config: TrainConfig, real: RealData | None, work: Path) -> Path:
    """Path of a case's file, made if it is not there.

    ``12`` is a generated head's seed, ``0012`` a patient of PHE-SICH, ``trauma-012`` one of CT-ICH,
    and ``0012+3`` a patient's third copy with a bleed laid in.
    """
    path = work / "cases" / f"{name}.npz"
    if path.exists():
        return path
    if real is None or not name.startswith(("0", TRAUMA)):
        save_case(generated_case(int(name), config.contract.slices), path)
        return path
    patient, _, copy = name.partition("+")
    kept = work / "cases" / f"{patient}.npz"  # read again, no network runs over the patient
    case = load_case(kept) if kept.exists() else _real_case(patient, config, real)
    if copy:
        number = int(patient.removeprefix(TRAUMA))
        rng = np.random.default_rng((config.seed, number, int(copy)))
        size = float(np.exp(rng.uniform(np.log(SMALLEST_LAID_IN), 0.0)))
        case = replace(with_bleed_laid_in(case, rng, size), name=f"{case.name}+{copy}")
    save_case(case, path)
    return path


def _real_case(name: str, config: TrainConfig, real: RealData) -> Case:
    contract = config.contract.slices
    if not name.startswith(TRAUMA):
        return phe_case(real.phe_sich, name, contract)
    patient = name.removeprefix(TRAUMA)
    seen = _seen_before(config, trauma_head(real.ct_ich, patient))
    return trauma_case(real.ct_ich, patient, seen, contract)


def _seen_before(config: TrainConfig, head: HeadVolume) -> Floats:
    """Bleed probability (k, j, i) that the bundle to start from gives; 0 where there is none."""
    if config.start_from is None:
        return np.zeros(head.grid.shape_kji, dtype=np.float32)
    bundle = load_bundle(config.start_from)
    backend = OnnxBackend(bundle, threads=1)
    slices = SliceStage(bundle.contract).finish(head, backend)
    seen = label_head(head, slices, bundle.contract.uncut, backend).of_slices(head.grid)
    return np.divide(seen.probability, 255, dtype=np.float32)
