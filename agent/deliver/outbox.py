"""Which channels a result is delivered to. Pure.

The console is a *pull* channel: the result and its outbox entry are committed in one transaction,
the page reads them from the store, and the receipt is written when a page has confirmed that it
shows them. All others are entries that ``bleedwatch deliver run`` sends, in a process of its own. A
restart of any process in between loses nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from agent.deliver.settings import SendingChannel
from agent.records import is_test
from agent.report import SeriesReport

CONSOLE: Final = "console"

OWN_CHANNELS: Final = frozenset({CONSOLE, "escalation"})
"""Channels that no configuration names."""

OTHER_SERIES: Final = frozenset(
    {
        "bone_kernel",
        "bone_series",
        "contrast_given",
        "contrast_seen",
        "contrast_series",
        "localizers_only",
        "not_head",
        "not_original_axial",
        "not_plain_head",
    }
)
"""Why a series is none that anybody expects an answer for: no archive is told of it."""


def channels_for(
    report: SeriesReport,
    channels: Sequence[SendingChannel],
    told: Collection[str],
) -> tuple[str, ...]:
    """Return the channels that a result is delivered to: the console always, a test nowhere else.

    ``told`` are the channels that an earlier result of the series went to: these are sent what
    becomes of it, whatever they are told otherwise.
    """
    if is_test(report.series_uid):
        return (CONSOLE,)
    if report.code in OTHER_SERIES:
        return (CONSOLE, *(one.name for one in channels if one.name in told))
    sent = (one.name for one in channels if report.state in one.tell or one.name in told)
    return (CONSOLE, *sent)
