"""``bleedwatch bench completeness``: the agent's rules beside fixed waits, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from agent.assemble.protocol import load_profiles
from agent.config import PACKAGED_ENGINES
from build_engine.bench.rhythms import RHYTHMS, RhythmRow, run

PROFILE = "generic-head"


def completeness(
    *,
    series: Annotated[int, typer.Option(help="Series of each rhythm.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="Makes the same series again.", min=0)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the rules that find a series complete with fixed waits of 5 and 60 seconds.

    Series of head-like length are exported in virtual time, in several rhythms, upwards and
    downwards, with and without a count in the header. Nothing is written or waited for.

    Example: bleedwatch bench completeness --series 5000
    """
    out = Console(stderr=as_json, highlight=False, soft_wrap=True)
    profiles = {profile.name: profile for profile in load_profiles(PACKAGED_ENGINES / "protocols")}
    with out.status("exporting …") as shown:
        done: list[None] = []

        def told() -> None:
            done.append(None)
            shown.update(f"exporting … {len(done)} of {2 * len(RHYTHMS)} rhythms")

        rows = run(profiles[PROFILE], series, seed, told)
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps([_plain(row) for row in rows]))
        return
    out.print(f"{series} series of each rhythm, protocol {PROFILE}")
    for line in lines(rows):
        out.print(line, markup=False)


def lines(rows: Sequence[RhythmRow]) -> Iterator[str]:
    """Lay the table out, a line a row, and a line for all rhythms of each rule."""
    yield f"{'rhythm':<29}{'count':<7}{'rule':<14}{'too early':>12}{'wait p50':>10}{'p95':>9}"
    for row in rows:
        known = "yes" if row.counted else "no"
        yield f"{row.rhythm:<29}{known:<7}" + _figures([row])
    for rule in dict.fromkeys(row.rule for row in rows):
        yield f"{'all':<36}" + _figures([row for row in rows if row.rule == rule])


def _figures(rows: Sequence[RhythmRow]) -> str:
    n_wrong, n_series = sum(row.n_wrong for row in rows), sum(row.n_series for row in rows)
    waits_s = np.concatenate([row.added_wait_s for row in rows])
    p50_s, p95_s = np.quantile(waits_s, (0.5, 0.95))
    return (
        f"{rows[0].rule:<14}{n_wrong:>5} {n_wrong / n_series:>6.2%}{p50_s:>8.2f} s{p95_s:>7.2f} s"
    )


def _plain(row: RhythmRow) -> dict[str, object]:
    p50_s, p95_s = np.quantile(row.added_wait_s, (0.5, 0.95)).tolist()
    return {
        "rhythm": row.rhythm,
        "count_known": row.counted,
        "rule": row.rule,
        "series": row.n_series,
        "too_early": row.n_wrong,
        "added_wait_p50_s": p50_s,
        "added_wait_p95_s": p95_s,
    }
