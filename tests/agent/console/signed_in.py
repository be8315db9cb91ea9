"""A console for named users, in a test's hands: its clock is set, its pages are HTTP clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from starlette.testclient import TestClient

from agent.console.app import create_app
from agent.console.authorization import AccessPolicy
from agent.console.passwords import hash_password
from agent.console.sessions import Sessions
from tests.agent.box import SetClock
from tests.agent.console.made import context_of
from tests.agent.stored import Store
from tests.schema import check

PASSWORD = "correct horse battery staple"
AT_THE_SCANNER = "10.0.0.5"
ELSEWHERE = "10.0.0.66"


@cache
def hashed(name: str, password: str = PASSWORD) -> str:
    return hash_password(password, name)


@dataclass
class Ward:
    """The console; ``ann`` is a technologist, ``sam`` is service."""

    store: Store
    audit_path: Path
    clock: SetClock = field(default_factory=SetClock)
    boot: str = "boot-1"
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add("ann", "technologist")
        self.add("sam", "service")
        self.restart()

    def add(self, name: str, role: str) -> None:
        self.store.console.accounts.add_user(name, role, hashed(name), self.clock())

    def restart(self) -> None:
        """Begin as a new process would."""
        policy = AccessPolicy(sign_in=True)
        made = context_of(
            self.store,
            self.audit_path,
            clock=self.clock,
            boot=self.boot,
            policy=policy,
            **self.settings,
        )
        self.app = create_app(made)

    def page(self, address: str = AT_THE_SCANNER, base_url: str = "http://localhost") -> Page:
        return Page(TestClient(self.app, base_url, client=(address, 50_000)))


@dataclass
class Page:
    """A browser, with its cookies and the CSRF token that its page was given."""

    http: TestClient
    csrf: str = ""

    def enter(self, ward: Ward, name: str) -> Page:
        """Begin a session without a password, which takes its time."""
        token = Sessions(ward.store.console.accounts, ward.clock, ward.boot).begin(name)
        self.http.cookies.set("bleedwatch", token)
        self.csrf = self.http.get("/api/session").json()["csrf"]
        return self

    def sign_in(self, name: str = "ann", password: str = PASSWORD):
        answer = self.http.post("/api/sign-in", json={"name": name, "password": password})
        check("POST /api/sign-in", answer.json())
        if answer.status_code == 200:
            session = self.http.get("/api/session").json()
            check("GET /api/session", session)
            self.csrf = session["csrf"]
        return answer

    def post(self, path: str, values: object = None, csrf: str | bytes | None = None):
        headers = {"X-Bleedwatch-Csrf": self.csrf if csrf is None else csrf}
        return self.http.post(path, json=values or {}, headers=headers)

    @property
    def may(self) -> bool:
        """Whether it is shown patients."""
        status = self.http.get("/api/state").status_code
        assert status in (200, 401)
        return status == 200
