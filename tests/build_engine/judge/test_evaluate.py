"""The model card's numbers: each is checked against one worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from typer.testing import CliRunner

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.preprocess import Floats
from agent.records import EXTRA_AXIAL, Certainty, Region, Side, Subtype
from agent.voxels import LabelMask, Regions
from build_engine.heads.fields import UNSURE
from build_engine.heads.known import PROTOCOLS, KnownHead, evaluation_recipe
from build_engine.judge.card import write_card
from build_engine.judge.evaluate import (
    StudyResult,
    at_cut,
)
from build_engine.judge.evaluate import results as results_of
from build_engine.judge.figures import draw_failures
from build_engine.judge.tables import (
    Judgement,
    Table,
    area_under_roc,
    as_markdown,
    rate,
    slice_table,
    tables,
)
from build_engine.synth.lookalike import LookAlike
from build_engine.train.cli import model
from tests.build_engine.judge.made import SHAPE_KJI, VOXEL_ML, grid, known_head, result_of
from tests.heads import INTERVAL, SEEING, SEEING_BUNDLE, SeeingBackend, axial_grid, ball, head
from tests.schema import check_printed
from tests.tiny import BUNDLE as TINY

SHIPPED = PACKAGED_ENGINES / InferConfig().bundle
JUDGEMENT = Judgement(0.5, INTERVAL, Certainty(told_apart=0.75))


def table(results: list[StudyResult], title: str) -> dict[str, tuple[str, ...]]:
    found = next(one for one in tables(results, JUDGEMENT) if one.title.startswith(title))
    return {row[0]: row[1:] for row in found.rows}


def test_what_equals_the_truth_is_right_in_everything():
    result = result_of(known_head(), 0.9)

    assert result.dice == 1.0
    assert result.found_ml == pytest.approx(4 * 10 * 5 * VOXEL_ML) == result.true_ml
    assert result.truth == result.found
    assert result.found
    assert result.found.side is Side.LEFT
    assert result.found.region is Region.LEFT_FRONTAL


def test_dice_and_volume_of_half_a_bleed():
    known = known_head()
    half = known.subtypes.copy()
    half[6:] = 0

    result = result_of(known, 0.9, half)

    assert result.dice == pytest.approx(2 / 3)
    assert result.found_ml == pytest.approx(result.true_ml / 2)


def test_pixels_of_unknown_truth_count_neither_way():
    known = known_head()
    unsure = known.subtypes.copy()
    unsure[3], unsure[8] = UNSURE, UNSURE
    spread = known.subtypes.copy()
    spread[3] = spread[4]

    assert result_of(replace(known, subtypes=unsure, regions=None), 0.9, spread).dice == 1.0


def test_wilsons_interval():
    # Newcombe, Stat Med 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert rate([True] * 81 + [False] * 182) == "0.308 (81/263; 0.255–0.366)"
    assert rate([]) == "none"
    assert rate([False] * 5).startswith("0.000 (0/5; 0.000–")


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
)
def test_area_under_roc_is_the_chance_of_the_right_order(above: list[int], below: list[int]):
    scores = np.array([*above, *below], dtype=float)
    positive = np.array([True] * len(above) + [False] * len(below))

    expected = np.mean([(a > b) + (a == b) / 2 for a in above for b in below])

    assert area_under_roc(scores, positive) == pytest.approx(expected)


def test_sensitivity_specificity_and_false_alarms():
    bleeding = [result_of(known_head(), score) for score in (0.9, 0.8, 0.2, 0.7)]
    clear = [result_of(known_head(None), score) for score in (0.1, 0.6, 0.2, 0.3, 0.1)]

    rows = table([*bleeding, *clear], "Study level")

    assert rows["all bleeds"][0].startswith("0.750 (3/4;")
    assert rows["specificity"][0].startswith("0.800 (4/5;")
    assert rows["false alarms per 100 without a bleed"][0] == "20.0 (3.6–62.4)"


def test_subtypes_volumes_and_sides_are_counted():
    wrong = known_head(Subtype.EPIDURAL)
    mirrored = wrong.subtypes[:, :, ::-1].copy()
    mirrored[mirrored > 0] = Subtype.SUBDURAL
    results = [
        result_of(known_head(Subtype.SUBDURAL), 0.9),
        result_of(known_head(Subtype.EPIDURAL), 0.9),
        result_of(wrong, 0.9, mirrored),
    ]

    by_subtype, place = table(results, "By subtype"), table(results, "Place")

    assert by_subtype["epidural"][1].startswith("0.500 (1/2;")
    assert by_subtype["subdural"][1].startswith("1.000 (1/1;")
    assert by_subtype["5–30 mL"][0].startswith("1.000 (3/3;")
    assert place["side right"][0].startswith("0.667 (2/3;")
    assert place["region right"][0].startswith("0.667 (2/3;")


def test_bland_and_altman():
    known = known_head()
    results = []
    for first_k in (4, 5, 6):
        found = known.subtypes.copy()
        found[:first_k] = 0
        results.append(result_of(known, 0.9, found))
    differences_ml = np.array([0.0, -5.0, -10.0])

    rows = table(results, "Volumes")

    spread_ml = 1.96 * differences_ml.std()
    assert rows["bias, mL"] == ("-5.0",)
    assert rows["limits of agreement, mL"] == (f"{-5 - spread_ml:+.1f} … {-5 + spread_ml:+.1f}",)
    assert rows["within ±15 % or ±1 mL, ≥ 5 mL"][0].startswith("0.333 (1/3;")


def test_look_alikes_are_told_apart():
    calm = known_head(None, look_alike=LookAlike.FALX)
    loud = known_head(None, look_alike=LookAlike.METAL)

    rows = table([result_of(calm, 0.1), result_of(loud, 0.9)], "False alarms by look-alike")

    assert rows["falx calcification"][0].startswith("0.000 (0/1")
    assert rows["metal"][0].startswith("1.000 (1/1")


def test_a_real_head_is_judged_slice_by_slice():
    boxes = {k: [[25, 10, 29, 19]] for k in range(4, 8)} | {8: [[0, 0, 3, 3]]}
    known = replace(known_head(), regions=None, midline_shift_mm=None, boxes=boxes)
    found = known.subtypes.copy()
    found[2, 30:34, 30:34] = Subtype.SUBDURAL

    found_table = slice_table({"ours": [result_of(known, 0.9, found)]})

    rows = {row[0]: row[1] for row in found_table.rows}
    assert rows["boxes hit"].startswith("0.800 (4/5;")
    assert rows["mL marked in slices without a bleed, mean a head"] == f"{16 * VOXEL_ML:.2f}"


def test_a_midline_shift_is_judged_where_it_is_told():
    known = known_head(midline_shift_mm=4.0)
    results = [replace(result_of(known, 0.9), found_shift_mm=told) for told in (5.0, None, 7.0)]

    place = table(results, "Place of single bleeds")

    assert place["midline shift told"][0].startswith("0.667 (2/3;")
    assert place["its error, median; 90 %"] == ("2.0 mm; 2.8 mm",)


def trauma_head(n_bleeding: int, age_years: float, *kinds: Subtype) -> KnownHead:
    """A head whose first slices readers named, and that nobody outlined."""
    named = [frozenset(kinds)] * n_bleeding + [frozenset[Subtype]()] * (SHAPE_KJI[0] - n_bleeding)
    return replace(
        known_head(kinds[0] if kinds else None),
        kinds=kinds,
        subtypes=None,
        regions=None,
        midline_shift_mm=None,
        slice_kinds=tuple(named),
        age_years=age_years,
    )


def test_a_head_whose_slices_were_named_is_judged_without_an_outline():
    found = known_head(Subtype.SUBDURAL).subtypes
    results = [
        result_of(trauma_head(8, 5.0, Subtype.EPIDURAL, Subtype.SUBDURAL), 0.9, found),
        result_of(trauma_head(2, 40.0, Subtype.EPIDURAL), 0.3, found),
        result_of(trauma_head(0, 70.0), 0.6, np.zeros_like(found)),
    ]

    study, by_age, slices = (
        table(results, title) for title in ("Study level", "By age", "Real heads, slice by slice")
    )
    by_kind = table(results, "By subtype")

    assert study["all bleeds"][0].startswith("0.500 (1/2;")
    assert study["bleeds in ≥ 3 slices"][0].startswith("1.000 (1/1;")
    assert by_age["child, below 16"][0].startswith("1.000 (1/1;")
    assert by_age["old, from 65"][1].startswith("0.000 (0/1;")
    assert by_kind["epidural"][1].startswith("0.500 (1/2;")  # the first has a subdural bleed too
    assert by_kind["epidural"][2] == "none"
    # slices 4 to 7 were found, all of them bleeding in one head and none in another
    assert slices["mL marked in slices without a bleed, mean a head"] == (
        f"{200 * VOXEL_ML / 3:.2f}",
    )


class FaintBackend(SeeingBackend):
    """Is hardly sure of what it sees."""

    def see(self, slabs: Floats) -> Floats:
        out = super().see(slabs)
        out[:, 1:] *= 0.2
        out[:, 0] = 1 - out[:, 1:].sum(axis=1)
        return out


def test_slices_are_ranked_alike_whatever_the_cut():
    slices = axial_grid(np.arange(-60.0, 65.0, 5.0))
    with_clot = head(slices, ball(slices, (20.0, 0.0, 0.0), 15.0))
    known = KnownHead("real", with_clot, Subtype.INTRAPARENCHYMAL, boxes={12: [[0, 0, 9, 9]]})
    ranked = []
    for cut in (0.05, 0.5):
        contract = replace(SEEING, reading=replace(SEEING.reading, bleed_probability=cut))
        (result,) = results_of([known], contract, FaintBackend(SEEING_BUNDLE))
        assert result.slices
        ranked.append(result.slices.scores)

    assert ranked[0].max() > 0.1
    assert np.array_equal(*ranked)


def test_a_bleed_is_named_as_it_is_at_the_cut_that_is_chosen():
    known = known_head()
    subtypes, probability = np.zeros_like(known.subtypes), np.zeros_like(known.subtypes)
    subtypes[2:6, 10:20, 25:30], probability[2:6, 10:20, 25:30] = Subtype.SUBDURAL, 50
    subtypes[2:6, 25:30, 8:12], probability[2:6, 25:30, 8:12] = Subtype.EPIDURAL, 200
    mask = LabelMask(subtypes, Regions.of_voxels(known.regions), probability, grid(), 0.9)

    faint, sure = at_cut(known, mask, 0.1), at_cut(known, mask, 0.5)

    assert faint.found
    assert sure.found
    assert (faint.found.subtype, sure.found.subtype) == (Subtype.SUBDURAL, Subtype.EPIDURAL)
    assert faint.found_ml == pytest.approx(3.5 * sure.found_ml)


def test_the_picture_of_a_missed_bleed_is_of_a_slice_that_shows_it():
    """It was the first slice where nothing was found, and nobody had outlined the bleed."""
    known = trauma_head(2, 40.0, Subtype.EPIDURAL)
    known = replace(known, slice_kinds=known.slice_kinds[::-1])  # the last two
    known.head.hu[-2:] = 80

    missed = result_of(known, 0.1, np.zeros(SHAPE_KJI, dtype=np.uint8))

    assert missed.picture.min() == 255


def test_test_heads_are_unlike_those_trained_on():
    drawn = [evaluation_recipe(seed) for seed in range(20_001, 20_161)]

    assert {protocol for _, _, protocol in drawn} == {one.name for one in PROTOCOLS}
    assert sum(not protocol.seen for protocol in PROTOCOLS) >= 2
    assert {recipe.bleed for recipe, _, _ in drawn} == {None, *Subtype}
    assert {recipe.look_alike for recipe, _, _ in drawn} == {None, *LookAlike}
    assert all(recipe.deformation > 1.0 for recipe, _, _ in drawn)
    assert sum(recipe.bleed is None for recipe, _, _ in drawn) == 80


def test_a_table_reads_as_markdown():
    text = as_markdown(Table("Rates", ("a", "b"), (("x", "1"),)))

    assert text.splitlines() == ["### Rates", "", "| a | b |", "| --- | --- |", "| x | 1 |"]


@pytest.mark.slow
def test_the_card_holds_tables_figures_and_every_head(tmp_path: Path):
    results = [result_of(known_head(), 0.2), result_of(known_head(None), 0.1)]

    write_card(tmp_path, "few", (tables(results, JUDGEMENT), results), JUDGEMENT)

    assert "0.000 (0/1" in (tmp_path / "few.md").read_text()
    heads = json.loads((tmp_path / "few.json").read_text())["heads"]
    assert [head["score"] for head in heads] == [0.2, 0.1]
    for figure in ("few.png", "few-failures.png"):
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("bleeds", [1, 0], ids=["one missed", "none missed"])
def test_pictures_of_failures_are_whole_and_say_if_there_are_none(tmp_path: Path, bleeds: int):
    """Titles of a single row were cut off at the top, and no failures were an empty page."""
    missed = [result_of(known_head(), 0.2)] * bleeds

    draw_failures([*missed, result_of(known_head(None), 0.1)], JUDGEMENT, tmp_path / "few.png")

    ink = imread(tmp_path / "few.png")[..., :3].min(axis=2) < 0.9
    assert ink.any()
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()


@pytest.mark.slow
def test_one_command_evaluates_a_bundle(tmp_path: Path, engines: Path):
    arguments = ["evaluate", str(engines / TINY), "--heads", "2", "--to", str(tmp_path), "--json"]

    result = CliRunner().invoke(model, arguments)

    assert result.exit_code == 0, result.output
    check_printed(["model", "evaluate"], result.stdout)
    titles = [one["title"] for one in json.loads(result.stdout)["generated"]]
    assert "By subtype and by volume" in titles
    heads = json.loads((tmp_path / "generated.json").read_text())["heads"]
    assert [head["bleed"] is not None for head in heads] == [False, True]
    assert all(0.0 <= head["score"] <= 1.0 for head in heads)


@pytest.mark.parametrize("wrong", ["nonsense", "phe_sich", "ct_ich", "phe_sich=/no/such/folder"])
def test_a_set_that_is_none_is_refused(wrong: str):
    result = CliRunner().invoke(model, ["evaluate", str(SHIPPED), "--set", wrong])

    assert result.exit_code == 2
    assert "--set" in result.output


def test_findings_are_judged_one_by_one():
    """One is on the blood, the other beside it; told to be bleeds at 1 and at 254 in 255."""
    known = known_head(Subtype.EPIDURAL)
    found = known.subtypes.copy()
    found[4:8, 30:34, 5:8] = Subtype.INTRAPARENCHYMAL

    result = result_of(known, 0.9, found)

    assert [one.is_bleed for one in result.findings] == [True, False]
    assert [one.kind for one in result.findings] == [Subtype.EPIDURAL, None]
    assert table([result], "Calibration of findings")["0.95–1"][1].startswith("0.500 (1/2")
    assert table([result_of(known, 0.4, found)], "Study")
    with pytest.raises(StopIteration):  # of a head that is not suspected, no finding is told
        table([result_of(known, 0.4, found)], "Calibration of findings")


def test_where_readers_named_slices_a_findings_key_slice_tells():
    clear, bleeding = frozenset(), frozenset({Subtype.SUBDURAL})
    labels = tuple(bleeding if 4 <= k < 8 else clear for k in range(SHAPE_KJI[0]))
    known = known_head(subtypes=None, slice_kinds=labels)
    found = known_head().subtypes.copy()
    found[9:11, 30:40, 5:12] = Subtype.EPIDURAL

    findings = result_of(known, 0.9, found).findings

    assert {one.finding.subtype: one.is_bleed for one in findings} == {
        Subtype.SUBDURAL: True,
        Subtype.EPIDURAL: False,
    }


def test_what_could_be_subdural_or_epidural_is_counted_as_told_or_not():
    known = known_head(Subtype.EPIDURAL)
    result = result_of(known, 0.9)
    (one,) = result.findings
    doubtful = replace(one, finding=replace(one.finding, epidural_share=0.6))
    assert JUDGEMENT.certainty.kind(doubtful.finding) == EXTRA_AXIAL

    rows = table([result, replace(result, findings=(doubtful,))], "Subdural or epidural")

    assert rows["epidural"][0].startswith("0.500 (1/2")
    assert rows["epidural"][1].startswith("1.000 (1/1")
