"""What commands print with ``--json``: one model for each, of which the schema is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from agent.records import State
from agent.report import EngineReport, ReasonReport, SeriesReport
from agent.retrospect.comparison import Comparison


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NotWholeFile(_Output):
    """A file that was left out, and why."""

    path: str
    reason: ReasonReport


class ReplayOutput(_Output):
    """Of ``replay``."""

    series: tuple[SeriesReport, ...]
    not_whole: tuple[NotWholeFile, ...]


class ReadOutput(_Output):
    """Of ``read``. ``share_busy`` of the workers' time went into series, 0…1."""

    known: int
    read: int
    other_files: int
    states: dict[str, int]
    workers: int
    read_by: dict[str, int]
    wall_s: float
    share_busy: float | None
    comparison: Comparison | None


class CheckOutput(_Output):
    """One line of ``doctor``."""

    check: str
    mark: Literal["well", "note", "wrong"]
    reason: ReasonReport


class DoctorOutput(_Output):
    """Of ``doctor``."""

    well: bool
    checks: tuple[CheckOutput, ...]


class FeedbackLine(_Output):
    """What people said of one series."""

    series_uid: str
    last_slice_utc: datetime
    state: State
    engine: EngineReport | None
    score: float | None
    subtypes: str
    total_volume_ml: float | None
    acknowledged_by: str | None
    dismissed_because: str | None
    note: str | None
    verdict: Literal["agree", "disagree"] | None
    verdict_by: str | None
    verdict_note: str | None
    drawn_ml: float | None
    """Of what somebody outlined last, by another program."""
    drawn_by: str | None


class RequeuedSeries(_Output):
    """What came of asking for one series again."""

    series_uid: str
    state: State
    outcome: ReasonReport
    not_read: bool


class RequeueOutput(_Output):
    """Of ``requeue``."""

    problem: ReasonReport | None
    series: tuple[RequeuedSeries, ...]


class SelftestOutput(_Output):
    """Of ``selftest``; ``failure`` is None where it passed."""

    at_utc: datetime
    failure: ReasonReport | None
    engine: EngineReport | None
    latency_s: float | None
    volume_ml: float | None
    truth_ml: float | None
    shown: bool


class SettingOutput(_Output):
    """A setting that is not at its default."""

    name: str
    value: Any
    default: Any
    origin: str


class ConfigCheckOutput(_Output):
    """Of ``config check``: settings that name a folder which is not there."""

    missing: dict[str, str]


class ExportOutput(_Output):
    """Of ``export``."""

    written: tuple[str, ...]
    identity: bool


class RegistryOutput(_Output):
    """Of ``registry``."""

    n_examinations: int
    folder: str
    since_utc: datetime
    until_utc: datetime


class PruneOutput(_Output):
    """Of ``prune``."""

    n_series: int
    used_bytes: int
    n_forgettable: int
    forgettable_bytes: int
    forgotten: int


class UpgradeOutput(_Output):
    """Of ``upgrade``; ``version`` is None where there is no store."""

    version: int | None
    program_version: int
    statements: tuple[str, ...]
    store_bytes: int
    free_bytes: int
    problem: ReasonReport | None
    backups: tuple[str, ...]


class FileOutput(_Output):
    """A file that came, of ``files``. ``refused`` says why it is no slice, None where it is one."""

    path: str
    written_utc: datetime
    size_bytes: int
    series_uid: str | None
    sop_uid: str | None
    refused: ReasonReport | None


class FilesOutput(_Output):
    """Of ``files``."""

    files: tuple[FileOutput, ...]


class ServiceFile(_Output):
    """What is done to one file."""

    do: Literal["write", "replace", "keep", "remove"]
    path: str
    why: str


class ServiceOutput(_Output):
    """Of ``service install`` and ``service uninstall``; ``next`` is what is to be called then."""

    dry_run: bool
    files: tuple[ServiceFile, ...]
    next: tuple[str, ...]


class SupportBundleOutput(_Output):
    """Of ``support-bundle``."""

    path: str
    left_out: tuple[str, ...]


class DeliveryLine(_Output):
    """A result that a channel has not confirmed, or the ``signed_version`` of a report on it."""

    channel: str
    series_uid: str
    revision: int
    signed_version: int | None
    since_utc: datetime
    sent_utc: datetime | None
    n_attempts: int
    problem: ReasonReport | None


class DeliverListOutput(_Output):
    """Of ``deliver list``."""

    waiting: tuple[DeliveryLine, ...]


Step: TypeAlias = Literal["answers", "takes", "keeps"]
"""What an archive has done, in this order."""


class DeliverTestOutput(_Output):
    """Of ``deliver test``; ``problem`` is None where nothing failed."""

    channel: str
    study_uid: str
    done: tuple[Step, ...]
    problem: ReasonReport | None


class UserOutput(_Output):
    """Someone who may sign in."""

    name: str
    role: Literal["technologist", "radiologist", "service"]
    added_utc: datetime


class UsersOutput(_Output):
    """Of ``user list``."""

    users: tuple[UserOutput, ...]
