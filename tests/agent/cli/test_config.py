"""``bleedwatch config``, as a service engineer calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.agent.cli.conftest import Call


@pytest.fixture
def config(config: Path, tmp_path: Path) -> Path:
    config.write_text(f'export_folder = "{tmp_path}"\n[console]\nport = 8742\nhost = "127.0.0.2"\n')
    return config


def test_diff_lists_what_is_not_at_its_default_and_where_it_is_set(
    config: Path, call: Call
) -> None:
    listed = json.loads(call("config", "diff", "--json").stdout)
    text = call("config", "diff").stdout

    assert [one["name"] for one in listed] == ["export_folder", "console.host"]
    assert listed[1] == {
        "name": "console.host",
        "value": "127.0.0.2",
        "default": "127.0.0.1",
        "origin": str(config),
    }
    assert "console.host" in text
    assert "console.port" not in text


def test_show_lists_every_setting_with_its_origin(config: Path, call: Call) -> None:
    lines = {line.split()[0]: line for line in call("config", "show").stdout.splitlines()[1:]}

    assert "default" in lines["infer.threads"]
    assert str(config) in lines["console.port"]


def test_check_names_the_folder_that_is_not_there(config: Path, tmp_path: Path, call: Call) -> None:
    assert call("config", "check").returncode == 0

    config.write_text(f'export_folder = "{tmp_path / "gone"}"\n')

    checked = call("config", "check", "--json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout) == {"missing": {"export_folder": str(tmp_path / "gone")}}


def test_a_page_that_would_not_be_served_is_told_before_it_is_started(
    config: Path, call: Call
) -> None:
    config.write_text(config.read_text().replace("127.0.0.2", "10.0.0.1"))

    told = call("config", "check")

    assert told.returncode == 78
    assert "only a loopback address is served without TLS" in told.stderr
