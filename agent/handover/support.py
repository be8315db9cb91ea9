"""The support bundle: an archive that describes the box to remote support, without patient data.

Only listed fields are included; no text is included with parts masked. See ``facts`` and
``log_lines``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import statistics
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from agent.config import load_config, load_settings
from agent.doctor import Line
from agent.errors import AgentError, ConfigError, RequestRefused
from agent.handover.deidentify import deidentified, uid_maker
from agent.handover.facts import series_facts, uid_text
from agent.handover.log_lines import log_lines
from agent.records import Instant
from agent.report import utc_text
from agent.store.database import Database
from agent.store.liveness import agent_problem
from agent.store.queries import Queries
from agent.store.rows import SeriesRow
from agent.store.schema import MIGRATIONS
from agent.store.view import SeriesView

MOST_SERIES: Final = 500
MOST_NOTICES: Final = 1000

SECRET: Final = re.compile(r"passw|secret|token|credential|private|auth|escalate_to", re.IGNORECASE)
"""Settings whose value is masked; a webhook's URL is a secret itself."""

IN_ADDRESS: Final = re.compile(r"//[^/@\s]*@")
"""A user's name and password within an address."""

EVER: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""Before any series came."""

MASKED: Final = "•••"

LEFT_OUT: Final = frozenset({"export folder", "agent"})
"""Doctor's checks whose text may quote a path below the export folder."""

ON_THE_BOX: Final = "left out, it may name files: `bleedwatch doctor` tells it on the box"

CONTENTS: Final = """\
What a Bleedwatch box tells of itself. No patient data: no names, numbers, birth or study dates,
descriptions, file names or free texts. Series and studies are named by their UIDs; times are when
the box did something.

  doctor.json      what each check found, and what to do; missing where a check ended the program
  config.json      each setting, where it comes from; secrets are masked
  store.json       what the store holds, counted; the agent's last sign of life
  series.json      the latest series: answers, stages, timings, deliveries, acknowledgements
  timings.json     seconds by stage over these series
  log.jsonl        the services' log: events and numbers; of errors their kind and place
  versions.json    program, packages, system, driver
"""


def write_archive(path: Path, config_path: Path, now: Instant, boot_id: str) -> None:
    """Write the archive, readable by its owner only, without doctor's results and a study's images.

    Raises
    ------
    RequestRefused
        If the file is there already, or cannot be written.
    """
    with _new_archive(path) as archive:
        for name, text in _texts(config_path, now, boot_id):
            archive.writestr(f"{path.stem}/{name}", text)


def add_doctor(path: Path, lines: Iterable[Line]) -> None:
    """Add doctor's results, last: a driver that hangs or crashes leaves the archive complete."""
    checks = [doctor_facts(line) for line in lines]
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}/doctor.json", _json(checks))


def add_study(path: Path, queries: Queries, rows: Iterable[SeriesRow]) -> list[str]:
    """Add a study's images, de-identified; returns what was left out, and why."""
    new_uid, left_out = uid_maker(secrets.token_hex()), Counter[str]()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            folder = f"{path.stem}/study/{new_uid(row.uid)}"
            for number, file in enumerate(queries.files_of(row.uid), 1):
                try:
                    image = deidentified(Path(file).read_bytes(), new_uid)
                except RequestRefused as error:
                    left_out[str(error)] += 1
                except OSError as error:
                    left_out[f"a file that cannot be read: {error.strerror}"] += 1
                else:
                    archive.writestr(f"{folder}/{number:05d}.dcm", image)
    return [f"{number} left out: {reason}" for reason, number in left_out.items()]


@contextmanager
def _new_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except OSError as error:
        raise RequestRefused(
            "bundle_file_unwritable", path=str(path), why=str(error.strerror)
        ) from error
    with (
        os.fdopen(opened, "w+b") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        yield archive


def _texts(config_path: Path, now: Instant, boot_id: str) -> Iterator[tuple[str, str]]:
    logged, of_log = log_lines()
    yield "CONTENTS.txt", f"{CONTENTS}\nlog.jsonl: {of_log}\n"
    yield "versions.json", _json(version_facts())
    yield "config.json", _json(config_facts(config_path))
    yield "log.jsonl", "".join(f"{json.dumps(line)}\n" for line in logged)
    yield from _store_texts(config_path, now, boot_id)


def _store_texts(config_path: Path, now: Instant, boot_id: str) -> Iterator[tuple[str, str]]:
    try:
        settings = load_config(config_path)
        database = Database.existing(settings.store_path)
    except AgentError as error:
        yield "store.json", _json({"not_read": str(error)})
        return
    with database:
        queries = Queries(database)
        rows = queries.latest(MOST_SERIES)
        yield "store.json", _json(store_facts(queries, now, boot_id))
        views = (SeriesView.of(row).with_history(queries) for row in rows)
        yield "series.json", _json(list(map(series_facts, views)))
        yield "timings.json", _json(timing_facts(rows))


def store_facts(queries: Queries, now: Instant, boot_id: str) -> dict[str, Any]:
    """Return counts of what the store holds, and the state of the agent."""
    agent = queries.agent_status()
    rows = queries.latest(MOST_SERIES)
    return {
        "version": len(MIGRATIONS),
        "at_utc": utc_text(now.utc),
        "examinations": queries.states_since(EVER),
        "latest_series_by_code": Counter(row.report.code or "" for row in rows if row.report),
        "undelivered": len(queries.undelivered()),
        "unacknowledged": len(queries.alerts_since()),
        "requested": list(map(uid_text, queries.requested())),
        "notices": Counter(notice.kind for notice in queries.notices(MOST_NOTICES)),
        "free_bytes": queries.free_bytes(),
        "agent": None
        if agent is None
        else {
            "pid": agent.pid,
            "of_this_boot": agent.boot_id == boot_id,
            "at_utc": utc_text(agent.at.utc),
            "started_utc": utc_text(agent.started.utc),
            "well": agent_problem(agent, now, boot_id, queries.free_bytes()) is None,
            "folder_problem": agent.folder_problem is not None,
            "degraded": agent.degraded is not None,
            "engine": agent.engine.model_dump(),
            "receiving": agent.receiving,
            "queued": agent.queued,
        },
    }


def timing_facts(rows: Iterable[SeriesRow]) -> dict[str, dict[str, float]]:
    """Return how long each stage took over these series: median, 95th percentile, longest [s]."""
    by_stage: dict[str, list[float]] = {}
    for row in rows:
        for stage, seconds in (row.report.timings_s if row.report else {}).items():
            by_stage.setdefault(stage, []).append(seconds)
    return {
        stage: {
            "n_series": len(took),
            "median_s": statistics.median(took),
            "p95_s": sorted(took)[int(0.95 * (len(took) - 1))],
            "longest_s": max(took),
        }
        for stage, took in by_stage.items()
    }


def config_facts(path: Path) -> Any:  # noqa: ANN401 - for JSON
    """Return every setting with its origin, secrets masked; or why there are none."""
    try:
        settings = load_settings(path)
    except ConfigError as error:
        return {"cannot_be_used": str(error)}
    return [asdict(one) | {"value": masked(one.name, one.value)} for one in settings]


def masked(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a setting holds
    """Return a setting's value, masked where it is or holds a secret."""
    if value is not None and SECRET.search(name):
        return MASKED
    return IN_ADDRESS.sub(f"//{MASKED}@", value) if isinstance(value, str) else value


def doctor_facts(line: Line) -> dict[str, str]:
    """Return a check's result; only its mark where the text may quote a file's name."""
    result = line.result
    may_be_shared = line.check not in LEFT_OUT and not result.quotes_error
    return {
        "check": line.check,
        "mark": result.mark.value,
        "text": result.text if may_be_shared else ON_THE_BOX,
        "what_to_do": result.what_to_do if may_be_shared else "",
    }


def version_facts() -> dict[str, Any]:
    """Return the versions of packages, Python, system and driver, but not the host name."""
    driver = Path("/proc/driver/nvidia/version")
    return {
        "python": platform.python_version(),
        "system": _os_name(),
        "kernel": f"{platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "nvidia_driver": driver.read_text().splitlines()[0] if driver.exists() else None,
        "packages": dict(sorted((str(one.name), one.version) for one in distributions())),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()


def _json(value: Any) -> str:  # noqa: ANN401 - for JSON
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
