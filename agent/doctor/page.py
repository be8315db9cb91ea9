"""The console: does its page answer, and by a certificate that browsers will take."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from datetime import timedelta
from typing import Final

from agent.console.address import Address
from agent.console.certificate import Certificate
from agent.doctor.journal import address
from agent.doctor.verdict import Box, Verdict, note, well, wrong

ANSWER_S: Final = 5.0
"""How long the page may take to answer [s]."""


EXPIRES_SOON: Final = timedelta(days=30)
"""A certificate with less to go is worth a word: to have one made takes its time. Ours."""

START: Final = "`systemctl start bleedwatch-console`, `journalctl -u bleedwatch-console -n 9`"


def console(box: Box) -> Verdict:
    """Check that the console's page is served, and that it can read the store.

    Whoever serves it is asked for the configured certificate, not for one that is trusted here: its
    issuer is known to the browsers, and need not be known to this computer.
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


def certificate(box: Box) -> Verdict:
    """Check that the page's certificate is valid, and will be for some time."""
    found = address(box).checked_certificate(box.now)
    if found is None:
        return well("none is needed: the page is served to this computer alone")
    told = f"{found.path} is valid until {found.until_utc:%Y-%m-%d}, for {', '.join(found.names)}"
    if found.until_utc - box.now.utc < EXPIRES_SOON:
        return note(told, "have the next one made; then `systemctl restart bleedwatch-console`")
    return well(told)


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
    """Return where this computer finds a page that is served at ``host``: 0.0.0.0 is anywhere."""
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not parsed.is_unspecified:
        return host
    return "127.0.0.1" if parsed.version == 4 else "::1"  # noqa: PLR2004
