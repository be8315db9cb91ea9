"""Sample exports and installed profiles, and the commands run on them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from agent.assemble.protocol import load_profiles, profile_files
from agent.config import PACKAGED_ENGINES
from agent.records import SliceHeader
from build_engine.protocols.cli import protocol
from build_engine.protocols.inference import Known
from build_engine.protocols.sample import SampleSeries
from tests.agent.assemble.made import HEADER, made
from tests.schema import check_printed

PACKAGED = PACKAGED_ENGINES / "protocols"
FILES = profile_files(PACKAGED)
PROFILES = load_profiles(PACKAGED)


def known(expert: str = "generic-head") -> Known:
    """What the packaged profiles know."""
    by_name = {file.values["name"]: file for file in FILES}
    return Known(by_name[expert], by_name["generic-head"])


def installed(folder: Path, **profiles: str) -> Path:
    """Install the packaged profiles and more of them; the configuration that names them."""
    engines = folder / "engines"
    engines.mkdir()
    (engines / "default").symlink_to(PACKAGED_ENGINES / "default")
    shutil.copytree(PACKAGED, engines / "protocols")
    for name, text in profiles.items():
        (engines / "protocols" / f"{name}.toml").write_text(text, encoding="utf-8")
    config = folder / "agent.toml"
    config.write_text(f'export_folder = "{folder}"\nengines_folder = "{engines}"\n')
    return config


def run(*words: object) -> Result:
    """Run ``bleedwatch protocol`` with these words."""
    return CliRunner().invoke(protocol, [str(word) for word in words], env={"COLUMNS": "200"})


def run_json(*words: object) -> Any:
    """Run a command with ``--json``."""
    result = run(*words, "--json")
    assert result.exception is None, result.output
    check_printed(["protocol", *map(str, words)], result.stdout)
    return json.loads(result.stdout)


def series_of(headers: Sequence[SliceHeader], uid: str = "1.2.3.4") -> SampleSeries:
    """A series with these slices, 10 mm apart."""
    series = SampleSeries(uid)
    for k, header in enumerate(headers):
        placed = made(k, 10.0 * k)
        series.put([placed._replace(header=_at(header, placed.header))])
    return series


def head_of(n: int = 13, uid: str = "1.2.3.4", **changes: Any) -> SampleSeries:
    """A whole plain head, all slices with these changes."""
    return series_of([replace(HEADER, **{"rows": 512, "columns": 512, **changes})] * n, uid)


def _at(header: SliceHeader, place: SliceHeader) -> SliceHeader:
    return replace(
        header,
        sop_uid=place.sop_uid,
        instance_number=place.instance_number,
        position_lps_mm=place.position_lps_mm,
        digest=place.digest,
    )


def paced(paths: Sequence[Path], pause_s: float, ago_s: float = 60.0) -> None:
    """Set the files' times as if written one after another."""
    began_s = time.time() - ago_s
    for n, path in enumerate(paths):
        os.utime(path, (began_s + n * pause_s,) * 2)
