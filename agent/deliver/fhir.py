"""A record that is sent results by FHIR R4, each in one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from agent.deliver.channel import refused, unreachable
from agent.deliver.fhir_answer import FHIR_JSON, body_of, listed, words_of
from agent.deliver.fhir_bundle import transaction
from agent.deliver.fhir_order import Raise, changes_orders, raise_of, raised
from agent.deliver.http import Answer, ask, check_up
from agent.deliver.result import StoredResult
from agent.deliver.settings import FhirChannel
from agent.deliver.site_text import SiteText
from agent.deliver.trial import trial_result
from agent.errors import ArchiveRefused
from agent.reasons import Reason


@dataclass(frozen=True, slots=True)
class FhirLetter:
    """What a server is sent of a result, and which order is raised with it, if one is."""

    transaction: bytes
    order: Raise | None


class FhirServer:
    """One server, with a request for each call."""

    def __init__(self, settings: FhirChannel) -> None:
        """Speak to the server of the settings; ConfigError where its template is wrong."""
        self._settings = settings
        self._own_text = SiteText(settings, identified=True) if settings.template else None
        self._url = str(settings.url).rstrip("/")

    def greet(self) -> None:
        """Ask for what the server can do. See ``Channel``.

        Raises ArchiveRefused as well, where orders are to be raised and it does not change any.
        """
        headers = {"Accept": FHIR_JSON}
        answer = ask(self._settings, f"{self._url}/metadata", headers=headers)
        if answer.status != 200:  # noqa: PLR2004
            raise unreachable(self._settings, answer.words)
        if self._settings.order_system and not changes_orders(answer):
            raise ArchiveRefused("orders_unchangeable", channel=self._settings.name)

    def letter(self, result: StoredResult) -> FhirLetter:
        """Write the transaction of a result. See ``Channel``."""
        own_text = self._own_text.of(result) if self._own_text else None
        written = json.dumps(transaction(result, self._settings, own_text), ensure_ascii=False)
        return FhirLetter(written.encode(), raise_of(result, self._settings))

    def trial(self, study_uid: str, at: datetime) -> FhirLetter:
        """Write the transaction of nobody's result, tagged as a test. See ``Channel``."""
        return self.letter(trial_result(study_uid, at))

    def send(self, letter: FhirLetter) -> Reason | None:
        """Have the server do the transaction, then raise the order. See ``Channel``."""
        self._transact(letter.transaction)
        return raised(self._settings, self._url, letter.order) if letter.order else None

    def _transact(self, letter: bytes) -> None:
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
            raise refused(self._settings, words_of(answer))
        n_sent, stati = len(json.loads(letter)["entry"]), _stati(answer)
        if len(stati) != n_sent or not all(one.startswith("2") for one in stati):
            told = ", ".join(stati) or "nothing of them"
            raise refused(self._settings, f"of {n_sent} resources its answer says: {told[:200]}")

    def keeps(self, letter: FhirLetter) -> bool:
        """Hold a transaction that was answered to be kept. See ``Channel``."""
        return bool(letter.transaction)


def _stati(answer: Answer) -> list[str]:
    """Return the status of each resource in a transaction's answer."""
    body = body_of(answer)
    if body.get("type") != "transaction-response":
        return []
    responses = (entry.get("response") for entry in listed(body, "entry"))
    return [str(one.get("status", "")) if isinstance(one, dict) else "" for one in responses]
