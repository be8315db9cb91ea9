"""Which series of a sample are learned from, and what becomes of them with the draft."""

from __future__ import annotations

import sys

from agent.assemble.protocol import ProfileFile
from agent.reasons import english
from build_engine.protocols.learning import learn_from, why_left_out
from tests.build_engine.protocols.made import FILES, PACKAGED, PROFILES, head_of, known

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GENERIC = known().base.profile()


def left_out(series):
    reason = why_left_out(series, PROFILES, GENERIC)
    return english(reason) if reason else None


def test_plain_heads_are_learned_from():
    assert left_out(head_of()) is None


def test_what_no_profile_covers_yet_is_learned_from():
    assert left_out(head_of(rows=2048, columns=2048, kvp=160.0)) is None
    assert left_out(head_of(1001)) is None


def test_other_series_are_left_out_with_the_reason():
    scout = head_of(1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))

    assert left_out(scout) == "only localizer images"
    assert left_out(head_of(kernel="BONEPLUS")).startswith("bone reconstruction")
    assert left_out(head_of(body_part="CHEST", description="5.0")) == "not a head series: CHEST"
    assert left_out(head_of(contrast="IOPAMIRON")) == "contrast agent was given"
    assert left_out(head_of(9)) == "only 9 slices, 10 needed"
    assert left_out(head_of(expected_images=15)).startswith("only 13 of 15")


def installed(learned):
    """The packaged profiles and the draft."""
    own = tomllib.loads(learned.draft.text)
    return (*FILES, ProfileFile(PACKAGED / "own.toml", own, known().base))


def test_a_protocol_that_changed_is_learned_anew_beside_its_old_profile():
    old = learn_from([head_of(80, thickness_mm=10.0)], FILES, 2.5, None)
    changed = head_of(13, thickness_mm=5.0, uid="1.9")

    new = learn_from([changed], installed(old), 2.5, None)

    values = {one.key: one.value for one in new.draft.lines}
    assert "min_slices" not in values
    assert values["thickness_mm"] == [4.5, 5.5]
    assert values["max_slices"] == 26


def test_what_is_used_matches_the_draft():
    learned = learn_from([head_of(), head_of(uid="1.9", kernel="BONE")], FILES, 2.5, "ours")

    assert learned.matched == {"1.2.3.4": "ours"}
    assert {uid: english(why) for uid, why in learned.left_out.items()} == {
        "1.9": "bone reconstruction (kernel BONE)"
    }
