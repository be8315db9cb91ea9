"""One real Triton server for several boxes: parity, batching, certificates, a kill amid series."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from typer.testing import CliRunner

from agent.errors import ServerError
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.golden import read_golden
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.served import model_names
from agent.infer.server_settings import ServerSettings
from agent.infer.triton_backend import TritonBackend
from agent.reasons import english
from build_engine.compile.cli import engine
from tests.agent.certificates import Authority
from tests.agent.doctor.scratch import free_port
from tests.agent.infer.test_server import Seat, until
from tests.nvidia.triton import Triton, triton_environment
from tests.tiny import BUNDLE, write_engines, write_tiny_bundle

pytestmark = pytest.mark.timeout(300)

N_BOXES = 8


class Hospital:
    """A server with certificates, and what boxes need to reach it."""

    def __init__(self, folder: Path) -> None:
        triton_environment()
        self.folder = folder
        self.engines = write_engines(folder / "engines")
        self.config = folder / "agent.toml"
        self.publish(BUNDLE)
        self.ca = Authority(folder)
        self.box = self.ca.make("box")
        self.triton = Triton(
            folder / "models", free_port(), tls=(*self.ca.make("server"), self.ca.ca)
        )
        self.triton.start()
        until(self.answers)

    def publish(self, bundle: str) -> None:
        self.config.write_text(
            f'export_folder = "/srv"\nengines_folder = "{self.engines}"\n[infer]\n'
            f'bundle = "{bundle}"\n'
        )
        options = ["--triton", str(self.folder / "models"), "--runs-on", "python"]
        result = CliRunner().invoke(engine, ["publish", *options, "--config", str(self.config)])
        assert result.exit_code == 0, result.output

    @property
    def bundle(self) -> Bundle:
        return load_bundle(self.engines / BUNDLE)

    def settings(self, deadline_s: float = 10.0) -> ServerSettings:
        target = f"127.0.0.1:{self.triton.port}"
        return ServerSettings(target, True, self.ca.ca, *self.box, deadline_s)

    def answers(self) -> bool:
        try:
            TritonBackend(self.settings(), self.bundle).close()
        except ServerError:
            time.sleep(0.5)
            return False
        return True


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    hospital = Hospital(tmp_path_factory.mktemp("hospital"))
    yield hospital
    hospital.triton.kill()


def test_it_reads_the_golden_batch_as_the_reference_does(hospital):
    bundle = hospital.bundle
    expected = read_golden(bundle.contract, OnnxBackend(bundle, threads=1))
    backend = TritonBackend(hospital.settings(), bundle)

    difference = read_golden(bundle.contract, backend).difference(expected)

    backend.close()
    print(f"largest difference {difference:.1e}, {backend.run_by}")
    assert difference < 1e-4
    assert backend.run_by.backend.startswith("triton 2.")


def test_requests_of_eight_boxes_are_computed_together(hospital):
    bundle = hospital.bundle
    contract = bundle.contract.slices
    slabs = np.random.default_rng(0).random(contract.shape, np.float32)
    slabs[:, 0::2] = slabs[:, 1::2] * 1.5 - 0.25  # what the narrower window shows of the wider
    slabs = slabs.clip(0, 1)
    backends = [TritonBackend(hospital.settings(), bundle) for _ in range(N_BOXES)]
    (expected,) = OnnxBackend(bundle, threads=1).run_slices([slabs])

    with ThreadPoolExecutor(N_BOXES) as boxes:
        answers = list(boxes.map(lambda one: list(one.run_slices([slabs] * 6)), backends))

    for backend in backends:
        backend.close()
    for answer in (one for answers_of_a_box in answers for one in answers_of_a_box):
        np.testing.assert_allclose(answer, expected, atol=1e-4)
    batches = batches_of(hospital)
    print("batches by size:", batches)
    assert max(batches) > contract.batch


def batches_of(hospital: Hospital) -> dict[int, int]:
    """How many batches of which size the server has computed."""
    ca, (certificate, key) = str(hospital.ca.ca), map(str, hospital.box)
    client = InferenceServerClient(
        f"127.0.0.1:{hospital.triton.port}",
        ssl=True,
        root_certificates=ca,
        certificate_chain=certificate,
        private_key=key,
    )
    statistics = client.get_inference_statistics(model_names(hospital.bundle).slices)
    client.close()
    sizes = statistics.model_stats[0].batch_stats
    return {int(one.batch_size): int(one.compute_infer.count) for one in sizes}


def test_a_bundle_that_was_not_published_is_not_there(hospital):
    other = write_tiny_bundle(hospital.engines, "other", dense=0.5)

    with pytest.raises(ServerError, match="has no model tiny-other-"):
        TritonBackend(hospital.settings(), load_bundle(other))

    shutil.rmtree(other)


def test_a_box_with_a_certificate_of_another_authority_is_not_served(hospital, tmp_path):
    certificate, key = Authority(tmp_path).make("box")
    target = f"127.0.0.1:{hospital.triton.port}"

    with pytest.raises(ServerError, match="does not answer"):
        TritonBackend(
            ServerSettings(target, True, hospital.ca.ca, certificate, key, 5.0), hospital.bundle
        )


def test_a_server_killed_amid_a_series_costs_no_answer_and_is_found_again(hospital):
    seat = Seat(hospital.bundle, hospital.settings(deadline_s=5.0))
    until(seat.taken_up)
    assert seat.run()[0].startswith("triton 2.")
    killed = []

    def work(backend):
        if backend.run_by.backend.startswith("triton") and not killed:
            hospital.triton.kill()
            killed.append(backend)
        block = np.full(hospital.bundle.contract.volume.shape, 0.5, np.float32)
        return backend.run_by.backend, backend.run_volume(block)

    assert seat.networks.run("ge-head", work)[0].startswith("ONNX Runtime")
    assert killed
    assert "does not answer" in english(seat.networks.degraded)

    hospital.triton.start()
    until(seat.taken_up)

    assert seat.run()[0].startswith("triton 2.")
    seat.networks.close()
