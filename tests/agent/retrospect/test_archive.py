"""bleedwatch read: an archive read to the end, on from where it was, and by two bundles."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from itertools import islice
from pathlib import Path

import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from agent.assemble.limits import ReadLimits
from agent.cli import build_app
from agent.config import Config
from agent.errors import BundleError, RequestRefused
from agent.retrospect import run
from agent.retrospect.comparison import compared
from agent.retrospect.index import ArchiveIndex
from agent.retrospect.run import read_archive, rows_of
from agent.retrospect.workers import Processes, read_by
from tests.phantoms import uid, write_series
from tests.schema import check_printed
from tests.tiny import BUNDLE, write_engines, write_tiny_bundle

pytestmark = pytest.mark.slow

N_HEADS = 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three heads, one of which lies in two folders, a bone series, and what is no image."""
    archive = tmp_path_factory.mktemp("archive")
    for number in range(N_HEADS):
        paths = write_series(archive / f"day {number}", 24, size=64, seed=number)
        if number == 0:
            (archive / "elsewhere").mkdir()
            for path in paths[12:]:
                path.rename(archive / "elsewhere" / path.name)
    write_series(archive / "bone", 24, size=64, seed=9, ConvolutionKernel="H70h")
    (archive / "notes.txt").write_text("not an image")
    return archive


@pytest.fixture(scope="module")
def config(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    engines = write_engines(tmp_path_factory.mktemp("engines") / "engines")
    write_tiny_bundle(engines, "2", dense=0.3)
    infer = {"bundle": BUNDLE, "threads": 1}
    return Config(export_folder=archive, engines_folder=engines, infer=infer)


def to_the_end(archive: Path, to: Path, config: Config) -> run.Progress:
    *_, last = read_archive(archive, to, config, None)
    return last


def test_every_series_has_one_row_with_its_answer(archive, config, tmp_path):
    told = to_the_end(archive, tmp_path / "out", config)

    rows = {row["series_uid"]: row for row in rows_of(tmp_path / "out", config, BUNDLE).read()}
    assert set(rows) == {uid("series", seed) for seed in (*range(N_HEADS), 9)}
    head, bone = rows[uid("series", 0)], rows[uid("series", 9)]
    assert (head["files"], head["slices"], head["backend"][:12]) == (24, 24, "ONNX Runtime")
    assert (bone["state"], bone["code"]) == ("not_analysed", "bone_kernel")
    assert (told.n_read, told.n_other_files) == (4, 1)


def test_there_is_no_patient_in_a_row(archive, config, tmp_path):
    to_the_end(archive, tmp_path / "out", config)

    (part,) = (tmp_path / "out").glob("rows/*/*.parquet")
    content = json.dumps(parquet.read_table(part).to_pylist(), default=str)
    assert "Müller" not in content
    assert "day 0" not in content


def test_what_was_stopped_goes_on_where_it_was(archive, config, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PART_ROWS", 1)
    some = read_archive(archive, tmp_path / "out", config, None)
    stopped = next(told for told in some if told.n_read == 2)
    some.close()
    (half,) = {path.parent for path in (tmp_path / "out").glob("rows/*/*.parquet")}
    (half / ".000003.part").write_bytes(b"half a part")

    told = to_the_end(archive, tmp_path / "out", config)

    rows = list(rows_of(tmp_path / "out", config, BUNDLE).read())
    assert stopped.n_read == 2
    assert (told.n_known, told.n_read) == (2, 2)
    assert len({row["series_uid"] for row in rows}) == len(rows) == N_HEADS + 1
    assert to_the_end(archive, tmp_path / "out", config).n_waiting == 0


def test_an_index_that_was_cut_off_is_finished_and_no_file_is_looked_at_twice(
    archive, config, tmp_path, monkeypatch
):
    monkeypatch.setattr("agent.retrospect.index.FILES_PER_COMMIT", 40)
    index = ArchiveIndex(tmp_path / "index.sqlite", ReadLimits())
    assert list(islice(index.take_in(archive), 1)) == [40]
    index.close()

    index = ArchiveIndex(tmp_path / "index.sqlite", ReadLimits())
    assert list(index.take_in(archive))[-1] == 24 * 4 + 1 - 40
    assert len(index.files(uid("series", 0))) == 24
    assert list(index.take_in(archive)) == []
    index.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (97,)
    db.close()


def test_two_bundles_are_compared_series_by_series(archive, config, tmp_path):
    to = tmp_path / "out"
    (tmp_path / "agent.toml").write_text(
        f'export_folder = "{archive}"\nengines_folder = "{config.engines_folder}"\n'
        '[infer]\nbundle = "tiny/2"\nthreads = 1\n'
    )
    to_the_end(archive, to, config)
    words = ["read", str(archive), "--to", str(to), "--config", str(tmp_path / "agent.toml")]
    app = build_app("read")

    result = CliRunner().invoke(app, [*words, "--against", BUNDLE, "--json"])

    assert result.exit_code == 0, result.output
    check_printed(words, result.stdout)
    told = json.loads(result.stdout)["comparison"]
    assert told["n_series"] == N_HEADS + 1
    assert sum(told["answers"].values()) == N_HEADS + 1
    assert told["answers"]["not_analysed → not_analysed"] == 1
    assert "by both bundles" in CliRunner().invoke(app, [*words, "--against", BUNDLE]).stdout


def test_a_comparison_names_what_is_answered_otherwise():
    def row(uid: str, state: str, score: float | None, volume_ml: float | None) -> dict:
        return {
            "series_uid": uid, "state": state, "score": score, "total_volume_ml": volume_ml
        }  # fmt: skip

    before = [
        row("1", "suspected", 0.9, 10.0),
        row("2", "not_suspected", 0.4, None),
        row("3", "not_analysed", None, None),
        row("4", "suspected", 0.8, 5.0),
    ]
    after = [
        row("1", "suspected", 0.7, 12.0),
        row("2", "suspected", 0.6, 1.0),
        row("3", "not_analysed", None, None),
        row("5", "suspected", 0.6, 1.0),
    ]

    told = compared(before, after)

    assert (told.n_series, told.only_before, told.only_after) == (3, 1, 1)
    assert told.answers["not_suspected → suspected"] == 1
    assert [change.series_uid for change in told.changes] == ["2"]
    assert told.score_difference == (0.0, -0.18, 0.18)
    assert told.volume_difference_ml == (2.0, 2.0, 2.0)


def test_a_worker_that_is_killed_costs_no_series(archive, config, tmp_path):
    """Two processes, of which the first that answers is killed."""
    killed = []

    for told in read_archive(archive, tmp_path / "out", config, "local"):
        if told.n_read == 1 and not killed:
            (name,) = told.read_by
            killed.append(int(name.removeprefix("process ")))
            os.kill(killed[0], signal.SIGKILL)

    rows = list(rows_of(tmp_path / "out", config, BUNDLE).read())
    assert {row["series_uid"] for row in rows} == {uid("series", n) for n in (*range(N_HEADS), 9)}
    assert len(rows) == told.n_read == N_HEADS + 1
    assert told.n_workers >= 2
    assert {row["code"] for row in rows} <= {None, "bone_kernel"}


def test_a_series_on_which_workers_end_twice_has_a_row_that_says_so(config):
    crew = Ending(config)

    rows = list(read_by(crew, [("1.2.3", (Path("a"), Path("b")))]))

    crew.close()
    assert [(row.state, row.code, row.files) for row in rows] == [("not_analysed", "set_aside", 2)]


class Ending(Processes):
    """Workers that are killed as soon as they are given a series."""

    def begun(self, worker, task):
        worker.process.kill()
        return super().begun(worker, task)


def test_a_bundle_that_no_worker_can_load_ends_it_all(config, tmp_path):
    crew = Processes(config.model_copy(update={"engines_folder": tmp_path}))

    with pytest.raises(BundleError, match="no bundle in"):
        list(read_by(crew, [("1.2.3", ())]))

    crew.close()


def test_a_missing_extra_is_named_with_its_command(archive, config, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)

    with pytest.raises(RequestRefused, match="ray is not installed") as caught:
        list(read_archive(archive, tmp_path / "out", config, "ray"))

    assert caught.value.what_to_do == "pip install '.[ray]'"
