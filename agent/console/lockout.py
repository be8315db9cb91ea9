"""Throttling of sign-in: how long the next attempt has to wait after wrong passwords.

Attempts are counted under three keys: a name at one address (the fewest are free, which stops
guessing), an address (whatever names it tries) and a name (the most are free, so that guessing from
elsewhere does not lock the owner out at the console). No wait is longer than 15 minutes, and open
sessions are not affected. NIST SP 800-63B-4, 3.2.2, allows 100 consecutive failed attempts on an
account: from one address these take a day.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from agent.records import Clock
from agent.store.accounts import Accounts

FREE: Final = {"name-at-address": 5, "address": 20, "name": 50}
"""Wrong passwords in a row before the first wait, by kind of key. Ours."""

FIRST_WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 900.0
"""The wait doubles with each further wrong password, up to this [s]. Ours."""

MOST_DOUBLINGS: Final = 10


class Lockout:
    """The throttle. Its counts are in the store: neither a restart nor a reboot resets them."""

    def __init__(self, accounts: Accounts, clock: Clock, boot_id: str) -> None:
        """Count in the store."""
        self._accounts = accounts
        self._clock = clock
        self._boot_id = boot_id

    def count_attempt(self, name: str, address: str) -> float:
        """Count an attempt before it is made; returns how long it has to wait instead, or 0 [s]."""
        now_s = self._clock().monotonic_s
        return self._accounts.count_attempt(_keys(name, address), wait_s, now_s, self._boot_id)

    def next_wait_s(self, name: str, address: str) -> float:
        """Return how long the next attempt would have to wait [s]."""
        return self._accounts.wait_s(_keys(name, address), wait_s, self._clock().monotonic_s)

    def reset(self, name: str, address: str) -> None:
        """Forget a name's attempts after a sign-in; its address may have tried other names."""
        both, of_address, of_name = _keys(name, address)
        self._accounts.reset_attempts(forget=(both, of_name), take_back=(of_address,))


def wait_s(key: str, n_attempts: int, age_s: float) -> float:
    """Return the wait [s] after ``n_attempts`` under a key, the last of them ``age_s`` ago."""
    beyond = n_attempts - FREE[key.partition(" ")[0]]
    if beyond < 0:
        return 0.0
    longest_s = min(FIRST_WAIT_S * (1 << min(beyond, MOST_DOUBLINGS)), LONGEST_WAIT_S)
    return max(0.0, longest_s - age_s)


def _keys(name: str, address: str) -> tuple[str, str, str]:
    network = _network(address)
    return (
        f"name-at-address {network} {name.casefold()}",
        f"address {network}",
        f"name {name.casefold()}",
    )


def _network(address: str) -> str:
    """Return an IPv4 address, or an IPv6 address's /64: one computer may use all of that."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
