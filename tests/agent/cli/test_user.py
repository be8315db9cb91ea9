"""``bleedwatch user``, as it is called on the box."""

from __future__ import annotations

import json
import os
import pwd
import sys
from dataclasses import dataclass
from io import StringIO

import pytest

from agent.cli import main
from agent.cli.options import account
from agent.console.passwords import Passwords
from agent.wiring import system_clock
from tests.program import Program

PASSWORD = "correct horse battery staple"


@dataclass
class Called:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Box:
    """The program as called in this process, on a configuration of its own."""

    program: Program
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def call(self, *words: str, typed: str = PASSWORD) -> Called:
        argv = ["bleedwatch", "user", *words, "--config", str(self.program.config)]
        self.monkeypatch.setattr(sys, "argv", argv)
        self.monkeypatch.setattr(sys, "stdin", StringIO(f"{typed}\n"))
        with pytest.raises(SystemExit) as ended:
            main()
        told = self.capsys.readouterr()
        return Called(int(ended.value.code or 0), told.out, told.err)


@pytest.fixture
def box(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Box:
    return Box(program, monkeypatch, capsys)


@pytest.mark.slow
def test_a_user_is_added_listed_changed_and_removed_and_the_audit_log_has_it(box: Box) -> None:
    added = box.call("add", "Ann Lee", "--role", "technologist", "--password-stdin")
    assert added.out == "Ann Lee: added, technologist\n"
    assert box.call("role", "ann lee", "--role", "service").code == 0
    other = "a second password of hers"
    assert box.call("password", "Ann Lee", "--password-stdin", typed=other).code == 0

    (user,) = json.loads(box.call("list", "--json").out)["users"]
    assert (user["name"], user["role"]) == ("Ann Lee", "service")
    with box.program.store() as store:
        passwords = Passwords(store.console.accounts)
        assert passwords.user("Ann Lee", PASSWORD) is None
        assert passwords.user("Ann Lee", other) is not None

    assert box.call("remove", "Ann Lee").code == 0
    assert "there is none" in box.call("list").out
    audit = (box.program.folder / "state/audit.log").read_text()
    assert audit.count('csd-code="110137"') == 4
    assert PASSWORD not in audit


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("remove", "bob"), "bob: no such user"),
        (("role", "bob", "--role", "service"), "bob: no such user"),
        (("password", "bob", "--password-stdin"), "bob: no such user"),
        (("add", "ANN", "--role", "service", "--password-stdin"), "such a user already"),
        (("add", "\u202eann", "--role", "service", "--password-stdin"), "that name will not do"),
    ],
    ids=["remove", "role", "password", "twice", "hidden-marks"],
)
def test_what_cannot_be_done_is_one_line_and_what_to_do(
    box: Box, words: tuple[str, ...], said: str
) -> None:
    with box.program.store() as store:
        store.console.accounts.add_user("ann", "technologist", "hash", system_clock())

    refused = box.call(*words)

    assert refused.code == 1
    assert said in refused.err
    assert "→" in refused.err


def test_a_short_password_is_refused_with_the_length_that_will_do(box: Box) -> None:
    refused = box.call("add", "ann", "--role", "service", "--password-stdin", typed="too short")

    assert refused.code == 1
    assert "at least 15 characters" in refused.err
    assert "too short" not in refused.err


def test_an_account_without_a_name_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = max(one.pw_uid for one in pwd.getpwall()) + 1
    monkeypatch.setattr(os, "geteuid", lambda: nameless)
    monkeypatch.delenv("SUDO_USER", raising=False)

    assert account() == f"uid {nameless}"
