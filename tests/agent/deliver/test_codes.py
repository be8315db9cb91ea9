"""agent.deliver.dicom.codes: each code is in the standard's tables, or at least spelt right."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from agent.deliver.dicom import codes
from agent.deliver.dicom.segmentation import COLOURS_RGB
from agent.deliver.result import label_of
from agent.records import EXTRA_AXIAL
from agent.report import REGIONS, SUBTYPES
from tests.agent.reports import finding

DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
PERMUTED = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)
"""Verhoeff's tables. Source: SNOMED CT Release File Specifications, SCTID check-digit."""


def is_checked(identifier: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(identifier)):
        check = DIHEDRAL[check][PERMUTED[place % 8][int(digit)]]
    return check == 0


def all_codes() -> list[Code]:
    found: dict[tuple[str, str], Code] = {}
    for value in vars(codes).values():
        several = value.values() if isinstance(value, dict) else (value,)
        found |= {
            (one.scheme_designator, one.value): one for one in several if isinstance(one, Code)
        }
    return list(found.values())


def meanings_in_standard(code: Code) -> set[str]:
    """What the standard's tables, as pydicom has them, say that a code means."""
    by_keyword = concepts.get(code.scheme_designator, {})
    meanings = (known[code.value][0] for known in by_keyword.values() if code.value in known)
    return {meaning.partition(" (")[0] for meaning in meanings}


@pytest.mark.parametrize("code", all_codes(), ids=lambda code: code.meaning)
def test_a_code_is_one_of_the_standards_with_its_meaning_or_said_not_to_be(code: Code) -> None:
    if code.scheme_designator == codes.PRIVATE_SCHEME or code.value in codes.SNOMED:
        assert meanings_in_standard(code) == set()
    elif code.scheme_designator != "UCUM":
        assert code.meaning in meanings_in_standard(code)


@pytest.mark.parametrize(
    "code", [one for one in all_codes() if one.scheme_designator == "SCT"], ids=lambda c: c.meaning
)
def test_a_snomed_identifier_has_the_right_check_digit(code: Code) -> None:
    assert is_checked(code.value)


def test_the_check_finds_an_exchanged_digit() -> None:
    assert is_checked("50960005")
    assert not is_checked("59060005")


def test_a_value_fits_its_attributes() -> None:
    """PS3.5: SH holds 16 characters, LO 64."""
    for code in all_codes():
        assert len(code.value) <= 16
        assert len(code.scheme_designator) <= 16
        assert len(code.meaning) <= 64


def test_every_bleed_everywhere_has_a_site() -> None:
    for subtype in SUBTYPES:
        for region in (*REGIONS, None):
            assert codes.site_of(subtype, region).scheme_designator == "SCT"


def test_every_bleed_has_a_code_and_a_colour() -> None:
    assert codes.KINDS_OF_BLEED.keys() == set(SUBTYPES) == COLOURS_RGB.keys()
    assert codes.KINDS_OF_BLEED[EXTRA_AXIAL].meaning == "Intracranial hemorrhage"


def test_a_segments_label_holds_the_longest_name() -> None:
    """PS3.5: LO holds 64 characters."""
    told = finding(subtype=EXTRA_AXIAL, side="midline", region="extra-axial")

    assert label_of(told) == "Extra-axial (subdural or epidural) hemorrhage, midline"
    assert len(f"99 {label_of(told)}") <= 64


def test_the_cancer_probability_is_not_taken_for_ours() -> None:
    assert codes.PROBABILITY.value == "122157"
