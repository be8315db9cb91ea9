"""A suspicion that nobody acknowledges reaches the site's own URL: a real server on a real port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.records import Instant
from agent.wiring import system_clock
from tests.agent.console.made import context_of
from tests.agent.reports import add_result, live, receive, report, series_shown
from tests.agent.stored import Store
from tests.program import until


class Gateway(HTTPServer):
    """A pager's gateway: keeps what it was told, answers with ``status``."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Told)
        self.status = status
        self.told: list[dict] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-of-the-hook"


class Told(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serving(Gateway()) as opened:
        yield opened


@contextmanager
def serving(gateway: Gateway) -> Iterator[Gateway]:
    thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()
        thread.join()
        gateway.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        live(opened, system_clock)
        yield opened


@contextmanager
def page_of(store: Store, url: str | None, after_s: float = 0.0) -> Iterator[TestClient]:
    made = context_of(store, escalate_after_s=after_s, escalate_to=url)
    with TestClient(create_app(made), base_url="http://localhost") as client:
        yield client


def suspect(store: Store, uid: str = "1.2.3.4") -> None:
    receive(store, system_clock, uid)
    add_result(store, report(uid))


def shown(client: TestClient) -> dict:
    (series,) = series_shown(client.get("/api/state").json())
    return series


def test_an_alert_that_nobody_answers_is_told_elsewhere_once(
    store: Store, gateway: Gateway
) -> None:
    with page_of(store, gateway.url) as client:
        suspect(store)
        until(lambda: shown(client)["escalated_utc"])
        suspect(store, "1.9")
        until(lambda: len(gateway.told) == 2)

    first, second = gateway.told
    assert first["event"] == "unacknowledged_alert"
    assert first["report"]["series_uid"] == "1.2.3.4"
    assert second["report"]["series_uid"] == "1.9"
    assert store.queries.undelivered()[0].channel == "console"


def test_what_is_told_elsewhere_names_no_patient(store: Store, gateway: Gateway) -> None:
    with page_of(store, gateway.url):
        suspect(store)
        until(lambda: gateway.told)

    said = json.dumps(gateway.told)
    for value in ("DOE", "JANE", "P1", "19500101", "A1", "HEAD 5.0"):
        assert value not in said


def test_an_alert_that_was_answered_in_time_is_not_told_elsewhere(
    store: Store, gateway: Gateway
) -> None:
    suspect(store, "1.1")
    store.console.acknowledge("1.1", 1, "Ann", "")
    with page_of(store, gateway.url):
        suspect(store, "1.2")
        until(lambda: gateway.told)

    assert [told["report"]["series_uid"] for told in gateway.told] == ["1.2"]


def test_an_alert_is_given_its_time(store: Store, gateway: Gateway) -> None:
    with page_of(store, gateway.url, after_s=3600.0):
        suspect(store, "1.1")
        now = system_clock()
        hours_ago = Instant(now.utc.replace(year=now.utc.year - 1), now.monotonic_s)
        with Store(store.path, lambda: hours_ago) as earlier:
            suspect(earlier, "1.2")  # an alert of an earlier boot, whose wait nobody knows
        until(lambda: gateway.told)

    assert [told["report"]["series_uid"] for told in gateway.told] == ["1.2"]


def test_a_gateway_that_fails_is_told_on_the_page_without_its_secret(store: Store) -> None:
    with serving(Gateway(status=503)) as gateway, page_of(store, gateway.url) as client:
        suspect(store)
        until(lambda: shown(client)["escalation_problem"])

        assert shown(client)["escalation_problem"]["text"] == "answered with 503"
        assert shown(client)["escalated_utc"] is None


def test_a_gateway_that_is_not_there_is_told_on_the_page(store: Store) -> None:
    with page_of(store, "http://127.0.0.1:9/secret") as client:
        suspect(store)
        until(lambda: shown(client)["escalation_problem"])

        assert "refused" in shown(client)["escalation_problem"]["text"]
        assert "secret" not in shown(client)["escalation_problem"]["text"]


def test_a_page_that_starts_anew_does_not_tell_again(store: Store, gateway: Gateway) -> None:
    for _ in range(2):
        with page_of(store, gateway.url) as client:
            if not gateway.told:
                suspect(store)
            until(lambda: shown(client)["escalated_utc"])

    assert len(gateway.told) == 1


def test_a_gateway_that_answers_with_nonsense_ends_no_escalation(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret"

        def answer() -> None:
            asking, _ = server.accept()
            with asking:
                asking.recv(65536)
                asking.sendall(b"nonsense\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        with page_of(store, url) as client:
            suspect(store)
            until(lambda: shown(client)["escalation_problem"])

            assert "secret" not in shown(client)["escalation_problem"]["text"]
        answering.join()
