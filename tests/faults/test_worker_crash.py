"""A bug that takes the whole process down, planted in a real agent: the series is set aside."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from pydicom.uid import JPEG2000Lossless

from agent.reasons import english
from tests.agent.stored import Store
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

N = 24

WORKER = """
import signal
from agent.assemble.series import GrowingSeries
volume = GrowingSeries.volume
def planted(self):
    if any(header.description == "CRASH" for header in self.headers):
        signal.raise_signal(signal.SIGSEGV)
    return volume(self)
GrowingSeries.volume = planted
"""

DECODER = """
import signal, sys
from pathlib import Path
mended = Path(__file__).with_name("mended")
if "agent.assemble.decoder" in " ".join(sys.orig_argv):
    from agent.assemble import pixels
    decode = pixels.decode_here
    def planted(encoded, form):
        if form.bits_stored == 13 and not mended.exists():
            signal.raise_signal(signal.SIGSEGV)
        return decode(encoded, form)
    pixels.decode_here = planted
"""


@pytest.mark.parametrize("when", ["while it arrives", "when it is complete"])
def test_a_series_that_crashes_the_worker_twice_is_set_aside(
    agent: Program, row: Row, when: str
) -> None:
    plant(agent, WORKER)
    promised = N if when == "when it is complete" else 0
    agent.started()

    write_series(
        agent.export / "bad",
        N,
        SeriesDescription="CRASH",
        NumberOfSeriesRelatedInstances=promised,
    )
    write_series(agent.export / "good", N, seed=1)
    exits = []
    with agent.store() as store:
        while not all(ended(store.queries.series(uid("series", seed))) for seed in (0, 1)):
            agent.process.join(0.1)
            if agent.process.exitcode is not None:
                exits.append(agent.process.exitcode)
                agent.start()
        codes = [store.queries.series(uid("series", seed)).report.code for seed in (0, 1)]

    row.tell(f"planted crash of the worker {when}: exits {exits}, then {codes[0]}")
    assert (exits, codes) == ([-signal.SIGSEGV] * 2, ["set_aside", None]), agent.log.read_text()


def test_a_series_that_was_set_aside_and_is_asked_for_again_may_crash_the_worker_twice_more(
    agent: Program, row: Row
) -> None:
    plant(agent, WORKER)
    agent.started()
    write_series(
        agent.export / "bad", N, SeriesDescription="CRASH", NumberOfSeriesRelatedInstances=N
    )
    n_exits = []
    with agent.store() as store:
        for asked in (False, True):
            assert not asked or store.console.request(uid("series", 0))
            n_exits.append(exits_until(agent, lambda: is_answered(store)))
        history = store.queries.history(uid("series", 0))

    row.tell(f"asked for again after it was set aside: exits {n_exits}, {len(history)} results")
    assert n_exits == [2, 2]
    assert [one.code for one in history] == ["set_aside", "set_aside"]


def is_answered(store: Store) -> bool:
    return ended(store.queries.series(uid("series", 0))) and not store.queries.requested()


def exits_until(agent: Program, condition: Callable[[], bool]) -> int:
    """Start the agent again whenever it ends; returns how often that was."""
    n_exits = 0
    while not condition():
        agent.process.join(0.1)
        if agent.process.exitcode is not None:
            n_exits += 1
            agent.start()
    return n_exits


def test_a_file_that_crashes_its_decoder_is_set_aside_and_the_agent_lives(
    agent: Program, row: Row
) -> None:
    plant(agent, DECODER)
    agent.started()
    pid = agent.process.pid

    write_series(agent.export / "bad", N, transfer_syntax=JPEG2000Lossless, BitsStored=13)
    write_series(agent.export / "good", N, transfer_syntax=JPEG2000Lossless, seed=1)
    with agent.store() as store:
        until(lambda: any("decoder twice" in told for told in named_in(store)))
        for path in (agent.export / "bad").iterdir():
            path.touch()  # regression: looked at again, the file said no more why it is refused
        until(lambda: all(ended(store.queries.series(uid("series", seed))) for seed in (0, 1)))
        bad, good = (store.queries.series(uid("series", seed)).report for seed in (0, 1))
        named = named_in(store)

    crashed = [message for message in named if "ended the decoder twice (SIGSEGV)" in message]
    row.tell(
        f"planted crash of the decoder: {len(crashed)} file, and {len(named)} of its series by name"
    )
    assert (bad.state, bad.code) == ("not_analysed", "decoder_ended")
    assert "set aside" in bad.text
    assert len(crashed) == 1
    assert {message.split(":")[0] for message in named} == {f"{k:03d}.dcm" for k in range(N)}
    assert good.state == "suspected"

    (agent.bugs / "mended").touch()
    with agent.store() as store:
        assert store.console.request(uid("series", 0))
        until(lambda: is_answered(store))
        again = store.queries.series(uid("series", 0)).report

    row.tell(f"asked for again with the bug mended: {again.state}, by the same process")
    assert (again.revision, again.state) == (2, "suspected")
    assert (agent.process.pid, agent.process.exitcode) == (pid, None)


def plant(agent: Program, bug: str) -> None:
    """Have every Python process of the agent run ``bug`` first."""
    agent.bugs = agent.folder / "bugs"
    agent.bugs.mkdir()
    (agent.bugs / "bug.py").write_text(bug)
    (agent.bugs / "sitecustomize.py").write_text("import bug\n")


def named_in(store: Store) -> set[str]:
    return {english(notice.reason) for notice in store.queries.notices(100)}
