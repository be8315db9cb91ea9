"""The services' log without patient data.

Only the fields listed here are taken from each line of ours, since others may hold file names or
messages of errors; from a traceback only source files, line numbers and functions. Lines in any
other format are left out and counted.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any, Final

from agent.handover.facts import uid_text

UNITS: Final = "bleedwatch-agent", "bleedwatch-console", "bleedwatch-inlet"
MOST_LINES: Final = 20_000
ANSWER_S: Final = 60.0
"""How long journald may take to answer [s]."""

WORDS: Final = "event", "level", "state", "code", "completed_by"
"""Fields whose values are identifiers of the program's own."""

NUMBERS: Final = "revision", "unfinished", "stored", "refused"
"""Fields that hold a number, besides the durations, which end in ``_s``."""

WORD: Final = re.compile(r"[a-z_]{1,40}")
TIMESTAMP: Final = re.compile(r"[0-9T:.Z+-]{10,40}")
FRAME: Final = re.compile(r'File "[^"\n]*?((?:agent|build_engine|site-packages|lib)/[\w./-]+\.py)"')
LINE: Final = re.compile(r"line (\d+), in ([\w<>]+)")
RAISED: Final = re.compile(
    r"^([A-Za-z_.]+(?:Error|Exception|Refused|Eligible|Yet))(?=:|$)", re.MULTILINE
)


def log_lines() -> tuple[list[dict[str, Any]], str]:
    """Return the latest lines of the services, oldest first, and a remark on how many they are."""
    command = ["journalctl", "--no-pager", "--output=json", f"--lines={MOST_LINES}"]
    command += [f"--unit={unit}" for unit in UNITS]
    try:
        shown = subprocess.run(  # noqa: S603 - fixed words
            command, capture_output=True, check=True, timeout=ANSWER_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"there is no journal to read here ({type(error).__name__})"
    entries = shown.stdout.decode(errors="replace").splitlines()
    lines = list(_lines_of(entries))
    left_out = len(entries) - len(lines)
    return lines, f"{len(lines)} lines; {left_out} of another form than the agent's were left out"


def _lines_of(entries: Iterable[str]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        fields = _object(entry)
        message = fields.get("MESSAGE")
        if not isinstance(message, str):
            continue
        if fields.get("_PID") == "1":  # systemd itself, of a unit's start and end
            yield {"systemd": message, "timestamp": _journal_time(fields)}
        elif facts := line_facts(message):
            yield facts


def line_facts(message: str) -> dict[str, Any]:
    """Return the listed fields of one line; {} where it is not in our format."""
    line = _object(message)
    if not WORD.fullmatch(str(line.get("event", ""))):
        return {}
    facts: dict[str, Any] = {
        name: line[name] for name in WORDS if WORD.fullmatch(str(line.get(name, "")))
    }
    facts |= {
        name: value
        for name, value in line.items()
        if (name in NUMBERS or re.fullmatch(r"[a-z_]+_s", name)) and isinstance(value, int | float)
    }
    if TIMESTAMP.fullmatch(str(line.get("timestamp", ""))):
        facts["timestamp"] = line["timestamp"]
    if "series_uid" in line:
        facts["series_uid"] = uid_text(str(line["series_uid"]))
    if isinstance(line.get("exception"), str):
        facts["exception"] = _traceback_facts(line["exception"])
    return facts


def _traceback_facts(text: str) -> dict[str, Any]:
    """Return the type of the exception and its frames, without message or source lines."""
    places = [
        f"{frame[1]}:{place[1]} {place[2]}"
        for line in text.splitlines()
        if (frame := FRAME.search(line)) and (place := LINE.search(line, frame.end()))
    ]
    return {"raised": RAISED.findall(text)[-1:], "at": places}


def _journal_time(fields: dict[str, Any]) -> int:
    text = str(fields.get("__REALTIME_TIMESTAMP", ""))
    return int(text) if text.isdecimal() else 0


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
