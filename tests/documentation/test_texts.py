"""README and pages: each command, option, extra, setting, file and link in them exists."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from agent.cli import build_app
from agent.cli.completion import FILE
from agent.config import Config, InferConfig
from tests.documentation import card, reasons, words
from tests.documentation.texts import SOURCE, TEXTS, Shown, anchors_of, links_in, shown_in

PROGRAM: Any = typer.main.get_command(build_app())

SHOWN = [shown for path in TEXTS for shown in shown_in(path)]

MOST_README_LINES = 150


def command_of(words: tuple[str, ...]) -> tuple[Any, list[str]]:
    """Walk to the command that a call names; what is left are its arguments."""
    command, left = PROGRAM, list(words)
    while left and left[0] in getattr(command, "commands", {}):
        command = command.commands[left.pop(0)]
    return command, left


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_command_that_a_text_shows_exists(shown: Shown) -> None:
    first = shown.words[0]
    groups = [PROGRAM, *(one for one in PROGRAM.commands.values() if hasattr(one, "commands"))]

    assert first.startswith("-") or any(first in group.commands for group in groups), shown


@pytest.mark.parametrize("shown", [one for one in SHOWN if "--" in str(one)], ids=str)
def test_an_option_that_a_text_shows_exists(shown: Shown) -> None:
    command, arguments = command_of(shown.words)
    wanted = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(arguments)))

    known = {option for parameter in command.params for option in parameter.opts} | {
        option for parameter in command.params for option in parameter.secondary_opts
    }
    assert wanted - known - {"--help", "--install-completion"} == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links_in(path):
        target, _, anchor = link.partition("#")
        if re.match(r"https?://|mailto:", link) or target.startswith("../security"):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{path.name}: {link}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors_of(there), f"{path.name}: {link}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_folder_or_file_of_the_tree_that_a_text_names_is_there(path: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))
    tops = r"agent|build_engine|engines|systemd|tests|\.(?:ci|docs|packaging|github|changes)"
    named = [span for span in spans if re.fullmatch(rf"({tops})/[\w./-]*", span)]
    placeholders = re.compile(r"[A-Z]{3}|^engines/mine/")  # ISSUE, NAME …, and the worked example's

    missing = [name for name in named if not (SOURCE / name).exists()]
    assert [name for name in missing if not placeholders.search(name)] == []


WALKS = re.findall(
    r"`([\w./]+\.(?:py|js))` `([\w.]+)`",
    (SOURCE / ".docs" / "design.md").read_text(encoding="utf-8"),
)


@pytest.mark.parametrize(("file", "name"), WALKS)
def test_a_function_that_a_walk_opens_is_there(file: str, name: str) -> None:
    source = (SOURCE / file).read_text(encoding="utf-8")

    for part in name.split("."):
        assert re.search(rf"(?:def|class|function) {part}\b", source), f"{file}: {name}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_an_extra_that_a_text_installs_exists(path: Path) -> None:
    extras = re.findall(r"pip install (?:-e )?'?\.\[([a-z,]+)\]'?", path.read_text("utf-8"))
    project = (SOURCE / "pyproject.toml").read_text(encoding="utf-8")

    for extra in ",".join(extras).split(","):
        assert not extra or re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_setting_that_a_text_names_exists(path: Path) -> None:
    tables = {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }
    named = re.findall(rf"`({'|'.join(tables)})\.(\w+)( = [^`]+)?`", path.read_text("utf-8"))

    for table, setting, _ in named:
        assert setting in tables[table].model_fields, f"{table}.{setting}"


def test_each_room_of_the_pipeline_is_on_a_walk() -> None:
    walked = {file.split("/")[1].removesuffix(".py") for file, _ in WALKS}

    rooms = {
        "watch",
        "series",
        "assemble",
        "pipeline",
        "infer",
        "measure",
        "decide",
        "store",
        "console",
    }
    assert rooms <= walked


def test_the_readme_is_short() -> None:
    assert len((SOURCE / "README.md").read_text().splitlines()) <= MOST_README_LINES


@pytest.mark.parametrize("name", ["README.md", ".docs/model-card.md"])
def test_how_good_it_is_is_told_of_the_bundle_in_use(name: str) -> None:
    version = InferConfig().bundle.rpartition("/")[2]

    assert re.search(rf"\b(bundle|default) {re.escape(version)}\b", (SOURCE / name).read_text())


@pytest.mark.parametrize("page", [card, reasons], ids=["model card", "troubleshooting"])
def test_a_pages_tables_are_what_the_program_and_the_bundle_say(page: ModuleType) -> None:
    text = page.PAGE.read_text(encoding="utf-8")

    assert text == page.with_tables(text), f"python -m {page.__name__}"


def test_bash_completes_the_commands_that_there_are() -> None:
    assert FILE.read_text(encoding="utf-8") == words.made(), "python -m tests.documentation.words"
