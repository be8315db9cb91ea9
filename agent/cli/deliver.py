"""``bleedwatch deliver``: send results to who reads them, and see to those that did not arrive."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydicom.uid import generate_uid
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from structlog.typing import FilteringBoundLogger

from agent.assemble.protocol import load_profiles
from agent.cli.audits import audit_of
from agent.cli.options import AsJson, ConfigPath, needing_dicom
from agent.cli.outputs import DeliverListOutput, DeliverTestOutput, DeliveryLine, Step
from agent.cli.stores import opened
from agent.cli.tables import ending
from agent.config import DEFAULT_PATH, Config, load_config
from agent.console.audit import AuditLog
from agent.deliver.commitments import Commitments
from agent.deliver.moved import MovedImages
from agent.deliver.outbox import CONSOLE
from agent.deliver.settings import DicomChannel, PriorSettings, SendingChannel
from agent.dispatch import Courier, Worker, channel_of, serve
from agent.errors import ConfigError, DeliveryError, RequestRefused
from agent.identity_check import IdentityCheck, modality_worklist
from agent.log import LogStream, open_log, speak_by_log_alone
from agent.notify import stop_on_signals
from agent.prior_fetch import PriorFetch, prior_archive
from agent.report import ReasonReport, reason_report, to_the_second
from agent.store.database import Database
from agent.store.delivery_store import DeliveryStore
from agent.store.queries import Queries
from agent.store.rows import Delivery
from agent.wiring import open_database, system_clock

deliver_app = typer.Typer(
    help="Send results on; see what did not arrive.",
    no_args_is_help=True,
)

ChannelName = Annotated[str, typer.Argument(help="The channel's name in the configuration.")]
Series = Annotated[
    str | None, typer.Argument(help="UID of a series, or enough of either end; else all.")
]


@deliver_app.command()
def run(config: ConfigPath = DEFAULT_PATH) -> None:
    """Send results to all channels of the configuration until stopped.

    Example: bleedwatch deliver run --config /etc/bleedwatch/agent.toml
    """
    settings, stop = load_config(config), threading.Event()
    channels = settings.deliver.channels
    if not channels and settings.worklist is None and settings.prior is None:
        raise ConfigError("no_channel", path=str(config))
    log = open_log(LogStream(), json=not sys.stderr.isatty())
    speak_by_log_alone(log)
    with stop_on_signals(stop), ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        store = DeliveryStore(database, system_clock)
        audit = audit_of(settings, database)
        commitments, moved = Commitments(), MovedImages()
        stack.enter_context(_listening(settings, commitments, moved))
        with needing_dicom():
            workers: list[Worker] = [
                Courier(one, channel_of(one, commitments), store, system_clock, log, audit.exported)
                for one in channels
            ]
            if settings.worklist is not None:
                expected = modality_worklist(settings.worklist)
                workers.append(IdentityCheck(settings.worklist, expected, store, system_clock, log))
            if settings.prior is not None:
                told = store, audit, log
                workers.append(_prior_fetch(settings, settings.prior, moved, told))
        log.info("delivering", channels=[one.name for one in channels])
        serve(workers, stop, log)


def _prior_fetch(
    settings: Config,
    prior: PriorSettings,
    moved: MovedImages,
    told: tuple[DeliveryStore, AuditLog, FilteringBoundLogger],
) -> PriorFetch:
    """Return what fetches earlier examinations."""
    store, audit, log = told
    profiles = load_profiles(settings.protocols_folder)
    archive, folder = prior_archive(prior.archive, moved), settings.priors_folder
    fetched = partial(audit.fetched, prior.archive.name)
    return PriorFetch(prior, archive, profiles, folder, store, system_clock, log, fetched)


@deliver_app.command("test")
def try_out(
    channel: ChannelName, config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False
) -> None:
    """Send a test to a channel, and have its receiver say that it keeps it.

    It is of a patient named BLEEDWATCH^TEST, in a study of its own: a small picture for an archive.

    Exit code 1: the receiver does not answer, does not take it, or does not say that it keeps it.

    Example: bleedwatch deliver test pacs
    """
    settings = load_config(config)
    commitments, study_uid = Commitments(), str(generate_uid(prefix=None))
    with needing_dicom():
        receiver = channel_of(_channel(settings, channel), commitments)
    done = list[Step]()
    problem: ReasonReport | None = None
    try:
        with _listening(settings, commitments):
            receiver.greet()
            done.append("answers")
            letter = receiver.trial(study_uid, system_clock().utc)
            receiver.send(letter)
            done.append("takes")
            if receiver.keeps(letter):
                done.append("keeps")
    except DeliveryError as error:
        problem = reason_report(error.reason)
    output = DeliverTestOutput(
        channel=channel,
        study_uid=study_uid,
        done=tuple(done),
        problem=problem,
    )
    _print_test(output, as_json=as_json)
    raise typer.Exit(0 if "keeps" in done else 1)


def _print_test(output: DeliverTestOutput, *, as_json: bool) -> None:
    if as_json:
        typer.echo(output.model_dump_json(indent=2))
        return
    out = Console(highlight=False, soft_wrap=True)
    for step in ("answers", "takes", "keeps"):
        out.print(f"{'[green]✓[/]' if step in output.done else '[bold red]✗[/]'} {step}")
    out.print(f"test study {output.study_uid}", markup=False)
    if output.problem:
        out.print(output.problem.text, markup=False)


@deliver_app.command("list")
def list_(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """List what has not been delivered yet, with how often it was tried and why it failed.

    Example: bleedwatch deliver list
    """
    with opened(config) as queries:
        waiting = tuple(map(_line, _sent_ones(queries)))
    if as_json:
        typer.echo(DeliverListOutput(waiting=waiting).model_dump_json(indent=2))
        return
    out = Console(highlight=False)
    if not waiting:
        out.print("all delivered")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Channel", "Series", "Revision", "Since (UTC)", "Tried", "Problem"):
        table.add_column(column, overflow="fold")
    for one in waiting:
        said = one.problem.text if one.problem else "sent, not confirmed" if one.sent_utc else ""
        table.add_row(
            one.channel,
            ending(one.series_uid),
            f"report {one.signed_version}" if one.signed_version else str(one.revision),
            to_the_second(one.since_utc),
            str(one.n_attempts),
            escape(said),
        )
    out.print(table)


@deliver_app.command()
def retry(channel: ChannelName, series: Series = None, config: ConfigPath = DEFAULT_PATH) -> None:
    """Have a channel's results sent again at once, instead of when they are due.

    Example: bleedwatch deliver retry pacs
    """
    with _chosen(config, channel, series) as (store, chosen):
        for delivery in chosen:
            store.retry(delivery)
    typer.echo(f"{len(chosen)} to be sent again")


@deliver_app.command()
def drop(channel: ChannelName, series: Series = None, config: ConfigPath = DEFAULT_PATH) -> None:
    """Give up what a channel has not taken: it is sent no more.

    Example: bleedwatch deliver drop pacs 1.2.840.113619.2
    """
    with _chosen(config, channel, series) as (store, chosen):
        for delivery in chosen:
            store.drop(delivery)
    typer.echo(f"{len(chosen)} dropped")


def _channel(settings: Config, name: str) -> SendingChannel:
    for channel in settings.deliver.channels:
        if channel.name == name:
            return channel
    known = ", ".join(one.name for one in settings.deliver.channels) or "none"
    raise RequestRefused("channel_unknown", channel=name, known=known)


@contextmanager
def _listening(
    settings: Config, commitments: Commitments, moved: MovedImages | None = None
) -> Iterator[None]:
    """Listen for archives' reports, where the configuration names a port.

    And for images that one is asked to send there, where they go to ``moved``.
    """
    deliver = settings.deliver
    if deliver.listen_port is None:
        yield
        return
    with needing_dicom():
        from agent.deliver.dimse import listening  # noqa: PLC0415 - of the dicom extra
    titles = [one.calling_ae_title for one in deliver.channels if isinstance(one, DicomChannel)]
    fetches = settings.prior.dicom if settings.prior and moved else None
    titles += [fetches.calling_ae_title] if fetches else []
    title, store = (titles or ["BLEEDWATCH"])[0], moved.stored if moved and fetches else None
    try:
        server = listening(deliver.listen_host, deliver.listen_port, title, commitments, store)
    except OSError as error:
        raise RequestRefused(
            "port_taken", port=deliver.listen_port, why=str(error.strerror)
        ) from error
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def _chosen(
    config: Path, channel: str, series: str | None
) -> Iterator[tuple[DeliveryStore, list[Delivery]]]:
    """Open the store, and choose of what a channel has not delivered."""
    with Database.existing(load_config(config).store_path) as database:
        store = DeliveryStore(database, system_clock)
        waiting = [one for one in _sent_ones(store.queries) if one.channel == channel]
        if series is not None:
            named = {row.uid for row in store.queries.find(series.strip("…"))}
            waiting = [one for one in waiting if one.series_uid in named]
        if not waiting:
            raise RequestRefused("nothing_waits", channel=channel)
        yield store, waiting


def _sent_ones(queries: Queries) -> list[Delivery]:
    """Return what waits for channels that are sent to, which the console is not."""
    return [one for one in queries.undelivered() if one.channel != CONSOLE]


def _line(delivery: Delivery) -> DeliveryLine:
    return DeliveryLine(
        channel=delivery.channel,
        series_uid=delivery.series_uid,
        revision=delivery.revision,
        signed_version=delivery.signed or None,
        since_utc=delivery.since.utc,
        sent_utc=delivery.sent_at.utc if delivery.sent_at else None,
        n_attempts=delivery.n_attempts,
        problem=reason_report(delivery.problem) if delivery.problem else None,
    )
