"""A reason is a value: what is so, as a code and values. Its wording is looked up at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Final, TypeAlias, Union

from agent.reasons.page import PAGE
from agent.reasons.service import SERVICE
from agent.reasons.wording import Wording

FILE: Final = "file"
"""Any reason may have this value, the name of the file that it is about; it is said first."""

Value: TypeAlias = Union[str, int, float, "Reason", tuple["Reason", ...]]
"""What a wording names; reasons where one is said within another."""


@dataclass(frozen=True, slots=True, init=False)
class Reason:
    """What is so: ``Reason("slices_missing", n_missing=3, below_mm=34.2, above_mm=49.0)``.

    ``code`` is stable, and a key of the tables of wordings. Two with the same values are equal.
    """

    code: str
    values: tuple[tuple[str, Value], ...] = field(default=())

    def __init__(self, code: str, /, **values: Value) -> None:
        """Name what is so, with the values that its wording names."""
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "values", tuple(values.items()))

    def of_file(self, name: str) -> Reason:
        """Return the same, said of a file."""
        return Reason(self.code, **{**dict(self.values), FILE: name})

    def without_file(self) -> Reason:
        """Return the same without the file's name: scanners name files for patients."""
        return Reason(self.code, **{k: v for k, v in self.values if k != FILE})


def english(reason: Reason) -> str:
    """Say a reason in English."""
    values = dict(reason.values)
    said = _filled(_wording(reason).text, reason)
    return f"{values[FILE]}: {said}" if FILE in values else said


def what_to_do(reason: Reason) -> str:
    """Say in English what its reader can do about it, "" where that is nothing."""
    return _filled(_wording(reason).what_to_do, reason)


def plain(reason: Reason) -> dict[str, Any]:
    """Give a reason as JSON carries it: its code and values, and what they say in English."""
    return {
        "code": reason.code,
        "values": {name: _plain(value) for name, value in reason.values},
        "text": english(reason),
        "what_to_do": what_to_do(reason),
    }


def recalled(carried: Mapping[str, Any]) -> Reason:
    """Read back what ``plain`` gave, perhaps of another version: then only its text is known."""
    values = {name: _recalled(value) for name, value in carried["values"].items()}
    reason = Reason(carried["code"], **values)
    try:
        english(reason), what_to_do(reason)
    except (KeyError, ValueError):  # a code, or values, that this version does not know
        return Reason("recorded", said=carried["text"])
    return reason


def _recalled(value: Any) -> Value:  # noqa: ANN401 - from JSON
    if isinstance(value, dict):
        return recalled(value)
    if isinstance(value, list | tuple):
        return tuple(map(recalled, value))
    number_or_text: str | int | float = value
    return number_or_text


def _plain(value: Value) -> Any:  # noqa: ANN401 - for JSON
    if isinstance(value, Reason):
        return plain(value)
    return list(map(plain, value)) if isinstance(value, tuple) else value


def _wording(reason: Reason) -> Wording:
    return PAGE.get(reason.code) or SERVICE[reason.code]


class _Template(Formatter):
    """Formats values; a number that is given no decimals has those that it needs."""

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401 - any value
        return format(value, format_spec or ("g" if isinstance(value, float) else ""))


def _filled(template: str, reason: Reason) -> str:
    values = {name: _as_text(value) for name, value in reason.values}
    return _Template().vformat(template, (), values)


def _as_text(value: Value) -> str | int | float:
    """Say what is said within a reason; several reasons one after another."""
    if isinstance(value, Reason):
        return english(value)
    return "; ".join(map(english, value)) if isinstance(value, tuple) else value
