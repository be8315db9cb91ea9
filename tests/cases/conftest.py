"""What the agent makes of a folder, with networks whose answer is known before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from agent.cli.replay import Replayed, replayed
from agent.config import PACKAGED_ENGINES, Config, InferConfig
from agent.report import SeriesReport
from tests.tiny import write_engines, write_tiny_bundle

Networks: TypeAlias = Literal["blind", "dense", "shipped"]
"""``blind`` never see a bleed, so that all but a refusal is *not suspected*; ``dense`` take for
blood all that is dense, so that all but a refusal is *suspected*; ``shipped`` are our own."""

BUNDLES = {"blind": "tiny/blind", "dense": "tiny/1", "shipped": InferConfig().bundle}

Replay: TypeAlias = Callable[..., Replayed]
Answer: TypeAlias = Callable[..., SeriesReport]


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_engines(tmp_path_factory.mktemp("engines"))
    write_tiny_bundle(folder, "blind", dense=9.0)
    return folder


@pytest.fixture
def replay(tmp_path: Path, engines: Path) -> Replay:
    """``replay(folder, networks="blind")`` gives what ``bleedwatch replay`` would say of it."""
    n_calls = iter(range(1000))

    def replay_once(folder: Path, networks: Networks = "blind") -> Replayed:
        here = PACKAGED_ENGINES if networks == "shipped" else engines
        config = Config(
            export_folder=folder,
            state_folder=tmp_path / f"state {next(n_calls)}",
            engines_folder=here,
            infer=InferConfig(bundle=BUNDLES[networks], threads=1),
        )
        return replayed(config)

    return replay_once


@pytest.fixture
def answer(replay: Replay) -> Answer:
    """``answer(folder, networks="blind")`` is the report of the only series in a folder."""

    def answer_once(folder: Path, networks: Networks = "blind") -> SeriesReport:
        (report,) = replay(folder, networks).reports
        return report

    return answer_once
