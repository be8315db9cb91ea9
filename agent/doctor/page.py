"""Checks of the console: does its page answer, and is its certificate valid."""

from __future__ import annotations

import http.client
import ssl
from datetime import timedelta
from typing import Final

from agent.certificate import Certificate
from agent.console.address import Address, own_address
from agent.doctor.journal import address
from agent.doctor.result import Box, CheckResult, note, well, wrong

ANSWER_S: Final = 5.0
"""How long the page may take to answer [s]."""


EXPIRES_SOON: Final = timedelta(days=30)
"""Within this time of its expiry a certificate gets a note: a new one takes weeks. Ours."""


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
        return wrong("page_silent", url=served.url, why=str(error))
    finally:
        connection.close()
    if not live:
        return wrong(
            "page_of_other_program", url=served.url, status=answer.status, port=served.port
        )
    if certificate and shown != certificate.der:
        return wrong("page_certificate_old", url=served.url, path=str(certificate.path))
    return well("page_served", url=served.url)


def certificate(box: Box) -> CheckResult:
    """Check that the page's certificate is valid, and stays so for some time."""
    served = address(box).checked_certificate(box.now)
    if served is None:
        return well("certificate_not_needed")
    until, names = f"{served.until_utc:%Y-%m-%d}", ", ".join(served.names)
    if served.until_utc - box.now.utc < EXPIRES_SOON:
        return note("certificate_expires_soon", path=str(served.path), until=until, names=names)
    return well("certificate_valid", path=str(served.path), until=until, names=names)


def _connection(served: Address, certificate: Certificate | None) -> http.client.HTTPConnection:
    host = own_address(served.host)
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
