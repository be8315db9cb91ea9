"""The JSON Schema of all outputs, made from their models.

``python -m tests.schema`` writes the file that is installed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator
from pydantic import TypeAdapter

from agent.cli import schema
from build_engine import outputs

OUTPUTS = schema.OUTPUTS | outputs.OUTPUTS


def made() -> dict[str, Any]:
    """Make the schema: one property for each command and each answer."""
    adapters = [(name, "serialization", TypeAdapter(model)) for name, model in OUTPUTS.items()]
    by_name, shared = TypeAdapter.json_schemas(adapters)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:bleedwatch:outputs:2",
        "title": "What bleedwatch's commands print with --json, and what its console's API answers",
        "type": "object",
        "properties": {name: one for (name, _), one in sorted(by_name.items())},
        "$defs": shared["$defs"],
    }


def check(name: str, value: Any) -> None:
    """Hold a value to the schema of one output, as it is installed."""
    whole = json.loads(Path(str(schema.FILE)).read_text(encoding="utf-8"))
    one = {"$schema": whole["$schema"], "$defs": whole["$defs"], **whole["properties"][name]}
    Draft202012Validator(one, validate_formats=True).validate(value)


def check_printed(words: Sequence[str], printed: str) -> None:
    """Hold what a command printed with ``--json`` to its schema."""
    name = " ".join(words[:2])
    check(name if name in OUTPUTS else words[0], json.loads(printed))


def main() -> None:
    """Write the file."""
    text = json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
    Path(str(schema.FILE)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
