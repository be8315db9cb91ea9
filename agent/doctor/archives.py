"""Checks of the channels that results are sent to: does each answer, and is nothing held up."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agent.deliver.commitments import Commitments
from agent.deliver.moved import MovedImages
from agent.deliver.settings import SendingChannel
from agent.dispatch import channel_of
from agent.doctor.journal import opened
from agent.doctor.result import Box, CheckResult, Mark, note, well, wrong
from agent.errors import ConfigError, DeliveryError
from agent.identity_check import modality_worklist
from agent.prior_fetch import prior_archive
from agent.reasons import Reason

HELD_UP: Final = timedelta(minutes=10)
"""After this long something keeps a result from its archive. Ours: some attempts have failed."""

TOLD: Final = timedelta(days=1)
"""So long it is told that an earlier examination could not be fetched. Ours."""


def archives(box: Box) -> CheckResult:
    """Check that every archive answers, and that no result is refused or held up."""
    channels = box.config.deliver.channels
    if not channels:
        return well("no_archive")
    problems = [problem for one in channels if (problem := _problem(box, one))]
    if problems:
        # What a receiver says in its own words may name a patient.
        said = Reason("archives_wrong", problems=tuple(problems))
        return CheckResult(Mark.WRONG, said, quotes_error=True)
    return well("archives_answer", channels=", ".join(one.name for one in channels))


def _problem(box: Box, channel: SendingChannel) -> Reason | None:
    try:
        channel_of(channel, Commitments()).greet()
    except ModuleNotFoundError as error:
        return Reason("dicom_package_missing", package=error.name or "")
    except (ConfigError, DeliveryError) as error:
        return error.reason
    with opened(box) as queries:
        waiting = [one for one in queries.undelivered() if one.channel == channel.name]
    problem = next((one.problem for one in waiting if one.problem), None)
    if problem is not None:
        return problem
    late = [one for one in waiting if box.now.utc - one.since.utc > HELD_UP]
    return Reason("nobody_sends", channel=channel.name, n_results=len(late)) if late else None


def worklist(box: Box) -> CheckResult:
    """Check that the worklist answers, and lists somebody."""
    settings = box.config.worklist
    if settings is None:
        return well("no_worklist")
    try:
        entries = modality_worklist(settings)(box.now.utc.astimezone().date())
    except ModuleNotFoundError as error:
        return wrong("dicom_package_missing", package=error.name or "")
    if not entries:
        return note("worklist_empty", channel=settings.name)
    return well("worklist_answers", channel=settings.name, n_entries=len(entries))


def priors(box: Box) -> CheckResult:
    """Check that the archive of earlier examinations answers, and has given what was asked for."""
    settings = box.config.prior
    if settings is None:
        return well("no_priors")
    archive = settings.archive
    try:
        prior_archive(archive, MovedImages()).greet()
    except ModuleNotFoundError as error:
        return wrong("dicom_package_missing", package=error.name or "")
    except DeliveryError as error:
        return CheckResult(Mark.WRONG, error.reason, quotes_error=True)
    with opened(box) as queries:
        failed = queries.failed_priors(box.now.utc - TOLD)
    if failed:
        # What an archive says in its own words may name a patient.
        said = Reason("priors_wrong", n_priors=len(failed), why=failed[0])
        return CheckResult(Mark.WRONG, said, quotes_error=True)
    return well("priors_answer", channel=archive.name, days=settings.days)
