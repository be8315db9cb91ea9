"""Header texts become patterns that find them and nothing else; patients stay out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Identity
from build_engine.protocols.header_text import names_patient, pattern_for, printable
from tests.agent.assemble.made import IDENTITY

ANY_TEXT = st.text(st.characters(), min_size=1)


@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
def test_a_pattern_finds_each_of_its_texts(texts):
    pattern = re.compile(pattern_for(texts), re.IGNORECASE)

    assert all(pattern.search(text) for text in texts)


@given(st.lists(ANY_TEXT, min_size=1, max_size=5), ANY_TEXT)
def test_a_pattern_finds_no_other_text(texts, other):
    pattern = re.compile(pattern_for(texts))

    assert bool(pattern.search(other)) == (other in texts or other.removesuffix("\n") in texts)


@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
def test_a_pattern_stands_between_tomls_single_quotes(texts):
    pattern = pattern_for(texts)

    assert pattern.isprintable()
    assert "'" not in pattern


def test_a_pattern_is_as_readable_as_can_be():
    assert pattern_for(["SOMATOM go.Top"]) == r"^SOMATOM go\.Top$"
    assert pattern_for(["STD+", "H-SOFT", "STD+"]) == r"^(H-SOFT|STD\+)$"


@pytest.mark.parametrize(
    "text",
    ["Head Müller", "JÖRG 5.0", "müllerkopf", "Kopf_MÜLLER_5mm", "p0 head", "born 19500101", "A0"],
)
def test_a_text_with_the_patients_name_or_number_is_known(text):
    assert names_patient(text, [IDENTITY])


@pytest.mark.parametrize("text", ["Head 5.0", "HP01", "STANDARD", "GE MEDICAL SYSTEMS", ""])
def test_other_texts_are_not_taken_for_the_patients(text):
    assert not names_patient(text, [IDENTITY])


def test_a_short_name_counts_as_a_whole_word_only():
    patient = Identity("1", "Li^An", "", "", "1.2", "")

    assert names_patient("Head LI", [patient])
    assert not names_patient("thin slices", [patient])


def test_a_name_without_spaces_is_found_within_a_text():
    assert names_patient("王小明头部", [Identity("", "王小明", "", "", "1.2", "")])


@given(st.text(st.characters()))
def test_what_is_shown_is_one_printable_line(text):
    assert printable(text).isprintable()
