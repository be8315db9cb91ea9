"""Passwords: what will do as one, and Argon2id."""

from __future__ import annotations

import base64
import secrets
import unicodedata
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from agent.errors import AccessError
from agent.store.access import Access, User

SHORTEST: Final = 15
"""Characters of a password that is the only factor. Source: NIST SP 800-63B-4, 3.1.1.2."""

LONGEST: Final = 1000
"""More is no password, and would only keep the processor busy. Ours."""

LONGEST_NAME: Final = 64

FEWEST_DIFFERENT: Final = 5
"""Different characters of a password: "aaaaaaaaaaaaaaa" is none. Ours."""

HASHER: Final = argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY)
"""Argon2id with 64 MiB: the networks run beside it. Source: RFC 9106, 4, second recommendation."""


def check_name(name: str) -> str:
    """Return a user's name as it is stored; AccessError if it will not do.

    It is shown on the page and stands in the audit log: one line, without what turns other text.
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
    """Tells whose password was given, in the same time whether or not there is such a user."""

    def __init__(self, access: Access) -> None:
        """Go by the users in a store."""
        self._access = access
        self._nobodys = _hash_of_nothing()

    def user(self, name: str, password: str) -> User | None:
        """Return the user with this name and password, None if there is none."""
        user = self._access.user(unicodedata.normalize("NFC", name))
        argon2_hash = user.argon2 if user else self._nobodys
        given = _bytes(password) if len(password) <= LONGEST else b""
        if not _verified(argon2_hash, given) or user is None:
            return None
        if HASHER.check_needs_rehash(argon2_hash):
            self._access.rehash(user.name, argon2_hash, HASHER.hash(given))
        return user


def _hash_of_nothing() -> str:
    """Return a hash that takes as long to compare with as a user's, and that no password has."""
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
    """Make one of the ways in which keyboards give the same characters. Source: as SHORTEST."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")
