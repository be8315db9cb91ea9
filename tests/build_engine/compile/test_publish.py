"""bleedwatch engine publish: what a server loads, whole, signed, and held to the reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from agent.errors import AgentError, ConfigError, PlanError, ServerError, SignatureError
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.served import FIELDS, on_the_wire
from agent.preprocess import slice_input
from build_engine.compile.cli import engine
from build_engine.compile.served_graph import served_slice_graph
from tests.agent.doctor.scratch import free_port
from tests.build_engine.compile.made import KEY
from tests.nvidia.box import GpuBox
from tests.schema import check_printed
from tests.served import Served
from tests.tiny import BUNDLE


@pytest.fixture
def box(card_box: GpuBox) -> GpuBox:
    return card_box


def run(box: GpuBox, *arguments: str) -> dict:
    config = box.folder.parent / "agent.toml"
    result = CliRunner().invoke(engine, [*arguments, "--json", "--config", str(config)])
    if isinstance(result.exception, AgentError):
        raise result.exception
    assert result.exit_code == 0, result.output
    check_printed(["engine", *arguments, "--json"], result.stdout)
    return json.loads(result.stdout)


def published(box: GpuBox, *options: str) -> Path:
    models = box.folder.parent / "models"
    run(box, "publish", "--triton", str(models), *options)
    return models


def config_of(models: Path, name: str) -> model_config_pb2.ModelConfig:
    """Read a configuration as Triton does."""
    (path,) = models.glob(f"*-{name}/config.pbtxt")
    config = model_config_pb2.ModelConfig()
    text_format.Parse(path.read_text(), config)
    assert config.name == path.parent.name
    return config


def test_both_networks_are_written_as_triton_reads_them(box):
    models = published(box)

    slices, volume = config_of(models, "slices"), config_of(models, "volume")
    assert (slices.backend, slices.max_batch_size) == ("onnxruntime", 16)
    assert list(slices.dynamic_batching.preferred_batch_size) == [8, 16]
    assert list(slices.input[0].dims) == [3, 64, 64], "a slab and its neighbours, one window each"
    assert [output.name for output in volume.output] == ["bleed", "anatomy", "score"]
    for config in (slices, volume):
        assert config.parameters["bleedwatch_bundle"].string_value == box.bundle.digest
        network = onnx.load(models / config.name / "1" / "model.onnx")
        assert network.graph.input[0].name == config.input[0].name
        assert {it.name for it in config.output} <= {it.name for it in network.graph.output}


def test_what_is_sent_of_a_slab_is_enough_for_all_its_windows(box):
    contract = box.bundle.contract.slices
    fields_hu = np.random.default_rng(0).uniform(-200, 300, (3, 64, 64)).astype(np.float32)
    slabs = np.stack([slice_input(tuple(fields_hu), contract)] * contract.batch)

    graph = served_slice_graph(box.bundle, "fp32")
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (seen,) = session.run(["probabilities"], {FIELDS: on_the_wire(slabs, box.bundle.contract)[:2]})

    (expected,) = OnnxBackend(box.bundle, threads=1).run_slices([slabs])
    np.testing.assert_allclose(seen, expected[:2], atol=1e-4)


def test_triton_s_python_backend_gets_what_runs_the_network(box):
    models = published(box, "--runs-on", "python")

    assert config_of(models, "slices").backend == "python"
    (program,) = models.glob("*-slices/1/model.py")
    compile(program.read_text(), program, "exec")


def test_plans_of_one_card_join_those_of_another(box):
    models = published(box, "--runs-on", "tensorrt")
    (record,) = models.glob("*.published.json")
    assert json.loads(record.read_text())["cards"] == {"8.9": "sm_89.plan"}

    box.card.capability = (9, 0)
    published(box, "--runs-on", "tensorrt")

    config = config_of(models, "slices")
    assert config.platform == "tensorrt_plan"
    assert dict(config.cc_model_filenames) == {"8.9": "sm_89.plan", "9.0": "sm_90.plan"}
    assert config.parameters["bleedwatch_precision"].string_value == "fp16"
    assert len(list(models.glob("*/1/*.plan"))) == 4
    run(box, "check", str(models))


def test_a_repository_is_signed_and_checked_file_by_file(box, tmp_path):
    config = box.folder.parent / "agent.toml"
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(KEY.private_bytes(serialization.Encoding.PEM, *form))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, spki))
    models = published(box, "--key", str(private))
    config.write_text(config.read_text() + f'public_key = "{public}"\n')

    run(box, "check", str(models))
    (network,) = models.glob("*-slices/1/model.onnx")
    network.write_bytes(b"another")
    with pytest.raises(PlanError, match=r"model\.onnx"):
        run(box, "check", str(models))
    (signature,) = models.glob("*.sig")
    signature.unlink()
    with pytest.raises(SignatureError):
        run(box, "check", str(models))


def test_a_running_server_is_held_to_the_reference(box):
    served = Served(load_bundle(box.folder / BUNDLE), free_port())
    served.start()

    told = run(box, "publish", "--check", f"grpc://127.0.0.1:{served.port}")
    served.digest = "0" * 64
    with pytest.raises(ServerError, match="has another bundle"):
        run(box, "publish", "--check", f"grpc://127.0.0.1:{served.port}")

    served.stop()
    assert told["server"].startswith("double 1, fp32")


def test_an_address_without_certificates_is_refused(box):
    with pytest.raises(ConfigError, match="server_ca, server_certificate and server_key"):
        run(box, "publish", "--check", "grpcs://10.0.0.7:8001")


def test_neither_folder_nor_address_is_refused(box):
    with pytest.raises(AgentError, match="neither a folder"):
        run(box, "publish")
