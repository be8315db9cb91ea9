"""Which profile has a series, and what the others have against it."""

from __future__ import annotations

from dataclasses import replace

from agent.assemble.dicom_file import ReadSlice
from agent.assemble.protocol import ranked
from agent.reasons import Reason, english, what_to_do
from build_engine.protocols.matching import verdict_on
from build_engine.protocols.sample import NO_PIXELS
from tests.agent.assemble.made import HEADER, IDENTITY
from tests.build_engine.protocols.made import PROFILES, head_of, series_of


def test_the_scanners_profile_matches_and_the_others_say_why_not():
    verdict = verdict_on(head_of(manufacturer="GE MEDICAL SYSTEMS"), PROFILES)

    assert (verdict.profile, verdict.refusal, verdict.missing) == ("ge-head", None, ())
    assert set(verdict.others) == {one.name for one in PROFILES} - {"ge-head"}
    assert verdict.others["canon-head"] == (
        Reason("maker_not_covered", maker="GE MEDICAL SYSTEMS", profile="canon-head"),
    )
    assert "fits too; ge-head asks for more" in english(verdict.others["generic-head"][0])


def test_a_bone_series_has_none_and_the_expert_has_the_last_word():
    verdict = verdict_on(head_of(manufacturer="UIH", kernel="B_SHARP_C"), PROFILES)

    assert verdict.profile is None
    assert english(verdict.refusal) == "bone reconstruction (kernel B_SHARP_C)"
    assert verdict.others["united-imaging-head"] == (
        Reason("bone_kernel", kernel="B_SHARP_C", profile="united-imaging-head"),
    )
    assert "united-imaging-head is for this scanner" in english(verdict.others["generic-head"][0])


def test_of_two_profiles_that_ask_as_much_the_first_by_name_is_chosen():
    generic = PROFILES[-1]
    profiles = ranked([replace(generic, name="b"), replace(generic, name="a")])

    verdict = verdict_on(head_of(), profiles)

    assert verdict.profile == "a"
    assert "a asks as much and comes before it by name" in english(verdict.others["b"][0])


def test_a_short_head_matches_and_is_not_analysed():
    verdict = verdict_on(head_of(9), PROFILES)

    assert verdict.profile == "generic-head"
    assert english(verdict.refusal) == "only 9 slices, 10 needed"
    assert what_to_do(verdict.refusal)


def test_missing_slices_are_told():
    whole = head_of(16)
    gappy = series_of([])
    for header in (*whole.headers[:7], *whole.headers[9:]):
        gappy.put([ReadSlice(header, NO_PIXELS)])
    promised = head_of(13, expected_images=15)

    assert verdict_on(gappy, PROFILES).missing == (
        Reason("slices_missing", n_missing=2, below_mm=60.0, above_mm=90.0),
    )
    assert verdict_on(promised, PROFILES).missing == (
        Reason("images_missing", n_images=13, n_expected=15),
    )


def test_two_patients_in_one_series_are_refused():
    other = replace(IDENTITY, patient_id="P1")
    mixed = series_of([HEADER] * 12 + [replace(HEADER, identity=other)])

    verdict = verdict_on(mixed, PROFILES)

    assert verdict.profile is None
    assert "disagree about patient id" in english(verdict.refusal)
    assert "P1" not in english(verdict.refusal)


def test_a_localizer_has_no_profile():
    verdict = verdict_on(head_of(1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), PROFILES)

    assert (verdict.profile, verdict.refusal) == (None, Reason("localizers_only"))


def test_coronal_slices_are_refused_in_words():
    coronal = head_of(row_direction=(1.0, 0.0, 0.0), column_direction=(0.0, 0.0, -1.0))

    assert "from axial" in english(verdict_on(coronal, PROFILES).refusal)
