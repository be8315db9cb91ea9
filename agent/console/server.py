"""Serving the page."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import replace

import uvicorn

from agent.console.app import Surroundings, create_app
from agent.errors import ConfigError


def serve(around: Surroundings, address: tuple[str, int]) -> None:
    """Serve the page at ``address`` until told to stop.

    Raises
    ------
    ConfigError
        If the address is not this computer's own loopback, or is in use.
    """
    host, port = address
    if not is_loopback(host):
        raise ConfigError(
            f"console.host {host}: only a loopback address is served, since nobody signs in yet",
            hint="set console.host to 127.0.0.1 and view the page on this computer",
        )
    with _listener(host, port) as listener:
        config = uvicorn.Config(
            create_app(replace(around, hosts=(*around.hosts, host))),
            log_level="warning",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
