"""The table that a run on a card ends with, from what the commands write."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from build_engine.bench.latency import Latency, LatencyRow
from build_engine.compile.timing import BenchRow
from tests.build_engine.compile import made

STEPS = Latency(0.2, 0.0, 0.01, 0.02, 0.05, 0.01, 0.01, 0.01, 0.31)


def latency_row(slices: int) -> dict:
    return asdict(
        LatencyRow(
            "ge-32x5",
            slices,
            5.0,
            20.0,
            900.0,
            {"shrinking": 40.0},
            ("count",),
            ("TensorRT",),
            (STEPS,),
        )
    )


def test_each_measurement_is_a_row_of_the_table(tmp_path: Path) -> None:
    benched = [
        BenchRow("slice", "fp16", 8, 1.9, 5120.0, 0.41),
        BenchRow("volume", "fp16", 1, 2.4, 410.0, None),
    ]
    bench = {"machine": made.MACHINE.model_dump(), "rows": [asdict(row) for row in benched]}
    written = {"bench": bench, "latency": [latency_row(32)], "cpu": [latency_row(32)]}
    for name, content in written.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    plan = made.verified(tmp_path, made.built(tmp_path))
    (tmp_path / "plans" / plan / "verification.json").rename(tmp_path / "verification-fp16.json")

    script = Path(__file__).with_name("table.py")
    printed = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout

    said = "same decisions; probability within 0.0040, volume within 0.050 mL; 12.0 ms a head"
    assert printed.splitlines() == [
        "NVIDIA L4, driver 550.54, TensorRT 10.7.0.23",
        "",
        "| | |",
        "| --- | --- |",
        "| slice network, fp16, 8 at once | 5120 /s, 1.90 ms a run; 41% of the card's limit |",
        "| volume network, fp16 | 410 /s, 2.40 ms a run |",
        "| last of 32 slices → result, with the card, p50 | 0.31 s |",
        "| last of 32 slices → result, with the CPU, p50 | 0.31 s |",
        f"| 50 golden heads, fp16 | {said} |",
    ]
