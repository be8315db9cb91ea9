"""``bleedwatch schema``: what ``--json`` and the console's API give, as JSON Schema 2020-12."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import typer

from agent.cli.outputs import (
    ConfigCheckOutput,
    DeliverListOutput,
    DeliverTestOutput,
    DoctorOutput,
    ExportOutput,
    FeedbackLine,
    FilesOutput,
    PruneOutput,
    ReadOutput,
    RegistryOutput,
    ReplayOutput,
    RequeueOutput,
    SelftestOutput,
    ServiceOutput,
    SettingOutput,
    SupportBundleOutput,
    UpgradeOutput,
    UsersOutput,
)
from agent.cli.overview import Overview
from agent.config import Config
from agent.console.answers import (
    AcknowledgedAnswer,
    LaidOverAnswer,
    SessionAnswer,
    SignedInAnswer,
    SignInRefusedAnswer,
    SlicesKept,
    SlicesNotKept,
)
from agent.console.reader_answers import ExaminationAnswer, ReadingList
from agent.console.snapshot import ListAnswer, Snapshot
from agent.console.words import Words
from agent.deliver.webhook import WebhookBody
from agent.store.extents import Extent
from agent.store.readings import Reading, SignedReport
from agent.store.view import ExaminationView

FILE: Final = resources.files("agent") / "schema.json"
"""The schema as it is installed; a test holds it to the models."""

OUTPUTS: Final[dict[str, Any]] = {
    "config show": Config,
    "config diff": tuple[SettingOutput, ...],
    "config check": ConfigCheckOutput,
    "deliver list": DeliverListOutput,
    "deliver test": DeliverTestOutput,
    "doctor": DoctorOutput,
    "export": ExportOutput,
    "files": FilesOutput,
    "feedback": tuple[FeedbackLine, ...],
    "prune": PruneOutput,
    "read": ReadOutput,
    "registry": RegistryOutput,
    "replay": ReplayOutput,
    "requeue": RequeueOutput,
    "selftest": SelftestOutput,
    "service install": ServiceOutput,
    "service uninstall": ServiceOutput,
    "show": tuple[ExaminationView, ...],
    "status": Overview,
    "studies": tuple[ExaminationView, ...],
    "support-bundle": SupportBundleOutput,
    "upgrade": UpgradeOutput,
    "user list": UsersOutput,
    "GET /api/series/{uid}/{revision}/slices": SlicesKept | SlicesNotKept,
    "GET /api/series/{uid}/{revision}/before": LaidOverAnswer,
    "GET /api/series/{uid}/{revision}/before/slices": SlicesKept,
    "GET /api/exam/{uid}": ExaminationAnswer,
    "GET /api/reading": ReadingList,
    "GET /api/session": SessionAnswer,
    "GET /api/state": Snapshot,
    "GET /api/words": Words,
    "POST /api/examinations": ListAnswer,
    "POST /api/series/{uid}/{revision}/acknowledge": AcknowledgedAnswer,
    "[[deliver.webhook]]": WebhookBody,
    "GET /api/series/{uid}/{revision}/readings/{id}/extent": Extent,
    "POST /api/series/{uid}/{revision}/reading": Reading,
    "POST /api/series/{uid}/{revision}/reading-taken-back": Reading,
    "POST /api/series/{uid}/{revision}/report": SignedReport,
    "POST /api/sign-in": SignedInAnswer | SignInRefusedAnswer,
}
"""What each command of the agent's prints, the console's API answers, and webhooks are sent."""


def schema() -> None:
    """Print the JSON Schema of what --json and the page say.

    Below `properties` it has one schema for each command and each answer.

    Example: bleedwatch schema > bleedwatch.schema.json
    """
    typer.echo(FILE.read_text(encoding="utf-8"), nl=False)
