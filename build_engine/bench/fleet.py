"""``bleedwatch bench fleet``: a hospital group's day against one server."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import numpy as np
import typer
from rich.table import Table

from agent.config import DEFAULT_PATH, load_config
from agent.errors import InferenceError
from agent.infer.backend import N_CLASSES, Floats
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.networks import RETRY_S
from agent.infer.server_settings import ServerSettings
from agent.infer.signature import load_public_key
from agent.infer.triton_backend import TritonBackend
from build_engine.compile.publish import MOST_SLABS
from build_engine.compile.served_graph import served_slice_graph, served_volume_graph
from build_engine.compile.site import ConfigPath, server_at
from build_engine.judge.cost import cost_of
from build_engine.printing import AsJson, out, print_json, table

BY_HOUR: Final = (2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 7, 7, 7, 7, 7, 6, 6, 5, 5, 4, 3, 3)
"""Head scans by hour of the day, as parts of all. Ours: an emergency department's usual day."""

SLABS: Final = 32
"""Of one head: 160 mm in slices of 5 mm."""

CARDS: Final = {"L4": (121e12, 300e9), "H100": (989e12, 3350e9)}
"""FP16 operations (dense) and bytes of memory a second. Source: NVIDIA's data sheets (L4; H100
SXM5)."""

LINK_BYTES_S: Final = 1.25e9
"""A link of 10 Gb/s."""


@dataclass(frozen=True, slots=True)
class Played:
    """One head: when it came in the day's time, 0…1, and how long it took [s]; None: locally."""

    at: float
    taken_s: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """What a card or a link does at most, by arithmetic alone: heads a second, what holds it."""

    what: str
    heads_per_s: float
    held_by: str


@dataclass(frozen=True, slots=True)
class Day:
    """What came of a day. ``batches`` counts what the server computed by slabs at once."""

    agents: int
    heads: int
    wall_s: float
    p50_ms: float | None
    p99_ms: float | None
    share_local: float
    batches: dict[int, int]
    limits: tuple[Limit, ...]


def fleet(
    config: ConfigPath = DEFAULT_PATH,
    *,
    server: Annotated[
        str | None, typer.Option(help="Address of a Triton server; left out, infer.server.")
    ] = None,
    agents: Annotated[int, typer.Option(help="Boxes, each with a connection.", min=1)] = 50,
    heads: Annotated[int, typer.Option(help="Head scans of each box in the day.", min=1)] = 24,
    minutes: Annotated[float, typer.Option(help="How long the day takes here.", min=0.01)] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Play a day of many boxes against one server: how long heads take, and how many it misses.

    Each head is sent whole, 32 slabs at once: on a box most are sent while slices arrive. What one
    L4 and one H100 could do is arithmetic, not measured.

    Example: bleedwatch bench fleet --server grpcs://10.20.0.7:8001 --agents 50
    """
    settings = load_config(config)
    bundle = load_bundle(settings.bundle_folder, load_public_key(settings.infer.public_key))
    to = server_at(settings, server or settings.infer.server or "")
    with out(stderr=True).status(f"a day in {minutes:g} minutes …"):
        day = played_day(bundle, to, (agents, heads, 60 * minutes))
    if as_json:
        print_json(asdict(day))
        return
    out().print(_table(day))
    sizes = ", ".join(f"{count} of {size}" for size, count in sorted(day.batches.items()))
    out().print(f"batches by slabs at once: {sizes or 'the server does not tell'}")
    for limit in day.limits:
        out().print(
            f"by arithmetic, not measured: {limit.what} takes at most "
            f"{limit.heads_per_s:.0f} heads a second, held by {limit.held_by}"
        )


def played_day(bundle: Bundle, server: ServerSettings, size: tuple[int, int, float]) -> Day:
    """Play a day of ``size``: agents, heads of each, and how long it takes [s].

    Raises
    ------
    ServerError
        If the server cannot be asked at the start.
    """
    n_agents, n_heads, length_s = size
    with closing(TritonBackend(server, bundle)) as watcher:
        before = watcher.batch_counts()
        began_s = time.monotonic()
        with ThreadPoolExecutor(n_agents) as boxes:
            days = boxes.map(
                lambda number: list(
                    _box(bundle, server, arrivals(number, n_heads), (began_s, length_s))
                ),
                range(n_agents),
            )
            played = [one for day in days for one in day]
        wall_s = time.monotonic() - began_s
        after = _counts(watcher)
    times_ms = [1000 * one.taken_s for one in played if one.taken_s is not None]
    p50, p99 = np.percentile(times_ms, [50, 99]).tolist() if times_ms else (None, None)
    return Day(
        agents=n_agents,
        heads=len(played),
        wall_s=wall_s,
        p50_ms=p50,
        p99_ms=p99,
        share_local=1 - len(times_ms) / len(played),
        batches=dict(Counter(after) - Counter(before)),
        limits=limits_of(bundle),
    )


def arrivals(number: int, n_heads: int) -> list[float]:
    """Draw when a box's heads come, 0…1 of the day: the same for a box every time."""
    drawn = random.Random(number)  # noqa: S311 - no secret
    hours = drawn.choices(range(24), BY_HOUR, k=n_heads)
    return sorted((hour + drawn.random()) / 24 for hour in hours)


def limits_of(bundle: Bundle) -> tuple[Limit, ...]:
    """Say what cards could do at most, each by arithmetic or memory, and a link of 10 Gb/s."""
    slices = cost_of(served_slice_graph(bundle, "fp16"), MOST_SLABS)
    volume = cost_of(served_volume_graph(bundle, "fp16"), 1)
    batches = SLABS / MOST_SLABS
    flops = batches * slices.flops + volume.flops
    moved = batches * (slices.weight_bytes + slices.activation_bytes)
    moved += volume.weight_bytes + volume.activation_bytes
    limits = []
    for card, (flops_per_s, bytes_per_s) in CARDS.items():
        held = {"arithmetic": flops / flops_per_s, "memory": moved / bytes_per_s}
        by, longest_s = max(held.items(), key=lambda one: one[1])
        limits.append(Limit(f"one {card}", 1 / longest_s, by))
    link = Limit("a link of 10 Gb/s", LINK_BYTES_S / _sent_bytes(bundle), "what slabs take")
    return *limits, link


def _sent_bytes(bundle: Bundle) -> int:
    """Count what one head sends to the server, or it back: the more of both."""
    contract = bundle.contract.slices
    there, back = 2 * contract.neighbours + 1, N_CLASSES
    return 4 * SLABS * contract.size_px**2 * max(there, back)


def _box(
    bundle: Bundle, server: ServerSettings, comes: list[float], day: tuple[float, float]
) -> Iterator[Played]:
    """Play one box: after a fault it reads locally for a while, as the agent does."""
    began_s, length_s = day
    slabs, block = _head(bundle)
    n_batches = -(-SLABS * bundle.contract.reading.runs_per_slab // len(slabs))
    rests_until_s = 0.0
    backend: TritonBackend | None = None
    for at in comes:
        time.sleep(max(0.0, began_s + at * length_s - time.monotonic()))
        sent_s = time.monotonic()
        if sent_s < rests_until_s:
            yield Played(at, None)
            continue
        try:
            backend = backend or TritonBackend(server, bundle)
            for _ in backend.run_slices([slabs] * n_batches):
                pass
            backend.run_volume(block)
            yield Played(at, time.monotonic() - sent_s)
        except InferenceError:
            rests_until_s = time.monotonic() + RETRY_S
            yield Played(at, None)
    if backend:
        backend.close()


def _head(bundle: Bundle) -> tuple[Floats, Floats]:
    """Make one batch of slabs and a block: what they show costs nothing."""
    drawn = np.random.default_rng(0)
    contract = bundle.contract
    slabs = drawn.random(contract.slices.shape, np.float32)
    return slabs, drawn.random(contract.volume.shape, np.float32)


def _counts(backend: TritonBackend) -> dict[int, int]:
    """Count the server's batches; it may be gone by now."""
    try:
        return backend.batch_counts()
    except InferenceError:
        return {}


def _table(day: Day) -> Table:
    told = table("Boxes", numbers=("Heads", "A minute", "p50", "p99", "Answered locally"))
    p50 = "none" if day.p50_ms is None else f"{day.p50_ms:.0f} ms"
    p99 = "none" if day.p99_ms is None else f"{day.p99_ms:.0f} ms"
    per_minute = 60 * day.heads / day.wall_s
    told.add_row(
        str(day.agents), str(day.heads), f"{per_minute:.0f}", p50, p99, f"{day.share_local:.1%}"
    )
    return told
