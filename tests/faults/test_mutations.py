"""Files changed at random: each is refused with a reason or read as pydicom reads it, soon."""

from __future__ import annotations

import gc
import os
import random
import time
import warnings
from collections import Counter
from pathlib import Path
from re import fullmatch

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from agent.assemble.decoder import DecoderProcess
from agent.assemble.dicom_file import ReadSlice, read_slices
from agent.assemble.limits import ReadLimits
from agent.errors import FileRefused
from tests.agent.box import Box
from tests.faults.conftest import Row
from tests.heads import SEEING_BUNDLE, SeeingBackend
from tests.phantoms import slice_dataset, write, write_enhanced

SYNTAXES = [
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian, RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless,
    JPEGLSNearLossless, JPEG2000Lossless, JPEG2000,
]  # fmt: skip

MOST_WORK_S = 2.0  # of processor time on one file, whatever else the machine does
GROWTH_MB = 64.0
WARMING_UP = 300
HEADER_BYTES = 1500
SMALLEST_BYTES = 150


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """One file of every transfer syntax, and Enhanced ones, all with nested sequences."""
    folder = tmp_path_factory.mktemp("originals")
    inner, outer = Dataset(), Dataset()
    inner.CodeMeaning = "Head"
    outer.PurposeOfReferenceCodeSequence, outer.ReferencedSOPInstanceUID = [inner, inner], "1.2.3"
    contents = []
    for n, syntax in enumerate(SYNTAXES):
        image = slice_dataset(n, len(SYNTAXES), ReferencedImageSequence=[outer, outer])
        image["ReferencedImageSequence"].is_undefined_length = bool(n % 2)
        write(image, folder / "classic", syntax)
        contents.append((folder / "classic").read_bytes())
        if syntax not in (ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000):
            write_enhanced(folder / "enhanced", 3, transfer_syntax=syntax, size=32)
            contents.append((folder / "enhanced").read_bytes())
    return contents


def mutated(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Change a file in one of the ways in which files are broken, once or more often."""
    way = chance.choice(list(WAYS))
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        if len(changed) > SMALLEST_BYTES:
            WAYS[way](changed, chance)
    return way, bytes(changed)


def flip_header(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(min(HEADER_BYTES, len(content)))] ^= 1 << chance.randrange(8)


def flip_anywhere(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] = chance.randrange(256)


def change_length(content: bytearray, chance: random.Random) -> None:
    """Overwrite what may be a length: two or four bytes after a value representation."""
    at = chance.randrange(132, max(133, min(HEADER_BYTES, len(content) - 8)))
    found = [content.find(vr, at) for vr in (b"UI", b"DS", b"LO", b"SQ", b"OW", b"OB", b"US")]
    at = min((n for n in found if n > 0), default=at) + chance.choice([2, 4])
    value = chance.choice([0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
    size = chance.choice([2, 4])
    content[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def nest_sequences(content: bytearray, chance: random.Random) -> None:
    """Open sequences within sequences that are never closed."""
    opening = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = chance.randrange(132, max(133, min(HEADER_BYTES, len(content))))
    content[at:at] = opening * chance.choice([1, 10, 400, 3000])


def truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def cut_out(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    del content[at : at + chance.randrange(1, 64)]


def insert(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    content[at:at] = chance.randbytes(chance.randrange(1, 64))


def zero(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    n = chance.randrange(1, 4096)
    content[at : at + n] = bytes(len(content[at : at + n]))


WAYS = {
    "header bytes flipped": flip_header,
    "bytes changed": flip_anywhere,
    "lengths changed": change_length,
    "sequences nested": nest_sequences,
    "truncated": truncate,
    "bytes cut out": cut_out,
    "bytes put in": insert,
    "zeros": zero,
}


@pytest.mark.timeout(300)
def test_mutated_files(originals: list[bytes], tmp_path: Path, row: Row) -> None:
    n_files = row.amount(20_000, 1_000)
    chance, decoder, path = random.Random(5), DecoderProcess(), tmp_path / "mutated"
    came: Counter[str] = Counter()
    longest_s, longest_way, agreed, memory_mb = 0.0, "", 0, 0.0

    for n in range(n_files):
        way, content = mutated(chance.choice(originals), chance)
        path.write_bytes(content)
        began_s = time.process_time()
        try:
            slices = read_slices(path, ReadLimits(), decode=decoder.decode)
            end = "read"
        except FileRefused as refused:
            slices, end = (), type(refused).__name__
        took_s = time.process_time() - began_s
        came[end] += 1
        if took_s > longest_s:
            longest_s, longest_way = took_s, way
        agreed += check_against_pydicom(path, slices)
        if n == WARMING_UP:
            memory_mb = resident_mb()

    grown_mb = resident_mb() - memory_mb
    row.tell(
        f"mutations: {n_files} files, {dict(came)}, {agreed} read by pydicom too and alike, "
        f"most work {longest_s:.2f} s ({longest_way}), memory grown by {grown_mb:.0f} MB"
    )
    assert longest_s < MOST_WORK_S
    assert grown_mb < GROWTH_MB


def check_against_pydicom(path: Path, slices: tuple[ReadSlice, ...]) -> bool:
    """Compare a classic image with what pydicom makes of it, where it makes anything of it."""
    if len(slices) != 1 or ".frame" in slices[0].header.sop_uid:
        return False
    ((header, hu),) = slices
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            image = dcmread(path)
            stored = image.pixel_array
            hu_there = stored * float(image.RescaleSlope) + float(image.RescaleIntercept)
            position = tuple(map(float, image.ImagePositionPatient))
            ours = (header.sop_uid, header.series_uid, header.position_lps_mm)
            uid = image.SOPInstanceUID if fullmatch(r"[0-9.]+", image.SOPInstanceUID) else None
            uid = uid or image.file_meta.MediaStorageSOPInstanceUID  # what else names the image
            there = (uid, image.SeriesInstanceUID, position)
    except Exception:  # noqa: BLE001 - it believes more or less than we do
        return False
    assert ours == there
    if image.BitsStored == image.BitsAllocated:
        np.testing.assert_array_equal(hu, np.clip(np.rint(hu_there), -32768, 32767))
    return True


def test_mutated_files_end_by_name_in_an_agent(
    originals: list[bytes], tmp_path: Path, row: Row
) -> None:
    n_files = row.amount(2_000, 150)
    chance = random.Random(6)
    box = Box(tmp_path / "store.sqlite", SEEING_BUNDLE, SeeingBackend(SEEING_BUNDLE, score=0.1))
    paths = []
    for n in range(n_files):
        paths.append(tmp_path / f"{n}.dcm")
        paths[-1].write_bytes(mutated(chance.choice(originals), chance)[1])

    not_whole = box.agent.intake.read_once(map(box.arrival, paths))
    box.work()

    read = {one["path"] for one in box.store.sql("SELECT path FROM files WHERE refusal IS NULL")}
    named = {
        one["path"] for one in box.store.sql("SELECT path FROM files WHERE refusal IS NOT NULL")
    }
    waited_for = {str(path) for path in not_whole}
    row.tell(
        f"mutations in an agent: {n_files} files: {len(waited_for)} not whole, {len(read)} in "
        f"{len(box.reports())} series that ended by name, {len(named)} named"
    )
    assert read | named | waited_for == {str(path) for path in paths}
    assert read.isdisjoint(named | waited_for)
    assert box.store.queries.unfinished() == []


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
