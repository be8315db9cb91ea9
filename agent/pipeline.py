"""One series' journey from slices in hand to its report, readable top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.assemble.completeness import Completion
from agent.assemble.coverage import unseen_of, unsure_of
from agent.assemble.head_facts import bright_ml, facts_of
from agent.assemble.plausibility import MOST_CALCIUM_ML, faults_of
from agent.assemble.protocol import ProtocolProfile, check_extent, choose, contrast_unsure
from agent.assemble.series import GrowingSeries
from agent.decide import decide, implausible
from agent.deliver.settings import SendingChannel
from agent.draw.key_slice import render_key_slice
from agent.draw.reformats import render_reformat
from agent.errors import NotEligible
from agent.infer.backend import Backend, RunBy
from agent.infer.bundle import Bundle
from agent.infer.networks import Networks
from agent.infer.probabilities import Probabilities
from agent.infer.slice_stage import SliceStage
from agent.infer.volume_stage import labels_of, run_volume
from agent.measure import calcifications, measure
from agent.reasons import Reason
from agent.records import Assessment, Evidence, Measurement, NotAnalysed, NotSuspected, Suspected
from agent.report import (
    EngineReport,
    SeriesReport,
    finding_report,
    geometry_report,
    reason_report,
)
from agent.sources import PackedLabels, SourceImages, Sources
from agent.voxels import HeadVolume, LabelMask

STATES: Final[dict[type[Assessment], Literal["suspected", "not_suspected", "not_analysed"]]] = {
    Suspected: "suspected",
    NotSuspected: "not_suspected",
    NotAnalysed: "not_analysed",
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What an analysis uses: the bundle, what runs its networks, and the protocol profiles.

    ``channels`` are those to which results are sent. ``drawings`` is whether segmentations that
    people draw may come back: what images are called is then kept of every result.
    """

    bundle: Bundle
    networks: Networks
    profiles: tuple[ProtocolProfile, ...]
    channels: tuple[SendingChannel, ...] = ()
    drawings: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What came of one series. Everything after ``assessment`` is None where it failed early."""

    assessment: Assessment
    profile: ProtocolProfile | None = None
    head: HeadVolume | None = None
    mask: LabelMask | None = None
    probabilities: Probabilities | None = None
    run_by: RunBy | None = None
    measured: Measurement | None = None
    timings_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report says of the series beside its result."""

    series_uid: str
    study_uid: str
    revision: int
    result_id: str
    completion: Completion


def analyse(slices: GrowingSeries, stage: SliceStage, resources: Resources) -> Analysis:
    """Take one complete series to its answer.

    Raises
    ------
    InputError
        If it is not one that can be analysed.
    InferenceError
        If a network fails or gives what cannot be trusted.
    """
    contract, timings_s = resources.bundle.contract, dict[str, float]()
    with _timed(timings_s, "assemble"):
        profile = choose(slices.headers, resources.profiles)
        head = slices.volume()
        check_extent(head, profile)
    with _timed(timings_s, "evidence"):
        evidence = evidence_of(slices, head, profile)
    if evidence.faults:
        return Analysis(implausible(evidence.faults), profile, head, timings_s=timings_s)

    def labelled(backend: Backend) -> tuple[LabelMask, Probabilities, RunBy]:
        with _timed(timings_s, "slice_stage"):
            seen = stage.finish(head, backend)
        with _timed(timings_s, "volume_stage"):
            volume = run_volume(head, seen, contract, backend)
            mask = labels_of(head, seen, contract, volume)
        return mask, Probabilities.of(seen, volume, contract), backend.run_by

    mask, probabilities, run_by = resources.networks.run(profile.name, labelled)
    with _timed(timings_s, "measure"):
        shift_in = head if contract.reading.midline_shift else None
        measured = measure(mask, contract.interval, shift_in=shift_in)
    point = contract.operating_point(profile.operating_point)
    if contract.calcification and mask.score < point.score:
        seen = probabilities.by_slices, contract.slices
        calcified = calcifications(head, mask, seen, contract.calcification)
        evidence = replace(evidence, remarks=(*evidence.remarks, *calcified))
    assessment = decide(mask.score, measured, point, evidence)
    return Analysis(assessment, profile, head, mask, probabilities, run_by, measured, timings_s)


def evidence_of(slices: GrowingSeries, head: HeadVolume, profile: ProtocolProfile) -> Evidence:
    """Gather what shows how much of a head has come.

    Raises
    ------
    NotEligible
        Contrast agent is seen in it, where what is said of it disagrees.
    """
    facts = facts_of(head)
    unsure = contrast_unsure(slices.headers, profile)
    if unsure and (seen_ml := bright_ml(head)) > MOST_CALCIUM_ML:
        raise NotEligible("contrast_seen", bright_ml=seen_ml)
    return Evidence(
        faults=faults_of(facts),
        gaps=head.gaps,
        shortfall=slices.facts().shortfall,
        unread=slices.unread(),
        unseen=(*unseen_of(facts), *slices.unseen_between()),
        unsure=unsure_of(facts),
        remarks=(
            *slices.remarks(),
            *((Reason("contrast_not_excluded"),) if unsure else ()),
            *((Reason("metal_seen"),) if facts.metal_ml else ()),
        ),
    )


def report_of(subject: Subject, analysis: Analysis, resources: Resources) -> SeriesReport:
    """Put a series' analysis into the words and numbers that every channel carries."""
    answer, measured, head = analysis.assessment, analysis.measured, analysis.head
    scored = answer if isinstance(answer, Suspected | NotSuspected) else None
    refusal = reason_report(answer.reason) if isinstance(answer, NotAnalysed) else None
    findings = measured.findings if measured and isinstance(answer, Suspected) else ()
    return SeriesReport(
        series_uid=subject.series_uid,
        study_uid=subject.study_uid,
        revision=subject.revision,
        result_id=subject.result_id,
        protocol=analysis.profile.name if analysis.profile else None,
        state=STATES[type(answer)],
        code=refusal.code if refusal else None,
        values=refusal.values if refusal else {},
        text=refusal.text if refusal else None,
        what_to_do=refusal.what_to_do if refusal else None,
        score=round(analysis.mask.score, 4) if analysis.mask else None,
        operating_point=scored.point.name if scored else None,
        threshold=scored.point.score if scored else None,
        total_volume_ml=round(sum(finding.volume_ml for finding in findings), 2)
        if scored
        else None,
        midline_shift_mm=_rounded(measured.midline_shift_mm) if measured else None,
        findings=tuple(
            finding_report(finding, resources.bundle.contract.certainty) for finding in findings
        ),
        caveats=tuple(map(reason_report, scored.caveats)) if scored else (),
        geometry=geometry_report(head.grid, head.gaps) if head else None,
        completed_by=subject.completion.rule,
        engine=engine_report(resources.bundle, analysis.run_by) if analysis.run_by else None,
        timings_s={stage: round(seconds, 4) for stage, seconds in analysis.timings_s.items()},
    )


def engine_report(bundle: Bundle, run_by: RunBy) -> EngineReport:
    """Say which networks ran, and on what."""
    return EngineReport(
        bundle=bundle.contract.name,
        version=bundle.contract.version,
        backend=run_by.backend,
        device=run_by.device,
        digest=bundle.digest,
    )


def suspected_in(analysis: Analysis) -> tuple[HeadVolume, NDArray[np.uint8]] | None:
    """Return the head and its bleeds' labels (k, j, i); None where nothing is suspected."""
    if not isinstance(analysis.assessment, Suspected) or not (analysis.head and analysis.mask):
        return None
    return analysis.head, analysis.mask.slice_subtypes(analysis.head.grid)


def seen_in(analysis: Analysis) -> tuple[HeadVolume, NDArray[np.uint8]] | None:
    """Return a head that has an answer, and its bleeds' labels (k, j, i), all 0 where none is told.

    None of a series without an answer.
    """
    if isinstance(analysis.assessment, NotSuspected) and analysis.head:
        return analysis.head, np.zeros(analysis.head.hu.shape, np.uint8)
    return suspected_in(analysis)


def sources_of(slices: GrowingSeries, analysis: Analysis) -> Sources | None:
    """Describe the images that an analysis is of, with the labels of what is suspected.

    None where not one could be read.
    """
    if analysis.head is None or analysis.mask is None:
        return Sources(SourceImages.of([slices.first]), None) if slices.first else None
    by_uid = {header.sop_uid: header for header in slices.headers}
    turn = slices.orientation
    images = SourceImages.of([by_uid[sop_uid] for sop_uid in analysis.head.sop_uids]).model_copy(
        update={
            "voxels_ml": tuple(analysis.head.grid.voxels_ml.tolist()),
            "turned": (turn.swap, turn.flip_j, turn.flip_i),
        }
    )
    suspected = suspected_in(analysis)
    return Sources(images, PackedLabels.of(suspected[1]) if suspected else None)


def pictures_of(analysis: Analysis) -> dict[str, Callable[[], bytes]]:
    """Say how each view through the largest bleed is drawn; none where nothing is suspected.

    "axial" is the slice that shows most of it, "coronal" and "sagittal" lead through its centre.
    """
    suspected = suspected_in(analysis)
    if suspected is None or not (analysis.measured and analysis.measured.findings):
        return {}
    (head, labels), largest = suspected, analysis.measured.findings[0]
    k, spacing_mm = largest.key_slice_k, (head.grid.row_spacing_mm, head.grid.column_spacing_mm)
    centre_lps_mm = largest.centroid_lps_mm
    return {
        "axial": lambda: render_key_slice(head.hu[k], labels[k] > 0, spacing_mm),
        "coronal": lambda: render_reformat(head, labels, centre_lps_mm, "coronal"),
        "sagittal": lambda: render_reformat(head, labels, centre_lps_mm, "sagittal"),
    }


def _rounded(value_mm: float | None) -> float | None:
    return None if value_mm is None else round(value_mm, 1)


@contextmanager
def _timed(timings_s: dict[str, float], stage: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    timings_s[stage] = time.monotonic() - began_s
