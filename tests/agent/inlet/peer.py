"""A sender that keeps to no rule but its own: it writes PDUs by hand."""

from __future__ import annotations

import io
import socket
import struct
from contextlib import suppress
from types import TracebackType

from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from typing_extensions import Self

from tests.agent.inlet.dcmtk import Inlet
from tests.phantoms import slice_dataset

DATA_SET_FOLLOWS = 1
C_STORE_RQ = 0x0001


def encoded_slice(**tags: object) -> bytes:
    """Write a slice as explicit little-endian elements, without meta information."""
    file = DicomFileLike(io.BytesIO())
    file.is_implicit_VR, file.is_little_endian = False, True
    write_dataset(file, slice_dataset(**tags))
    return bytes(file.parent.getvalue())


class Line:
    """A connection on which nothing is said yet."""

    def __init__(self, inlet: Inlet) -> None:
        self.socket = socket.create_connection(("127.0.0.1", inlet.settings.port))
        self.socket.settimeout(30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def is_closed(self) -> bool:
        """Return once the inlet hangs up."""
        with suppress(ConnectionError):
            while self.socket.recv(1000):
                pass
        return True


class Peer(Line):
    """An association for CT images in presentation context 1, agreed on."""

    def __init__(self, inlet: Inlet) -> None:
        super().__init__(inlet)
        self.pdu(1, _associate_request())
        assert self._read_pdu()[0] == 2, "it was not accepted"

    def pdu(self, kind: int, content: bytes) -> None:
        self.socket.sendall(struct.pack(">BBL", kind, 0, len(content)) + content)

    def piece(self, content: bytes, *, last: bool, command: bool = False) -> None:
        """Send a P-DATA-TF of one fragment."""
        header = (1 if command else 0) | (2 if last else 0)
        self.pdu(4, struct.pack(">LBB", len(content) + 2, 1, header) + content)

    def command(self, sop_uid: str, data_set: int = DATA_SET_FOLLOWS) -> None:
        """Send the command of a C-STORE request."""
        elements = (
            _element(0x0002, _uid(CTImageStorage))
            + _element(0x0100, struct.pack("<H", C_STORE_RQ))
            + _element(0x0110, struct.pack("<H", 7))
            + _element(0x0700, struct.pack("<H", 0))
            + _element(0x0800, struct.pack("<H", data_set))
            + _element(0x1000, _uid(sop_uid))
        )
        group = _element(0x0000, struct.pack("<L", len(elements)))
        self.piece(group + elements, last=True, command=True)

    def store(self, sop_uid: str, content: bytes) -> None:
        """Send a whole C-STORE request."""
        self.command(sop_uid)
        self.piece(content, last=True)

    def status(self) -> int:
        """Return the status of the next response."""
        kind, content = self._read_pdu()
        assert kind == 4, "it was no response"
        at = content.index(struct.pack("<HHL", 0, 0x0900, 2)) + 8
        return int(struct.unpack_from("<H", content, at)[0])

    def _read_pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBL", self._read(6))
        return kind, self._read(length)

    def _read(self, n_bytes: int) -> bytes:
        content = b""
        while len(content) < n_bytes:
            more = self.socket.recv(n_bytes - len(content))
            assert more, "it hung up"
            content += more
        return content


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _associate_request() -> bytes:
    context = (
        bytes([1, 0, 0, 0])
        + _item(0x30, CTImageStorage.encode())
        + _item(0x40, ExplicitVRLittleEndian.encode())
    )
    user = _item(0x51, struct.pack(">L", 16384)) + _item(0x52, b"1.2.3.4")
    return (
        struct.pack(">HH", 1, 0)
        + b"BLEEDWATCH".ljust(16)
        + b"CT1".ljust(16)
        + bytes(32)
        + _item(0x10, b"1.2.840.10008.3.1.1.1")
        + _item(0x20, context)
        + _item(0x50, user)
    )
