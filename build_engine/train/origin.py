"""What a bundle's card says of its training: of this run, and of nothing else."""

from __future__ import annotations

from agent.records import Subtype
from build_engine.heads.annotated import studies_in
from build_engine.heads.ct_ich import trauma_split
from build_engine.judge.evaluate import StudyResult
from build_engine.train.config import TrainConfig
from build_engine.train.gather import RealData


def card(config: TrainConfig, results: list[StudyResult], real: RealData | None) -> dict[str, str]:
    """Say what the model was trained on, where it was calibrated, and what it has not seen."""
    return {
        "trained_on": " ".join(_trained_on(config, real)),
        "operating_point_chosen_on": _chosen_on(config, results, real),
        "limits": _limits(config, real),
    }


def _trained_on(config: TrainConfig, real: RealData | None) -> list[str]:
    data, said = config.data, []
    if data.generated_train:
        said.append(
            f"{data.generated_train} generated heads (build_engine.synth, seeds from "
            f"{data.first_train_seed})."
        )
    if real is not None:
        said.append(
            "The PHE-SICH-CT-IDS patients that are neither held out (15) nor used for validation "
            f"({data.real_validation}); blood outlined by density inside the annotators' boxes."
        )
        said.append(
            f"{len(trauma_split(real.ct_ich).train)} CT-ICH patients, after trauma; bleeds named "
            "by slice by their annotators, and outlined by computer."
        )
    if real is not None and data.bleeds_laid_in:
        said.append(
            f"{data.bleeds_laid_in} copies of each of the former, and of those of the latter who "
            "do not bleed, with a bleed of any subtype laid in by computer."
        )
    said += [
        f"{len(studies_in(source.folder))} annotated heads of {source.folder.name}, their bleeds "
        f"named {_listed(set(source.labels.values()))}."
        for source in config.annotated
    ]
    if data.generated_train:
        said.append("Anatomy is from generated heads alone.")
    if config.start_from is not None:
        began = "/".join(config.start_from.parts[-2:])
        said.append(f"The weights go on from those of {began}, with what taught them.")
    if config.start_share:
        said.append(
            f"The mean of both was exported, the former's share {100 * config.start_share:g} %."
        )
    return said


def _chosen_on(config: TrainConfig, results: list[StudyResult], real: RealData | None) -> str:
    data = config.data
    clear = sum(not result.bleeds for result in results)
    patients = (
        f", {data.real_validation} PHE-SICH-CT-IDS patients, whole and without their boxed slices, "
        f"and {len(trauma_split(real.ct_ich).validation)} of CT-ICH"
        if real
        else ""
    )
    return (
        f"{data.generated_validation} generated heads (seeds from {data.first_validation_seed})"
        f"{patients}: {len(results) - clear} with a bleed, {clear} without."
    )


def _limits(config: TrainConfig, real: RealData | None) -> str:
    seen = {kind for source in config.annotated for kind in source.labels.values()}
    unseen = set() if real else set(Subtype) - seen  # CT-ICH has them all
    lacking = f" No real {_listed(unseen)} bleed was in training." if unseen else ""
    return f"A demonstration model, not a medical device.{lacking}"


def _listed(kinds: set[Subtype]) -> str:
    *first, last = [kind.word for kind in sorted(kinds)]
    return f"{', '.join(first)} or {last}" if first else last
