"""What is drafted from header texts and numbers: always a profile, always one that fits them."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.assemble.protocol import ProfileFile, content_objections, objections
from agent.errors import NotEligible
from agent.records import Identity
from build_engine.protocols.inference import draft_profile, name_for
from tests.agent.assemble.made import HEADER, IDENTITY
from tests.build_engine.protocols.made import head_of, known, series_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOBODY = Identity("", "", "", "", "1.2.3", "")
HOSTILE = ("'''", '"""', "\\", "a|b", "(?i)", "# x", "a\nb = 1", "]]", "\0", "\u2028", "\x7f", "$^")
TEXT = st.one_of(st.text(st.characters()), st.sampled_from(HOSTILE))
NUMBER = st.one_of(st.none(), st.floats(-1e300, 1e300))


def profile_of(draft, expert="generic-head"):
    base = known(expert).base
    return ProfileFile(Path("draft.toml"), tomllib.loads(draft.text), base).profile()


def drafted(*series, expert="generic-head"):
    return draft_profile(series, known(expert), 2.5, "drafted-head")


def line(draft, key):
    (found,) = (one for one in (*draft.lines, *draft.left) if one.key == key)
    return found


@pytest.mark.slow
@given(manufacturer=TEXT, model=TEXT, description=TEXT, kernels=st.lists(TEXT, min_size=1))
def test_any_header_text_gives_a_draft_that_parses_and_fits_it(
    manufacturer, model, description, kernels
):
    header = replace(
        HEADER,
        identity=NOBODY,
        manufacturer=manufacturer,
        model=model,
        description=description,
    )
    assume(manufacturer or model or description or all(kernels))
    headers = [replace(header, kernel=kernels[k % len(kernels)]) for k in range(12)]

    profile = profile_of(drafted(series_of(headers)))

    assert objections(headers, profile) == content_objections(headers, profile)
    assert profile.name == "drafted-head"


@pytest.mark.slow
@given(thickness_mm=st.lists(NUMBER, min_size=1), kvp=NUMBER, rows=st.integers(1, 70000))
def test_any_number_gives_a_draft_that_parses_and_fits_it(thickness_mm, kvp, rows):
    header = replace(HEADER, kvp=kvp, rows=rows, columns=512)
    headers = [replace(header, thickness_mm=thickness_mm[k % len(thickness_mm)]) for k in range(12)]
    # Slices of the first thickness stand for the geometry, which these numbers must not decide.
    series = series_of([replace(one, thickness_mm=10.0) for one in headers])
    series.headers = headers

    profile = profile_of(drafted(series))

    assert objections(headers, profile) == []


@pytest.mark.slow
@given(st.text(min_size=3), st.sampled_from(["manufacturer", "model", "description", "kernel"]))
def test_nothing_of_a_patient_is_drafted(around, field):
    patient = replace(IDENTITY, patient_name="Xyzzyname^Quuxine", patient_id="4711-0815")
    told = [f"{around}Xyzzyname", f"QUUXINE {around}", f"{around} 4711", f"Head {around}xyzzyname"]

    drafts = [drafted(head_of(identity=patient, **{field: text})).text.casefold() for text in told]

    assert all("holds a word of the patient's" in text for text in drafts)
    for word in ("xyzzyname", "quuxine", "4711"):
        assert not any(word in text for text in drafts)


def test_texts_are_asked_for_exactly():
    profile = profile_of(drafted(head_of(manufacturer="GE", model="M.1", kernel="STD+")))

    assert profile.manufacturer.pattern == "^GE$"
    assert profile.model.pattern == r"^M\.1$"
    assert profile.description.pattern == r"^Head 5\.0$"
    assert profile.kernels.pattern == r"^STD\+$"


def test_several_kernels_are_all_covered():
    both = head_of(uid="1.1", kernel="H31s"), head_of(uid="1.2", kernel="J40s")

    assert line(drafted(*both), "kernels").value == "^(H31s|J40s)$"


def test_descriptions_that_differ_are_left_to_the_base():
    both = head_of(uid="1.1", description="Head"), head_of(uid="1.2", description="Kopf nativ")

    draft = drafted(*both)

    assert line(draft, "description").value is None
    assert "2 different ones" in draft.text


def test_what_some_slices_do_not_say_is_left_to_the_base():
    headers = [replace(HEADER, kernel="" if k == 3 else "STANDARD") for k in range(13)]

    found = line(drafted(series_of(headers)), "kernels")

    assert (found.value, found.why) == (None, "1 of 13 slices do not give it")


def test_ranges_hold_what_was_seen_with_a_margin():
    headers = [replace(HEADER, thickness_mm=4.0 if k < 6 else 7.0) for k in range(13)]

    draft = drafted(series_of(headers))

    assert line(draft, "thickness_mm").value == [3.6, 7.7]
    assert "4 mm in 6 slices, 7 mm in 7 slices" in draft.text
    assert line(draft, "kvp").value == [108.0, 132.0]


def test_slice_counts_leave_room_for_small_and_large_heads():
    draft = drafted(head_of(40, "1.1"), head_of(50, "1.2"))

    assert line(draft, "min_slices").value == 20
    assert line(draft, "max_slices").value == 100
    assert "40 to 50 slices in a series" in draft.text


def test_more_slices_than_were_ever_analysed_are_covered():
    assert line(drafted(head_of(1001)), "max_slices").value == 2002


def test_times_that_tell_nothing_leave_the_rhythm_to_the_base():
    draft = drafted(head_of())

    assert line(draft, "quiet_s").value is None
    assert "quiet_s =" not in draft.text
    assert "0 of 8 files" in draft.text


@pytest.mark.parametrize(
    ("pause_s", "quiet_s", "deadline_s"),
    [(0.05, 2.0, 120.0), (2.0, 8.0, 120.0), (20.0, 80.0, 480.0)],
)
def test_the_rhythm_gives_how_long_to_wait(pause_s, quiet_s, deadline_s):
    series = head_of()
    series.written_at_s = [1e9 + k * pause_s for k in range(13)]
    series.made_on = datetime.fromtimestamp(1e9, timezone.utc).date()

    profile = profile_of(drafted(series))

    assert (profile.quiet_s, profile.deadline_s) == (quiet_s, deadline_s)


def test_slabs_fill_a_plan_four_times():
    assert line(drafted(head_of(13)), "slabs_per_run").value == 4


def test_what_the_makers_profile_knows_is_carried_over():
    draft = drafted(head_of(manufacturer="GE"), expert="ge-head")

    assert line(draft, "bone_kernels").value == "bone|edge|detail|lung|ultra"
    assert "As ge-head has it" in draft.text


def test_what_is_as_in_the_base_is_not_repeated():
    assert "other_image_types" not in drafted(head_of()).text


def test_two_scanners_are_refused_by_name():
    both = head_of(uid="1.1", model="A"), head_of(uid="1.2", model="B")

    with pytest.raises(NotEligible, match="2 scanners: PHANTOM A, PHANTOM B"):
        drafted(*both)


def test_headers_that_say_nothing_are_refused():
    silent = head_of(manufacturer="", model="", description="", kernel="")

    with pytest.raises(NotEligible, match="nothing by which to tell"):
        drafted(silent)


def test_a_profile_is_named_for_its_scanner():
    headers = [replace(HEADER, manufacturer="CANON_MEC", model="Aquilion ONE")]

    assert name_for(headers, ()) == "canon-aquilion-one-head"
    assert name_for(headers, {"canon-aquilion-one-head"}) == "canon-aquilion-one-head-2"
    assert name_for([replace(HEADER, manufacturer="", model="")], ()) == "learned-head"
