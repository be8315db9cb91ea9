"""``bleedwatch schema``: what the models say, to which all that is really printed keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import meta
from starlette.testclient import TestClient
from typer.testing import CliRunner

from agent.cli import build_app
from agent.console.app import create_app
from agent.reasons import Reason
from agent.wiring import system_clock
from tests import schema
from tests.agent.console.made import context_of
from tests.agent.doctor.scratch import Scratch
from tests.agent.reports import add_result, not_analysed, receive, recorded, report, series_shown
from tests.agent.stored import Store
from tests.phantoms import write_series
from tests.schema import check
from tests.tiny import BUNDLE

UID = "1.2.3.4"

Outputs = Callable[..., Any]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """Give a box with a store in which there is something of everything."""
    scratch = Scratch(tmp_path_factory.mktemp("box"), port=1)
    scratch.beat(
        folder_problem=Reason("folder_unreachable", folder="/srv", why="gone"),
        degraded=Reason("degraded_to_cpu", why=recorded("no GPU")),
    )
    with Store(scratch.store_path, system_clock) as store:
        receive(store, system_clock, UID)
        add_result(store, report(UID))
        store.console.acknowledge(UID, 1, "ann", "seen", "artefact")
        store.console.judge(UID, 1, "dr bob", "", agrees=True)
        receive(store, system_clock, "1.2.3.5")
        add_result(store, not_analysed("1.2.3.5"))
        receive(store, system_clock, "1.2.3.6")
        store.agent.notice("file_refused", Reason("not_dicom", file="notes.txt"))
        store.console.accounts.add_user("ann", "technologist", "hash", system_clock())
    return scratch


@pytest.fixture(scope="module")
def printed(scratch: Scratch) -> Outputs:
    """Run a command with ``--json`` and return what it prints."""

    def run(*arguments: object) -> Any:
        words = [str(one) for one in arguments]
        result = CliRunner().invoke(build_app(words[0]), [*words, "--json"])
        assert result.stdout, (words, result.exception)
        return json.loads(result.stdout)

    return run


def test_the_installed_schema_is_what_the_models_say() -> None:
    """Else ``python -m tests.schema`` is to be run."""
    installed = json.loads(Path(str(schema.schema.FILE)).read_text(encoding="utf-8"))

    assert installed == json.loads(json.dumps(schema.made()))
    meta.validate(installed)


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(build_app("schema"), ["schema"])

    assert json.loads(result.stdout)["properties"].keys() == schema.OUTPUTS.keys()


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("studies",),
        ("show", UID),
        ("show", "1.2.3.5"),
        ("feedback",),
        ("doctor",),
        ("config", "show"),
        ("config", "diff"),
        ("config", "check"),
        ("prune", "--dry-run"),
        ("upgrade", "--check"),
        ("user", "list"),
        ("requeue", "1.2.3.5", "--no-wait"),
        ("engine", "list"),
        ("protocol", "list"),
        ("protocol", "check"),
        ("protocol", "show", "ge-head"),
    ],
    ids=" ".join,
)
def test_what_a_command_prints_keeps_to_the_schema(
    scratch: Scratch, printed: Outputs, command: tuple[str, ...]
) -> None:
    groups = ("config", "user", "engine", "protocol")
    name = " ".join(command[:2]) if command[0] in groups else command[0]

    value = printed(*command, "--config", scratch.config)

    assert value
    check(name, value)


def test_what_is_written_to_a_folder_keeps_to_the_schema(
    scratch: Scratch, printed: Outputs, tmp_path: Path
) -> None:
    box = "--config", scratch.config
    exported = printed("export", UID, "--to", tmp_path / "out", *box)
    bundled = printed("support-bundle", "--to", tmp_path / "box.zip", *box)
    installed = printed(
        *("service", "install", "--root", tmp_path / "root"),
        *("--program", "/opt/bleedwatch/bin/bleedwatch"),
    )
    uninstalled = printed("service", "uninstall", "--root", tmp_path / "root")

    check("export", exported)
    check("support-bundle", bundled)
    check("service install", installed)
    check("service uninstall", uninstalled)
    assert {file["do"] for file in uninstalled["files"]} == {"remove"}


@pytest.mark.slow
def test_what_is_read_of_a_folder_keeps_to_the_schema(
    scratch: Scratch, printed: Outputs, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    write_series(folder / "head", 24, size=128)
    write_series(folder / "bone", 24, size=128, seed=1, ConvolutionKernel="H70h")
    (folder / "notes.txt").write_text("no image")
    (cut,) = write_series(folder / "cut", 1, seed=2)
    cut.write_bytes(cut.read_bytes()[:3000])

    check("replay", printed("replay", folder, "--config", scratch.config))
    check("protocol test", printed("protocol", "test", folder, "--config", scratch.config))
    check("protocol learn", printed("protocol", "learn", folder, "--config", scratch.config))
    check("bench corpus", printed("bench", "corpus", folder))


@pytest.mark.slow
def test_what_is_measured_keeps_to_the_schema(printed: Outputs, engines: Path) -> None:
    check("bench completeness", printed("bench", "completeness", "--series", 1))
    check("bench networks", printed("bench", "networks", engines / BUNDLE, "--runs", 1))


def test_what_the_console_answers_keeps_to_the_schema(scratch: Scratch) -> None:
    with Store(scratch.store_path, system_clock) as store:
        client = TestClient(create_app(context_of(store)), base_url="http://localhost")
        state = client.get("/api/state").json()
        session = client.get("/api/session").json()
        words = client.get("/api/words", headers={"accept-language": "de"}).json()

    check("GET /api/state", state)
    check("GET /api/session", session)
    check("GET /api/words", words)
    assert len(series_shown(state)) == 3


def test_every_time_is_utc_with_t_and_z(scratch: Scratch, printed: Outputs) -> None:
    commands = (("status",), ("studies",), ("show", UID), ("feedback",), ("user", "list"))
    times = [
        time
        for command in commands
        for time in _times(printed(*command, "--config", scratch.config))
    ]

    assert times
    assert not [time for time in times if "T" not in time or not time.endswith("Z")]


def _times(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            if name.endswith("_utc") and one is not None:
                yield one
            yield from _times(one)
    elif isinstance(value, list):
        for one in value:
            yield from _times(one)
