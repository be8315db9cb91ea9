"""agent.inlet.limits: what is held stays within its bounds, whatever comes in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.inlet.limits import LEAST_OBJECT_BYTES, Arriving, InletLimits

LIMITS = InletLimits(4, object_bytes=100_000, arriving_bytes=250_000, kept_days=7, kept_bytes=10**9)


class Caller:
    """Stands for an association: that it is one and the same is all that matters."""


def test_what_is_within_its_limits_is_kept_until_it_is_answered() -> None:
    arriving, caller = Arriving(LIMITS), Caller()

    assert arriving.take(caller, 60_000)
    assert arriving.take(caller, 20_000)
    arriving.complete(caller, 1)

    assert arriving.held_bytes == 80_000 + LEAST_OBJECT_BYTES
    assert arriving.answered(caller, 1) is None
    assert arriving.held_bytes == 0


def test_an_object_that_grows_too_large_is_let_go_of_at_once_and_stays_refused() -> None:
    arriving, caller = Arriving(LIMITS), Caller()

    assert arriving.take(caller, 90_000)
    assert not arriving.take(caller, 20_000)
    assert not arriving.take(caller, 1)

    assert arriving.held_bytes == LEAST_OBJECT_BYTES
    arriving.complete(caller, 7)
    refused = arriving.answered(caller, 7)
    assert refused is not None
    assert refused.code == "object_too_large"


def test_the_next_object_of_the_association_begins_anew() -> None:
    arriving, caller = Arriving(LIMITS), Caller()
    arriving.take(caller, 200_000)
    arriving.complete(caller, 1)

    assert arriving.take(caller, 90_000)
    arriving.complete(caller, 2)

    assert arriving.answered(caller, 2) is None


def test_many_senders_together_are_bounded_too() -> None:
    arriving, callers = Arriving(LIMITS), [Caller() for _ in range(3)]

    assert [arriving.take(caller, 90_000) for caller in callers] == [True, True, False]

    arriving.complete(callers[2], 1)
    refused = arriving.answered(callers[2], 1)
    assert refused is not None
    assert refused.code == "inlet_memory_taken"


def test_an_association_that_is_over_or_gone_holds_nothing() -> None:
    arriving, told, gone = Arriving(LIMITS), Caller(), Caller()
    arriving.take(told, 50_000)
    arriving.take(gone, 50_000)

    arriving.forget(told)
    del gone

    assert arriving.held_bytes == 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["take", "complete", "drop", "answered", "forget"]),
        st.integers(0, 2),
        st.integers(0, 120_000),
    ),
    max_size=60,
)


@given(EVENTS)
def test_what_is_held_stays_within_its_bounds_in_any_order(
    events: list[tuple[str, int, int]],
) -> None:
    arriving, callers = Arriving(LIMITS), [Caller() for _ in range(3)]
    n_complete = 0
    for kind, which, number in events:
        if kind in ("drop", "forget"):
            getattr(arriving, kind)(callers[which])
        elif kind == "take":
            arriving.take(callers[which], number)
        else:
            n_complete += kind == "complete"
            getattr(arriving, kind)(callers[which], number % 5)

        spare = (n_complete + len(callers)) * LEAST_OBJECT_BYTES
        assert 0 <= arriving.held_bytes <= LIMITS.arriving_bytes + spare
