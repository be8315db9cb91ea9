"""Sessions: an opaque token in the browser's hands, its SHA-256 alone in the store."""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from hashlib import sha256
from typing import Final

from agent.errors import StoreUnwritable
from agent.records import Clock
from agent.store.access import Access, Session

LIFETIME_S: Final = 13 * 3600.0
"""A session ends after this, whatever happens [s]: a shift of twelve hours and its handover. That
there is an end, and one of a working day's length: OWASP's Session Management Cheat Sheet."""

IDLE_S: Final = 1800.0
"""A session that no page has used for this long is over [s]. Source: OWASP, the same, 15 to 30 min.
An open page uses it: one that watches for alerts through a night must not end by itself."""

NOTED_EVERY_S: Final = 60.0
"""How often a use is written down [s]."""


class Sessions:
    """The sessions of this boot: a restart of the computer ends all, one of the console none."""

    def __init__(self, access: Access, clock: Clock, boot_id: str) -> None:
        """Keep them there."""
        self._access = access
        self._clock = clock
        self._boot_id = boot_id

    def begin(self, user: str) -> str:
        """Begin a session and return its token, 256 random bits."""
        token, now_s = secrets.token_urlsafe(32), self._clock().monotonic_s
        self._access.end_sessions(now_s - LIFETIME_S, self._boot_id)
        self._access.begin_session(_digest(token), user, now_s, self._boot_id)
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of a token, and note its use; None if it is over or never was."""
        session, now_s = self._access.session(_digest(token)), self._clock().monotonic_s
        if session is None or session.boot_id != self._boot_id:
            return None
        idle_s = now_s - session.used_monotonic_s
        if now_s - session.began_monotonic_s > LIFETIME_S or idle_s > IDLE_S:
            return None
        if idle_s > NOTED_EVERY_S:
            with suppress(StoreUnwritable):  # a full disk, told elsewhere, takes nobody's page away
                self._access.use_session(_digest(token), now_s)
        return session

    def ends_in_s(self, session: Session) -> float:
        """Tell how long a session that is in use has yet to go [s]."""
        return session.began_monotonic_s + LIFETIME_S - self._clock().monotonic_s

    def end(self, token: str) -> None:
        """End a session; there need be none."""
        self._access.end_session(_digest(token))


def csrf_token(token: str) -> str:
    """Return what a page of this session must send along: it can be told only by its owner."""
    return hmac.new(token.encode(), b"bleedwatch csrf", sha256).hexdigest()


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
