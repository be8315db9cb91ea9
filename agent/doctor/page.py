"""Checks of the console: does its page answer, and is its certificate valid."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from datetime import timedelta
from typing import Final

from agent.console.address import Address
from agent.console.certificate import Certificate
from agent.doctor.journal import address
from agent.doctor.result import Box, CheckResult, note, well, wrong

ANSWER_S: Final = 5.0
"""How long the page may take to answer [s]."""


EXPIRES_SOON: Final = timedelta(days=30)
"""Within this time of its expiry a certificate gets a note: a new one takes weeks. Ours."""

START: Final = "`systemctl start bleedwatch-console`, `journalctl -u bleedwatch-console -n 9`"


def console(box: Box) -> CheckResult:
    """Check that the console's page is served, and that it can read the store.

    The served certificate is compared with the configured one instead of being verified: its issuer
    is known to the browsers, and need not be known to this computer.
    """
    served = address(box)
    certificate = served.checked_certificate(box.now)
    connection = _connection(served, certificate)
    try:
        connection.connect()
        shown = _certificate_of(connection)
        connection.request("GET", "/healthz", headers={"Host": f"localhost:{served.port}"})
        answer = connection.getresponse()
        live = answer.status == http.HTTPStatus.OK and answer.read() == b"ok\n"
    except (OSError, http.client.HTTPException) as error:
        return wrong(f"{served.url} does not answer: {error}", START)
    finally:
        connection.close()
    if not live:
        return wrong(
            f"{served.url} answers {answer.status} where `ok` should stand",
            f"`ss -ltnp sport = :{served.port}` names the program; set console.port to a free one",
        )
    if certificate and shown != certificate.der:
        return wrong(
            f"{served.url} still shows another certificate than {certificate.path}",
            "`systemctl restart bleedwatch-console`",
        )
    return well(f"{served.url} is served")


def certificate(box: Box) -> CheckResult:
    """Check that the page's certificate is valid, and stays so for some time."""
    served = address(box).checked_certificate(box.now)
    if served is None:
        return well("none is needed: the page is served to this computer alone")
    until, names = f"{served.until_utc:%Y-%m-%d}", ", ".join(served.names)
    found = f"{served.path} is valid until {until}, for {names}"
    if served.until_utc - box.now.utc < EXPIRES_SOON:
        return note(found, "have the next one made; then `systemctl restart bleedwatch-console`")
    return well(found)


def _connection(served: Address, certificate: Certificate | None) -> http.client.HTTPConnection:
    host = _own(served.host)
    if certificate is None:
        return http.client.HTTPConnection(host, served.port, timeout=ANSWER_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared instead
    return http.client.HTTPSConnection(host, served.port, timeout=ANSWER_S, context=context)


def _certificate_of(connection: http.client.HTTPConnection) -> bytes | None:
    if isinstance(connection.sock, ssl.SSLSocket):
        return connection.sock.getpeercert(binary_form=True)
    return None


def _own(host: str) -> str:
    """Return the address by which this computer reaches ``host``; for 0.0.0.0 that is loopback."""
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not parsed.is_unspecified:
        return host
    return "127.0.0.1" if parsed.version == 4 else "::1"  # noqa: PLR2004
