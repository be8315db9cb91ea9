"""The audit log: every view of a patient and every action, a line each in ``audit.log``.

See ``audit_message`` for what a line holds, and what it leaves out. A name typed at sign-in that is
no user's is left out too: it may be a password in the wrong field.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.console.access import Person
from agent.console.audit_message import (
    ACCESSED,
    ACTIVITY,
    ALERT,
    AUTHENTICATION,
    EXECUTE,
    LOGIN,
    LOGOUT,
    MINOR_FAILURE,
    NODE,
    PROCEDURE,
    READ,
    REPORT,
    SECURITY_RESOURCE,
    SERIOUS_FAILURE,
    START,
    STOP,
    STUDY,
    SUCCESS,
    UPDATE,
    USER,
    USER_CHANGED,
    Event,
    Thing,
    audit_line,
    our_code,
)
from agent.errors import StoreUnwritable
from agent.records import Clock

MODE: Final = 0o640

MOST_REMEMBERED: Final = 20_000
"""Views that are remembered, so that none is told twice: some 200 sessions of 100 series. Ours."""

NOBODY: Final = "(no user)"


class AuditLog:
    """A file to which lines are added. It is opened anew for each: logrotate may move it away."""

    def __init__(self, path: Path, clock: Clock, notice: Callable[[str, str], None]) -> None:
        """Write to ``path``; ``notice`` tells, once, that it cannot be written.

        What cannot be written keeps nobody from seeing an alert.
        """
        self._path = path
        self._clock = clock
        self._notice = notice
        name = socket.gethostname()
        self._host = name if name.isascii() and name.isprintable() and name else "-"
        self._lock = threading.Lock()
        self._viewed: dict[tuple[str, str, int, str], None] = {}
        self._failing = False
        self._begins = ""

    def started(self) -> None:
        """Note that the page is served."""
        self._write(Event(ACTIVITY, START, EXECUTE), self._page())

    def stopped(self) -> None:
        """Note that it no longer is."""
        self._write(Event(ACTIVITY, STOP, EXECUTE), self._page())

    def signed_in(self, person: Person) -> None:
        """Note that a user has signed in."""
        self._write(Event(AUTHENTICATION, LOGIN, EXECUTE), person)

    def signed_out(self, person: Person) -> None:
        """Note that a user has signed out."""
        self._write(Event(AUTHENTICATION, LOGOUT, EXECUTE), person)

    def sign_in_refused(self, user: str | None, address: str) -> None:
        """Note a wrong password; ``user`` is None where the name was no user's."""
        event = Event(AUTHENTICATION, LOGIN, EXECUTE, MINOR_FAILURE)
        self._write(event, Person(user or NOBODY, "", address))

    def locked(self, user: str | None, address: str, wait_s: float) -> None:
        """Note that signing in has to wait, after too many wrong passwords."""
        about = f"too many wrong passwords: signing in waits {wait_s:.0f} s"
        thing = Thing(NODE, address, "where it was tried", SECURITY_RESOURCE, about)
        event = Event(ALERT, USER_CHANGED, EXECUTE, SERIOUS_FAILURE, thing)
        self._write(event, Person(user or NOBODY, "", address))

    def user_changed(self, account: str, user: str, what: str) -> None:
        """Note what an account of this computer did to a user."""
        thing = Thing(USER, user, user, SECURITY_RESOURCE, what)
        self._write(Event(ALERT, USER_CHANGED, EXECUTE, SUCCESS, thing), Person(account, "", ""))

    def viewed(self, person: Person, study_uid: str, series: tuple[str, int], what: str) -> None:
        """Note, once for each page and revision, that someone was shown a series.

        ``series`` is its UID and the result's number; ``what`` is ``worklist`` or ``images``.
        """
        if not self._is_noted((person.page, *series, what)):
            thing = _study(study_uid, series)
            self._write(Event(ACCESSED, our_code(what), READ, SUCCESS, thing), person)

    def acted(
        self, person: Person, study_uid: str, series: tuple[str, int], action: str, outcome: str
    ) -> None:
        """Note what someone did about a result, or was not let do."""
        thing = _study(study_uid, series)
        self._write(Event(PROCEDURE, our_code(action), UPDATE, outcome, thing), person)

    def _page(self) -> Person:
        return Person(f"bleedwatch console, process {os.getpid()}", "application", "")

    def _is_noted(self, view: tuple[str, str, int, str]) -> bool:
        with self._lock:
            noted = view in self._viewed
            self._viewed[view] = None
            if len(self._viewed) > MOST_REMEMBERED:
                del self._viewed[next(iter(self._viewed))]
        return noted

    def _write(self, event: Event, person: Person) -> None:
        line = audit_line(event, person, self._clock().utc, self._host, os.getpid())
        with self._lock:
            try:
                self._append(f"{self._begins}{line}".encode("ascii"))
            except OSError as error:
                self._tell(error)
            else:
                self._failing = False

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, MODE)
        try:
            if os.geteuid() == 0:  # a file that root begins is the service's to go on with
                folder = self._path.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        self._begins = "" if written == len(line) else "\n"
        if self._begins:
            raise OSError(0, "cut off")

    def _tell(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            with suppress(StoreUnwritable):  # then the page itself says that the disk is full
                message = f"the audit log {self._path.name} cannot be written: {error.strerror}"
                self._notice("audit", f"{message}; views and actions are not being recorded")


def _study(study_uid: str, series: tuple[str, int]) -> Thing:
    uid, revision = series
    return Thing(STUDY, study_uid, f"series {uid}, result {revision}", REPORT)
