"""Sessions: the browser holds an opaque token; the store holds only the token's SHA-256."""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from hashlib import sha256
from typing import Final

from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store.accounts import Accounts, Session

LIFETIME_S: Final = 13 * 3600.0
"""Absolute timeout [s]: a shift of twelve hours and its handover. Source: OWASP, Session Management
Cheat Sheet, which asks for a working day's."""

IDLE_S: Final = 1800.0
"""Idle timeout [s]. Source: OWASP, as above: 15 to 30 min. The open list of alerts counts as use,
so that it can be watched through a night; a page for reading that nobody touches does not."""

NOTED_EVERY_S: Final = 60.0
"""The time of last use is written at most this often [s]: each write is a commit. Ours."""


class Sessions:
    """The sessions of this boot: they outlive a restart of the console, not one of the computer."""

    def __init__(self, accounts: Accounts, clock: Clock, boot_id: str) -> None:
        """Keep them in the store."""
        self._accounts = accounts
        self._clock = clock
        self._boot_id = boot_id

    def begin(self, user: str) -> str:
        """Begin a session and return its token, 256 random bits as text."""
        token, now_s = secrets.token_urlsafe(32), self._clock().monotonic_s
        self._accounts.end_sessions(now_s - LIFETIME_S, self._boot_id)
        self._accounts.begin_session(_digest(token), user, now_s, self._boot_id)
        return token

    def find(self, token: str) -> Session | None:
        """Return a token's session and record its use; None if it has expired or never existed."""
        session, now_s = self._accounts.session(_digest(token)), self._clock().monotonic_s
        if session is None or session.boot_id != self._boot_id:
            return None
        idle_s = now_s - session.used_monotonic_s
        if now_s - session.began_monotonic_s > LIFETIME_S or idle_s > IDLE_S:
            return None
        if idle_s > NOTED_EVERY_S:
            with suppress(StoreUnwritable):  # a full disk must close no page
                self._accounts.use_session(_digest(token), now_s)
        return session

    def ends_in_s(self, session: Session) -> float:
        """Return how long a session still lasts while it is used [s]."""
        return session.began_monotonic_s + LIFETIME_S - self._clock().monotonic_s

    def end(self, token: str) -> None:
        """End a token's session, if it has one."""
        self._accounts.end_session(_digest(token))


def csrf_token(token: str) -> str:
    """Return the session's CSRF token: only a holder of the session token can compute it."""
    return hmac.new(token.encode(), b"bleedwatch csrf", sha256).hexdigest()


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
