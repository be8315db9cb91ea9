"""The records that the store takes and returns, and their conversion from and to rows.

Moments are stored on both clocks, in two columns.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from pydantic import TypeAdapter

from agent.reasons import Reason, plain, recalled
from agent.records import Acquisition, Identity, Instant, State, is_new, is_prior, is_test
from agent.report import EngineReport, SeriesReport
from agent.sources import LabelBox, PackedLabels, SourceImages, Sources
from agent.store.readings import SignedReport

AGREE: Final = "agree"
DISAGREE: Final = "disagree"

ACQUISITION: Final = TypeAdapter(Acquisition)

FILE_URI: Final = "file://"
"""Marks a path that is not valid Unicode; the agent's paths are absolute, none begins so."""


@dataclass(frozen=True, slots=True)
class FileNote:
    """What one version of a file was found to be.

    ``refusal`` says why it is no slice, None for a slice. A ``settled`` file is not read again
    after a restart.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    series_uid: str | None
    sop_uid: str | None
    refusal: Reason | None
    settled: bool


@dataclass(frozen=True, slots=True)
class SeriesProgress:
    """A series that is still being received. ``expected`` is 0 where no count is promised."""

    series_uid: str
    identity: Identity
    description: str
    protocol: str | None
    slices: int
    expected: int
    first_slice: Instant
    last_slice: Instant
    acquisition: Acquisition = field(default_factory=Acquisition)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who acknowledged a result, and when; ``dismissed_because`` where it was held to be wrong.

    ``through_uid`` is the series of the same examination whose alert was answered, None where it
    was this one's.
    """

    who: str
    at: Instant
    note: str
    dismissed_because: str | None = None
    through_uid: str | None = None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """An answer that somebody took back: whose it was, what it was, by whom, and when."""

    who: str
    dismissed_because: str | None
    by_whom: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether somebody who has read the images agrees with a result."""

    who: str
    agrees: bool
    note: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Result:
    """One revision of a series' result, and what became of it."""

    report: SeriesReport
    at: Instant
    deliveries: tuple[Delivery, ...]
    acknowledged: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class Correction:
    """Whom a series was said to be of before its patient was corrected at the source."""

    patient_name: str
    patient_id: str
    at: Instant


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series with its latest result.

    ``report`` is the latest result, also while a newer revision is received; ``concluded_at`` is
    when it was committed, ``shown_at`` when a page confirmed that it shows it. ``alert`` is the
    latest suspicion until it or a later result is acknowledged: a later result alone does not end
    an alert. ``alerted_at`` is when it was committed, ``escalated_at`` when it was escalated.
    ``verdict`` is the latest on the latest revision. ``repeats`` counts the requests to analyse a
    *not analysed* series again, ``attempts`` the runs of the networks that began and did not end.
    """

    uid: str
    identity: Identity
    description: str
    protocol: str | None
    state: State
    slices: int
    expected: int
    first_slice: Instant
    last_slice: Instant
    acquisition: Acquisition
    revision: int
    repeats: int
    attempts: int
    report: SeriesReport | None
    concluded_at: Instant | None
    shown_at: Instant | None
    acknowledged: Acknowledgement | None
    verdict: Verdict | None
    alert: SeriesReport | None
    alerted_at: Instant | None
    escalated_at: Instant | None
    corrected: Correction | None
    """The latest correction of the patient, None where there was none."""
    taken_back: TakenBack | None = None
    """The latest answer to the latest result that was taken back."""

    @property
    def test(self) -> bool:
        """Whether it belongs to a self-test."""
        return is_test(self.uid)

    @property
    def fetched(self) -> bool:
        """Whether it is of an earlier examination that was fetched."""
        return is_prior(self.uid)

    @property
    def new(self) -> bool:
        """Whether it is of a patient who is scanned now."""
        return is_new(self.uid)


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a series' state; ``reason`` is None where the state says it all."""

    state: State
    at: Instant
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result on its way to a channel; ``delivered_at`` is None until that has confirmed it.

    ``signed`` is the version of the signed report that is on its way, 0 where it is the result.

    ``sent_at`` is when a channel had taken all of it, and had yet to say that it keeps it.
    ``problem`` is why the latest of its ``n_attempts`` failed. ``dropped_at`` is when a person gave
    it up. ``remark`` is what came of sending it besides.
    """

    series_uid: str
    revision: int
    channel: str
    since: Instant
    delivered_at: Instant | None
    sent_at: Instant | None = None
    n_attempts: int = 0
    problem: Reason | None = None
    dropped_at: Instant | None = None
    remark: Reason | None = None
    signed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """All that a channel needs of one revision of a series' result.

    ``sources`` is None where they are no longer there. ``predecessor`` is the ``result_id`` of the
    latest result that the same channel has delivered before, ``n_former_findings`` how many it had.
    ``signed`` is the signed report that is sent in the result's place, and ``former_signed`` the
    version of it that the channel has delivered before, 0 where there is none.
    """

    report: SeriesReport
    at: Instant
    identity: Identity
    sources: Sources | None
    key_png: bytes | None
    predecessor: str | None
    n_former_findings: int
    signed: SignedReport | None = None
    former_signed: int = 0


@dataclass(frozen=True, slots=True)
class PriorWanted:
    """A suspicion, whose patient's earlier examination was not fetched yet.

    ``tried_utc`` is when the latest of ``n_attempts`` failed, for ``problem``.
    """

    identity: Identity
    acquisition: Acquisition
    n_attempts: int
    tried_utc: datetime | None
    problem: Reason | None


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that concerns no series, such as a refused file."""

    kind: str
    reason: Reason
    at: Instant


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Counts of a day's examinations by their answer.

    ``suspected`` are those that alerted, withdrawn or not; ``not_analysed`` those that needed it.
    An alert is ``confirmed`` where somebody agreed with it, ``dismissed`` where somebody dismissed
    it or disagreed.
    """

    examinations: int
    suspected: int
    confirmed: int
    dismissed: int
    not_analysed: int


@dataclass(frozen=True, slots=True)
class Selftest:
    """One self-test; ``failure`` says why it failed, None where it passed.

    ``latency_s`` is from the last slice on disk to the result in the store. It, ``volume_ml``,
    ``truth_ml`` and ``engine`` are None where the test ended earlier. ``shown`` is whether an open
    page has shown its alert.
    """

    at: Instant
    failure: Reason | None
    engine: EngineReport | None = None
    latency_s: float | None = None
    volume_ml: float | None = None
    truth_ml: float | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits of retention: age, and size."""

    days: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Forgettable:
    """How much the store holds, and how much of that retention would delete now."""

    n_series: int
    used_bytes: int
    n_forgettable: int
    forgettable_bytes: int


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The agent's heartbeat. ``folder_problem`` and ``degraded`` are None when all is well.

    ``networks_ready`` is whether a complete series would be analysed at once, ``selftest_daily``
    whether a self-test is expected every day. GPU memory is that of all programs, None where no GPU
    is in use.
    """

    pid: int
    boot_id: str
    at: Instant
    started: Instant
    folder: str
    folder_problem: Reason | None
    engine: EngineReport
    """What would analyse a series now."""
    degraded: Reason | None
    receiving: int
    queued: int
    alerts_per_100: tuple[float, float] | None = None
    """Between how many of 100 scans without a bleed are expected to alarm (95 %)."""
    networks_ready: bool = True
    gpu_used_bytes: int | None = None
    gpu_total_bytes: int | None = None
    selftest_daily: bool = False


def stored_reason(reason: Reason | None) -> str | None:
    """Encode a reason for a column; None for None."""
    return json.dumps(plain(reason)) if reason else None


def reason_of(text: str | None) -> Reason | None:
    """Decode a reason from a column; None for None."""
    return recalled(json.loads(text)) if text else None


def status_text(status: AgentStatus) -> str:
    """Encode the agent's heartbeat for its column."""
    named = {
        "at": _moment(status.at),
        "started": _moment(status.started),
        "engine": status.engine.model_dump(),
        "folder_problem": plain(status.folder_problem) if status.folder_problem else None,
        "degraded": plain(status.degraded) if status.degraded else None,
    }
    return json.dumps({field.name: getattr(status, field.name) for field in fields(status)} | named)


def status_of(text: str) -> AgentStatus:
    """Decode the agent's heartbeat from its column."""
    values = json.loads(text)
    for name in ("at", "started"):
        moment = values[name]
        values[name] = Instant(datetime.fromisoformat(moment["utc"]), moment["monotonic_s"])
    for name in ("folder_problem", "degraded"):
        values[name] = recalled(values[name]) if values[name] else None
    alerts = values["alerts_per_100"]
    values["alerts_per_100"] = tuple(alerts) if alerts else None
    return AgentStatus(**values | {"engine": EngineReport(**values["engine"])})


def _moment(instant: Instant) -> dict[str, str | float]:
    return {"utc": instant.utc.isoformat(), "monotonic_s": instant.monotonic_s}


def path_text(path: str) -> str:
    """Encode a path for a column; one that is not valid Unicode becomes a URI."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return FILE_URI + quote(os.fsencode(path))
    return path


def file_note(row: sqlite3.Row) -> FileNote:
    """Read a file note out of its row."""
    return FileNote(
        path=path_of(row["path"]),
        size_bytes=row["size_bytes"],
        mtime_ns=row["mtime_ns"],
        series_uid=row["series_uid"],
        sop_uid=row["sop_uid"],
        refusal=reason_of(row["refusal"]),
        settled=bool(row["settled"]),
    )


def path_of(text: str) -> str:
    """Decode a path from a column."""
    if not text.startswith(FILE_URI):
        return text
    return os.fsdecode(unquote_to_bytes(text.removeprefix(FILE_URI)))


def moment_columns(name: str, instant: Instant) -> dict[str, str | float]:
    """Return a moment's two columns: for ``at``, ``at_utc`` and ``at_monotonic_s``."""
    return {f"{name}_utc": instant.utc.isoformat(), f"{name}_monotonic_s": instant.monotonic_s}


def instant_of(row: sqlite3.Row, name: str) -> Instant:
    """Read a moment from its two columns."""
    return Instant(datetime.fromisoformat(row[f"{name}_utc"]), row[f"{name}_monotonic_s"])


def delivery_of(row: sqlite3.Row) -> Delivery:
    """Read one entry of the outbox."""
    return Delivery(
        series_uid=row["series_uid"],
        revision=row["revision"],
        channel=row["channel"],
        since=instant_of(row, "since"),
        delivered_at=_instant_if_any(row, "delivered"),
        sent_at=_instant_if_any(row, "sent"),
        n_attempts=row["n_attempts"],
        problem=reason_of(row["problem"]),
        dropped_at=_instant_if_any(row, "dropped"),
        remark=reason_of(row["remark"]),
        signed=row["signed"],
    )


def _instant_if_any(row: sqlite3.Row, name: str) -> Instant | None:
    return instant_of(row, name) if row[f"{name}_utc"] else None


def sources_columns(sources: Sources) -> dict[str, object]:
    """Return the columns of a result's sources."""
    labels = sources.labels
    return {
        "images": sources.images.model_dump_json(),
        "box": labels.box.model_dump_json() if labels else None,
        "labels": labels.deflated if labels else None,
    }


def sources_of(row: sqlite3.Row) -> Sources:
    """Read a result's sources from their row."""
    packed = row["box"] and PackedLabels(LabelBox.model_validate_json(row["box"]), row["labels"])
    return Sources(SourceImages.model_validate_json(row["images"]), packed or None)


def stored_acquisition(acquisition: Acquisition) -> str:
    """Encode which scan a series shows for its column."""
    return ACQUISITION.dump_json(acquisition).decode()


def acquisition_of(row: sqlite3.Row) -> Acquisition:
    """Read which scan a series shows; nothing is known of one from a former version."""
    text = row["acquisition"]
    return ACQUISITION.validate_json(text) if text else Acquisition()


def stored_acknowledgement(row: sqlite3.Row) -> Acknowledgement:
    """Read a row of ``acknowledgements``."""
    at = instant_of(row, "at")
    return Acknowledgement(
        row["who"], at, row["note"], row["dismissed_because"], row["through_uid"]
    )


def acknowledgement_of(row: sqlite3.Row) -> Acknowledgement | None:
    """Read the acknowledgement from a row that was joined with it; None where there is none."""
    if row["who"] is None:
        return None
    at = instant_of(row, "who")
    return Acknowledgement(
        row["who"], at, row["note"], row["dismissed_because"], row["through_uid"]
    )


def taken_back_of(row: sqlite3.Row) -> TakenBack | None:
    """Read the answer that was taken back from a joined row; None where none was."""
    if row["back_by"] is None:
        return None
    at = instant_of(row, "back")
    return TakenBack(row["back_who"], row["back_because"], row["back_by"], at)


def result_of(row: sqlite3.Row, sent: Sequence[Delivery]) -> Result:
    """Read one revision of a result, with its own among the series' deliveries ``sent``."""
    report = SeriesReport.model_validate_json(row["report"])
    own = tuple(one for one in sent if one.revision == report.revision)
    return Result(report, instant_of(row, "at"), own, acknowledgement_of(row))


def series_row(row: sqlite3.Row) -> SeriesRow:
    """Read one series with its latest result, receipt and acknowledgement."""
    identity = Identity(**{name: row[name] for name in Identity.__dataclass_fields__})
    return SeriesRow(
        uid=row["uid"],
        identity=identity,
        description=row["description"],
        protocol=row["protocol"],
        state=State(row["state"]),
        slices=row["slices"],
        expected=row["expected"],
        first_slice=instant_of(row, "first"),
        last_slice=instant_of(row, "last"),
        acquisition=acquisition_of(row),
        revision=row["revision"],
        repeats=row["repeats"],
        attempts=row["attempts"],
        report=SeriesReport.model_validate_json(row["report"]) if row["report"] else None,
        concluded_at=instant_of(row, "at") if row["at_utc"] else None,
        shown_at=instant_of(row, "delivered") if row["delivered_utc"] else None,
        acknowledged=acknowledgement_of(row),
        verdict=Verdict(
            row["judge"], row["verdict"] == AGREE, row["verdict_note"], instant_of(row, "verdict")
        )
        if row["judge"]
        else None,
        alert=SeriesReport.model_validate_json(row["alert_report"])
        if row["alert_report"]
        else None,
        alerted_at=instant_of(row, "alert") if row["alert_report"] else None,
        escalated_at=instant_of(row, "escalated") if row["escalated_utc"] else None,
        corrected=Correction(row["former_name"], row["former_id"], instant_of(row, "corrected"))
        if row["corrected_utc"]
        else None,
        taken_back=taken_back_of(row),
    )
