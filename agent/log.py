"""The log: facts for who looks after the box. Nothing that a patient depends on is only here."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger


class LogStream:
    """stderr, but for one thing: a log that cannot be written ends nothing else.

    ``problem`` is why the last line could not be written, None when all is well.
    """

    def __init__(self, descriptor: int = 2) -> None:
        """Write to an open file; by itself, to stderr."""
        self._descriptor = descriptor
        self._line = ""
        self.problem: str | None = None

    def write(self, text: str) -> None:
        """Take text in; it is written when it is flushed."""
        self._line += text

    def flush(self) -> None:
        """Write what was taken in. What cannot be written is lost, and said to be."""
        line, self._line = self._line.encode(errors="backslashreplace"), ""
        try:
            cut_off = os.write(self._descriptor, line) < len(line)
            self.problem = "the log cannot be written: cut off" if cut_off else None
        except OSError as error:
            self.problem = f"the log cannot be written: {error.strerror}"


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
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log
