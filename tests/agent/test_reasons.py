"""Reasons as values: what each says, and that the table of wordings holds just what can be said."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Final, NamedTuple

import agent
import build_engine
from agent.errors import GeometryError
from agent.reasons import PAGE, SERVICE, Reason, english, plain, recalled
from agent.reasons.reason import FILE

CODES: Final = PAGE | SERVICE

SOURCES: Final = [
    path
    for package in (agent, build_engine)
    for folder in package.__path__
    for path in sorted(Path(folder).rglob("*.py"))
]


class Made(NamedTuple):
    """A place in the source where a reason is made; ``code`` is None where it is not written."""

    where: str
    by: str
    code: str | None
    values: frozenset[str]


def test_what_is_said_names_its_values() -> None:
    """A reason is read as a technologist would say it."""
    reason = Reason("slices_missing", n_missing=3, below_mm=34.24, above_mm=49.0)

    assert english(reason) == "slices missing between 34.2 and 49.0 mm (3)"


def test_reasons_may_be_said_within_one() -> None:
    """What lists others says them one after another."""
    missing = (
        Reason("slices_missing", n_missing=1, below_mm=34.2, above_mm=49.0),
        Reason("images_missing", n_images=30, n_expected=32),
    )

    said = english(Reason("not_seen_whole", missing=missing))

    assert said.endswith("34.2 and 49.0 mm (1); only 30 of 32 images came")


def test_a_number_without_decimals_has_those_it_needs() -> None:
    """5.0 mm is read as 5, and 0.625 as it is."""
    at = {"low_mm": 0.5, "high_mm": 5.0, "profile": "ge"}
    said = english(Reason("thickness_not_covered", thickness_mm=0.4, **at))

    assert said == "slice thickness 0.4 mm, 0.5 to 5 covered"


def test_a_reason_may_be_said_of_a_file() -> None:
    """The file comes first; it can be left out where it must not be told."""
    reason = Reason("not_dicom").of_file("IM001")

    assert english(reason) == "IM001: not a DICOM file"
    assert english(reason.without_file()) == "not a DICOM file"


def test_an_error_says_its_reason_also_after_pickling() -> None:
    """Errors cross processes in training."""
    error = GeometryError("position_used_twice", height_mm=12.5)

    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == "two different images at one position (12.5 mm)"
        assert one.what_to_do == "send each reconstruction as a series of its own"
        assert one.reason == Reason("position_used_twice", height_mm=12.5)


def test_as_json_a_reason_carries_code_values_and_words() -> None:
    """Nobody has to parse a sentence; reasons within are told the same way."""
    because = Reason("images_missing", n_images=30, n_expected=32)

    told = plain(Reason("volume_uncertain", because=because))

    assert told["code"] == "volume_uncertain"
    assert told["values"]["because"]["values"] == {"n_images": 30, "n_expected": 32}
    assert told["text"] == "only 30 of 32 images came: the volume is uncertain"
    assert told["what_to_do"] == ""


def test_no_code_is_in_both_tables() -> None:
    """One code has one wording."""
    assert not PAGE.keys() & SERVICE.keys()


def test_every_reason_that_is_made_has_a_wording_with_just_its_values() -> None:
    """A code without a wording, or a value that its wording lacks, is found before a site does."""
    made = [one for one in _made() if one.code is not None]

    unsaid = [one for one in made if one.code not in CODES]
    assert not unsaid
    assert not [one for one in made if one.values - {FILE} != _named(str(one.code))]


def test_a_code_is_written_out_where_its_values_are() -> None:
    """A code from a variable could not be checked against its wording."""
    assert not [one for one in _made() if one.code is None]


def test_every_wording_is_said_somewhere() -> None:
    """The table holds nothing dead."""
    assert not CODES.keys() - {one.code for one in _made()}


def test_what_ends_a_series_says_what_to_do() -> None:
    """A technologist is never left with a bare refusal."""
    by = _heirs("InputError", "InferenceError")
    ending = {one.code for one in _made() if one.by in by}

    assert not [code for code in ending if code and not CODES[code].what_to_do]


@cache
def _made() -> tuple[Made, ...]:
    """Find every call that makes a reason: of ``Reason``, or of an error with a code."""
    return tuple(_makings())


def _makings() -> Iterator[Made]:
    makers = {"Reason", "well", "note", "wrong"} | _heirs("AgentError", "Unusable")
    for path, tree in _trees():
        for node in ast.walk(tree):
            by = (
                node.func.id
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else ""
            )
            if not isinstance(node, ast.Call) or by not in makers or not node.args:
                continue
            names, where = [one.arg for one in node.keywords], f"{path.name}:{node.lineno}"
            code = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if isinstance(code, str):
                yield Made(where, by, code, frozenset(map(str, names)))
            elif by == "Reason" and None not in names:  # ``**values``: handed on as they came
                yield Made(where, by, None, frozenset())


@cache
def _trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def _heirs(*names: str) -> set[str]:
    """Name the classes that inherit from these, and these themselves."""
    heirs = set(names)
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    while more := {name for name, its in bases.items() if its & heirs} - heirs:
        heirs |= more
    return heirs


def _named(code: str) -> frozenset[str]:
    """Return the values that a code's wording names."""
    templates = CODES[code].text, CODES[code].what_to_do
    return frozenset(name for one in templates for _, name, _, _ in Formatter().parse(one) if name)


def test_reasons_within_one_are_recalled_from_a_list_and_from_a_tuple() -> None:
    """A report in memory holds them as a tuple, its JSON as a list."""
    gap = Reason("slices_missing", n_missing=1, below_mm=30.0, above_mm=40.0)
    reason = Reason("not_seen_whole", missing=(gap,))
    told = plain(reason)
    in_memory = told | {"values": {"missing": tuple(told["values"]["missing"])}}

    assert recalled(told) == recalled(in_memory) == reason
