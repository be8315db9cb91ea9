"""Sending images by C-STORE, as a scanner does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Final

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.status import code_to_category

from agent.errors import ConfigError, RequestRefused

CALLING_AE_TITLE: Final = "SIMULATOR"
"""Ours: whom the receiver must let in."""


@contextmanager
def storing(to: str, images: Sequence[bytes]) -> Iterator[Callable[[bytes], None]]:
    """Hold an association with ``AE@HOST:PORT`` for ``images``; yields what sends one of them.

    Raises
    ------
    ConfigError
        The address is none, or a file is not DICOM.
    RequestRefused
        There is no association, or an image is not taken.
    """
    ae_title, host, port = _address(to)
    ae = AE(CALLING_AE_TITLE)
    for sop_class, syntax in sorted({_context(_read(image)) for image in images}):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate(host, port, ae_title=ae_title)
    if not association.is_established:
        raise RequestRefused("receiver_not_reached", to=to, calling=CALLING_AE_TITLE)
    try:
        yield lambda image: _store(association, to, _read(image))
    finally:
        association.release()


def _address(to: str) -> tuple[str, str, int]:
    ae_title, _, address = to.rpartition("@")
    host, _, port = address.rpartition(":")
    if not (ae_title and host and port.isdecimal()):
        raise ConfigError("no_receiver", to=to)
    return ae_title, host, int(port)


def _read(image: bytes) -> FileDataset:
    try:
        return pydicom.dcmread(BytesIO(image))
    except InvalidDicomError as error:
        raise ConfigError("file_not_sendable") from error


def _context(image: FileDataset) -> tuple[str, str]:
    """Name the class and the transfer syntax of an image: it is sent as it is."""
    return str(image.SOPClassUID), str(image.file_meta.TransferSyntaxUID)


def _store(association: Association, to: str, image: FileDataset) -> None:
    answer = association.send_c_store(image)
    status = answer.get("Status")
    if status is None:
        raise RequestRefused("receiver_not_reached", to=to, calling=CALLING_AE_TITLE)
    if code_to_category(status) not in ("Success", "Warning"):
        why = f"0x{status:04X} {answer.get('ErrorComment', '')}".strip()
        raise RequestRefused("image_not_taken", to=to, why=why)
