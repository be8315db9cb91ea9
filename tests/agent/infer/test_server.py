"""agent.infer.server_side: one server for many boxes, and the CPU where it fails."""

from __future__ import annotations

import dataclasses
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import structlog

from agent.errors import InferenceError, ServerError
from agent.infer.backend import VolumeOutput
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.golden import N_SLICES, Reading, read_golden
from agent.infer.networks import RETRY_S, Networks
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.server_settings import ServerSettings
from agent.infer.server_side import ServerSide
from agent.infer.triton_backend import IN_FLIGHT, TritonBackend
from agent.preprocess import slice_input
from agent.reasons import english
from tests.agent.certificates import Authority
from tests.agent.doctor.scratch import free_port
from tests.served import Served
from tests.tiny import BUNDLE, write_engines

LOOK_S = 0.05


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_engines(tmp_path_factory.mktemp("engines") / "engines") / BUNDLE)


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> Reading:
    return read_golden(bundle.contract, OnnxBackend(bundle, threads=1))


@pytest.fixture(scope="module")
def only_server(bundle: Bundle) -> Iterator[Served]:
    served = Served(bundle, free_port())
    served.start()
    yield served
    served.stop()


@pytest.fixture
def server(only_server: Served, bundle: Bundle) -> Iterator[Served]:
    """A server that is well, and is so again afterwards."""
    yield only_server
    only_server.fault, only_server.digest, only_server.loaded = "none", bundle.digest, True


def plain(port: int, deadline_s: float = 2.0) -> ServerSettings:
    return ServerSettings(f"127.0.0.1:{port}", False, None, None, None, deadline_s)


def until(what: Callable[[], object]) -> None:
    """Wait for something; pytest's own limit ends it where it never comes."""
    while not what():
        time.sleep(0.01)


@dataclass
class Seat:
    """Networks of a box with a server, and a clock that is set by hand."""

    bundle: Bundle
    settings: ServerSettings
    now_s: float = 0.0
    side: ServerSide = field(init=False)
    networks: Networks = field(init=False)

    def __post_init__(self) -> None:
        quiet = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])
        reference = OnnxBackend(self.bundle, threads=1)
        self.side = ServerSide(self.settings, self.bundle, reference, LOOK_S)
        self.networks = Networks(reference, self.side, lambda: self.now_s, quiet)

    def refresh(self) -> None:
        self.now_s += RETRY_S
        self.networks.refresh()

    def taken_up(self) -> bool:
        self.refresh()
        return self.networks.degraded is None

    def run(self) -> tuple[str, VolumeOutput]:
        """Run one block; returns what ran it, and what came out."""
        block = np.full(self.bundle.contract.volume.shape, 0.5, np.float32)
        return self.networks.run("ge-head", lambda one: (one.run_by.backend, one.run_volume(block)))


@pytest.fixture
def seat(bundle: Bundle, server: Served) -> Iterator[Seat]:
    seat = Seat(bundle, plain(server.port, deadline_s=0.5))
    yield seat
    seat.networks.close()


def test_a_server_reads_as_the_reference_does(bundle, server, expected):
    backend = TritonBackend(plain(server.port), bundle)

    difference = read_golden(bundle.contract, backend).difference(expected)

    backend.close()
    assert difference < 1e-5
    assert str(backend.run_by) == f"double 1, fp32, server 127.0.0.1:{server.port}"


def test_the_server_makes_mirror_images_itself_and_is_sent_each_slab_once(bundle):
    contract = bundle.contract
    reading = dataclasses.replace(contract.reading, mirrored=True)
    bundle = dataclasses.replace(bundle, contract=dataclasses.replace(contract, reading=reading))
    server = Served(bundle, free_port())
    server.start()
    backend = TritonBackend(plain(server.port), bundle)

    seen = read_golden(bundle.contract, backend)

    backend.close()
    server.stop()
    expected = read_golden(bundle.contract, OnnxBackend(bundle, threads=1))
    assert seen.difference(expected) < 1e-5
    slices = contract.slices
    field_bytes = (2 * slices.neighbours + 1) * slices.size_px**2 * 4
    assert server.fields_bytes == N_SLICES * field_bytes


def test_two_requests_are_under_way_at_once_and_answers_keep_their_order(bundle, server):
    contract = bundle.contract.slices
    rng = np.random.default_rng(0)
    fields_hu = rng.uniform(-100, 200, (6, 3, contract.size_px, contract.size_px))
    samples = [slice_input(tuple(three.astype(np.float32)), contract) for three in fields_hu]
    batches = [np.stack([sample] * contract.batch) for sample in samples]
    backend = TritonBackend(plain(server.port), bundle)
    server.most_under_way = 0

    answers = list(backend.run_slices(batches))

    backend.close()
    reference = list(OnnxBackend(bundle, threads=1).run_slices(batches))
    assert server.most_under_way <= IN_FLIGHT
    np.testing.assert_allclose(answers, reference, atol=1e-4)


def test_the_agents_start_takes_the_server_up(seat):
    seat.refresh()

    assert seat.run()[0] == "double 1, fp32"
    assert seat.networks.run_by.backend == "double 1, fp32"
    assert seat.networks.degraded is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("slow", "Deadline Exceeded"),
        ("fails", "does not answer: out of memory"),
        ("garbage", "gives no usable answer"),
        ("half", "gives no usable answer"),
        ("empty", "of shape"),
        ("not numbers", "not all numbers"),
        ("other shape", "of shape"),
    ],
)
def test_what_a_server_does_not_answer_well_the_cpu_answers(seat, server, fault, said):
    seat.refresh()
    reference = OnnxBackend(seat.bundle, threads=1)
    server.fault = fault

    name, output = seat.run()

    assert name == reference.run_by.backend
    assert output.score == reference.run_volume(np.full((1, 6, 20, 32, 32), 0.5, np.float32)).score
    assert english(seat.networks.degraded).startswith("degraded to CPU: ")
    assert said in english(seat.networks.degraded)
    seat.networks.refresh()
    assert seat.run()[0] == reference.run_by.backend, "it rests first"


def test_a_server_that_is_well_again_is_taken_up_by_itself(seat, server):
    seat.refresh()
    server.fault = "fails"
    seat.run()
    until(lambda: not seat.taken_up() and seat.side._problem.code == "server_failed")
    server.fault = "none"

    until(seat.taken_up)

    assert seat.run()[0] == "double 1, fp32"
    assert not seat.networks.process_spent, "a server's faults are not this process's"


def test_a_server_that_ends_amid_a_series_is_left_and_found_again(bundle):
    server = Served(bundle, free_port())
    server.start()
    seat = Seat(bundle, plain(server.port))
    seat.refresh()

    def work(backend):
        if backend.run_by.backend.startswith("double"):
            server.stop()
        block = np.full(bundle.contract.volume.shape, 0.5, np.float32)
        return backend.run_by.backend, backend.run_volume(block)

    assert seat.networks.run("ge-head", work)[0].startswith("ONNX Runtime")
    assert "does not answer" in english(seat.networks.degraded)

    server.start()
    until(seat.taken_up)

    assert seat.run()[0] == "double 1, fp32"
    seat.networks.close()
    server.stop()


def test_a_server_that_loads_another_bundle_is_left_between_two_series(seat, server):
    seat.refresh()
    server.digest = "0" * 64

    until(lambda: not seat.taken_up())

    assert "has another bundle as tiny-1-" in english(seat.networks.degraded)
    assert seat.run()[0].startswith("ONNX Runtime")


def test_a_server_without_the_model_says_which(bundle, server):
    server.loaded = False

    with pytest.raises(ServerError, match=r"has no model tiny-1-[0-9a-f]{12}-(slices|volume)"):
        TritonBackend(plain(server.port), bundle)


def test_a_server_that_answers_otherwise_than_the_reference_is_not_used(bundle, server, expected):
    other = dataclasses.replace(expected, score=expected.score + 0.02)
    backend = TritonBackend(plain(server.port), bundle)

    with pytest.raises(ServerError, match=r"is 0\.020 off, 0\.01 allowed"):
        backend.check_golden(other)

    backend.close()


def test_an_address_that_takes_connections_and_says_nothing_holds_up_nobody(bundle):
    """Beside the start, which waits some seconds, no call waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        seat = Seat(bundle, plain(deaf.getsockname()[1], deadline_s=0.2))
        seat.refresh()
        assert seat.run()[0].startswith("ONNX Runtime")
        assert "does not answer" in english(seat.networks.degraded)
        seat.networks.close()


def test_where_the_reference_itself_fails_no_server_is_used_and_nothing_ends(seat):
    class Failing(OnnxBackend):
        def run_volume(self, block):
            raise InferenceError("onnx_failed", why="out of memory")

    reference = Failing(seat.bundle, threads=1)
    side = ServerSide(seat.settings, seat.bundle, reference, LOOK_S)

    assert side.take_up() is False
    assert "out of memory" in english(side.shortfall)
    assert side.backend("ge-head") is None


def test_without_the_extra_the_cpu_runs_and_the_command_is_named(seat, monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)

    seat.refresh()

    assert "tritonclient[grpc] is not installed" in english(seat.networks.degraded)
    assert seat.run()[0].startswith("ONNX Runtime")


@dataclass
class Encrypted:
    """A server that asks for certificates, and files of a box."""

    folder: Path
    served: Served
    ca: Authority

    def settings(self, **changes: object) -> ServerSettings:
        certificate, key = self.ca.make("box")
        target = f"127.0.0.1:{self.served.port}"
        whole = ServerSettings(target, True, self.ca.ca, certificate, key, 2.0)
        return dataclasses.replace(whole, **changes)

    def of_another(self) -> Authority:
        (self.folder / "other").mkdir(exist_ok=True)
        return Authority(self.folder / "other")


@pytest.fixture(scope="module")
def encrypted(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("certificates")
    ca = Authority(folder)
    served = Served(bundle, free_port(), tls=(*ca.make("server"), ca.ca))
    served.start()
    yield Encrypted(folder, served, ca)
    served.stop()


def test_server_and_box_know_each_other_by_certificates(bundle, encrypted):
    backend = TritonBackend(encrypted.settings(), bundle)

    assert backend.check() == "fp32"
    backend.close()


def test_a_server_of_another_authority_is_sent_nothing(bundle, encrypted):
    answers = encrypted.served.answers

    with pytest.raises(ServerError, match="does not answer"):
        TritonBackend(encrypted.settings(ca=encrypted.of_another().ca), bundle)

    assert encrypted.served.answers == answers


def test_a_box_of_another_authority_is_not_served(bundle, encrypted):
    certificate, key = encrypted.of_another().make("box")

    with pytest.raises(ServerError, match="does not answer"):
        TritonBackend(encrypted.settings(certificate=certificate, key=key), bundle)


def test_a_server_whose_certificate_is_for_another_address_is_sent_nothing(bundle, encrypted):
    certificate = encrypted.ca.make("elsewhere", names=("10.1.2.3",))
    other = Served(bundle, free_port(), tls=(*certificate, encrypted.ca.ca))
    other.start()

    with pytest.raises(ServerError, match="does not answer"):
        TritonBackend(encrypted.settings(target=f"127.0.0.1:{other.port}"), bundle)

    other.stop()


def test_a_certificate_that_cannot_be_read_leaves_the_cpu(bundle, encrypted):
    seat = Seat(bundle, encrypted.settings(key=Path("/nowhere/box.key")))

    seat.refresh()

    assert "/nowhere/box.key: No such file" in english(seat.networks.degraded)
    assert seat.run()[0].startswith("ONNX Runtime")
    seat.networks.close()
