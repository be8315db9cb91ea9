"""agent.exam: one answer for each examination, whatever came in whichever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exam import (
    NEEDS_NOBODY,
    OTHER_VIEWS,
    Examination,
    Place,
    Reconstruction,
    Second,
    acknowledged_through,
    examinations,
    same_scan,
    unanalysed_with,
    waiting_beside,
)
from agent.reasons import english
from agent.records import TEST_MARK, Acquisition, State

BEGUN = datetime(2026, 1, 1, 10, 0, 0)  # noqa: DTZ001 - a scanner's clock knows no zone
FRAME = frozenset({"1.2.9"})
SCAN = Acquisition(frozenset({2}), FRAME, (BEGUN, BEGUN + timedelta(seconds=20)))
LATER = replace(SCAN, acquired=(BEGUN + timedelta(minutes=9), BEGUN + timedelta(minutes=9)))
OF_ITS_SCANNER = ("P1", "DOE^JANE", "19500101")

S, N, REFUSED = State.SUSPECTED, State.NOT_SUSPECTED, State.NOT_ANALYSED
ON_ITS_WAY, AT_WORK = State.RECEIVING, State.ANALYSING


def series(uid: str, state: State, code: str | None = None, **changes: object) -> Reconstruction:
    """Return one of the scan's series, as it stands."""
    scan = replace(SCAN, **{key: changes.pop(key) for key in ("thickness_mm", "preference")
                            if key in changes})  # fmt: skip
    concluded = state not in (ON_ITS_WAY, AT_WORK)
    made = Reconstruction(
        uid=uid,
        study_uid="1.2.3",
        patient=OF_ITS_SCANNER,
        acquisition=scan,
        state=state,
        answer=state if concluded else None,
        code=(code or "slices_missing") if state is REFUSED else None,
        is_covered=True,
        alerts=state is S,
        is_acknowledged=False,
        is_answered=False,
        first_slice_at=BEGUN,
    )
    return replace(made, **changes)


def thick(state: State, **changes: object) -> Reconstruction:
    return series("1.5", state, preference=1, thickness_mm=5.0, **changes)


def thin(state: State, **changes: object) -> Reconstruction:
    return series("1.1", state, preference=0, thickness_mm=0.6, **changes)


def only(*parts: Reconstruction) -> Examination:
    """Return the one examination that these series are."""
    (examination,) = examinations(parts)
    return examination


TABLE = """
THICK         THIN          ANSWER         SPEAKS  SECOND     WAITING

receiving     -             receiving      thick   -          -
analysing     -             analysing      thick   -          -
suspected     -             suspected      thick   -          thick
not_suspected -             not_suspected  thick   -          -
not_analysed  -             not_analysed   thick   -          -

suspected     receiving     suspected      thick   -          thick
suspected     analysing     suspected      thick   -          thick
suspected     suspected     suspected      thin    confirmed  thin,thick
suspected     not_suspected not_suspected  thin    withdrawn  thick
suspected     not_analysed  suspected      thick   -          thick

not_suspected receiving     not_suspected  thick   -          -
not_suspected analysing     not_suspected  thick   -          -
not_suspected suspected     suspected      thin    -          thin
not_suspected not_suspected not_suspected  thin    -          -
not_suspected not_analysed  not_suspected  thick   -          -

not_analysed  receiving     receiving      thin    -          -
not_analysed  analysing     analysing      thin    -          -
not_analysed  suspected     suspected      thin    -          thin
not_analysed  not_suspected not_suspected  thin    -          -
not_analysed  not_analysed  not_analysed   thin    -          -

receiving     receiving     receiving      thin    -          -
receiving     analysing     analysing      thin    -          -
receiving     suspected     suspected      thin    -          thin
receiving     not_suspected not_suspected  thin    -          -
receiving     not_analysed  receiving      thick   -          -
analysing     receiving     receiving      thin    -          -
analysing     analysing     analysing      thin    -          -
analysing     suspected     suspected      thin    -          thin
analysing     not_suspected not_suspected  thin    -          -
analysing     not_analysed  analysing      thick   -          -
"""
"""The thick series' state, the thin one's, which the profile prefers, and what is told of both."""

ROWS = [row.split() for row in TABLE.splitlines()[2:] if row]


def test_the_table_has_every_pair() -> None:
    states = [state.value for state in State]

    assert {(row[0], row[1]) for row in ROWS} == {(a, b) for a in states for b in (*states, "-")}


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_two_reconstructions_have_one_answer(row: list[str]) -> None:
    one, other, answer, speaks, second, waiting = row
    names = {"1.5": "thick", "1.1": "thin"}
    known = [thick(State(one)), *([] if other == "-" else [thin(State(other))])]

    for order in permutations(known):
        told = only(*order)

        assert told.state.value == answer
        assert names[told.speaker] == speaks
        assert (told.second.value if told.second else "-") == second
        assert ",".join(names[uid] for uid in told.waiting) == waiting.replace("-", "")
        assert not told.needs_nobody


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:2]) for row in ROWS])
def test_only_where_no_series_has_an_answer_one_that_was_not_analysed_waits(row: list[str]) -> None:
    one, other, answer, *_ = row
    known = [thick(State(one)), *([] if other == "-" else [thin(State(other))])]
    refused = tuple(sorted(each.uid for each in known if each.state is REFUSED))

    assert tuple(sorted(only(*known).unanalysed)) == (refused if answer == "not_analysed" else ())


def test_a_head_that_was_not_analysed_waits_until_somebody_answers() -> None:
    answered = thin(REFUSED, is_answered=True)

    assert only(thin(REFUSED)).unanalysed == ("1.1",)
    assert only(answered).unanalysed == ()
    assert only(answered, thick(REFUSED)).unanalysed == ("1.5",)
    assert unanalysed_with([answered, thick(REFUSED)], "1.1") == ("1.5",)
    assert unanalysed_with([answered, thick(REFUSED, alerts=True)], "1.1") == ()
    assert only(series("1.0", REFUSED, "localizers_only")).unanalysed == ()
    assert only(series("1.0", REFUSED, "bone_kernel")).unanalysed == ("1.0",)


def test_what_is_said_of_both_names_their_slices() -> None:
    confirmed, withdrawn = only(thick(S), thin(S)).remark, only(thick(S), thin(N)).remark

    assert confirmed
    assert withdrawn
    assert english(confirmed) == "the thin slices (0.6 mm) confirm what those of 5 mm suspected"
    assert english(withdrawn) == "the thin slices (0.6 mm) withdraw what those of 5 mm suspected"


def test_where_the_profile_prefers_thick_slices_they_have_the_last_word() -> None:
    told = only(
        series("1.1", S, preference=1, thickness_mm=0.6),
        series("1.5", N, preference=0, thickness_mm=5.0),
    )

    assert (told.state, told.second, told.speaker) == (N, Second.WITHDRAWN, "1.5")
    assert told.remark
    assert english(told.remark) == "another reconstruction withdraws the suspicion"


def test_of_equally_preferred_series_one_suspicion_is_enough() -> None:
    told = only(series("1.1", N, preference=0), series("1.2", S, preference=0))

    assert (told.state, told.speaker, told.second) == (S, "1.2", None)


def test_what_a_middle_series_withdrew_the_thinnest_suspects_again() -> None:
    known = thick(S), series("1.3", N, preference=1), thin(S)
    told = only(replace(known[0], acquisition=replace(SCAN, preference=2)), *known[1:])

    assert (told.state, told.speaker) == (S, "1.1")


@pytest.mark.parametrize("code", sorted(NEEDS_NOBODY | OTHER_VIEWS))
def test_what_is_no_plain_head_stands_aside_of_one(code: str) -> None:
    told = only(series("1.0", REFUSED, code), thick(N))

    assert told.state is N
    assert dict(told.places) == {"1.5": Place.SPEAKS, "1.0": Place.ASIDE}
    assert not told.needs_nobody


@pytest.mark.parametrize("code", sorted(NEEDS_NOBODY))
def test_an_examination_without_a_plain_head_needs_nobody(code: str) -> None:
    told = only(series("1.0", REFUSED, code))

    assert (told.state, told.needs_nobody, told.remark) == (REFUSED, True, None)


@pytest.mark.parametrize("code", ["bone_kernel", "bone_series"])
def test_bone_alone_says_that_the_soft_tissue_is_missing(code: str) -> None:
    told = only(series("1.0", REFUSED, "localizers_only"), series("1.1", REFUSED, code))

    assert (told.state, told.needs_nobody, told.speaker) == (REFUSED, False, "1.1")
    assert told.remark
    assert english(told.remark) == "only a bone reconstruction of this scan came"


def test_a_head_that_was_not_analysed_is_told_before_all_that_stands_aside() -> None:
    told = only(series("1.0", REFUSED, "localizers_only"), thick(REFUSED))

    assert (told.state, told.needs_nobody, told.speaker) == (REFUSED, False, "1.5")


def test_a_perfusion_on_its_way_does_not_hold_up_what_is_told_of_the_head() -> None:
    perfusion = series("1.0", ON_ITS_WAY, is_covered=False)

    assert only(perfusion, thick(REFUSED)).state is REFUSED
    assert only(perfusion).state is ON_ITS_WAY


@pytest.mark.parametrize(
    ("before", "now"), [(S, S), (N, ON_ITS_WAY), (REFUSED, ON_ITS_WAY)], ids=lambda one: one.value
)
def test_of_what_is_received_again_only_a_suspicion_stands(before: State, now: State) -> None:
    assert only(replace(thick(before), state=ON_ITS_WAY)).state is now


def test_what_is_received_again_withdraws_nothing_until_it_has_its_answer() -> None:
    told = only(thick(S), replace(thin(N), state=ON_ITS_WAY))

    assert (told.state, told.second, told.speaker) == (S, None, "1.5")


def test_a_suspicion_waits_also_where_its_series_was_refused_later() -> None:
    refused = series("1.1", REFUSED, "contrast_seen", alerts=True)
    told = only(refused)

    assert told.waiting == ("1.1",)
    assert not told.needs_nobody


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (SCAN, True),
        (Acquisition(), None),
        (Acquisition(numbers=SCAN.numbers), None),
        (replace(SCAN, numbers=frozenset({3})), False),
        (replace(SCAN, numbers=frozenset({2, 3})), True),
        (replace(SCAN, frames_of_reference=frozenset({"1.2.8"})), False),
        (replace(SCAN, acquired=None), True),
        (replace(SCAN, numbers=frozenset(), frames_of_reference=frozenset()), True),
        (LATER, False),
        (replace(SCAN, acquired=(BEGUN + timedelta(seconds=24),) * 2), True),
        (replace(SCAN, acquired=(BEGUN + timedelta(seconds=26),) * 2), False),
    ],
    ids=[
        "all agrees", "nothing known", "only the number", "another number", "several numbers",
        "another frame", "no time", "only the time", "minutes later", "seconds later", "apart",
    ],
)  # fmt: skip
def test_one_scan_is_told_from_another(other: Acquisition, same: bool | None) -> None:
    assert same_scan(SCAN, other) is same
    assert same_scan(other, SCAN) is same


def test_where_only_the_images_are_dated_thin_ones_may_be_made_minutes_later() -> None:
    made = replace(SCAN, acquired=None, created=(BEGUN, BEGUN))
    after = {minutes: BEGUN + timedelta(minutes=minutes) for minutes in (4, 9)}

    said = [same_scan(made, replace(made, created=(at, at))) for at in after.values()]

    assert said == [True, False]


def test_a_second_scan_of_the_study_is_an_examination_of_its_own() -> None:
    fallen = replace(thin(S), acquisition=replace(LATER, preference=0))

    first, second = examinations([fallen, thick(N)])

    assert {first.state, second.state} == {S, N}
    assert first.second is None
    assert second.second is None


def test_bone_of_a_second_scan_is_not_folded_under_the_first() -> None:
    bone = series("1.9", REFUSED, "bone_kernel", acquisition=LATER)

    told = examinations([thick(N), bone])

    assert {one.speaker: one.needs_nobody for one in told} == {"1.5": False, "1.9": False}


def test_a_perfusion_of_a_later_scan_is_folded_under_the_head() -> None:
    perfusion = series("1.9", REFUSED, "contrast_series", acquisition=LATER)

    assert dict(only(thick(N), perfusion).places)["1.9"] is Place.ASIDE


@pytest.mark.parametrize(
    "changes",
    [{"patient": ("P2", "ROE^RICHARD", "19600101")}, {"study_uid": "1.2.4"}],
    ids=["patient", "study"],
)
def test_nothing_is_told_across_patients_or_studies(changes: dict) -> None:
    told = examinations([thick(S), replace(thin(N), **changes)])

    assert sorted(one.state for one in told) == [N, S]


def test_a_self_test_is_no_part_of_a_patients_examination() -> None:
    assert len(examinations([thick(S), replace(thin(N), uid=f"{TEST_MARK}1.1")])) == 2


ACKNOWLEDGED = thick(S, alerts=False, is_acknowledged=True)


@pytest.mark.parametrize(
    ("others", "through"),
    [
        ([ACKNOWLEDGED], "1.5"),
        ([thick(S)], None),
        ([thick(S, alerts=False)], None),
        ([thick(N)], None),
        ([], None),
        ([replace(ACKNOWLEDGED, acquisition=LATER)], None),
        ([ACKNOWLEDGED, series("1.2", N, preference=0)], None),
        ([ACKNOWLEDGED, series("1.2", S, preference=1)], None),
        ([ACKNOWLEDGED, series("1.0", REFUSED, "localizers_only")], "1.5"),
    ],
    ids=[
        "acknowledged", "waiting", "dismissed", "not suspected", "alone", "another scan",
        "withdrawn", "another waits", "beside a localizer",
    ],
)  # fmt: skip
def test_a_confirmation_alerts_nobody_who_has_acknowledged(
    others: list[Reconstruction], through: str | None
) -> None:
    assert acknowledged_through([*others, thin(AT_WORK)], "1.1") == through


def test_a_series_that_said_otherwise_before_alerts() -> None:
    revised = replace(thin(N), state=AT_WORK)

    assert acknowledged_through([ACKNOWLEDGED, revised], "1.1") is None


def test_one_answer_is_given_to_all_that_waits_in_an_examination() -> None:
    elsewhere = series("1.7", S, acquisition=LATER)

    assert waiting_beside([thick(S), thin(S), elsewhere], "1.5") == ("1.1",)


REASONS = ["slices_missing", "localizers_only", "bone_kernel", "contrast_series", "not_axial"]


@st.composite
def reconstructions(draw: st.DrawFn) -> list[Reconstruction]:
    """Draw the series of some studies of some patients, scanned once or twice."""
    uids = draw(st.lists(st.integers(1, 99), min_size=1, max_size=7, unique=True))
    times = st.sampled_from([None, SCAN.acquired, LATER.acquired])
    return [
        series(
            f"1.{uid}",
            draw(st.sampled_from(State)),
            draw(st.sampled_from(REASONS)),
            study_uid=draw(st.sampled_from(["1.2.3", "1.2.4"])),
            patient=draw(st.sampled_from([OF_ITS_SCANNER, ("P2", "", "")])),
            is_covered=draw(st.booleans()),
            acquisition=Acquisition(
                numbers=draw(st.sampled_from([frozenset(), frozenset({1}), frozenset({1, 2})])),
                frames_of_reference=draw(st.sampled_from([frozenset(), FRAME])),
                acquired=draw(times),
                thickness_mm=draw(st.sampled_from([None, 0.6, 5.0])),
                preference=draw(st.sampled_from([None, 0, 1])),
            ),
            first_slice_at=BEGUN + timedelta(seconds=draw(st.integers(0, 99))),
        )
        for uid in uids
    ]


@pytest.mark.slow
@given(reconstructions())
def test_every_series_is_of_exactly_one_examination(known: list[Reconstruction]) -> None:
    members = [uid for one in examinations(known) for uid, _ in one.places]

    assert sorted(members) == sorted(one.uid for one in known)


@pytest.mark.slow
@given(st.data())
def test_the_order_of_arrival_changes_no_answer(data: st.DataObject) -> None:
    known = data.draw(reconstructions())
    arrived = [
        replace(one, first_slice_at=BEGUN + timedelta(seconds=n))
        for n, one in enumerate(data.draw(st.permutations(known)))
    ]

    def told(of: list[Reconstruction]) -> set[object]:
        return {(one.state, one.second, one.remark, one.waiting, one.places) for one in
                examinations(of)}  # fmt: skip

    assert told(arrived) == told(known)


@pytest.mark.slow
@given(reconstructions())
def test_no_suspicion_is_lost(known: list[Reconstruction]) -> None:
    """It is the answer, or waits, or was withdrawn by a preferred answer and is told beside it."""
    by_uid = {one.uid: one for one in known}
    for told in examinations(known):
        members = [by_uid[uid] for uid, _ in told.places]
        assert {one.uid for one in members if one.alerts} == set(told.waiting)
        for one in members:
            if one.is_head and one.standing is S and told.state is not S:
                assert told.second is Second.WITHDRAWN
                assert by_uid[told.speaker].rank < one.rank
                assert dict(told.places)[one.uid] is Place.BESIDE


@pytest.mark.slow
@given(reconstructions())
def test_not_suspected_is_an_answer_of_the_most_preferred(known: list[Reconstruction]) -> None:
    by_uid = {one.uid: one for one in known}
    for told in examinations(known):
        answered = [by_uid[uid] for uid, _ in told.places if by_uid[uid].standing]
        best = [one for one in answered if one.rank == min(each.rank for each in answered)]
        assert (told.state is N) == (bool(best) and all(one.standing is N for one in best))
        if not answered:
            assert told.state not in (S, N)
