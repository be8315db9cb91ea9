"""The console's HTTP server."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace

import uvicorn

from agent.console.address import Address
from agent.console.app import Context, create_app
from agent.console.authorization import AccessPolicy
from agent.errors import ConfigError


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
    with _listener(address.host, address.port) as listener:
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
