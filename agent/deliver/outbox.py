"""Which channels a result is delivered to. Pure.

The console is a *pull* channel: the result and its outbox entry are committed in one transaction,
the page reads them from the store, and the receipt is written when a page has confirmed that it
shows them. All others are entries that ``bleedwatch deliver run`` sends, in a process of its own. A
restart of any process in between loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.deliver.settings import Archive, SendingChannel
from agent.exam import NEEDS_NOBODY, OTHER_VIEWS
from agent.records import State, is_test
from agent.report import SeriesReport

CONSOLE: Final = "console"

OWN_CHANNELS: Final = frozenset({CONSOLE, "escalation"})
"""Channels that no configuration names."""


@dataclass(frozen=True, slots=True)
class EarlierDeliveries:
    """Channels that were sent a result of the series before, or a suspicion of its study."""

    of_series: frozenset[str] = frozenset()
    of_suspicion_beside: frozenset[str] = frozenset()


def channels_for(
    report: SeriesReport, channels: Sequence[SendingChannel], earlier: EarlierDeliveries
) -> tuple[str, ...]:
    """Return the channels that a result is delivered to: the console always, a test nowhere else.

    A channel that was told of a series is sent what becomes of it, whatever it is told otherwise;
    so is one that was told of a suspicion in another series of the study where this one suspects
    nothing. Of a series that nobody needs analysed no channel is told.
    """
    if is_test(report.series_uid):
        return (CONSOLE,)
    needed = report.code not in NEEDS_NOBODY | OTHER_VIEWS
    follows = earlier.of_series
    if report.state == State.NOT_SUSPECTED.value:
        follows |= earlier.of_suspicion_beside
    sent = (
        one.name for one in channels if one.name in follows or (needed and report.state in one.tell)
    )
    return (CONSOLE, *sent)


def signed_to(channels: Sequence[SendingChannel]) -> tuple[str, ...]:
    """Return the channels that are sent what radiologists sign."""
    return tuple(one.name for one in channels if isinstance(one, Archive) and one.signs)
