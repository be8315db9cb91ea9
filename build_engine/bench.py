"""``bleedwatch bench``: what this machine takes for an alert, for reading, for its networks."""

from __future__ import annotations

import typer

from build_engine.bench_completeness import completeness
from build_engine.bench_ingest import ingest
from build_engine.bench_latency import latency
from build_engine.bench_networks import networks
from build_engine.bench_soak import soak

app = typer.Typer(
    help="Measure this machine: latency, reading, networks, soak.", no_args_is_help=True
)
for command in (latency, ingest, networks, completeness, soak):
    app.command()(command)
