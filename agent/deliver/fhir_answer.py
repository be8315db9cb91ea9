"""What a FHIR server's answers say. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from agent.deliver.http import Answer

FHIR_JSON: Final = "application/fhir+json"


def body_of(answer: Answer) -> dict[str, Any]:
    """Return the resource that an answer holds; {} where it holds none."""
    try:
        read = json.loads(answer.body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def listed(holder: object, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list that a resource may have."""
    those = holder.get(name) if isinstance(holder, dict) else None
    return [one for one in those if isinstance(one, dict)] if isinstance(those, list) else []


def words_of(answer: Answer) -> str:
    """Return what an OperationOutcome says, else how the answer begins."""
    said = []
    for issue in listed(body_of(answer), "issue"):
        details = issue.get("details")
        text = details.get("text") if isinstance(details, dict) else None
        said.append(str(issue.get("diagnostics") or text or issue.get("code") or ""))
    told = " ".join("; ".join(filter(None, said)).split())[:200]
    return f"HTTP {answer.status} {told}" if told else answer.words
