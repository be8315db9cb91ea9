"""A record that is sent results by FHIR R4, each in one transaction."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from agent.deliver.channel import refused, unreachable
from agent.deliver.fhir_bundle import transaction
from agent.deliver.http import Answer, ask, check_up
from agent.deliver.result import StoredResult
from agent.deliver.settings import FhirChannel
from agent.deliver.trial import trial_result

FHIR_JSON: Final = "application/fhir+json"


class FhirServer:
    """One server, with a request for each call."""

    def __init__(self, settings: FhirChannel) -> None:
        """Speak to the server of the settings."""
        self._settings = settings
        self._url = str(settings.url).rstrip("/")

    def greet(self) -> None:
        """Ask for what the server can do. See ``Channel``."""
        headers = {"Accept": FHIR_JSON}
        answer = ask(self._settings, f"{self._url}/metadata", headers=headers)
        if answer.status != 200:  # noqa: PLR2004
            raise unreachable(self._settings, answer.words)

    def letter(self, result: StoredResult) -> bytes:
        """Write the transaction of a result. See ``Channel``."""
        return json.dumps(transaction(result, self._settings), ensure_ascii=False).encode()

    def trial(self, study_uid: str, at: datetime) -> bytes:
        """Write the transaction of nobody's result, tagged as a test. See ``Channel``."""
        return self.letter(trial_result(study_uid, at))

    def send(self, letter: bytes) -> None:
        """Have the server do the transaction, and read what became of each resource."""
        answer = ask(
            self._settings,
            self._url,
            method="POST",
            body=letter,
            headers={"Content-Type": f"{FHIR_JSON}; charset=utf-8", "Accept": FHIR_JSON},
        )
        check_up(self._settings, answer)
        if answer.status not in (200, 201):
            raise refused(self._settings, f"HTTP {answer.status} {_words(answer)}")
        n_sent, stati = len(json.loads(letter)["entry"]), _stati(answer)
        if len(stati) != n_sent or not all(one.startswith("2") for one in stati):
            told = ", ".join(stati) or "nothing of them"
            raise refused(self._settings, f"of {n_sent} resources its answer says: {told[:200]}")

    def keeps(self, letter: bytes) -> bool:
        """Hold a transaction that was answered to be kept. See ``Channel``."""
        return bool(letter)


def _body(answer: Answer) -> dict[str, Any]:
    try:
        read = json.loads(answer.body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _listed(holder: object, name: str) -> list[dict[str, Any]]:
    listed = holder.get(name) if isinstance(holder, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _words(answer: Answer) -> str:
    """Return what an OperationOutcome says, else how the answer begins."""
    said = []
    for issue in _listed(_body(answer), "issue"):
        details = issue.get("details")
        text = details.get("text") if isinstance(details, dict) else None
        said.append(str(issue.get("diagnostics") or text or issue.get("code") or ""))
    told = " ".join("; ".join(filter(None, said)).split())[:200]
    return told or answer.words


def _stati(answer: Answer) -> list[str]:
    """Return the status of each resource in a transaction's answer."""
    body = _body(answer)
    if body.get("type") != "transaction-response":
        return []
    responses = (entry.get("response") for entry in _listed(body, "entry"))
    return [str(one.get("status", "")) if isinstance(one, dict) else "" for one in responses]
