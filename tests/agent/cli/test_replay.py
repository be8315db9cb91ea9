"""agent.cli.replay: a folder read once, and what was left out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.phantoms import uid, write_series
from tests.program import Program

pytestmark = pytest.mark.slow

Replay: TypeAlias = Callable[..., str]


@pytest.fixture
def replay(program: Program) -> Replay:
    """Call the command on a box whose bundle costs next to nothing."""

    def replay(folder: Path, *options: str) -> str:
        said = program.call("replay", str(folder), *options)
        assert said.returncode == 0, said.stderr
        return said.stdout

    return replay


def test_replay_prints_one_object_a_series(tmp_path: Path, replay: Replay) -> None:
    write_series(tmp_path / "in" / "head", 24, size=128)
    write_series(tmp_path / "in" / "bone", 24, size=128, seed=1, ConvolutionKernel="H70h")
    (tmp_path / "in" / "notes.txt").write_text("not an image")

    printed = json.loads(replay(tmp_path / "in", "--json"))

    assert printed["not_whole"] == []
    by_uid = {report["series_uid"]: report for report in printed["series"]}
    assert set(by_uid) == {uid("series", 0), uid("series", 1)}
    assert by_uid[uid("series", 1)]["state"] == "not_analysed"
    head = by_uid[uid("series", 0)]
    assert len(head["geometry"]["spacing_mm"]) == 23
    assert head["completed_by"] == "end_of_folder"
    assert {
        "series_uid", "protocol", "state", "code", "text", "score", "total_volume_ml",
        "midline_shift_mm", "findings", "geometry", "timings_s", "revision",
    } <= set(head)  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_replay_says_which_files_were_not_whole_and_why(
    tmp_path: Path, replay: Replay, as_json: bool
) -> None:
    paths = write_series(tmp_path / "in [1]", 24)
    paths[10].write_bytes(paths[10].read_bytes()[:3000])

    printed = replay(tmp_path / "in [1]", *["--json"] * as_json)

    if as_json:
        (left_out,) = json.loads(printed)["not_whole"]
        assert left_out["path"] == str(paths[10])
        assert "010.dcm: " in left_out["reason"]["text"]
    else:
        assert "left out: 010.dcm: " in printed
        assert "bytes of pixels" in printed
        assert f"(in {tmp_path / 'in [1]'})" in printed
