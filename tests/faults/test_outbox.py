"""A full outbox drains beside the agent: each result arrives once, and alerts come as before."""

from __future__ import annotations

import os
import statistics
from datetime import datetime, timezone
from pathlib import Path

from agent.store.effects import Conclude
from agent.wiring import system_clock
from tests.agent.deliver.results import png, sources, stored_result
from tests.agent.deliver.test_hl7 import Mllp
from tests.agent.reports import receive
from tests.faults.conftest import Row
from tests.phantoms import uid, write_series
from tests.program import Program, ended, until

N = 24

CHANNEL = '[[deliver.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = {}\ntell = ["suspected"]'


def fill(box: Program, n: int) -> None:
    """Let suspicions wait for the channel."""
    with box.store() as store:
        for seed in range(n):
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


def test_a_full_outbox_drains_once_and_delays_no_alert(
    tmp_path: Path, engines: Path, row: Row
) -> None:
    n_waiting, n_alerts, mllp = row.amount(1_000, 20), row.amount(15, 2), Mllp()
    with mllp.listening() as port:
        more = CHANNEL.format(port)
        agent, sender = (Program(tmp_path / "box", engines, more) for _ in range(2))
        with agent, sender:
            agent.started()
            alone = [alert_s(agent, agent.export, seed) for seed in range(n_alerts)]
            fill(agent, n_waiting)
            sender.start("deliver", "run")
            assert sender.process
            assert sender.process.pid
            os.setpriority(os.PRIO_PROCESS, sender.process.pid, 10)  # as its unit has it
            until(lambda: mllp.fed, 300.0)
            beside = [alert_s(agent, agent.export, n_alerts + n) for n in range(n_alerts)]
            n_left = waiting(agent)
            until(lambda: waiting(agent) == 0, 3600.0)

    ids = [message.split("|")[9] for message in mllp.fed]
    ratio = statistics.median(beside) / statistics.median(alone)
    row.tell(
        f"outbox: {n_waiting} results drained beside {n_alerts} alerts, {n_left} of them after the "
        f"last; alerts {statistics.median(alone):.2f} s alone, {statistics.median(beside):.2f} s "
        f"beside, ratio {ratio:.2f}; {len(ids)} messages"
    )
    assert len(ids) == len(set(ids)) == n_waiting + 2 * n_alerts
