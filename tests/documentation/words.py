"""The words that bash completes, from the program's commands.

``python -m tests.documentation.words`` writes them anew.
"""

from __future__ import annotations

import json
from typing import Any

import typer

from agent.cli import build_app
from agent.cli.completion import FILE, Node


def made() -> str:
    """Make the file, a line for each command."""
    program = typer.main.get_command(build_app())
    context = typer.Context(program, info_name="bleedwatch")
    node = _node(program, context)
    commands = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in node["commands"].items()
    )
    return (
        f' "options": {json.dumps(node["options"])},\n "arguments": [],\n'
        f' "commands": {{\n{commands}\n }}'
    ).join(("{\n", "\n}\n"))


def _node(command: Any, context: Any) -> Node:
    shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    options = {
        name: None if option.is_flag else _values(option, context)
        for option in shown
        if option.param_type_name == "option"
        for name in (*option.opts, *option.secondary_opts)
    }
    arguments = [
        value
        for one in shown
        if one.param_type_name == "argument"
        for value in _values(one, context)
    ]
    commands = {
        name: _node(one, context)
        for name, one in getattr(command, "commands", {}).items()
        if not one.hidden
    }
    return Node(commands=commands, options=options, arguments=arguments)


def _values(parameter: Any, context: Any) -> list[str]:
    return [one.value for one in parameter.shell_complete(context, "") if one.type == "plain"]


if __name__ == "__main__":
    FILE.write_text(made(), encoding="utf-8")
