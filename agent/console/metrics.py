"""The endpoints for monitoring: ``/metrics`` in Prometheus' format, ``/healthz``, ``/readyz``.

Everything is read from the store at each request, so that counters survive a restart of either
process. There are no names, UIDs or paths in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.reasons import Reason, english
from agent.records import Clock, Instant
from agent.store.liveness import agent_problem, lives, selftest_problem
from agent.store.queries import Queries
from agent.store.rows import AgentStatus, Delivery, Selftest
from agent.store.totals import BOUNDS_S, Totals

PREFIX: Final = "bleedwatch_"


def monitoring_routes(queries: Queries, clock: Clock, boot_id: str) -> list[Route]:
    """Return the routes. The store's calls block, so they run in the thread pool."""
    registry = CollectorRegistry()
    registry.register(_StoreCollector(queries, clock, boot_id))

    async def health(_request: Request) -> Response:
        """Answer 200 where the console runs and can read the store, whatever the agent does."""
        await run_in_threadpool(queries.change_mark)
        return PlainTextResponse("ok\n")

    async def ready(_request: Request) -> Response:
        """Answer 200 where a series that arrived now would be analysed, else 503 and the reason."""
        reason = await run_in_threadpool(not_ready, queries, clock(), boot_id)
        said = english(reason) if reason else "ok"
        return PlainTextResponse(f"{said}\n", 503 if reason else 200)

    async def metrics(_request: Request) -> Response:
        text = await run_in_threadpool(generate_latest, registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/healthz", health), Route("/readyz", ready), Route("/metrics", metrics)]


def not_ready(queries: Queries, now: Instant, boot_id: str) -> Reason | None:
    """Say why a series that arrived now would not be analysed at once; None if it would."""
    status = queries.agent_status()
    problem = agent_problem(status, now, boot_id, queries.free_bytes())
    if problem is None and status and not status.networks_ready:
        return Reason("networks_loading")
    return problem


class _StoreCollector(Collector):
    """Collects all metrics from the store."""

    def __init__(self, queries: Queries, clock: Clock, boot_id: str) -> None:
        self._queries = queries
        self._clock = clock
        self._boot_id = boot_id

    def describe(self) -> Iterable[Metric]:
        """Return none: this registry has no other collector whose names could clash."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, from the store."""
        queries, now = self._queries, self._clock()
        status = queries.agent_status()
        ready = not_ready(queries, now, self._boot_id) is None
        yield _gauge("ready", "1 if a series that comes now would be analysed", ready)
        yield _gauge("agent_up", "1 if the agent lives", lives(status, now, self._boot_id))
        if status is not None:
            yield from _agent(status)
        yield from _counted(queries.totals())
        yield from _waiting(queries, now.utc)
        yield from _disk(queries)
        yield from _selftests(next(iter(queries.selftests(1)), None), status, now)


def _agent(status: AgentStatus) -> Iterator[Metric]:
    facts = status.engine.model_dump()
    yield InfoMetricFamily(f"{PREFIX}agent", "Bundle, and what runs its networks", facts)
    started_s = status.started.utc.timestamp()
    yield _gauge("agent_start_time_seconds", "When the agent was started [Unix time]", started_s)
    reachable, degraded = status.folder_problem is None, status.degraded is not None
    yield _gauge("folder_reachable", "1 if the export folder can be read", reachable)
    yield _gauge("degraded", "1 if the CPU runs what GPU or server should", degraded)
    yield _gauge("receiving_series", "Series that are being received", status.receiving)
    yield _gauge("queued_series", "Complete series that wait to be analysed", status.queued)
    if status.gpu_total_bytes is not None and status.gpu_used_bytes is not None:
        memory = GaugeMetricFamily(f"{PREFIX}gpu_memory_bytes", "The GPU's memory", labels=["part"])
        memory.add_metric(["used"], status.gpu_used_bytes)
        memory.add_metric(["total"], status.gpu_total_bytes)
        yield memory


def _counted(totals: Totals) -> Iterator[Metric]:
    results = CounterMetricFamily(
        f"{PREFIX}results", "Results; a revised series has several", labels=["state", "code"]
    )
    for labels, n in sorted(totals.results.items()):
        results.add_metric(labels, n)
    yield results
    yield _by("notices", "Files left out, and the like", "kind", totals.notices)
    stages = HistogramMetricFamily(
        f"{PREFIX}stage_seconds",
        "Time by stage; total runs from the last slice on disk to the result",
        labels=["stage"],
    )
    for stage, latency in sorted(totals.latencies.items()):
        bounds = (*map(str, BOUNDS_S), "+Inf")
        buckets = list(zip(bounds, latency.n_within, strict=True))
        stages.add_metric([stage], buckets, latency.sum_s)
    yield stages
    yield _by("networks_seconds", "Time in the networks", "device", totals.networks_s)
    given = {"acknowledged": 0} | dict(totals.dispositions)
    yield _by("dispositions", "Alerts acknowledged, or dismissed and why", "disposition", given)
    yield _by("verdicts", "What people thought of results", "verdict", totals.verdicts)


def _waiting(queries: Queries, now: datetime) -> Iterator[Metric]:
    since = queries.alerts_since()
    longest_s = (now - since[0]).total_seconds() if since else 0.0
    yield _gauge("unacknowledged_alerts", "Suspicions nobody has acknowledged", len(since))
    yield _gauge("oldest_unacknowledged_alert_age_seconds", "Age of the oldest of them", longest_s)
    yield from _undelivered(queries.undelivered())
    last = queries.last_slice_at()
    if last is not None:
        help_text = "When a patient's last slice came [Unix time]"
        yield _gauge("last_slice_time_seconds", help_text, last.timestamp())


def _undelivered(waiting: list[Delivery]) -> Iterator[Metric]:
    undelivered = GaugeMetricFamily(
        f"{PREFIX}undelivered_results", "Results a channel has not delivered", labels=["channel"]
    )
    failing = GaugeMetricFamily(
        f"{PREFIX}failing_deliveries", "Those of them whose last attempt failed", labels=["channel"]
    )
    all_of = [delivery.channel for delivery in waiting]
    failed = [delivery.channel for delivery in waiting if delivery.problem]
    for channel in sorted({"console", *all_of}):
        undelivered.add_metric([channel], all_of.count(channel))
        failing.add_metric([channel], failed.count(channel))
    yield undelivered
    yield failing


def _disk(queries: Queries) -> Iterator[Metric]:
    yield _gauge("store_used_bytes", "What the store's rows take up", queries.used_bytes())
    yield _gauge("store_free_bytes", "Room on the store's disk", queries.free_bytes())


def _selftests(last: Selftest | None, status: AgentStatus | None, now: Instant) -> Iterator[Metric]:
    daily = status is not None and status.selftest_daily
    well = selftest_problem(last, now, daily=daily) is None
    yield _gauge("selftest_ok", "0 if the last self-test failed, or a daily one is overdue", well)
    if last is None:
        return
    at_s = last.at.utc.timestamp()
    yield _gauge("selftest_time_seconds", "When the last self-test ended [Unix time]", at_s)
    if last.latency_s is not None:
        help_text = "From its last slice on disk to its result"
        yield _gauge("selftest_latency_seconds", help_text, last.latency_s)
    if last.volume_ml is not None and last.truth_ml is not None:
        error = last.volume_ml / last.truth_ml - 1
        yield _gauge(
            "selftest_volume_error_ratio", "Its measured volume to the true, less 1", error
        )


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, help_text, value=float(value))


def _by(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, help_text, labels=[label])
    for each, value in sorted(values.items()):
        family.add_metric([each], value)
    return family
