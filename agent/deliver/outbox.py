"""Which channels a result is delivered to.

The console is a *pull* channel: the result and its outbox entry are committed in one transaction,
the page reads them from the store, and the receipt is written when a page has confirmed that it
shows them. A restart of either process in between loses nothing.
"""

from __future__ import annotations

from typing import Final

from agent.report import SeriesReport

CONSOLE: Final = "console"


def channels_for(_report: SeriesReport) -> tuple[str, ...]:
    """Return the channels that a result is delivered to: the console, always."""
    return (CONSOLE,)
