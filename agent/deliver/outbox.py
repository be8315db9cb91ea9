"""Which channels carry a result.

The console is a *pull* channel: the result and its outbox entry are committed in one transaction,
the page finds them in the store, and the receipt is written when a page has confirmed that it shows
them. A restart of either process between the two loses nothing.
"""

from __future__ import annotations

from typing import Final

from agent.report import SeriesReport

CONSOLE: Final = "console"


def channels_for(_report: SeriesReport) -> tuple[str, ...]:
    """Name the channels that a result goes to: the console gets every one."""
    return (CONSOLE,)
