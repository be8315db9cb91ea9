"""Passwords: which are accepted, and their hashing by Argon2id."""

from __future__ import annotations

import base64
import secrets
import unicodedata
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from agent.errors import AccessError
from agent.store.accounts import Accounts, User

SHORTEST: Final = 15
"""Fewest characters of a password that is the only factor. Source: NIST SP 800-63B-4, 3.1.1.2."""

LONGEST: Final = 1000
"""Most characters: hashing more would only keep the processor busy. Ours."""

LONGEST_NAME: Final = 64

FEWEST_DIFFERENT: Final = 5
"""Fewest different characters: "aaaaaaaaaaaaaaa" is refused. Ours."""

HASHER: Final = argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
"""Argon2id with 64 MiB, since the networks need the memory. Source: RFC 9106, 4, second
recommendation."""


def check_name(name: str) -> str:
    """Return a user's name as it is stored, in NFC and stripped.

    Raises
    ------
    AccessError
        If it is empty, too long, or holds characters that do not print or that turn other text:
        it is shown on the page and stands in the audit log.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise AccessError("user_name_unfit", n_most=LONGEST_NAME)
    return name


def hash_password(password: str, name: str) -> str:
    """Hash a new password of a user.

    Raises
    ------
    AccessError
        If it is too short, too long, holds the user's name or hardly any different characters.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccessError("password_length_unfit", n_characters=len(password), n_fewest=SHORTEST)
    if len(set(password)) < FEWEST_DIFFERENT or name.casefold() in password.casefold():
        raise AccessError("password_guessable", n_fewest=SHORTEST)
    return HASHER.hash(_bytes(password))


class Passwords:
    """Checks names and passwords, in the same time whether or not there is such a user."""

    def __init__(self, accounts: Accounts) -> None:
        """Check against the users in a store."""
        self._accounts = accounts
        self._unmatchable = _unmatchable_hash()

    def user(self, name: str, password: str) -> User | None:
        """Return the user with this name and password, None if there is none."""
        user = self._accounts.user(unicodedata.normalize("NFC", name))
        argon2_hash = user.argon2 if user else self._unmatchable
        candidate = _bytes(password) if len(password) <= LONGEST else b""
        if not _verified(argon2_hash, candidate) or user is None:
            return None
        if HASHER.check_needs_rehash(argon2_hash):
            self._accounts.rehash(user.name, argon2_hash, HASHER.hash(candidate))
        return user


def _unmatchable_hash() -> str:
    """Return a random hash: verifying against it takes the usual time, and always fails."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(n_bytes)).decode().rstrip("=")
        for n_bytes in (HASHER.salt_len, HASHER.hash_len)
    )
    cost = f"m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${cost}${salt}${digest}"


def _verified(argon2_hash: str, password: bytes) -> bool:
    try:
        return HASHER.verify(argon2_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _bytes(password: str) -> bytes:
    """Normalise: keyboards compose the same characters differently. Source: as for SHORTEST."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
