"""Serving the page."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace

import uvicorn

from agent.console.access import Door
from agent.console.address import Address
from agent.console.app import Surroundings, create_app
from agent.errors import ConfigError


def serve(around: Surroundings, address: Address) -> None:
    """Serve the page at ``address`` until told to stop.

    Raises
    ------
    ConfigError
        If the address asks for TLS, sign-in or a user that is not there, or is in use.
    """
    certificate = address.checked_certificate(around.clock())
    if address.needs_sign_in and not around.store.queries.user_roles():
        raise ConfigError(
            f"{address.url} is for named users, and there is none",
            hint="`bleedwatch user add NAME --role technologist`",
        )
    door = Door(address.names(certificate), address.needs_sign_in, certificate is not None)
    with _listener(address.host, address.port) as listener:
        config = uvicorn.Config(
            create_app(replace(around, door=door)),
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,  # who asks is who is connected: a header could name anyone
            ssl_certfile=address.tls_certificate,
            ssl_keyfile=address.tls_key,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = "another console may be running; set console.port to a free one"
        if error.errno != errno.EADDRINUSE:
            hint = "set console.host and console.port to what this computer can serve"
        raise ConfigError(f"console: {host}:{port}: {error.strerror}", hint=hint) from error
    return listener
