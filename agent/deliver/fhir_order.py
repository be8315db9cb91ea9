"""Raises an order's priority in a FHIR server, where the site wants it, and tells what came of it.

It is only ever raised: that an answer is withdrawn lowers nothing, which is a person's to do. An
order is found by its accession number and its patient together, so that a number which is another
patient's raises nobody's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from agent.deliver.channel import refused
from agent.deliver.fhir_answer import FHIR_JSON, body_of, listed, words_of
from agent.deliver.http import Answer, ask, check_up
from agent.deliver.result import StoredResult
from agent.deliver.settings import FhirChannel, Priority
from agent.reasons import Reason

JSON_PATCH: Final = "application/json-patch+json"
"""Source: FHIR R4 http, patch; RFC 6902."""

PRIORITIES: Final = ("routine", "urgent", "asap", "stat")
"""The least urgent first; an order that has none is routine. Source: FHIR R4 request-priority."""

STRICT: Final = "handling=strict"
"""Asks for an error where a server knows no such search, not for whatever it finds without. Source:
FHIR R4 search, 3.1.1.3."""

OPEN: Final = frozenset({"draft", "active", "on-hold"})
"""Statuses of an order that has still to be read. Source: FHIR R4 request-status."""

CHANGED_MEANWHILE: Final = frozenset({409, 412})
"""Answers where somebody else changed the order meanwhile. Source: FHIR R4 http, concurrency."""

TRIES: Final = 2

LOGICAL_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
"""Source: FHIR R4 datatypes, id."""


@dataclass(frozen=True, slots=True)
class Raise:
    """Which order is to be raised, and to what."""

    accession: str
    patient_id: str
    priority: Priority


def raise_of(result: StoredResult, settings: FhirChannel) -> Raise | None:
    """Return what a result raises; None where it raises nothing."""
    if not settings.order_system or not result.raises_order:
        return None
    identity = result.identity
    return Raise(identity.accession, identity.patient_id, settings.priority or "stat")


def raised(settings: FhirChannel, url: str, wanted: Raise) -> Reason:
    """Raise an order, and say what became of it; that nothing was to be raised is no failure.

    Raises ArchiveUnreachable, and ArchiveRefused where the server does not change it.
    """
    for _ in range(TRIES):
        orders = _open_orders(settings, url, wanted)
        if len(orders) != 1:
            return Reason("order_not_found", channel=settings.name, n_orders=len(orders))
        order = orders[0]
        priority = str(order.get("priority") or PRIORITIES[0])
        if priority in PRIORITIES[PRIORITIES.index(wanted.priority) :]:
            return Reason("order_left", channel=settings.name, priority=priority)
        answer = _patched(settings, url, order, wanted.priority)
        check_up(settings, answer)
        if answer.status in (200, 204):
            return Reason("order_raised", channel=settings.name, priority=wanted.priority)
        if answer.status not in CHANGED_MEANWHILE:
            break
    raise refused(settings, f"the order's priority: {words_of(answer)}")


def changes_orders(capabilities: Answer) -> bool:
    """Whether a server's CapabilityStatement says that orders can be looked for and patched."""
    offered = [
        {str(one.get("code")) for one in listed(resource, "interaction")}
        for rest in listed(body_of(capabilities), "rest")
        for resource in listed(rest, "resource")
        if resource.get("type") == "ServiceRequest"
    ]
    return any({"search-type", "patch"} <= codes for codes in offered)


def _open_orders(settings: FhirChannel, url: str, wanted: Raise) -> list[dict[str, Any]]:
    """Return the orders with this number and of this patient that have still to be read."""
    if not wanted.accession or not wanted.patient_id:
        return []
    order = quote(f"{settings.order_system}|{wanted.accession}", safe="")
    patient = quote(f"{settings.patient_system}|{wanted.patient_id}", safe="")
    sought = f"{url}/ServiceRequest?identifier={order}&patient.identifier={patient}"
    answer = ask(settings, sought, headers={"Accept": FHIR_JSON, "Prefer": STRICT})
    check_up(settings, answer)
    bundle = body_of(answer)
    if answer.status != 200 or bundle.get("type") != "searchset":  # noqa: PLR2004
        raise refused(settings, f"to look for the order: {words_of(answer)}")
    found = (entry.get("resource") for entry in listed(bundle, "entry"))
    orders = [one for one in found if isinstance(one, dict)]
    return [one for one in orders if one.get("status") in OPEN and _is_of(one, settings, wanted)]


def _is_of(order: dict[str, Any], settings: FhirChannel, wanted: Raise) -> bool:
    """Whether an order is what was asked for: some servers leave out what they cannot search by.

    Whose it is can be read where it names its patient by a number of the same system.
    """
    numbers = [
        one.get("value")
        for one in listed(order, "identifier")
        if one.get("system") == settings.order_system
    ]
    subject = order.get("subject")
    patient = subject.get("identifier") if isinstance(subject, dict) else None
    said = patient if isinstance(patient, dict) else {}
    is_anothers = said.get("system") == settings.patient_system and (
        said.get("value") != wanted.patient_id
    )
    is_order = order.get("resourceType") == "ServiceRequest"
    return is_order and wanted.accession in numbers and not is_anothers


def _patched(settings: FhirChannel, url: str, order: dict[str, Any], priority: Priority) -> Answer:
    """Ask for an order's priority to be changed, unless the order was changed since it was read."""
    named = str(order.get("id"))
    if not LOGICAL_ID.fullmatch(named):
        raise refused(settings, "the order that it found has no id")
    meta = order.get("meta")
    version = str(meta.get("versionId") or "") if isinstance(meta, dict) else ""
    unchanged = {"If-Match": f'W/"{version}"'} if LOGICAL_ID.fullmatch(version) else {}
    return ask(
        settings,
        f"{url}/ServiceRequest/{named}",
        method="PATCH",
        body=json.dumps([{"op": "add", "path": "/priority", "value": priority}]).encode(),
        headers={"Content-Type": JSON_PATCH, "Accept": FHIR_JSON, **unchanged},
    )
