"""Plans on disk: whole or not there, refused or activated, and back again."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PlanError, SignatureError
from agent.infer.plan import (
    ACTIVE,
    MANIFEST,
    SLICE_PLAN,
    VOLUME_PLAN,
    load_plan,
    misfit,
    read_active,
)
from agent.reasons import english
from build_engine.compile.plans import activate, rollback, write_plan
from build_engine.compile.signing import sign
from tests.build_engine.compile.made import (
    ENGINES,
    HERE,
    KEY,
    MACHINE,
    OTHERS_KEY,
    built,
    manifest,
    site,
    verified,
)
from tests.heads import SEEING_BUNDLE


def test_a_plan_is_read_as_it_was_written(tmp_path):
    folder = write_plan(tmp_path / "plans", manifest(), ENGINES)

    plan = load_plan(folder, None)

    assert (plan.slice_plan, plan.volume_plan) == (b"slice engine", b"volume engine")
    assert plan.manifest.layers == {"FP16": 30, "FP32": 4}
    assert folder.name == plan.manifest.name
    assert [path.name for path in (tmp_path / "plans").iterdir()] == [folder.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [SLICE_PLAN, VOLUME_PLAN])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_an_engine_is_refused(tmp_path_factory, name, where, bit):
    folder = write_plan(tmp_path_factory.mktemp("plans"), manifest(), ENGINES)
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)

    with pytest.raises(PlanError, match=f"{name} is not the file that the manifest names"):
        load_plan(folder, None)


@pytest.mark.parametrize("missing", [SLICE_PLAN, MANIFEST])
def test_a_plan_with_a_file_missing_is_refused_by_that_files_name(tmp_path, missing):
    folder = write_plan(tmp_path / "plans", manifest(), ENGINES)
    (folder / missing).unlink()

    with pytest.raises(PlanError, match=f"{missing}: No such file"):
        load_plan(folder, None)


def test_a_truncated_manifest_is_refused(tmp_path):
    folder = write_plan(tmp_path / "plans", manifest(), ENGINES)
    text = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(text[: len(text) // 2])

    with pytest.raises(PlanError, match=MANIFEST):
        load_plan(folder, None)


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({"tensorrt": "11.0.0.1"}, "TensorRT 10.7.0.23, this is 11.0.0.1"),
        ({"gpu": "NVIDIA T4"}, "GPU NVIDIA L4, this is NVIDIA T4"),
        ({"compute_capability": "7.5"}, "compute capability 8.9, this is 7.5"),
        ({"multiprocessors": 40}, "multiprocessors 58, this is 40"),
        ({"driver": "600.1"}, None),
    ],
)
def test_a_plan_fits_the_machine_it_was_built_for_whatever_the_driver(machine, says):
    reason = misfit(manifest(), SEEING_BUNDLE, MACHINE.model_copy(update=machine))

    assert (english(reason) if reason else "None").endswith(str(says))


def test_a_plan_of_another_bundle_or_of_other_networks_does_not_fit():
    bundle = misfit(manifest(bundle="other/2"), SEEING_BUNDLE, MACHINE)
    networks = misfit(manifest(networks=("a", "b")), SEEING_BUNDLE, MACHINE)

    assert bundle.code == "plan_of_other_bundle"
    assert networks.code == "plan_of_other_networks"


@pytest.mark.parametrize(
    "change",
    [
        {"networks": ("a", "b")},
        {"precision": "fp32"},
        {"slabs_per_run": 4},
        {"machine": MACHINE.model_copy(update={"tensorrt": "11.0.0.1"})},
        {"machine": MACHINE.model_copy(update={"gpu": "NVIDIA T4"})},
        {"machine": MACHINE.model_copy(update={"multiprocessors": 40})},
    ],
)
def test_whatever_makes_a_plan_another_one_changes_its_key(change):
    assert manifest(**change).key != manifest().key


def test_a_verified_plan_is_activated_and_the_one_before_it_is_kept(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    second = verified(tmp_path, built(tmp_path, minute=1))

    activate(site(tmp_path), first)
    switched = activate(site(tmp_path), second)

    assert (switched.plan, switched.previous) == (second, first)
    assert read_active(tmp_path / "plans") == {"any": switched}


def test_activating_the_active_plan_again_does_not_forget_the_one_before_it(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    second = verified(tmp_path, built(tmp_path, minute=1))
    activate(site(tmp_path), first)
    activate(site(tmp_path), second)

    again = activate(site(tmp_path), second)

    assert again.previous == first


def test_rollback_goes_back_and_forth(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    second = verified(tmp_path, built(tmp_path, minute=1))
    activate(site(tmp_path), first)
    activate(site(tmp_path), second)

    assert rollback(site(tmp_path), "any").plan == first
    assert rollback(site(tmp_path), "any").plan == second


def test_protocols_have_plans_of_their_own(tmp_path):
    everyone = verified(tmp_path, built(tmp_path))
    thin = verified(tmp_path, built(tmp_path, minute=1, protocol="ge-head", slabs_per_run=16))

    activate(site(tmp_path), everyone)
    activate(site(tmp_path), thin)

    active = read_active(tmp_path / "plans")
    assert (active["any"].plan, active["ge-head"].plan) == (everyone, thin)
    with pytest.raises(PlanError, match="no earlier plan for ge-head"):
        rollback(site(tmp_path), "ge-head")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"faults": ("head 7: decision differs",)}, "failed its verification: head 7"),
        ({"plan_digest": "0" * 64}, "its verification is another plan's"),
        ({"here": HERE.model_copy(update={"machine_id": "box-2"})}, "on another machine"),
        (
            {
                "here": HERE.model_copy(
                    update={"machine": MACHINE.model_copy(update={"driver": "535.1"})}
                )
            },
            "verified with driver 535.1, this is 550.54",
        ),
    ],
)
def test_a_plan_without_a_passing_verification_made_here_is_refused(tmp_path, record, says):
    name = verified(tmp_path, built(tmp_path), **record)

    with pytest.raises(PlanError, match=says):
        activate(site(tmp_path), name)

    assert read_active(tmp_path / "plans") == {}


def test_a_plan_that_was_never_verified_is_refused(tmp_path):
    with pytest.raises(PlanError, match="never verified"):
        activate(site(tmp_path), built(tmp_path))


def test_a_plan_for_another_card_is_refused(tmp_path):
    other = MACHINE.model_copy(update={"gpu": "NVIDIA T4"})
    name = verified(tmp_path, built(tmp_path, machine=other))

    with pytest.raises(PlanError, match="built for GPU NVIDIA T4"):
        activate(site(tmp_path), name)


def test_a_slower_plan_is_activated_only_on_request(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    slow = verified(tmp_path, built(tmp_path, minute=1), head_ms=20.0, active_ms=12.0)
    activate(site(tmp_path), first)

    with pytest.raises(PlanError, match=r"20.0 ms a head, the active plan 12.0 ms"):
        activate(site(tmp_path), slow)
    assert read_active(tmp_path / "plans")["any"].plan == first

    assert activate(site(tmp_path), slow, even_if_slower=True).plan == slow


def test_rollback_to_a_plan_that_is_damaged_by_now_is_refused(tmp_path):
    first = verified(tmp_path, built(tmp_path))
    second = verified(tmp_path, built(tmp_path, minute=1))
    activate(site(tmp_path), first)
    activate(site(tmp_path), second)
    (tmp_path / "plans" / first / SLICE_PLAN).write_bytes(b"slice engin")

    with pytest.raises(PlanError, match=SLICE_PLAN):
        rollback(site(tmp_path), "any")

    assert read_active(tmp_path / "plans")["any"].plan == second


def test_where_a_key_is_configured_only_plans_signed_with_it_are_activated(tmp_path):
    name = verified(tmp_path, built(tmp_path))
    signed_site = site(tmp_path, KEY.public_key())

    with pytest.raises(SignatureError, match="is not signed"):
        activate(signed_site, name)
    sign(tmp_path / "plans" / name, OTHERS_KEY)
    with pytest.raises(SignatureError, match="another key"):
        activate(signed_site, name)
    sign(tmp_path / "plans" / name, KEY)

    assert activate(signed_site, name).plan == name


def test_a_damaged_list_of_active_plans_is_named_not_overwritten(tmp_path):
    name = verified(tmp_path, built(tmp_path))
    (tmp_path / "plans" / ACTIVE).write_text("{")

    with pytest.raises(PlanError, match=ACTIVE):
        activate(site(tmp_path), name)

    assert (tmp_path / "plans" / ACTIVE).read_text() == "{"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_no_half_a_plan_and_does_not_touch_the_active_one(small_disk):
    name = verified(small_disk, built(small_disk))
    activate(site(small_disk), name)
    too_large = {SLICE_PLAN: b"0" * 100_000, VOLUME_PLAN: b"0" * 200_000}

    with pytest.raises(PlanError, match="the disk is full"):
        write_plan(small_disk / "plans", manifest(protocol="ge-head"), too_large)

    plans = small_disk / "plans"
    assert {path.name for path in plans.iterdir()} == {name, ACTIVE}
    assert read_active(plans)["any"].plan == name


def test_plans_built_within_a_second_are_two(tmp_path):
    """They got one name, and the second could not be written."""
    first, second, third = (write_plan(tmp_path, manifest(), ENGINES) for _ in range(3))

    assert len({first, second, third}) == 3
    for folder in (first, second, third):
        assert load_plan(folder, None).manifest.name == folder.name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        folder.name for folder in (first, second, third)
    )
