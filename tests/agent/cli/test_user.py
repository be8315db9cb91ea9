"""``bleedwatch user``, as it is called on the box."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from agent.console.passwords import Passwords
from agent.wiring import system_clock
from tests.agent.program import PATIENCE_S, Program

PASSWORD = "correct horse battery staple"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def call(program: Program, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program.command("user", *words),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def add(program: Program, name: str, password: str = PASSWORD, role: str = "technologist"):
    words = ("add", name, "--role", role, "--password-stdin")
    return call(program, *words, typed=f"{password}\n")


def test_a_user_is_added_listed_changed_and_removed_and_the_audit_log_has_it(
    program: Program,
) -> None:
    assert add(program, "Ann Lee").stdout == "Ann Lee: added, technologist\n"
    assert call(program, "role", "ann lee", "--role", "service").returncode == 0
    other = "a second password of hers"
    call(program, "password", "Ann Lee", "--password-stdin", typed=f"{other}\n")

    (user,) = json.loads(call(program, "list", "--json").stdout)["users"]
    assert (user["name"], user["role"]) == ("Ann Lee", "service")
    with program.store() as store:
        passwords = Passwords(store.access)
        assert passwords.user("Ann Lee", PASSWORD) is None
        assert passwords.user("Ann Lee", other) is not None

    assert call(program, "remove", "Ann Lee").returncode == 0
    assert "there is none" in call(program, "list").stdout
    audit = (program.folder / "state/audit.log").read_text()
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
    program: Program, words: tuple[str, ...], said: str
) -> None:
    (program.folder / "state").mkdir()
    with program.store() as store:
        store.access.add_user("ann", "technologist", "hash", system_clock())

    refused = call(program, *words, typed=f"{PASSWORD}\n")

    assert refused.returncode == 1
    assert said in refused.stderr
    assert "→" in refused.stderr


def test_a_short_password_is_refused_with_the_length_that_will_do(program: Program) -> None:
    refused = add(program, "ann", "too short")

    assert refused.returncode == 1
    assert "at least 15 characters" in refused.stderr
    assert "too short" not in refused.stderr
