"""Compressed pixels in a process of their own: what crashes it is set aside, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from agent.assemble.decoder import DecoderProcess
from agent.assemble.dicom_file import ReadSlice, SliceRefused, read_slices
from agent.assemble.limits import ReadLimits
from tests.phantoms import phantom_hu, write_enhanced, write_series

pytestmark = pytest.mark.slow

COMPRESSED = [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless]

PLANTED = """
import os, signal, sys, time
from pathlib import Path
from agent.assemble import decoder
first = Path(sys.argv[1])
def first_time():
    new = not first.exists()
    first.touch()
    return new
{fault}
decoder.main()
"""

ABORTS = PLANTED.format(fault="os.abort()")
ABORTS_ONCE = PLANTED.format(fault="if first_time(): os.kill(os.getpid(), signal.SIGSEGV)")
FAILS = PLANTED.format(fault="decoder.decode_here = lambda *_: iter([])")
SPINS = PLANTED.format(
    fault="""
def spin(*_):
    while True: pass
    yield
decoder.LEAST_CPU_S, decoder.decode_here = 0.2, spin
"""
)
HALF_ANSWERS = PLANTED.format(
    fault="""
sys.stdin.buffer.readline()
print('{"dtype": "<u2"}', flush=True)
os.write(1, bytes(100))
os._exit(3)
"""
)


def planted(program: str, folder: Path) -> DecoderProcess:
    return DecoderProcess([sys.executable, "-c", program, str(folder / "was here")])


def read(path: Path, decoder: DecoderProcess) -> tuple[ReadSlice, ...]:
    return read_slices(path, ReadLimits(), decode=decoder.decode)


def images(folder: Path, syntax: str = JPEG2000Lossless, n: int = 2, **tags: object) -> list[Path]:
    return write_series(folder, n, transfer_syntax=syntax, **tags)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda uid: uid.keyword)
def test_another_process_decodes_as_this_one_does(tmp_path, syntax):
    decoder = DecoderProcess()

    for path in [*images(tmp_path, syntax), write_enhanced(tmp_path / "e", transfer_syntax=syntax)]:
        here, there = read_slices(path, ReadLimits()), read(path, decoder)
        assert [one.header for one in here] == [one.header for one in there]


@pytest.mark.parametrize(
    ("program", "how"),
    [(ABORTS, "SIGABRT"), (SPINS, "SIGPROF"), (HALF_ANSWERS, "code 3")],
    ids=["aborts", "never-ends", "stops-halfway"],
)
def test_a_file_that_ends_the_decoder_twice_is_set_aside_by_name(tmp_path, program, how):
    (path, _) = images(tmp_path)

    with pytest.raises(SliceRefused, match=rf"000.dcm: set aside: .* twice \({how}\)") as refused:
        read(path, planted(program, tmp_path))

    assert refused.value.owner.series_uid


def test_a_decoder_that_ended_once_is_started_again(tmp_path):
    paths, decoder = images(tmp_path), planted(ABORTS_ONCE, tmp_path)

    for k, path in enumerate(paths):
        np.testing.assert_array_equal(read(path, decoder)[0].hu, phantom_hu(k, 2))
    assert (tmp_path / "was here").exists()


def test_a_decoder_killed_between_two_files_is_started_again(tmp_path):
    paths, decoder = images(tmp_path), DecoderProcess()
    read(paths[0], decoder)
    decoder._process.kill()
    decoder._process.wait()

    np.testing.assert_array_equal(read(paths[1], decoder)[0].hu, phantom_hu(1, 2))


def test_pixels_that_cannot_be_decoded_leave_the_process_running(tmp_path):
    (path, _), decoder = images(tmp_path), planted(FAILS, tmp_path)

    for _ in range(2):
        with pytest.raises(SliceRefused, match="cannot be decoded"):
            read(path, decoder)
        pid, code = decoder._process.pid, decoder._process.poll()
        assert code is None
    assert decoder._process.pid == pid


def test_frames_left_over_from_one_file_are_not_those_of_the_next(tmp_path):
    refused = write_enhanced(tmp_path / "e", 3, transfer_syntax=JPEGLSLossless, RescaleSlope=0)
    (good, _), decoder = images(tmp_path, seed=5), DecoderProcess()

    with pytest.raises(SliceRefused, match="slope"):
        read(refused, decoder)

    np.testing.assert_array_equal(read(good, decoder)[0].hu, phantom_hu(0, 2, seed=5))


def test_a_decoder_does_not_outlive_its_reader(tmp_path):
    decoder = DecoderProcess()
    read(images(tmp_path)[0], decoder)
    process = decoder._process

    del decoder

    assert process.wait(10) < 0


def test_uncompressed_files_start_no_process(tmp_path):
    decoder = DecoderProcess()

    read(write_series(tmp_path, 1)[0], decoder)

    assert decoder._process is None
