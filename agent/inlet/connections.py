"""Connections as the inlet takes them: from known addresses, so many at once, in bounded pieces."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final, TypeAlias, cast

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer
from structlog.typing import FilteringBoundLogger

from agent.inlet.settings import InletSettings

Connection: TypeAlias = Any
"""A socket; socketserver calls it so for datagrams too."""

Peer: TypeAlias = Any
"""Address and port, and of IPv6 two more."""

LONGEST_PDU_BYTES: Final = 1024 * 1024
"""A PDU that says that it is longer ends its association: pynetdicom would read it into memory
whole, up to 4 GiB. Ours: four times what the inlet asks its senders for."""

WAITING: Final = 8
"""So many connections beyond the associations may be open, on which none was asked for yet."""

HANDSHAKE_S: Final = 10.0
"""TLS is agreed on within this time [s]. Ours."""


class BoundedSocket(AssociationSocket):
    """A connection that reads no PDU of any length, and reads fast.

    pynetdicom takes 4 kB at a time and grows a buffer: half of the time that a slice takes.
    """

    def __init__(self, taken: AssociationSocket) -> None:
        """Take over an association's connection."""
        self.__dict__.update(taken.__dict__)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer where the connection ends before.

        Raises
        ------
        OSError
            They are more than any PDU has.
        """
        if nr_bytes > LONGEST_PDU_BYTES:
            raise OSError("a PDU longer than any that was agreed on")
        content = bytearray(nr_bytes)
        view, n_read = memoryview(content), 0
        while self.socket and n_read < nr_bytes:
            n_more = self.socket.recv_into(view[n_read:])
            if not n_more:
                break
            n_read += n_more
        return content[:n_read] if n_read < nr_bytes else content


class InletHandler(RequestHandler):
    """Begins an association on a bounded connection."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        if association.dul.socket:
            association.dul.socket = BoundedSocket(association.dul.socket)
        return association


class InletServer(ThreadedAssociationServer):
    """Takes connections from senders' addresses; TLS is agreed on in each connection's thread."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        entity: ApplicationEntity,
        settings: InletSettings,
        tls: ssl.SSLContext | None,
        handlers: list[evt.EventHandlerType],
        log: FilteringBoundLogger,
    ) -> None:
        """Bind the address; ``handlers`` answer what comes."""
        self._settings = settings
        self._log = log
        super().__init__(
            entity,
            (settings.host, settings.port),
            settings.ae_title,
            entity.supported_contexts,
            tls,
            handlers,
            InletHandler,
        )

    def get_request(self) -> tuple[socket.socket, Peer]:
        """Accept a connection; small answers are not held back to be sent with others."""
        request, address = cast("socket.socket", self.socket).accept()
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return request, address

    def verify_request(self, request: Connection, client_address: Peer) -> bool:  # noqa: ARG002
        """Let in whom the configuration names, and no more at once than it says."""
        address = client_address[0]
        if not any(sender.is_at(address) for sender in self._settings.senders):
            self._log.warning("inlet_address_unknown", address=address)
            return False
        if len(self.active_associations) >= self._settings.limits.associations + WAITING:
            self._log.warning("inlet_connections_taken", address=address)
            return False
        return True

    def finish_request(self, request: Connection, client_address: Peer) -> None:
        """Begin an association, over TLS where that is configured."""
        if self.ssl_context:
            request.settimeout(HANDSHAKE_S)
            request = self.ssl_context.wrap_socket(request, server_side=True)
        request.settimeout(self.ae.network_timeout)
        super().finish_request(request, client_address)

    def handle_error(self, request: Connection, client_address: Peer) -> None:  # noqa: ARG002
        """Tell of a connection that came to nothing."""
        self._log.warning("inlet_connection_failed", address=client_address[0], exc_info=True)
