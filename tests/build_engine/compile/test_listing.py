"""What the list of bundles and plans says of each."""

import shutil

import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.plan import SLICE_PLAN
from build_engine.compile.listing import bundle_rows, plan_rows
from build_engine.compile.plans import activate
from build_engine.compile.signing import sign
from tests.build_engine.compile.made import KEY, MACHINE, built, site, verified

SHIPPED = InferConfig().bundle


@pytest.fixture
def engines(tmp_path):
    shutil.copytree(
        PACKAGED_ENGINES / SHIPPED,
        tmp_path / SHIPPED,
        ignore=shutil.ignore_patterns("card"),
    )
    return tmp_path


def test_a_bundle_is_listed_with_its_place_and_whether_it_is_in_use(engines):
    (row,) = bundle_rows(engines, engines / SHIPPED, None)

    assert (row.name, row.in_use, row.problem) == (SHIPPED, True, None)


def test_a_damaged_bundle_is_listed_with_what_is_wrong(engines):
    (engines / SHIPPED / "volume.onnx").write_bytes(b"")

    (row,) = bundle_rows(engines, engines / "other" / "1", None)

    assert not row.in_use
    assert "volume.onnx is not the file that the manifest names" in row.problem


def test_an_unsigned_bundle_is_listed_as_such_where_a_key_is_configured(engines):
    folder = engines / SHIPPED

    (unsigned,) = bundle_rows(engines, folder, KEY.public_key())
    sign(folder, KEY)
    (signed,) = bundle_rows(engines, folder, KEY.public_key())

    assert "is not signed" in unsigned.problem
    assert signed.problem is None


def test_plans_are_listed_with_what_they_are_in_use_for_and_why_they_are_no_use(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    second = verified(tmp_path, built(tmp_path, minute=1))
    unverified = built(tmp_path, minute=2)
    elsewhere = MACHINE.model_copy(update={"gpu": "NVIDIA T4"})
    other_card = verified(tmp_path, built(tmp_path, minute=3, machine=elsewhere))
    damaged = verified(tmp_path, built(tmp_path, minute=4))
    (tmp_path / "plans" / damaged / SLICE_PLAN).write_bytes(b"")
    activate(site(tmp_path), first)
    activate(site(tmp_path), second)

    rows = {row.name: row for row in plan_rows(tmp_path / "plans", None, site(tmp_path))}

    assert rows[second].active_for == ("any",)
    assert rows[first].previous_for == ("any",)
    assert rows[first].problem is rows[second].problem is None
    assert rows[first].verified_heads == 50
    assert rows[unverified].problem == "it was never verified"
    assert rows[other_card].problem == "built for GPU NVIDIA T4, this is NVIDIA L4"
    assert "is not the file that the manifest names" in rows[damaged].problem
    assert rows[damaged].manifest is None


def test_without_a_gpu_every_plan_says_so(tmp_path):
    verified(tmp_path, built(tmp_path))

    (row,) = plan_rows(tmp_path / "plans", None, "no GPU to run it on: no driver")

    assert row.problem == "no GPU to run it on: no driver"


def test_a_folder_without_plans_lists_none(tmp_path):
    assert plan_rows(tmp_path / "plans", None, site(tmp_path)) == ()
