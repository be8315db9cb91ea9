"""The log, for whoever maintains the box. Nothing that a patient depends on is only logged.

Series are named by their UID; durations end in ``_s``. There is no patient data: neither texts from
headers, nor names of files, which scanners may derive from patients' names.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from typing import TextIO, cast

import structlog
from structlog.typing import ExcInfo, FilteringBoundLogger

from agent.reasons import Reason


class LogStream:
    """A stream like stderr, except that a failure to write raises nothing.

    ``problem`` is why the last line could not be written, None when all is well.
    """

    def __init__(self, descriptor: int = 2) -> None:
        """Write to a file descriptor, by default stderr's."""
        self._descriptor = descriptor
        self._line = ""
        self.problem: Reason | None = None

    def write(self, text: str) -> None:
        """Buffer text until ``flush``."""
        self._line += text

    def flush(self) -> None:
        """Write what is buffered; where that fails it is lost, and ``problem`` says so."""
        line, self._line = self._line.encode(errors="backslashreplace"), ""
        try:
            cut_off = os.write(self._descriptor, line) < len(line)
            self.problem = Reason("log_cut_off") if cut_off else None
        except OSError as error:
            self.problem = Reason("log_unwritable", why=str(error.strerror))


def traceback_without_words(exc_info: ExcInfo) -> str:
    """Format an exception and its causes as types and stack frames, without their messages.

    A message may quote an image's header; only those of the operating system are kept.
    """
    error: BaseException | None = exc_info[1]
    lines = []
    while error is not None:
        words = f": {error.strerror}" if isinstance(error, OSError) else ""
        lines.append(
            "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + words
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nraised from\n".join(lines)


def open_log(stream: LogStream, *, json: bool, level: int = logging.INFO) -> FilteringBoundLogger:
    """Open the log: JSON lines for a journal, aligned text for a person."""
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(cast("TextIO", stream)),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(traceback_without_words),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log


def speak_by_log_alone(log: FilteringBoundLogger) -> None:
    """Have this process say nothing beside its log: what libraries warn of quotes headers.

    A thread that ends by an exception is told in the log as well.
    """
    warnings.simplefilter("ignore")
    threading.excepthook = lambda died: log.error(
        "thread_died", exc_info=(died.exc_type, died.exc_value, died.exc_traceback)
    )
