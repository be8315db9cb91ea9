"""A real export: a tilted GE head of two thicknesses, its files copied and its dates removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_engine.protocols.made import installed, run, run_json

HEAD = Path(__file__).parents[4] / "shared" / "data" / "head_ct_ge_tilted"

pytestmark = pytest.mark.skipif(not HEAD.is_dir(), reason=f"no real head at {HEAD}")


def test_a_draft_from_a_real_head_is_valid_and_matches_it(tmp_path):
    config, draft = installed(tmp_path), tmp_path / "draft.toml"

    learned = run_json("learn", HEAD, "--output", draft, "--config", config)

    assert run("check", draft, "--config", config).exit_code == 0
    tested = run_json("test", HEAD, "--draft", draft, "--config", config)
    assert [one["profile"] for one in tested["series"]] == ["ge-hispeed-dual-head"]
    values = {one["key"]: one["value"] for one in learned["inferred"]}
    assert values["kernels"] == r"^STD\+$"
    assert values["thickness_mm"] == [3.6, 7.7]
    assert "quiet_s" not in values
    assert {one["reason"]["text"] for one in tested["left_out"]} == {"not a DICOM file"}
