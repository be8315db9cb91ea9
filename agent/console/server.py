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
        raise ConfigError("no_users", url=address.url)
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
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                "page_address_in_use", address=where, why=str(error.strerror)
            ) from error
        raise ConfigError("page_address_unfit", address=where, why=str(error.strerror)) from error
    return listener
