"""``bleedwatch selftest``: does a bleed become an alert on this box."""

from __future__ import annotations

import typer
from rich.console import Console

from agent.cli.options import AsJson, ConfigPath
from agent.cli.outputs import SelftestOutput
from agent.config import DEFAULT_PATH, load_config
from agent.reasons import english
from agent.report import reason_report
from agent.selftest import generator, run_selftest
from agent.store.console_store import ConsoleStore
from agent.store.rows import Selftest
from agent.wiring import open_database, system_clock


def selftest(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Let a generated bleed go the whole way on the live agent.

    It is marked as a test wherever it shows, and taken away again. The console says when the last
    one failed. Exit code 0: passed; 1: failed. Run it as the account that the agent runs as.

    Example: sudo -u bleedwatch bleedwatch selftest
    """
    settings = load_config(config)
    play = generator()
    out = Console(highlight=False, soft_wrap=True, stderr=as_json)
    with open_database(settings) as database, out.status("a generated bleed is on its way …"):
        test = run_selftest(settings, ConsoleStore(database, system_clock), play)
    if as_json:
        typer.echo(_output(test).model_dump_json())
    else:
        out.print(_words(test), markup=False)
    raise typer.Exit(1 if test.failure else 0)


def _output(test: Selftest) -> SelftestOutput:
    return SelftestOutput(
        at_utc=test.at.utc,
        failure=reason_report(test.failure) if test.failure else None,
        engine=test.engine,
        latency_s=test.latency_s,
        volume_ml=test.volume_ml,
        truth_ml=test.truth_ml,
        shown=test.shown,
    )


def _words(test: Selftest) -> str:
    if test.failure:
        return f"✗ self-test failed: {english(test.failure)}"
    shown = "a page has shown it" if test.shown else "no page is open to show it"
    engine = test.engine.words if test.engine else ""
    return (
        f"✓ self-test passed: alert {test.latency_s:.1f} s after the last slice; measured"
        f" {test.volume_ml:.1f} mL, it is {test.truth_ml:.1f} mL;"
        f" {shown}; {engine}"
    )
