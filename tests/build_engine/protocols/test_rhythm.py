"""When files' times are an export's rhythm, and when they are not."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from build_engine.protocols.rhythm import Rhythm, rhythm_of

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp()
DAY = date(2026, 11, 23)


def every(pause_s, n=20):
    return [NOON + k * pause_s for k in range(n)]


def test_a_steady_export_is_known():
    rhythm = rhythm_of(every(0.05), DAY)

    assert isinstance(rhythm, Rhythm)
    assert rhythm.n_files == 20
    assert rhythm.usual_pause_s == pytest.approx(0.05, rel=1e-3)
    assert rhythm.span_s == pytest.approx(0.95, rel=1e-3)


def test_the_order_of_files_does_not_matter():
    assert rhythm_of(every(0.05)[::-1], DAY) == rhythm_of(every(0.05), DAY)


def test_the_longest_pause_is_told():
    written_at_s = [*every(0.05, 10), *(at_s + 3.0 for at_s in every(0.05))]

    assert rhythm_of(written_at_s, DAY).longest_pause_s == pytest.approx(3.0 - 9 * 0.05, rel=1e-3)


@pytest.mark.parametrize(
    ("written_at_s", "made_on", "reason"),
    [
        (every(0.05, 7), DAY, "7 of 8 files"),
        ([], DAY, "0 of 8 files"),
        (every(0.001), DAY, "copied, no scanner exports so fast"),
        ([*[NOON] * 12, *[NOON + 1] * 8], DAY, "have the same time"),
        ([*every(0.05), NOON + 90], DAY, "a pause of 89 s"),
        (every(0.05), None, "no date"),
        (every(0.05), date(2026, 11, 20), "written 3 days from when"),
        (every(0.05), date(2027, 1, 1), "they are copies"),
    ],
)
def test_times_that_are_no_exports_say_why(written_at_s, made_on, reason):
    assert reason in rhythm_of(written_at_s, made_on)


def test_an_export_after_midnight_is_no_copy():
    assert isinstance(rhythm_of(every(0.05), date(2026, 11, 22)), Rhythm)
