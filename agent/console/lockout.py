"""How long signing in has to wait after wrong passwords. Never for ever, and never for a session.

Tries are counted under three keys. A name at one address has few, and that is where guessing ends;
an address has some, whatever names it tries; a name has many, so that who guesses from elsewhere
cannot lock its owner out at the console. What has waited for 15 minutes may be tried again. NIST
SP 800-63B-4, 3.2.2, asks for no more than 100 tries in a row for one account: by one address that
takes a day, and passwords are of 15 characters.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from agent.records import Clock
from agent.store.access import Access

FREE: Final = {"name-at-address": 5, "address": 20, "name": 50}
"""Wrong passwords in a row before any wait. Ours."""

FIRST_WAIT_S: Final = 30.0
LONGEST_WAIT_S: Final = 900.0
"""Each further one doubles the wait, up to this [s]. Ours."""

MOST_DOUBLINGS: Final = 10


class Lockout:
    """The tries in a store: a restart of console or computer forgets none."""

    def __init__(self, access: Access, clock: Clock, boot_id: str) -> None:
        """Count them there."""
        self._access = access
        self._clock = clock
        self._boot_id = boot_id

    def take_try(self, name: str, address: str) -> float:
        """Count a try before it is made; returns for how long it has to wait instead, or 0 [s]."""
        now_s = self._clock().monotonic_s
        return self._access.take_try(_keys(name, address), wait_s, now_s, self._boot_id)

    def next_wait_s(self, name: str, address: str) -> float:
        """Return for how long a next try has to wait [s]."""
        return self._access.wait_s(_keys(name, address), wait_s, self._clock().monotonic_s)

    def forgive(self, name: str, address: str) -> None:
        """Forget a name's tries, since it has signed in; its address may have tried others."""
        both, of_address, of_name = _keys(name, address)
        self._access.forgive(forget=(both, of_name), take_back=(of_address,))


def wait_s(key: str, n_tries: int, age_s: float) -> float:
    """Tell how long a next try has to wait, with so many before it, the last that long ago [s]."""
    beyond = n_tries - FREE[key.partition(" ")[0]]
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
    """Return the address; of an IPv6 one the /64, whose every address one computer may take."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
