#!/usr/bin/env python3
"""Print what was measured on a card as one table: of ``run_on_host.sh``, from its OUT folder."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(folder: Path) -> Iterator[tuple[str, str]]:
    """What was measured, and how much it was."""
    bench, latency, cpu = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("bench", "latency", "cpu")
    )
    for row in bench["rows"]:
        many = f", {row['batch']} at once" if row["network"] == "slice" else ""
        share = f"; {row['share']:.0%} of the card's limit" if row["share"] is not None else ""
        per_s = f"{row['per_s']:.0f} /s, {row['latency_ms']:.2f} ms a run{share}"
        yield f"{row['network']} network, {row['precision']}{many}", per_s
    for name, measured in (("with the card", latency), ("with the CPU", cpu)):
        for row in measured:
            total_s = statistics.median(run["total_s"] for run in row["runs"])
            yield f"last of {row['slices']} slices → result, {name}, p50", f"{total_s:.2f} s"
    for path in sorted(folder.glob("verification-*.json")):
        found: dict[str, Any] = json.loads(path.read_text())
        said = "; ".join(found["faults"]) or "same decisions"
        said += f"; probability within {found['largest_probability_difference']:.4f}"
        said += f", volume within {found['largest_volume_difference_ml']:.3f} mL"
        said += f"; {found['head_ms']:.1f} ms a head"
        yield f"{found['heads']} golden heads, {path.stem.partition('-')[2]}", said


def main(folder: Path) -> None:
    machine = json.loads((folder / "bench.json").read_text())["machine"]
    print(f"{machine['gpu']}, driver {machine['driver']}, TensorRT {machine['tensorrt']}\n")
    print("| | |\n| --- | --- |")
    for what, how_much in rows(folder):
        print(f"| {what} | {how_much} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
