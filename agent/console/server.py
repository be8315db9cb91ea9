"""The console's HTTP server."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvicorn

from agent.console.address import Address, own_address
from agent.console.app import Context, create_app
from agent.console.authorization import AccessPolicy
from agent.errors import ConfigError

ANSWERS_WITHIN_S: Final = 2.0
"""How long what serves at the address already has to say what it is. Ours."""


def serve(context: Context, address: Address) -> None:
    """Serve the page at ``address`` until told to stop.

    Raises
    ------
    ConfigError
        If TLS, sign-in or a user is required and missing, or the address cannot be bound.
    """
    certificate = address.checked_certificate(context.clock())
    if address.needs_sign_in and not context.store.queries.user_roles():
        raise ConfigError("no_users", url=address.url)
    policy = AccessPolicy(
        address.hosts(certificate), address.needs_sign_in, certificate is not None
    )
    with _listener(address) as listener:
        context.log.info("serving", url=address.url)
        config = uvicorn.Config(
            create_app(replace(context, policy=policy)),
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,  # the peer is the client: any client can set X-Forwarded-For
            ssl_certfile=address.tls_certificate,
            ssl_keyfile=address.tls_key,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listener(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        where, why = f"{address.host}:{address.port}", str(error.strerror)
        if error.errno != errno.EADDRINUSE:
            raise ConfigError("page_address_unfit", address=where, why=why) from error
        if _serves_page(address):
            raise ConfigError("page_served_already", address=where) from error
        raise ConfigError("page_address_in_use", address=where, why=why) from error
    return listener


def _serves_page(address: Address) -> bool:
    """Say whether a Bleedwatch page is served there, with TLS or without."""
    own = replace(address, host=own_address(address.host))
    return any(_is_page(replace(own, tls_certificate=path).url) for path in (None, Path()))


def _is_page(url: str) -> bool:
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(  # noqa: S310 - http or https
            url, timeout=ANSWERS_WITHIN_S, context=unverified
        ) as answer:
            return b"Bleedwatch</title>" in answer.read()
    except (OSError, http.client.HTTPException):
        return False
