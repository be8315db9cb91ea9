"""Which studies are looked for: by what a person typed, and by what came of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

from agent.store.database import Database
from agent.store.statements import REFUSED_STUDIES, UNACKNOWLEDGED

ANY: Final = "any"

Show: TypeAlias = Literal["any", "suspected", "not_analysed", "unanswered", "disagreed"]

DATES: Final = (
    re.compile(r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"),
    re.compile(r"(?P<day>\d{1,2})[./](?P<month>\d{1,2})[./](?P<year>\d{4})"),
)
"""How people write a date; where day and month could be either, the day comes first."""

STUDIES: Final = """
    SELECT study_uid FROM series AS last WHERE NOT EXISTS (
        SELECT 1 FROM series AS later WHERE later.study_uid = last.study_uid
        AND (later.last_utc, later.uid) > (last.last_utc, last.uid))
"""
"""Each study once, by the series to which a slice came last."""

NAMED: Final = """study_uid IN (SELECT study_uid FROM series WHERE
    instr(upper(patient_name), {0}) OR instr(upper(patient_name), {1})
    OR instr(upper(patient_id), {0}) OR instr(upper(accession), {0}))"""
"""Condition: a word is part of a name, an ID or an accession number. SQLite's upper() knows ASCII
only, so that a name in other capitals is looked for as it is written as well."""

DATED: Final = """study_uid IN (SELECT study_uid FROM series WHERE
    last_utc >= {0} AND last_utc < {1} OR birth_date = {2})"""
"""Condition: its last slice came on that day, or its patient was born then."""

CAME_OF_IT: Final[dict[Show, str]] = {
    "suspected": "study_uid IN (SELECT study_uid FROM results JOIN series ON uid = series_uid"
    " WHERE results.state = 'suspected')",
    "not_analysed": "study_uid IN (SELECT study_uid FROM results JOIN series ON uid = series_uid"
    " WHERE results.state = 'not_analysed' AND json_extract(results.report, '$.code')"
    " NOT IN (SELECT value FROM json_each(:leave_nobody)))",
    "unanswered": "(study_uid IN (SELECT study_uid FROM series"  # noqa: S608 - constants only
    f" WHERE uid IN ({UNACKNOWLEDGED})) OR study_uid IN ({REFUSED_STUDIES}))",
    "disagreed": "study_uid IN (SELECT study_uid FROM series WHERE uid IN ("
    "SELECT series_uid FROM verdicts WHERE verdict = 'disagree' UNION"
    " SELECT series_uid FROM acknowledgements WHERE dismissed_because IS NOT NULL))",
}


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.

    Each of ``words`` is part of a patient's name, ID or accession number, or a date: of the last
    slice, or of birth. Not ``by_patient``, nothing is found by a patient's data. ``show`` is what
    came of it.
    """

    words: tuple[str, ...] = ()
    show: Show = "any"
    by_patient: bool = True


def candidates(database: Database, search: Search, leave_nobody: str, otherwise: str) -> list[str]:
    """Return the studies that may hold what is looked for, the latest first.

    ``leave_nobody`` and ``otherwise`` are codes as JSON; see ``REFUSED_STUDIES``.
    """
    conditions, values = ["1"], dict[str, str]()
    for n, word in enumerate(search.words):
        condition, given = _condition(f"word{n}", word, by_patient=search.by_patient)
        conditions.append(condition)
        values |= given
    if search.show != ANY:
        conditions.append(CAME_OF_IT[search.show])
        values |= {"since_utc": "", "leave_nobody": leave_nobody, "otherwise": otherwise}
    where = " AND ".join(conditions)
    rows = database.rows_named(f"{STUDIES} AND {where} ORDER BY last_utc DESC", values)
    return [row["study_uid"] for row in rows]


def _condition(name: str, word: str, *, by_patient: bool) -> tuple[str, dict[str, str]]:
    """Return the condition that a word stands for, and its values."""
    day = day_of(word)
    if day is None:
        ascii_upper = "".join(c.upper() if c.isascii() else c for c in word)
        values = {name: ascii_upper, f"{name}_upper": word.upper()}
        return (NAMED.format(f":{name}", f":{name}_upper"), values) if by_patient else ("0", {})
    begins = [_midnight(day), _midnight(day + timedelta(days=1))]
    names = [f"{name}_from", f"{name}_to", f"{name}_born"]
    born = f"{day:%Y%m%d}" if by_patient else "nobody"
    values = dict(zip(names, (*begins, born), strict=True))
    return DATED.format(*(f":{each}" for each in names)), values


def _midnight(day: date) -> str:
    """Return when a day of the house begins, as the store writes moments."""
    begin = datetime(day.year, day.month, day.day).astimezone()
    return begin.astimezone(timezone.utc).isoformat()


def day_of(word: str) -> date | None:
    """Read a word as a date, None where it is none."""
    for pattern in DATES:
        matched = pattern.fullmatch(word)
        if matched:
            try:
                return date(*(int(matched[name]) for name in ("year", "month", "day")))
            except ValueError:
                return None
    return None
