"""bleedwatch engine: what a service engineer types, and reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner, Result

from agent.errors import AgentError, BundleError, ConfigError, GpuError, PlanError, SignatureError
from agent.infer.plan import SLICE_PLAN, load_plan, read_active
from agent.infer.verification import FILE, Here, Verification
from build_engine.compile.cli import engine
from tests.build_engine.compile import made
from tests.build_engine.compile.made import KEY
from tests.nvidia.box import GpuBox
from tests.schema import check_printed
from tests.tiny import write_tiny_bundle


def run(box: GpuBox, *arguments: str, code: int = 0) -> Result:
    config = box.folder.parent / "agent.toml"
    result = CliRunner().invoke(engine, [*arguments, "--config", str(config)])
    if isinstance(result.exception, AgentError):
        raise result.exception
    assert result.exit_code == code, result.output
    if "--json" in arguments:
        check_printed(["engine", *arguments], result.stdout)
    return result


def built(box: GpuBox, *options: str) -> str:
    return str(json.loads(run(box, "build", "--json", *options).stdout)["plan"])


def verified(box: GpuBox, name: str, **changes: object) -> str:
    """Put the report of a passing verification beside a plan, as made here."""
    gpu = box.connect()
    here = Here.of(gpu.machine)
    gpu.close()
    return made.verified(box.plans.parent, name, here=here, **changes)


@pytest.mark.parametrize("version", ["8.6.1.6", "10.7.0", "11.4.0.106"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_build_compiles_both_networks_in_the_precision_asked_for(card_box_of, version, precision):
    box = card_box_of(version)

    told = json.loads(run(box, "build", "--json", "--precision", precision).stdout)

    plan = load_plan(box.plans / told["plan"], None).manifest
    assert (plan.bundle, plan.protocol, plan.precision) == ("tiny/1", "any", precision)
    assert plan.slabs_per_run == 8
    assert plan.machine.tensorrt == version
    assert sum(plan.layers.values()) == 4
    if version != "8.6.1.6":  # there the builder, which the double is not, chooses
        assert set(plan.layers) == ({"FP16"} if precision == "fp16" else {"FP32"})
    assert [p.name for p in box.plans.iterdir() if not p.name.startswith(".")] == [told["plan"]]


def test_build_allows_before_tensorrt_10_what_the_graph_cannot_say(card_box_of):
    box = card_box_of("8.6.1.6")

    built(box, "--precision", "fp16")

    allowed = {flag.name for flag in box.nvidia.builds[0].flags}
    assert "FP16" in allowed
    assert "TF32" not in allowed


def test_build_says_how_many_layers_really_run_in_which_precision(card_box):
    said = run(card_box, "build").stdout

    assert "layers: 4 in FP16" in said
    assert "next: bleedwatch engine verify tiny-1_any_fp16_" in said


@pytest.mark.slow
def test_a_plan_whose_layers_are_wider_than_asked_for_fails(card_box_of):
    box = card_box_of("8.6.1.6")
    name = built(box, "--precision", "fp16")  # the double's builder never chooses FP16 by itself

    result = run(box, "verify", name, "--heads", "1", code=1)

    assert "no layer runs in FP16: 4 in FP32" in result.stdout


def test_what_tensorrt_warns_of_reaches_the_log(card_box, capfd):
    card_box.nvidia.warns = "Using PTX of another card"

    run(card_box, "build")

    assert "Using PTX of another card" in capfd.readouterr().err


def test_a_second_build_starts_from_the_timings_of_the_first(card_box):
    built(card_box)
    built(card_box, "--protocol", "ge-head")

    first, _, third, _ = (config.cache.content for config in card_box.nvidia.builds)
    assert len(third) > len(first)


def test_unreadable_timings_are_begun_anew(card_box):
    built(card_box)
    (cache,) = (card_box.plans / ".timings").iterdir()
    cache.write_bytes(b"rubbish")

    built(card_box, "--protocol", "ge-head")

    assert cache.read_bytes().startswith(b"timings")


def with_keys(box: GpuBox) -> tuple[Path, Path]:
    """Configure a public key; returns the private one's file and the other's."""
    private, public = box.folder.parent / "private.pem", box.folder.parent / "public.pem"
    private.write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    with (box.folder.parent / "agent.toml").open("a") as config:
        config.write(f'public_key = "{public}"\n')
    return private, public


@pytest.mark.slow
def test_where_a_key_is_configured_timings_are_code_that_must_be_signed_too(card_box):
    private, _ = with_keys(card_box)
    sign(private, card_box.folder / "tiny" / "1")
    built(card_box)
    unsigned = list((card_box.plans).glob(".timings/*"))

    name = built(card_box, "--key", str(private), "--protocol", "ge-head")
    (cache,) = (card_box.plans / ".timings").glob("*.cache")
    kept = cache.read_bytes()
    built(card_box, "--protocol", "canon-head")
    cache.write_bytes(kept + b"a kernel of somebody else's")
    built(card_box, "--protocol", "philips-head")

    begun_with = [config.cache.content for config in card_box.nvidia.builds]
    assert unsigned == []
    run(card_box, "verify", name, "--heads", "1")
    assert begun_with[4].startswith(kept), "those that were signed are used"
    assert b"somebody" not in begun_with[6], "those that were changed are not"


@pytest.mark.parametrize(
    "call", ["set_tactic_sources", "add_optimization_profile", "set_timing_cache"]
)
def test_what_the_builder_refuses_is_said_and_nothing_is_built_without_it(card_box, call):
    card_box.nvidia.refuses = frozenset({call})

    with pytest.raises(PlanError, match="refuses"):
        built(card_box)

    assert card_box.nvidia.builds == []


def test_a_builder_that_cannot_start_is_one_line_with_tensorrts_reason(card_box):
    card_box.nvidia.cannot_start = "CUDA initialization failure with error: 35"

    with pytest.raises(GpuError, match="cannot start its Builder: CUDA initialization failure"):
        built(card_box)


@pytest.mark.slow
def test_every_command_gives_the_card_back_however_it_ends(card_box):
    """pycuda aborts a process that ends with a context on its stack."""
    name = verified(card_box, built(card_box))
    unverified = built(card_box, "--protocol", "ge-head")

    for command in (
        ("list",), ("activate", name), ("bench", "--batch", "1"), ("verify", name, "--heads", "1"),
    ):  # fmt: skip
        run(card_box, *command)
        assert card_box.card.depth == 0
    for command in (("activate", unverified), ("rollback",), ("activate", "/etc")):
        with pytest.raises(PlanError):
            run(card_box, *command)
        assert card_box.card.depth == 0


@pytest.mark.slow
def test_verify_leaves_its_report_beside_the_plan_and_two_heads_are_too_few_to_activate(card_box):
    name = built(card_box)

    said = run(card_box, "verify", name, "--heads", "2").stdout

    assert f"{name}: passed" in said
    report = Verification.model_validate_json((card_box.plans / name / FILE).read_bytes())
    assert (report.heads, report.faults, report.active_ms) == (2, (), None)
    assert 0 < report.largest_probability_difference < 0.1
    with pytest.raises(PlanError, match="on 2 golden heads, 50 are needed"):
        run(card_box, "activate", name)


@pytest.mark.slow
def test_a_plan_that_reads_heads_differently_fails_with_what_differs(card_box):
    name = built(card_box)
    card_box.nvidia.sees_less_by = 0.2

    result = run(card_box, "verify", name, "--heads", "1", code=1)

    assert f"{name}: 1 fault\n" in result.stdout
    assert "mL instead of" in result.stdout
    with pytest.raises(PlanError):
        run(card_box, "activate", name)


@pytest.mark.slow
def test_a_plan_that_gives_no_numbers_fails(card_box):
    name = built(card_box)
    card_box.card.nan_outputs = True

    result = run(card_box, "verify", name, "--heads", "1", code=1)

    assert "not all numbers" in result.stdout


def test_a_plan_is_activated_listed_and_rolled_back(card_box):
    first = verified(card_box, built(card_box, "--precision", "fp32"))
    second = verified(card_box, built(card_box))

    run(card_box, "activate", first)
    said = run(card_box, "activate", second).stdout
    listed = json.loads(run(card_box, "list", "--json").stdout)

    assert said == f"in use: {second}\nbefore: {first}\n"
    rows = {row["name"]: row for row in listed["plans"]}
    assert rows[second]["active_for"] == ["any"]
    assert rows[first]["previous_for"] == ["any"]
    assert rows[first]["problem"] is rows[second]["problem"] is None

    run(card_box, "rollback")

    assert read_active(card_box.plans)["any"].plan == first


def test_the_list_says_all_of_a_plan_under_its_whole_name(card_box):
    name = verified(card_box, built(card_box))
    run(card_box, "activate", name)
    unverified = built(card_box, "--protocol", "ge-head")

    lines = run(card_box, "list").stdout.splitlines()

    assert lines[-5:] == [
        name,
        "  in use for any · layers: 4 in FP16 · verified on 50 golden heads",
        unverified,
        "  layers: 4 in FP16 · never verified",
        "  no use here: it was never verified",
    ]


@pytest.mark.slow
def test_a_plans_way_is_told_in_json(card_box, tmp_path):
    key = tmp_path / "private.pem"
    key.write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    first, second = (
        verified(card_box, built(card_box, "--precision", precision))
        for precision in ("fp16", "fp32")
    )
    report = json.loads(run(card_box, "verify", first, "--heads", "1", "--json").stdout)
    verified(card_box, first)
    told = [
        json.loads(run(card_box, *words, "--json").stdout)
        for words in (("activate", first), ("activate", second), ("rollback",))
    ]
    signed = CliRunner().invoke(
        engine, ["sign", str(card_box.plans / first), "--key", str(key), "--json"]
    )
    check_printed(["engine", "sign"], signed.stdout)
    checked = json.loads(run(card_box, "check", str(card_box.plans / first), "--json").stdout)

    assert report["faults"] == []
    assert told == [
        {"plan": first, "previous": None},
        {"plan": second, "previous": first},
        {"plan": first, "previous": second},
    ]
    assert (checked["digests"], checked["signature"]) == (True, None)


def test_a_slower_plan_is_activated_only_when_told_to(card_box):
    name = verified(card_box, built(card_box), head_ms=20.0, active_ms=10.0)

    with pytest.raises(PlanError, match=r"20\.0 ms a head, the active plan 10\.0 ms"):
        run(card_box, "activate", name)
    run(card_box, "activate", name, "--even-if-slower")


@pytest.mark.slow
def test_verify_times_the_plan_beside_the_one_in_use(card_box):
    run(card_box, "activate", verified(card_box, built(card_box, "--precision", "fp32")))
    name = built(card_box)

    said = run(card_box, "verify", name, "--heads", "1").stdout

    assert "the active plan " in said


@pytest.mark.slow
def test_a_new_bundle_is_built_and_verified_before_it_is_in_use(card_box):
    write_tiny_bundle(card_box.folder, "2", dense=0.6)

    name = built(card_box, "--bundle", "tiny/2")
    run(card_box, "verify", name, "--heads", "1")

    assert name.startswith("tiny-2_any_fp16_")
    with pytest.raises(PlanError, match="built from bundle tiny/2, not tiny/1"):
        run(card_box, "activate", name)


@pytest.mark.slow
def test_where_a_key_is_configured_only_what_is_signed_is_loaded(card_box):
    private, _ = with_keys(card_box)

    with pytest.raises(SignatureError, match=r"bundle\.toml is not signed"):
        built(card_box)
    sign(private, card_box.folder / "tiny" / "1")
    name = built(card_box)
    with pytest.raises(SignatureError, match=r"plan\.json is not signed"):
        run(card_box, "verify", name, "--heads", "1")
    sign(private, card_box.plans / name)
    run(card_box, "verify", name, "--heads", "1")


def sign(private: Path, what: Path) -> None:
    result = CliRunner().invoke(engine, ["sign", str(what), "--key", str(private)])
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_bench_prints_a_row_for_each_network_and_draws_it(card_box):
    png = card_box.folder / "bench.png"
    options = ("--batch", "1", "--batch", "2", "--precision", "fp16", "--to", str(png))

    said = run(card_box, "bench", *options).stdout

    lines = [line.split()[:3] for line in said.splitlines()[2:]]
    assert lines == [["slice", "fp16", "1"], ["slice", "fp16", "2"], ["volume", "fp16", "1"]]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert not any(box for box in card_box.plans.glob("tiny*"))


@pytest.mark.slow
def test_a_card_of_unknown_kind_has_no_limit_to_compare_with(card_box):
    card_box.card.capability = (3, 0)

    said = run(card_box, "bench", "--batch", "1", "--precision", "fp32", "--json").stdout

    assert [row["share"] for row in json.loads(said)["rows"]] == [None, None]


def test_an_operator_that_tensorrt_lacks_is_named(card_box):
    card_box.nvidia.lacks = frozenset({"Softmax"})

    with pytest.raises(PlanError, match="No importer registered for op: Softmax") as caught:
        built(card_box)

    assert "engines/CONTRACT.md" in caught.value.what_to_do
    assert list(card_box.plans.glob("[!.]*")) == []


def test_a_network_that_cannot_be_compiled_is_one_line_with_tensorrts_reason(card_box):
    card_box.nvidia.fails_to_build = "Could not find any implementation for node"

    with pytest.raises(PlanError, match="Could not find any implementation"):
        built(card_box)


def test_a_card_without_free_memory_is_named(card_box):
    name = built(card_box)
    card_box.card.memory_bytes = 1000

    with pytest.raises(GpuError, match="memory"):
        run(card_box, "verify", name, "--heads", "1")


def test_a_truncated_plan_is_refused_before_it_is_deserialised(card_box):
    name = built(card_box)
    engine_file = card_box.plans / name / SLICE_PLAN
    engine_file.write_bytes(engine_file.read_bytes()[:-10])
    calls = len(card_box.card.calls)

    with pytest.raises(PlanError, match=r"slice\.plan is not the file"):
        run(card_box, "verify", name, "--heads", "1")

    assert len(card_box.card.calls) == calls


def test_a_bundle_whose_digest_is_off_is_refused(card_box):
    (card_box.folder / "tiny" / "1" / "slice.onnx").write_bytes(b"another")

    with pytest.raises(BundleError, match="not the file that the manifest names"):
        built(card_box)
    assert (
        "not the file"
        in json.loads(run(card_box, "list", "--json").stdout)["bundles"][0]["problem"]
    )


def test_an_unknown_protocol_is_answered_with_those_there_are(card_box):
    with pytest.raises(ConfigError, match="no protocol profile 'gee-head'") as caught:
        built(card_box, "--protocol", "gee-head")

    assert "ge-head" in caught.value.what_to_do


def test_without_a_card_plans_are_listed_and_nothing_else_is_done(card_box, monkeypatch):
    name = built(card_box)
    monkeypatch.undo()

    listed = json.loads(run(card_box, "list", "--json").stdout)

    assert "no GPU to run it on" in listed["plans"][0]["problem"]
    for command in (("build",), ("verify", name), ("activate", name), ("rollback",), ("bench",)):
        with pytest.raises(GpuError, match="no NVIDIA driver"):
            run(card_box, *command)
