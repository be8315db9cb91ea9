"""Which objects are taken, by what they say of themselves; each refusal has its DICOM status."""

from __future__ import annotations

import zlib
from struct import pack
from typing import Final

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from agent.assemble.elements import Malformed, walk
from agent.assemble.encoding import MAGIC, PREAMBLE_BYTES, encoding_at
from agent.assemble.header import uid_of
from agent.reasons import Reason
from agent.records import STORABLE_UID

SUCCESS: Final = 0x0000

OF_DRAWINGS: Final = {
    "drawing_unreadable": 0xC000,
    "drawing_compressed": 0xC000,
    "drawing_of_other_kind": 0xC000,
    "drawing_counts_wrong": 0xC000,
    "drawing_frames_unnamed": 0xC000,
    "drawing_empty": 0xC000,
    "drawing_of_unknown_series": 0xA900,
    "drawing_of_other": 0xA900,
    "drawing_frames_unknown": 0xA900,
    "drawing_frames_elsewhere": 0xA900,
    "drawing_of_uneven": 0xA900,
    "drawing_is_ours": 0xA900,
    "drawing_too_large": 0xA700,
    "drawing_not_stored": 0xA700,
}
"""Of segmentations that people drew, likewise; those concern no image."""

STATUSES: Final = OF_DRAWINGS | {
    "object_of_other_kind": 0x0122,  # SOP class not supported
    "object_uid_unfit": 0x0117,  # invalid SOP instance
    "object_not_as_announced": 0xA900,  # data set does not match SOP class
    "object_unreadable": 0xC000,  # cannot understand
    "object_too_large": 0xA700,  # out of resources, as are the following
    "inlet_memory_taken": 0xA700,
    "inlet_disk_low": 0xA700,
    "inlet_quota_taken": 0xA700,
    "inlet_folder_unwritable": 0xA700,
}
"""Reason code → status of the C-STORE response. Source: PS3.4 table B.2-1, PS3.7 annex C."""

SEGMENTATIONS: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""Segmentation Storage, and Label Map Segmentation Storage. Source: PS3.4 table B.5-1."""

IMPLEMENTATION_UID: Final = "2.25.122722882543248175620158694259805967673"
"""Names this program in the files that it writes. From a random UUID, by PS3.5 annex B.2."""

SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
WANTED: Final = {tag: BaseTag(tag) for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID)}

BEGINNING_BYTES: Final = 64 * 1024
"""Of a deflated data set so much is inflated to find its UIDs [bytes]. Ours: they are among the
first ten elements."""


def why_not_taken(
    sop_class: str,
    sop_instance: str,
    syntax: str,
    data_set: bytes | memoryview,
    besides: frozenset[str] = frozenset(),
) -> Reason | None:
    """Say why an object is not taken, None if it is.

    ``sop_class`` and ``sop_instance`` are what the request says; the data set must say the same.
    ``besides`` are the classes that are taken beside images.
    """
    if not STORABLE_UID.fullmatch(sop_class) or not STORABLE_UID.fullmatch(sop_instance):
        return Reason("object_uid_unfit")
    if sop_class not in besides and not may_be_image(UID(sop_class)):
        return Reason("object_of_other_kind", sop_class=sop_class)
    image = _beginning(data_set, syntax)
    if image is None:
        return Reason("object_unreadable")
    if (uid_of(image, "SOPClassUID"), uid_of(image, "SOPInstanceUID")) != (sop_class, sop_instance):
        return Reason("object_not_as_announced")
    return None


def as_file(sop_class: str, sop_instance: str, syntax: str, data_set: bytes | memoryview) -> bytes:
    """Put file meta information before a data set, as it came.

    Written here, since pydicom takes a fifth of the time that a slice takes for it.

    Source: PS3.10 section 7.1; all of it is explicit little-endian.
    """
    elements = b"".join(
        (
            pack("<HH2s2xL", 2, 0x0001, b"OB", 2) + b"\0\1",
            _uid_element(0x0002, sop_class),
            _uid_element(0x0003, sop_instance),
            _uid_element(0x0010, syntax),
            _uid_element(0x0012, IMPLEMENTATION_UID),
        )
    )
    length = pack("<HH2sHL", 2, 0x0000, b"UL", 4, len(elements))
    return b"".join((bytes(PREAMBLE_BYTES), MAGIC, length, elements, data_set))


def _uid_element(number: int, uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return pack("<HH2sH", 2, number, b"UI", len(value)) + value


def may_be_image(sop_class: UID) -> bool:
    """Return whether a class is one of the standard's images, or one that its tables do not know.

    Makers' own classes are among these: whether they hold images is the agent's to find.
    """
    return sop_class.name == str(sop_class) or "Image Storage" in sop_class.name


def _beginning(data_set: bytes | memoryview, syntax: str) -> Dataset | None:
    """Read the UIDs at the beginning of a data set, None where it is none."""
    try:
        if syntax == DeflatedExplicitVRLittleEndian:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS)
            data = inflated.decompress(data_set, BEGINNING_BYTES)
        else:
            data = bytes(data_set[:BEGINNING_BYTES])
        encoding = encoding_at(data, 0)
        if encoding is None:
            return None
        return walk(data, 0, WANTED, encoding, SOP_INSTANCE_UID + 1).image
    except (zlib.error, Malformed):
        return None
