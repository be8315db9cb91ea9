"""The model card's tables: what a bundle is worth, in numbers with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.measure import ON_THE_DURA
from agent.records import EXTRA_AXIAL, Certainty, Subtype, VolumeInterval
from build_engine.judge.evaluate import StudyResult

AGES_YEARS: Final = (("child, below 16", 16.0), ("adult", 65.0), ("old, from 65", 200.0))
"""Age groups, and below which age each ends. Ours."""

MANY_SLICES: Final = 3
"""A bleed in fewer slices is easily arguable."""

Z_95: Final = 1.96
BOOTSTRAPS: Final = 1000
BINS_ML: Final = ((0.0, 1.0), (1.0, 5.0), (5.0, 30.0), (30.0, 1000.0))
FINDING_BINS: Final = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)  # none is told as 1: ``SUREST``
MEASURED_FROM_ML: Final = 5.0
"""From here on a volume has to be right within a share of it [mL]."""

PLACED_FROM_ML: Final = 2.0
CLOSE_SHARE: Final = 0.15
CLOSE_ML: Final = 1.0
"""A volume is close within this share of the truth or this much, whichever is more."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, as text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """From which study score on a bleed is suspected, and how its findings are told."""

    score: float
    interval: VolumeInterval
    certainty: Certainty


def tables(results: list[StudyResult], judgement: Judgement) -> list[Table]:
    """All tables that these results can fill."""
    shown = [
        _study_table(results, judgement),
        _subtype_table(results, judgement),
        _grouped_table("By protocol", results, judgement, lambda r: r.known.protocol),
        _grouped_table(
            "By age", [r for r in results if r.known.age_years is not None], judgement, _age
        ),
        _look_alike_table(results, judgement),
        _volume_table(results, judgement),
        _interval_table(results, judgement),
        _place_table(results),
        _calibration_table(results),
        _finding_table(results, judgement),
        _dura_table(results, judgement),
        slice_table({"Bleedwatch": results}),
    ]
    return [table for table in shown if table.rows]


def rate(hits: Iterable[bool]) -> str:
    """Share, counts and 95 % interval."""
    outcomes = list(hits)
    if not outcomes:
        return "none"
    n, share = len(outcomes), sum(outcomes) / len(outcomes)
    low, high = interval_95(outcomes)
    return f"{share:.3f} ({sum(outcomes)}/{n}; {low:.3f}–{high:.3f})"


def interval_95(hits: Sequence[bool]) -> tuple[float, float]:
    """Find the 95 % interval of a share. Source: Wilson, J Am Stat Assoc 1927."""
    n, share = len(hits), sum(hits) / len(hits)
    middle = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2)) / (1 + Z_95**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Chance that a positive scores above a negative, ties counting half; None without both."""
    above, below = scores[positive], np.sort(scores[~positive])
    if not len(above) or not len(below):
        return None
    wins, with_ties = (np.searchsorted(below, above, side) for side in ("left", "right"))
    return float((wins + with_ties).sum() / (2 * len(above) * len(below)))


def _area_text(scores: list[float], positive: list[bool]) -> str:
    """Area under the ROC curve with a bootstrapped 95 % interval."""
    values, truth = np.array(scores), np.array(positive)
    area = area_under_roc(values, truth)
    if area is None:
        return "none"
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(values), size=len(values)) for _ in range(BOOTSTRAPS))
    areas = [area_under_roc(values[chosen], truth[chosen]) for chosen in drawn]
    low, high = np.quantile([a for a in areas if a is not None], (0.025, 0.975))
    return f"{area:.3f} ({low:.3f}–{high:.3f})"


def _study_table(results: list[StudyResult], judgement: Judgement) -> Table:
    clear = [result for result in results if not result.bleeds]
    alarms = [result.score >= judgement.score for result in clear]
    groups: list[tuple[str, Callable[[StudyResult], bool]]] = [
        ("all bleeds", lambda _: True),
        ("bleeds ≥ 1 mL", lambda r: r.true_ml is not None and r.true_ml >= 1.0),
        ("bleeds 0.4–5 mL", lambda r: r.true_ml is not None and 0.4 <= r.true_ml <= 5.0),  # noqa: PLR2004
    ]
    if any(r.known.slice_kinds for r in results):
        groups.append((f"bleeds in ≥ {MANY_SLICES} slices", _in_many_slices))
    rows = []
    for name, belongs in groups:
        bleeding = [result for result in results if result.bleeds and belongs(result)]
        if bleeding:
            both = [*bleeding, *clear]
            area = _area_text([r.score for r in both], [r.bleeds for r in both])
            rows.append((name, rate(r.score >= judgement.score for r in bleeding), area))
    if clear:
        rows.append(("specificity", rate(not alarm for alarm in alarms), ""))
        low, high = (100 * end for end in interval_95(alarms))
        per_100 = f"{100 * np.mean(alarms):.1f} ({low:.1f}–{high:.1f})"
        rows.append(("false alarms per 100 without a bleed", per_100, ""))
    rows.append(("seconds per head, median", f"{np.median([r.seconds for r in results]):.2f}", ""))
    title = f"Study level, suspected from a score of {judgement.score:g}"
    return Table(title, ("heads", "sensitivity", "ROC-AUC"), tuple(rows))


def _subtype_table(results: list[StudyResult], judgement: Judgement) -> Table:
    """By subtype and volume; the subtype is right if the largest finding's is among the true."""
    rows = []
    outlined = [r for r in results if r.bleeds and r.true_ml is not None]
    groups: list[tuple[str, list[StudyResult]]] = [
        (subtype.word, [r for r in results if r.known.kinds and r.known.bleed is subtype])
        for subtype in Subtype
    ]
    for low, high in BINS_ML:
        name = f"{low:g}–{high:g} mL" if high < BINS_ML[-1][1] else f"> {low:g} mL"
        groups.append((name, [r for r in outlined if low <= (r.true_ml or 0.0) < high]))
    for name, group in groups:
        if group:
            named = [r.found.subtype in r.known.kinds for r in group if r.found]
            sensitivity = rate(r.score >= judgement.score for r in group)
            dices = [r.dice for r in group if r.dice is not None]
            dice = f"{np.median(dices):.2f}" if dices else "none"
            rows.append((name, sensitivity, rate(named), dice))
    columns = ("bleeds", "sensitivity", "subtype right, where found", "Dice, median")
    return Table("By subtype and by volume", columns, tuple(rows))


def _grouped_table(
    title: str,
    results: list[StudyResult],
    judgement: Judgement,
    group_of: Callable[[StudyResult], str],
) -> Table:
    rows = []
    for name in sorted({group_of(result) for result in results}):
        group = [result for result in results if group_of(result) == name]
        sensitivity = rate(r.score >= judgement.score for r in group if r.bleeds)
        specificity = rate(r.score < judgement.score for r in group if not r.bleeds)
        rows.append((name, sensitivity, specificity))
    return Table(title, ("heads", "sensitivity", "specificity"), tuple(rows))


def _in_many_slices(result: StudyResult) -> bool:
    return result.slices is not None and result.slices.bleeding.sum() >= MANY_SLICES


def _age(result: StudyResult) -> str:
    """Name the age group of a head whose age is known."""
    years = result.known.age_years or 0.0
    return next(name for name, below in AGES_YEARS if years < below)


def _look_alike_table(results: list[StudyResult], judgement: Judgement) -> Table:
    clear = [r for r in results if not r.bleeds and r.known.midline_shift_mm is not None]
    rows = []
    for name in sorted({_look_alike(result) for result in clear}):
        group = [result for result in clear if _look_alike(result) == name]
        rows.append((name, rate(r.score >= judgement.score for r in group)))
    return Table("False alarms by look-alike", ("conspicuous", "false alarms"), tuple(rows))


def _look_alike(result: StudyResult) -> str:
    return result.known.look_alike.value if result.known.look_alike else "none"


def _volume_table(results: list[StudyResult], judgement: Judgement) -> Table:
    """Bland–Altman and closeness. Source: Bland and Altman, Lancet 1986."""
    alerted = [r for r in results if r.true_ml and r.score >= judgement.score]
    if not alerted:
        return Table("Volumes", (), ())
    true_ml, found_ml = np.array([(r.true_ml, r.found_ml) for r in alerted]).T
    differences_ml = found_ml - true_ml
    spread_ml = Z_95 * differences_ml.std()
    bias_ml = differences_ml.mean()
    large = true_ml >= MEASURED_FROM_ML
    close = np.abs(differences_ml) <= np.maximum(CLOSE_SHARE * true_ml, CLOSE_ML)
    widths = [_width(r, judgement) for r in alerted if r.found_ml >= MEASURED_FROM_ML]
    ratio = np.median(found_ml[large] / true_ml[large]) - 1 if large.any() else float("nan")
    rows = (
        ("bias, mL", f"{bias_ml:+.1f}"),
        ("limits of agreement, mL", f"{bias_ml - spread_ml:+.1f} … {bias_ml + spread_ml:+.1f}"),
        (f"error of bleeds ≥ {MEASURED_FROM_ML:g} mL, median", f"{ratio:+.0%}"),
        (f"within ±15 % or ±1 mL, ≥ {MEASURED_FROM_ML:g} mL", rate(close[large].tolist())),
        ("truth within the 90 % interval", rate(_held(r, judgement) for r in alerted)),
        (
            f"width of that interval over the volume found, ≥ {MEASURED_FROM_ML:g} mL, median",
            f"{np.median(widths):.2f}" if widths else "none",
        ),
    )
    return Table("Volumes of the bleeds alerted to", ("measure", "value"), rows)


def _interval_table(results: list[StudyResult], judgement: Judgement) -> Table:
    """How often the interval holds, by what the largest finding was taken for."""
    alerted = [r for r in results if r.true_ml and r.found and r.score >= judgement.score]
    rows = []
    for subtype in Subtype:
        own = [r for r in alerted if r.found and r.found.subtype is subtype]
        rows.append((subtype.word, rate(_held(r, judgement) for r in own)))
    columns = ("taken for", "the 90 % interval holds the truth")
    return Table("Intervals of the bleeds alerted to", columns, tuple(rows) if alerted else ())


def _held(result: StudyResult, judgement: Judgement) -> bool:
    """Whether the interval told holds the true volume; none is told without a finding."""
    if result.found is None or result.true_ml is None:
        return False
    low_ml, high_ml = judgement.interval.of(result.found_ml, result.doubt)
    return low_ml <= result.true_ml <= high_ml


def _width(result: StudyResult, judgement: Judgement) -> float:
    """Width of the interval told, as a share of the volume found."""
    low_ml, high_ml = judgement.interval.of(result.found_ml, result.doubt)
    return (high_ml - low_ml) / result.found_ml


def _place_table(results: list[StudyResult]) -> Table:
    """Side and region of the largest finding, of single bleeds; midline shift of all heads."""
    single = [
        r
        for r in results
        if r.truth and r.found and len(r.known.kinds) == 1 and (r.true_ml or 0) >= PLACED_FROM_ML
    ]
    rows = []
    if single:
        pairs = [(r.truth, r.found) for r in single if r.truth and r.found]
        rows.append(("side right", rate(truth.side is found.side for truth, found in pairs)))
        rows.append(("region right", rate(truth.region is found.region for truth, found in pairs)))
    shifts = [
        (r.known.midline_shift_mm, r.found_shift_mm)
        for r in results
        if r.known.midline_shift_mm is not None
    ]
    errors_mm = [abs(found - true) for true, found in shifts if found is not None]
    if shifts:
        rows.append(("midline shift told", rate(found is not None for _, found in shifts)))
    if errors_mm:
        middle, most = np.quantile(errors_mm, (0.5, 0.9))
        rows.append(("its error, median; 90 %", f"{middle:.1f} mm; {most:.1f} mm"))
    title = f"Place of single bleeds ≥ {PLACED_FROM_ML:g} mL that were found"
    return Table(title, ("measure", "value"), tuple(rows))


def _calibration_table(results: list[StudyResult]) -> Table:
    rows = []
    for low in np.arange(0.0, 1.0, 0.2):
        inside = [r for r in results if low <= r.score < low + 0.2 + (low >= 0.8) * 0.01]  # noqa: PLR2004
        if inside:
            mean = np.mean([r.score for r in inside])
            seen = rate(r.bleeds for r in inside)
            rows.append((f"{low:.1f}–{low + 0.2:.1f}", f"{mean:.2f}", seen))
    return Table("Calibration", ("score", "mean score", "share that bleeds"), tuple(rows))


def _finding_table(results: list[StudyResult], judgement: Judgement) -> Table:
    """Of the findings that are told, how many are bleeds at each probability that is told."""
    told = [one for r in results if r.score >= judgement.score for one in r.findings]
    rows = []
    for low, high in pairwise(FINDING_BINS):
        pairs = [
            (probability, one.is_bleed)
            for one in told
            if low <= (probability := judgement.certainty.probability(one.finding)) < high
        ]
        if pairs:
            mean = np.mean([probability for probability, _ in pairs])
            rows.append((f"{low:g}–{high:g}", f"{mean:.2f}", rate(bleed for _, bleed in pairs)))
    columns = ("probability told", "mean", "share that are bleeds")
    return Table("Calibration of findings, in suspected heads", columns, tuple(rows))


def _dura_table(results: list[StudyResult], judgement: Judgement) -> Table:
    """Subdural and epidural bleeds that were found as either: how many are named, and rightly."""
    told = [
        one
        for r in results
        if r.score >= judgement.score
        for one in r.findings
        if one.kind in ON_THE_DURA and one.finding.subtype in ON_THE_DURA
    ]
    rows = []
    for kind in ON_THE_DURA:
        own = [judgement.certainty.kind(one.finding) for one in told if one.kind is kind]
        if own:
            named = [word for word in own if word != EXTRA_AXIAL]
            right = rate(word == kind.word for word in named)
            rows.append((kind.word, rate(word != EXTRA_AXIAL for word in own), right))
    columns = ("findings", "told which of both", "rightly, of these")
    return Table("Subdural or epidural", columns, tuple(rows))


def slice_table(by_model: dict[str, list[StudyResult]]) -> Table:
    """Real heads slice by slice, one column a model."""
    rows: list[tuple[str, ...]] = []
    columns = {
        name: [(r, r.slices) for r in results if r.slices is not None]
        for name, results in by_model.items()
    }
    if not any(columns.values()):
        return Table("Real heads, slice by slice", (), ())
    areas, hits, dices, false_ml, seconds = [], [], [], [], []
    for pairs in columns.values():
        scores = np.concatenate([row.scores for _, row in pairs])
        bleeding = np.concatenate([row.bleeding for _, row in pairs])
        areas.append(_area_text(scores.tolist(), bleeding.tolist()))
        n_hit, n = sum(row.boxes_hit for _, row in pairs), sum(row.boxes for _, row in pairs)
        hits.append(rate([True] * n_hit + [False] * (n - n_hit)))
        overlaps = [r.dice for r, _ in pairs if r.dice is not None]
        dices.append(f"{np.median(overlaps):.2f}" if overlaps else "none")
        false_ml.append(f"{np.mean([row.false_ml for _, row in pairs]):.2f}")
        seconds.append(f"{np.median([r.seconds for r, _ in pairs]):.1f}")
    rows = [
        ("ROC-AUC of slices, with a bleed or without", *areas),
        ("boxes hit", *hits),
        ("Dice against our silver masks, median", *dices),
        ("mL marked in slices without a bleed, mean a head", *false_ml),
        ("seconds a head, median", *seconds),
    ]
    return Table("Real heads, slice by slice", ("measure", *columns), tuple(rows))


def as_markdown(table: Table) -> str:
    """Write a table for a page."""
    lines = [f"### {table.title}", "", "| " + " | ".join(table.columns) + " |"]
    lines.append("|" + " --- |" * len(table.columns))
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    return "\n".join([*lines, ""])
