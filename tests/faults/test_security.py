"""A stranger's files: names become no paths, sizes take no memory, links lead nowhere."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from pydicom.config import disable_value_validation
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from agent.assemble.dicom_file import read_slices
from agent.assemble.limits import ReadLimits
from agent.config import Config, load_config
from agent.errors import FileRefused
from agent.reasons import english
from tests.faults.conftest import Row
from tests.phantoms import slice_dataset, uid, write, write_enhanced, write_series
from tests.program import Program, ended, until

N = 24
CEILING_BYTES = 32 * 2**20
ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "agent").rglob("*.py"), *(ROOT / "build_engine").rglob("*.py")]
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CLIMB = "../../../../../../tmp/climbed"


def test_names_in_files_never_become_paths(agent: Program, row: Row) -> None:
    agent.started()
    names = dict.fromkeys(
        ["PatientID", "AccessionNumber", "SeriesDescription", "ProtocolName", "StationName"], CLIMB
    )
    with disable_value_validation():
        write_series(agent.export / "in", N, PatientName=f"{CLIMB}^A", **names)

    with agent.store() as store:
        until(lambda: ended(store.queries.series(uid("series", 0))))
        assert store.queries.series(uid("series", 0)).identity.patient_id == CLIMB
    agent.kill()

    made = sorted(path.name for path in agent.state.rglob("*"))
    row.tell(f"names as paths: the state folder holds {made} and nothing else was made")
    assert {name.split("-")[0] for name in made} == {"agent.lock", "bleedwatch.sqlite", "selftest"}
    assert len([path for path in agent.export.rglob("*") if path.is_file()]) == N
    assert not Path("/tmp/climbed").exists()


def test_nothing_is_ever_unpickled(row: Row) -> None:
    found = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                found += [
                    source for module in modules if (module or "").split(".")[0] in UNPICKLERS
                ]
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "weights_only"):
                safe = node.arg == "weights_only"
                found += [source] * (getattr(node.value, "value", None) is not safe)
    row.tell(f"pickle: none in {len(SOURCES)} modules")
    assert found == []


BOMBS = {
    "deflated": (DeflatedExplicitVRLittleEndian, "inflates to more"),
    "a matrix of 60000 x 60000": (ExplicitVRLittleEndian, "matrix 60000"),
    "JPEG 2000 of 16384 x 16384": (JPEG2000Lossless, "compressed 16384 x 16384"),
    "JPEG-LS of 16384 x 16384": (JPEGLSLossless, "compressed 16384 x 16384"),
    "RLE larger than its image": (RLELossless, "larger than their image"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, row: Row, name: str
) -> None:
    syntax, words = BOMBS[name]
    (path,) = write_series(tmp_path, 1, transfer_syntax=syntax)
    content, large = path.read_bytes(), (16384).to_bytes(2, "big")
    if name == "deflated":
        at = 132 + 12 + int.from_bytes(content[140:144], "little")
        packed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        header = zlib.decompress(content[at:], -zlib.MAX_WBITS)
        content = content[:at] + packed.compress(header + bytes(150 * 2**20)) + packed.flush()
    elif "matrix" in name:
        write(slice_dataset(Rows=60000, Columns=60000), path, syntax)
        content = path.read_bytes()
    elif "2000" in name:
        at = content.index(b"\xff\x4f\xff\x51") + 8
        content = content[:at] + 2 * (b"\0\0" + large) + content[at + 8 :]
    elif "LS" in name:
        small = (64).to_bytes(2, "big")
        content = content.replace(b"\x10" + small + small, b"\x10" + large + large)
    else:
        at = content.index(b"\xfe\xff\x00\xe0", content.index(b"\xe0\x7f\x10\x00") + 20)
        content = content[: at + 4] + (10**6).to_bytes(4, "little") + bytes([1] * 10**6)
        content += b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content)

    tracemalloc.start()
    with pytest.raises(FileRefused, match=words) as refused:
        read_slices(path, ReadLimits(file_bytes=CEILING_BYTES))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    row.tell(f"bomb, {name}: {len(content)} bytes, {refused.value}; peak {peak_bytes / 1e6:.0f} MB")
    assert peak_bytes < 4 * CEILING_BYTES


def test_more_frames_than_allowed_are_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "many", 12)

    with pytest.raises(FileRefused, match="12 frames"):
        read_slices(path, ReadLimits(frames=10))


def test_the_ceilings_are_those_of_the_configuration(tmp_path: Path, engines: Path) -> None:
    more = "[read]\nfile_mb = 1\nmatrix_px = 512\nframes = 5\n"
    with Program(tmp_path / "box", engines, more) as agent:
        assert load_config(agent.config).read.limits == ReadLimits(2**20, 512, 5)
        agent.started()
        write_enhanced(agent.export / "frames", 6, size=64)
        write_series(agent.export / "size", 1, seed=1, size=800)
        (agent.export / "bytes").write_bytes(bytes(2**20 + 1))
        until(lambda: len(agent.files()) == 3)
        with agent.store() as store:
            told = " ".join(english(notice.reason) for notice in store.queries.notices(10))

    assert "6 frames" in told
    assert "limit 1048576" in told
    assert Config(export_folder=tmp_path).read.limits == ReadLimits()


def test_links_out_of_the_folder_are_not_followed(agent: Program, tmp_path: Path, row: Row) -> None:
    outside = write_series(tmp_path / "outside", N)
    (agent.export / "folder").symlink_to(outside[0].parent)
    (agent.export / "file.dcm").symlink_to(outside[0])
    agent.started()
    (agent.export / "later").symlink_to(outside[0].parent)

    write_series(agent.export / "in", N, seed=1)
    with agent.store() as store:
        until(lambda: ended(store.queries.series(uid("series", 1))))
        assert store.queries.series(uid("series", 0)) is None
    row.tell(f"links out of the folder: none followed, {len(agent.files())} files read")
    assert len(agent.files()) == N


def test_a_file_that_becomes_a_link_or_a_pipe_before_it_is_read_is_not_followed(
    tmp_path: Path,
) -> None:
    (outside,) = write_series(tmp_path / "outside", 1)
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(outside)
    os.mkfifo(pipe)

    for path in (link, pipe):
        with pytest.raises(FileRefused):
            read_slices(path, ReadLimits())


def test_the_decoders_process_has_bounded_memory() -> None:
    code = (
        "import resource, sys; from agent.assemble import decoder; import io\n"
        "sys.stdin = io.TextIOWrapper(io.BytesIO(b''))\n"
        "decoder.main(); print(resource.getrlimit(resource.RLIMIT_AS)[0])\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(ran.stdout) == 2 * 1024**3
