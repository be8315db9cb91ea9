"""A full outbox drains beside the agent: each result arrives once, and alerts come as before."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

from agent.store.effects import Conclude
from agent.wiring import system_clock
from tests.agent.deliver.results import png, sources, stored_result
from tests.agent.deliver.test_hl7 import Mllp, acknowledgement
from tests.agent.reports import receive
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

N = 24

CHANNEL = """
[[deliver.hl7]]
name = "ris"
host = "127.0.0.1"
port = {}
timeout_s = 600
tell = ["suspected"]
"""


def fill(box: Program, seeds: Iterable[int]) -> None:
    """Let suspicions wait for the channel."""
    with box.store() as store:
        for seed in seeds:
            result = stored_result(series_uid=f"1.2.{seed}", result_id=f"1.2.{seed}", size=64)
            receive(store, system_clock, f"1.2.{seed}")
            channels = ("console", "ris")
            store.agent.commit(
                [Conclude(result.report, {"axial": png()}, channels, sources(result))]
            )


def waiting(box: Program) -> int:
    with box.store() as store:
        return sum(one.channel == "ris" for one in store.queries.undelivered())


def alert_s(box: Program, folder: Path, seed: int) -> float:
    """Export a series; return the time from its last slice on disk to its result in the store."""
    paths = write_series(folder / str(seed), N, seed=seed)
    last = datetime.fromtimestamp(paths[-1].stat().st_mtime, timezone.utc)

    def answered() -> bool:
        with box.store() as store:
            return ended(store.queries.series(uid("series", seed)))

    until(answered)
    with box.store() as store:
        return (store.queries.series(uid("series", seed)).concluded_at.utc - last).total_seconds()


class Gate:
    """Holds back the receiver's acknowledgements: the sender waits for one, and does nothing."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.opened, self.closed = self._open.set, self._open.clear
        self.holds = False

    def answer(self, message: str) -> bytes:
        self.holds = True
        self._open.wait()
        self.holds = False
        return acknowledgement(message)


def test_a_full_outbox_drains_once_and_delays_no_alert(
    tmp_path: Path, engines: Path, row: Row
) -> None:
    """Alerts alone and beside the drain are measured by turns, as other work slows both alike."""
    n_waiting, n_pairs, gate = row.amount(1_000, 20), row.amount(15, 2), Gate()
    mllp, seeds, n_filled, pairs = Mllp(gate.answer), count(), 0, []
    with ExitStack() as stack:
        port = stack.enter_context(mllp.listening())
        stack.callback(gate.opened)
        more = CHANNEL.format(port)
        agent, sender = (Program(tmp_path / "box", engines, more) for _ in range(2))
        stack.enter_context(agent)
        stack.enter_context(sender)
        agent.started()
        sender.start("deliver", "run")
        assert sender.process
        assert sender.process.pid
        os.setpriority(os.PRIO_PROCESS, sender.process.pid, 10)  # as its unit has it
        for _ in range(n_pairs):
            n_more = n_waiting - waiting(agent)
            fill(agent, range(n_filled, n_filled + n_more))
            n_filled += n_more
            until(lambda: gate.holds, 300.0)
            alone_s = alert_s(agent, agent.export, next(seeds))
            gate.opened()
            beside_s = alert_s(agent, agent.export, next(seeds))
            pairs.append((alone_s, beside_s, waiting(agent)))
            gate.closed()
        gate.opened()
        until(lambda: waiting(agent) == 0, 3600.0)

    ids = [message.split("|")[9] for message in mllp.fed]
    for alone_s, beside_s, n_left in pairs:
        row.tell(
            f"alert {alone_s:.2f} s alone, {beside_s:.2f} s beside the drain, "
            f"ratio {beside_s / alone_s:.2f}; {n_left} still waited"
        )
    ratio = statistics.median(beside_s / alone_s for alone_s, beside_s, _ in pairs)
    row.tell(
        f"outbox: of {n_waiting} results, {n_pairs} alerts beside the drain took {ratio:.2f} times "
        f"as long as alone (median of the pairs' ratios); {len(ids)} messages, each once"
    )
    assert len(ids) == len(set(ids)) == n_filled + 2 * n_pairs
