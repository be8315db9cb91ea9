"""Compressed pixels decoded in a process of their own, so that no file can take the agent down.

``python -m agent.assemble.decoder`` is that process. A request is one line of JSON and the encoded
bytes; the answer, for each frame, one line of JSON and its values. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from agent.assemble.header import Unusable
from agent.assemble.pixels import DecoderEnded, PixelFormat, decode_here

COMMAND: Final = (sys.executable, "-m", "agent.assemble.decoder")

MOST_CRASHES: Final = 2
"""A file on which the decoder's process ended this often is set aside. One time may have been the
machine's fault."""

LEAST_CPU_S: Final = 2.0
CPU_S_PER_MEGAPIXEL: Final = 1.0
"""Processor time that a frame may take to decode [s], and more of it for a large one: a hundred
times what JPEG 2000 needs. Ours."""

MEMORY_BYTES: Final = 2 * 1024**3
"""Address space of the process; the largest frame allowed needs a tenth. Ours."""

DTYPES: Final = frozenset({"|u1", "|i1", "<u2", "<i2"})


class DecoderProcess:
    """Starts the process when it is first needed, and again after a file has ended it."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        """Decode by ``command``; nothing is started yet."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._at_rest = True
        """No answer of it is outstanding: the next one that is read belongs to the next request."""
        self._end: Callable[[], object] = lambda: None

    def decode(self, encoded: bytes, form: PixelFormat) -> Iterator[NDArray[Any]]:
        """See ``pixels.Decode``; a file that ends the process is tried once more.

        Raises
        ------
        Unusable
            The frames cannot be decoded.
        DecoderEnded
            They ended the process each time.
        """
        n_given, ended = 0, ""
        for _ in range(MOST_CRASHES):
            try:
                for n, frame in enumerate(self._frames(encoded, form)):
                    if n == n_given:
                        n_given += 1
                        yield frame
            except _Ended as error:
                ended = str(error)
            else:
                return
        raise DecoderEnded("decoder_ended", how=ended)

    def close(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._process, self._at_rest = None, True

    def _frames(self, encoded: bytes, form: PixelFormat) -> Iterator[NDArray[Any]]:
        process = self._started()
        requests, answers = _pipes(process)
        self._at_rest = False
        try:
            requests.write(_request(encoded, form))
            requests.flush()
            for n_left in reversed(range(form.frames)):
                frame = _answer(answers, form)
                self._at_rest = frame is None or n_left == 0
                if frame is None:
                    raise Unusable("pixels_undecodable")
                yield frame
        except (BrokenPipeError, EOFError):
            code = process.wait()
            self.close()
            raise _Ended(signal.Signals(-code).name if code < 0 else f"code {code}") from None

    def _started(self) -> subprocess.Popen[bytes]:
        if not self._at_rest:  # its answers would be taken for those to this file
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a library may quote the file there, and so the patient
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            self._end = weakref.finalize(self, _end, self._process)
        return self._process


class _Ended(Exception):
    """The process ended instead of answering; says how."""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(BrokenPipeError):  # half a request may be left in it
        process.communicate()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    return cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)


def _request(encoded: bytes, form: PixelFormat) -> bytes:
    line = {
        "syntax": str(form.syntax),
        "rows": form.rows,
        "columns": form.columns,
        "frames": form.frames,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits_stored,
        "signed": form.signed,
        "n_bytes": len(encoded),
    }
    return json.dumps(line).encode() + b"\n" + encoded


def _answer(answers: IO[bytes], form: PixelFormat) -> NDArray[Any] | None:
    """Read one frame, None where it could not be decoded."""
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    name = json.loads(line)["dtype"]
    if name not in DTYPES:
        return None
    dtype, n_values = np.dtype(name), form.rows * form.columns
    values = answers.read(n_values * dtype.itemsize)
    if len(values) < n_values * dtype.itemsize:
        raise EOFError
    return np.frombuffer(values, dtype).reshape(form.rows, form.columns)


def main() -> None:
    """Answer requests until there are no more. A frame that takes too long ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := requests.readline():
        request = json.loads(line)
        encoded = requests.read(request.pop("n_bytes"))
        form = PixelFormat(UID(request.pop("syntax")), **request)
        _respond(answers, decode_here(encoded, form), form)


def _respond(answers: IO[bytes], frames: Iterator[NDArray[Any]], form: PixelFormat) -> None:
    cpu_s = LEAST_CPU_S + CPU_S_PER_MEGAPIXEL * form.rows * form.columns / 1e6
    try:
        for _ in range(form.frames):
            signal.setitimer(signal.ITIMER_PROF, cpu_s)  # its signal ends the process
            values = np.ascontiguousarray(next(frames))
            signal.setitimer(signal.ITIMER_PROF, 0)
            answers.write(json.dumps({"dtype": values.dtype.str}).encode() + b"\n")
            answers.write(values.tobytes())
            answers.flush()
    except Exception:  # noqa: BLE001 - told to the agent, which refuses the file
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps({"dtype": None}).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
