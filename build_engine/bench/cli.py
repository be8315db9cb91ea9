"""``bleedwatch bench``: what this machine takes for an alert, for reading, for its networks."""

from __future__ import annotations

import typer

from build_engine.bench.completeness import completeness
from build_engine.bench.corpus import corpus
from build_engine.bench.fleet import fleet
from build_engine.bench.ingest import ingest
from build_engine.bench.inlet import inlet
from build_engine.bench.latency import latency
from build_engine.bench.networks import networks
from build_engine.bench.perfusion import perfusion
from build_engine.bench.soak import soak

app = typer.Typer(
    help="Measure latency, reading, networks, soak; try a corpus.",
    no_args_is_help=True,
)
for command in (latency, ingest, inlet, networks, completeness, perfusion, soak, corpus, fleet):
    app.command()(command)
