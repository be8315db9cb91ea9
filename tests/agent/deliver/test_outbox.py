"""agent.deliver.outbox: who is told of a result, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from agent.deliver.outbox import EarlierDeliveries, channels_for
from agent.deliver.settings import DicomChannel
from agent.reasons import Reason, plain
from tests.agent.reports import not_analysed, not_suspected, report

pytestmark = pytest.mark.slow

SOME = DicomChannel(name="some", host="h", ae_title="A")
ALL = DicomChannel(
    name="all", host="h", ae_title="A", tell=("suspected", "not_suspected", "not_analysed")
)

BONE = report(
    "1.2",
    state="not_analysed",
    **plain(Reason("bone_kernel", kernel="B70", profile="generic-head")),
    score=None,
    findings=(),
    total_volume_ml=None,
)
NOTHING = EarlierDeliveries()
OF_SERIES = EarlierDeliveries(of_series=frozenset({"console", "some"}))
BESIDE = EarlierDeliveries(of_suspicion_beside=frozenset({"console", "some"}))


@pytest.mark.parametrize(
    ("result", "earlier", "channels"),
    [
        (report("1.2"), NOTHING, ("some", "all")),
        (not_suspected("1.2"), NOTHING, ("all",)),
        (not_analysed("1.2"), NOTHING, ("all",)),
        (BONE, NOTHING, ()),
        (not_suspected("1.2"), OF_SERIES, ("some", "all")),
        (not_analysed("1.2"), OF_SERIES, ("some", "all")),
        (BONE, OF_SERIES, ("some",)),
        (not_suspected("1.2"), BESIDE, ("some", "all")),
        (not_analysed("1.2"), BESIDE, ("all",)),
        (BONE, BESIDE, ()),
        (report("TEST.1.2"), NOTHING, ()),
    ],
)
def test_who_is_told(result: Any, earlier: EarlierDeliveries, channels: tuple[str, ...]) -> None:
    assert channels_for(result, (SOME, ALL), earlier) == ("console", *channels)
