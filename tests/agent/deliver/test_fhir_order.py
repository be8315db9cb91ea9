"""agent.deliver.fhir_order: an order is raised once, never lowered, and never another patient's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest

from agent.deliver.fhir import FhirServer
from agent.deliver.result import StoredResult
from agent.deliver.settings import FhirChannel
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import Reason, english
from tests.agent.deliver.results import stored_result
from tests.agent.deliver.test_fhir import Server, outcome, settings
from tests.agent.deliver.web import Asked, Web

ORDERS = {"order_system": "urn:acc", "patient_system": "urn:pat", "priority": "stat"}


@dataclass
class OrderServer(Server):
    """A server that has orders as well: search, and JSON Patch where nobody has changed it since.

    ``statuses`` are what it answers to the next changes, before it does any. Unless it ``matches``,
    it finds all of them, as servers do that leave out what they cannot search by.
    """

    orders: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    matches: bool = True
    sought: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        path = urlsplit(asked.path)
        if "/ServiceRequest" not in path.path:
            return super().answer(asked)
        self.asked.append(asked)
        if asked.method == "PATCH":
            return self._patched(path.path.rpartition("/")[2], asked)
        query = parse_qs(path.query)
        self.sought.append(query)
        entries = [
            {"resource": one}
            for one in self.orders
            if not self.matches
            or (
                query["identifier"] == [f"urn:acc|{one['identifier'][0]['value']}"]
                and query["patient.identifier"]
                == [f"urn:pat|{one['subject']['identifier']['value']}"]
            )
        ]
        entries.append({"resource": {"resourceType": "OperationOutcome", "issue": []}})
        found = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        return 200, json.dumps(found).encode()

    def _patched(self, named: str, asked: Asked) -> tuple[int, bytes]:
        if self.statuses:
            return self.statuses.pop(0), outcome("so nicht")
        (order,) = (one for one in self.orders if one["id"] == named)
        assert asked.headers["Content-Type"] == "application/json-patch+json"
        if asked.headers.get("If-Match") != f'W/"{order["meta"]["versionId"]}"':
            return 412, outcome("changed")
        ((operation, path, value),) = (tuple(one.values()) for one in json.loads(asked.body))
        assert (operation, path) == ("add", "/priority")
        order["priority"] = value
        order["meta"]["versionId"] += "1"
        ServiceRequest.model_validate(order)
        return 200, json.dumps(order).encode()

    @property
    def n_patches(self) -> int:
        return sum(one.method == "PATCH" for one in self.asked)


def order(**changes: Any) -> dict[str, Any]:
    """The order of the results' accession number and patient, not urgent yet."""
    values = {
        "resourceType": "ServiceRequest",
        "id": "o-1",
        "meta": {"versionId": "3"},
        "identifier": [{"system": "urn:acc", "value": "A1"}],
        "status": "active",
        "intent": "order",
        "subject": {"identifier": {"system": "urn:pat", "value": "P1"}},
    }
    return values | changes


def told(server: OrderServer, *results: StoredResult, **changes: Any) -> list[Reason | None]:
    """Send results; return what came of each besides."""
    with server.listening() as url:
        channel = FhirServer(settings(f"{url}/fhir", **(ORDERS | changes)))
        return [channel.send(channel.letter(one)) for one in results]


@pytest.mark.parametrize("before", [None, "routine", "urgent", "asap"])
def test_a_suspicions_order_is_raised_and_said_to_be(before: str | None) -> None:
    server = OrderServer(orders=[order(**({"priority": before} if before else {}))])

    (remark,) = told(server, stored_result())

    assert server.orders[0]["priority"] == "stat"
    assert remark
    assert english(remark) == "ehr: the order was raised to stat"
    assert len(server.of("DiagnosticReport")) == 1


def test_an_order_that_is_as_urgent_is_left() -> None:
    server = OrderServer(orders=[order(priority="stat")])

    (left,) = told(server, stored_result())
    (left_above,) = told(server, stored_result(), priority="asap")

    assert server.n_patches == 0
    assert [one and one.code for one in (left, left_above)] == ["order_left", "order_left"]


def test_what_is_sent_twice_is_raised_once() -> None:
    server = OrderServer(orders=[order()])

    first, again = told(server, stored_result(), stored_result())

    assert [one and one.code for one in (first, again)] == ["order_raised", "order_left"]
    assert server.n_patches == 1


@pytest.mark.parametrize(
    "other",
    [
        order(subject={"identifier": {"system": "urn:pat", "value": "P2"}}),
        order(identifier=[{"system": "urn:acc", "value": "A2"}]),
        order(identifier=[{"system": "urn:other", "value": "A1"}]),
        order(identifier="A1"),
        order(resourceType="Task"),
    ],
    ids=["another patient's", "another number", "another system", "nonsense", "no order"],
)
def test_a_server_that_finds_what_was_not_asked_for_has_nobody_elses_order_raised(
    other: dict[str, Any],
) -> None:
    server = OrderServer(orders=[other], matches=False)

    (remark,) = told(server, stored_result())

    assert server.n_patches == 0
    assert remark
    assert remark.code == "order_not_found"
    (search,) = (one for one in server.asked if one.method == "GET")
    assert search.headers["Prefer"] == "handling=strict"


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [order(subject={"identifier": {"system": "urn:pat", "value": "P2"}})],
        [order(identifier=[{"system": "urn:acc", "value": "A2"}])],
        [order(status="completed")],
        [order(), order(id="o-2")],
    ],
    ids=["none", "another patient's", "another number", "read already", "two"],
)
def test_where_there_is_not_one_open_order_of_the_patient_nothing_is_raised_and_that_is_said(
    orders: list[dict[str, Any]],
) -> None:
    server = OrderServer(orders=orders)

    (remark,) = told(server, stored_result())

    assert server.n_patches == 0
    assert remark
    assert remark.code == "order_not_found"
    assert len(server.of("DiagnosticReport")) == 1


def later() -> Iterator[StoredResult]:
    """What may take the place of a suspicion."""
    yield stored_result(state="not_suspected", findings=(), predecessor="first", revision=2)
    yield stored_result(
        state="not_analysed", findings=(), text="slices are missing", score=None, engine=None,
        predecessor="first", revision=2,
    )  # fmt: skip


@pytest.mark.parametrize("result", list(later()), ids=["withdrawn", "not analysed"])
def test_what_is_withdrawn_lowers_nothing(result: StoredResult) -> None:
    server = OrderServer(orders=[order(priority="stat")])

    assert told(server, result) == [None]

    assert server.orders[0]["priority"] == "stat"
    assert server.sought == []


def test_a_later_suspicion_does_not_overrule_who_has_lowered_the_order() -> None:
    server = OrderServer(orders=[order(priority="routine")])
    again = replace(stored_result(predecessor="first", revision=2), n_former_findings=2)

    assert told(server, again) == [None]
    assert server.orders[0]["priority"] == "routine"


def test_without_the_setting_no_order_is_looked_for() -> None:
    server = OrderServer(orders=[order()])

    assert told(server, stored_result(), order_system=None) == [None]
    assert server.sought == []
    with pytest.raises(ValueError, match="patient_system and priority"):
        FhirChannel(name="ehr", url="http://x/fhir", order_system="urn:acc")


@pytest.mark.parametrize(
    ("codes", "fits"), [(["search-type", "patch"], True), (["search-type"], False), ([], False)]
)
def test_a_server_that_changes_no_orders_is_told_before_one_is_to_be_raised(
    codes: list[str], fits: bool
) -> None:
    orders = {"type": "ServiceRequest", "interaction": [{"code": one} for one in codes]}
    said = {"resourceType": "CapabilityStatement", "rest": [{"resource": [orders]}]}
    with Web(200, json.dumps(said).encode()).listening() as url:
        FhirServer(settings(f"{url}/fhir")).greet()
        channel = FhirServer(settings(f"{url}/fhir", **ORDERS))
        if fits:
            channel.greet()
        else:
            with pytest.raises(ArchiveRefused, match="does not say that orders"):
                channel.greet()


@pytest.mark.parametrize("status", [409, 412])
def test_who_changed_the_order_meanwhile_is_read_again_once(status: int) -> None:
    server = OrderServer(orders=[order()], statuses=[status])
    assert [one and one.code for one in told(server, stored_result())] == ["order_raised"]

    server = OrderServer(orders=[order()], statuses=[status, status])
    with pytest.raises(ArchiveRefused, match=f"priority: HTTP {status} so nicht"):
        told(server, stored_result())


@pytest.mark.parametrize("status", [400, 403, 404, 405, 415, 422])
def test_a_refused_change_is_told_in_the_servers_words(status: int) -> None:
    server = OrderServer(orders=[order()], statuses=[status])
    with pytest.raises(ArchiveRefused, match=f"priority: HTTP {status} so nicht"):
        told(server, stored_result())

    assert server.n_patches == 1


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_busy_is_asked_later(status: int) -> None:
    server = OrderServer(orders=[order()], statuses=[status], headers={"Retry-After": "90"})
    with pytest.raises(ArchiveUnreachable) as busy:
        told(server, stored_result())

    assert dict(busy.value.reason.values)["retry_after_s"] == 90


@pytest.mark.parametrize("named", ["../Patient/1", "", "a b", {"x": 1}])
def test_an_order_with_a_hostile_id_is_left_alone(named: object) -> None:
    server = OrderServer(orders=[order(id=named)])
    with pytest.raises(ArchiveRefused, match="no id"):
        told(server, stored_result())

    assert server.n_patches == 0
