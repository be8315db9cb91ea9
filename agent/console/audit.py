"""The audit log: one line in ``audit.log`` for each view of a patient and each action.

``audit_message`` says what a line holds. A name typed at sign-in that is no user's is not recorded:
it may be a password typed into the wrong field.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.console.audit_message import (
    ACCESSED,
    ACTIVITY,
    ALERT,
    AUTHENTICATION,
    CREATE,
    EXECUTE,
    EXPORT,
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
    TRANSFERRED,
    UPDATE,
    USER,
    USER_CHANGED,
    AuditedObject,
    Event,
    audit_line,
    our_code,
)
from agent.console.authorization import Principal
from agent.errors import StoreUnwritable
from agent.reasons import Reason
from agent.records import Clock
from agent.report import to_the_second

MODE: Final = 0o640
"""Readable by the service's group: a log shipper's account."""

MOST_REMEMBERED: Final = 20_000
"""Views that are remembered, so that none is recorded twice: 200 sessions of 100 series. Ours."""

NOBODY: Final = "(no user)"


class AuditLog:
    """A file to which lines are added. It is opened anew for each: logrotate may move it away."""

    def __init__(self, path: Path, clock: Clock, notice: Callable[[str, Reason], None]) -> None:
        """Write to ``path``; ``notice`` (kind, reason) is called once when that fails.

        A failure keeps nobody from seeing an alert.
        """
        self._path = path
        self._clock = clock
        self._notice = notice
        name = socket.gethostname()
        self._host = name if name.isascii() and name.isprintable() and name else "-"
        self._lock = threading.Lock()
        self._viewed: dict[tuple[str, str, int, str], None] = {}
        self._failing = False
        self._line_start = ""

    def started(self) -> None:
        """Record that the console has started."""
        self._write(Event(ACTIVITY, START, EXECUTE), self._page())

    def stopped(self) -> None:
        """Record that the console has stopped."""
        self._write(Event(ACTIVITY, STOP, EXECUTE), self._page())

    def signed_in(self, principal: Principal) -> None:
        """Record that a user has signed in."""
        self._write(Event(AUTHENTICATION, LOGIN, EXECUTE), principal)

    def signed_out(self, principal: Principal) -> None:
        """Record that a user has signed out."""
        self._write(Event(AUTHENTICATION, LOGOUT, EXECUTE), principal)

    def sign_in_refused(self, user: str | None, address: str) -> None:
        """Record a wrong password; ``user`` is None where there is no such user."""
        event = Event(AUTHENTICATION, LOGIN, EXECUTE, MINOR_FAILURE)
        self._write(event, Principal(user or NOBODY, "", address))

    def locked(self, user: str | None, address: str, wait_s: float) -> None:
        """Record that signing in has to wait, after too many wrong passwords."""
        about = f"too many wrong passwords: signing in waits {wait_s:.0f} s"
        subject = AuditedObject(NODE, address, "where it was tried", SECURITY_RESOURCE, about)
        event = Event(ALERT, USER_CHANGED, EXECUTE, SERIOUS_FAILURE, subject)
        self._write(event, Principal(user or NOBODY, "", address))

    def user_changed(self, account: str, user: str, what: str) -> None:
        """Record what an account of this computer changed about a user."""
        subject = AuditedObject(USER, user, user, SECURITY_RESOURCE, what)
        self._write(
            Event(ALERT, USER_CHANGED, EXECUTE, SUCCESS, subject), Principal(account, "", "")
        )

    def viewed(
        self, principal: Principal, study_uid: str, series: tuple[str, int], what: str
    ) -> None:
        """Record, once for each browser and revision, that a principal was shown a series.

        ``series`` is its UID and the result's number; ``what`` is ``worklist``, ``examination`` or
        ``images``.
        """
        if not self._was_recorded((principal.page, *series, what)):
            subject = _study(study_uid, series)
            self._write(Event(ACCESSED, our_code(what), READ, SUCCESS, subject), principal)

    def acted(
        self,
        principal: Principal,
        study_uid: str,
        series: tuple[str, int],
        action: str,
        outcome: str,
    ) -> None:
        """Record what a principal did about a result, or was refused."""
        subject = _study(study_uid, series)
        self._write(Event(PROCEDURE, our_code(action), UPDATE, outcome, subject), principal)

    def corrected(self, study_uid: str, series_uid: str) -> None:
        """Record that a series' patient was corrected at the source."""
        subject = AuditedObject(STUDY, study_uid, f"series {series_uid}", REPORT)
        event = Event(PROCEDURE, our_code("patient-corrected"), UPDATE, SUCCESS, subject)
        self._write(event, Principal("bleedwatch agent", "application", ""))

    def exported(self, study_uid: str, series: tuple[str, int], channel: str) -> None:
        """Record that a result was sent to a channel, whose receiver took it."""
        uid, revision = series
        name = f"series {uid}, result {revision}, to channel {channel}"
        event = Event(
            EXPORT, our_code("result-sent"), READ, SUCCESS,
            AuditedObject(STUDY, study_uid, name, REPORT),
        )  # fmt: skip
        self._write(event, self._program("delivery"))

    def handed_over(self, account: str, study_uid: str, series: tuple[str, int], what: str) -> None:
        """Record that an account of this computer wrote files of a series.

        ``what`` is ``result-written``, ``result-written-with-identity`` or ``images-written``.
        """
        event = Event(EXPORT, our_code(what), READ, SUCCESS, _study(study_uid, series))
        self._write(event, Principal(account, "", ""))

    def registry_exported(
        self, account: str, n_examinations: int, since: datetime, until: datetime
    ) -> None:
        """Record that an account of this computer wrote de-identified results for a registry."""
        name = f"{n_examinations} examinations, {to_the_second(since)} to {to_the_second(until)}"
        subject = AuditedObject(NODE, self._host, name, REPORT)
        event = Event(EXPORT, our_code("registry-exported"), READ, SUCCESS, subject)
        self._write(event, Principal(account, "", ""))

    def received(self, sender: str, address: str, n_images: int) -> None:
        """Record that somebody sent images, in one association."""
        subject = AuditedObject(NODE, address, f"{n_images} images from {sender}", REPORT)
        event = Event(TRANSFERRED, our_code("images-received"), CREATE, SUCCESS, subject)
        self._write(event, self._program("inlet"))

    def fetched(self, archive: str, study_uid: str, series_uid: str, n_images: int) -> None:
        """Record that an earlier examination was fetched from an archive."""
        name = f"series {series_uid}, {n_images} images from {archive}"
        subject = AuditedObject(STUDY, study_uid, name, REPORT)
        event = Event(TRANSFERRED, our_code("earlier-fetched"), CREATE, SUCCESS, subject)
        self._write(event, self._program("delivery"))

    def _page(self) -> Principal:
        return self._program("console")

    def _program(self, part: str) -> Principal:
        return Principal(f"bleedwatch {part}, process {os.getpid()}", "application", "")

    def _was_recorded(self, view: tuple[str, str, int, str]) -> bool:
        with self._lock:
            recorded = view in self._viewed
            self._viewed[view] = None
            if len(self._viewed) > MOST_REMEMBERED:
                del self._viewed[next(iter(self._viewed))]
        return recorded

    def _write(self, event: Event, principal: Principal) -> None:
        line = audit_line(event, principal, self._clock().utc, self._host, os.getpid())
        with self._lock:
            try:
                self._append(f"{self._line_start}{line}".encode("ascii"))
            except OSError as error:
                self._report(error)
            else:
                self._failing = False

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, MODE)
        try:
            if os.geteuid() == 0:  # created by root, it must still be writable by the service
                folder = self._path.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        self._line_start = "" if written == len(line) else "\n"
        if self._line_start:
            raise OSError(0, "cut off")

    def _report(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            with suppress(StoreUnwritable):  # then the page itself says that the disk is full
                why = str(error.strerror)
                self._notice("audit", Reason("audit_unwritable", name=self._path.name, why=why))


def _study(study_uid: str, series: tuple[str, int]) -> AuditedObject:
    uid, revision = series
    return AuditedObject(STUDY, study_uid, f"series {uid}, result {revision}", REPORT)
