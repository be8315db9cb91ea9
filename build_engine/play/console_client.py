"""The console as its page sees it: snapshots over server-sent events. Standard library only."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from typing_extensions import Self

from agent.records import State
from agent.report import SeriesReport

SILENT_S: Final = 5.0
"""The console sends a snapshot every second; after this long without one it is gone [s]."""

RETRY_S: Final = 0.1

EVENT: Final = b"data: "


@dataclass(frozen=True, slots=True)
class SeriesShown:
    """One line of the console's worklist."""

    series_uid: str
    patient_name: str
    state: State
    slices: int
    expected: int
    last_slice_age_s: float | None
    committed_monotonic_s: float | None
    report: SeriesReport | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the page shows at one moment; ``problem`` is None while the agent is well."""

    received_monotonic_s: float
    problem: str | None
    series: tuple[SeriesShown, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """One revision of a series' result: when it was committed, and when it reached this client."""

    report: SeriesReport
    committed_monotonic_s: float
    received_monotonic_s: float


class ConsoleClient:
    """Follows ``/api/events`` in a thread, and connects again when the stream breaks."""

    def __init__(self, port: int, on_snapshot: Callable[[Snapshot], object]) -> None:
        """Follow the console on this computer's ``port``; ``on_snapshot`` runs in the thread."""
        self._port = port
        self._on_snapshot = on_snapshot
        self._changed = threading.Condition()
        self._latest: Snapshot | None = None
        self._alerts: dict[str, Alert] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        """Start to follow."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop to follow."""
        self._stopped.set()
        self._thread.join(SILENT_S)

    def well(self, timeout_s: float) -> bool:
        """Wait until the console says that the agent is well; False if it did not in time."""

        def is_well() -> bool:
            return self._latest is not None and self._latest.problem is None

        with self._changed:
            return self._changed.wait_for(is_well, timeout_s)

    def alert(self, series_uid: str, since_s: float, timeout_s: float) -> Alert | None:
        """Wait for a result committed after ``since_s`` (monotonic); None if none came in time."""

        def found() -> Alert | None:
            alert = self._alerts.get(series_uid)
            return alert if alert and alert.committed_monotonic_s >= since_s else None

        with self._changed:
            return self._changed.wait_for(found, timeout_s)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SILENT_S)
            try:
                connection.request("GET", "/api/events")
                response = connection.getresponse()
                while not self._stopped.is_set() and (line := response.readline()):
                    if line.startswith(EVENT):
                        self._take(time.monotonic(), json.loads(line.removeprefix(EVENT)))
            except (OSError, http.client.HTTPException):
                pass  # not up yet, or gone: tried again until stopped
            finally:
                connection.close()
            self._stopped.wait(RETRY_S)

    def _take(self, received_s: float, values: dict[str, Any]) -> None:
        listed = [series for one in values["examinations"] for series in one["series"]]
        series, problem = tuple(map(_series_shown, listed)), values["problem"]
        snapshot = Snapshot(received_s, problem and problem["text"], series)
        with self._changed:
            self._latest = snapshot
            for shown in series:
                self._note(shown, received_s)
            self._changed.notify_all()
        self._on_snapshot(snapshot)

    def _note(self, shown: SeriesShown, received_s: float) -> None:
        report, committed_s = shown.report, shown.committed_monotonic_s
        known = self._alerts.get(shown.series_uid)
        if report is None or committed_s is None:
            return
        if known is None or known.report.revision < report.revision:
            self._alerts[shown.series_uid] = Alert(report, committed_s, received_s)


def _series_shown(values: dict[str, Any]) -> SeriesShown:
    report = values["report"]
    return SeriesShown(
        series_uid=values["series_uid"],
        patient_name=values["patient"]["patient_name"],
        state=State(values["state"]),
        slices=values["slices"],
        expected=values["expected"],
        last_slice_age_s=values["last_slice_age_s"],
        committed_monotonic_s=values["committed_monotonic_s"],
        report=SeriesReport.model_validate(report) if report else None,
    )
