"""The real pycuda over a driver of ours: life cycle, context stack, aborts are its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.infer.plan import Activation, active_text, load_plan
from agent.infer.verification import Here
from tests.build_engine.compile import made
from tests.nvidia import driver
from tests.phantoms import write_series
from tests.program import Program, until
from tests.tiny import BUNDLE, write_engines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

L4 = "GPU-11111111-2222-3333-4444-555555555555|NVIDIA L4|8.9|58|4096"
T4 = "GPU-99999999-2222-3333-4444-555555555555|NVIDIA T4|7.5|40|4096"
PART = "MIG-77777777-2222-3333-4444-555555555555|NVIDIA H100 MIG 1g.10gb|9.0|16|1024"

FAULTS = [
    ("cuInit", 1, 100), ("cuInit", 1, 803), ("cuDevicePrimaryCtxRetain", 1, 2),
    ("cuCtxPushCurrent_v2", 1, 700), ("cuMemHostAlloc", 2, 2), ("cuMemAlloc_v2", 3, 2),
    ("cuStreamCreate", 2, 700), ("cuMemcpyHtoDAsync_v2", 1, 1), ("cuStreamSynchronize", 2, 700),
    ("cuStreamBeginCapture_v2", 1, 801), ("cuStreamEndCapture", 1, 901), ("cuGraphLaunch", 1, 700),
    ("cuGraphLaunch", 3, 719), ("cuMemFree_v2", 1, 700), ("cuMemFreeHost", 1, 700),
    ("cuStreamDestroy_v2", 1, 700), ("cuCtxPopCurrent_v2", 1, 201), ("cuCtxPopCurrent_v2", 1, 700),
    ("cuDevicePrimaryCtxRelease_v2", 1, 201), ("cuMemGetInfo_v2", 1, 999),
]  # fmt: skip


@dataclass
class Said:
    code: int
    text: str


@dataclass
class CardBox:
    """A box with a driver and a real pycuda, in processes of their own."""

    folder: Path
    site: Path

    def __post_init__(self) -> None:
        write_engines(self.engines)
        self.configure()

    @property
    def engines(self) -> Path:
        return self.folder / "engines"

    @property
    def plans(self) -> Path:
        return self.folder / "state/plans"

    def configure(self, infer: str = "") -> None:
        (self.folder / "agent.toml").write_text(
            f'export_folder = "{self.folder}/in"\nstate_folder = "{self.folder}/state"\n'
            f'engines_folder = "{self.engines}"\n[infer]\nbundle = "{BUNDLE}"\n{infer}\n'
        )

    def environment(self, **changes: str) -> dict[str, str]:
        path = [str(self.site), str(Path(__file__).parents[2])]
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("CUDA_")},
            "PYTHONPATH": os.pathsep.join(path),
            "LD_LIBRARY_PATH": str(self.site),
            "CUDA_GPUS": L4,
            **changes,
        }

    def run(self, *orders: tuple[dict[str, str], tuple[str, ...]], **changes: str) -> list[Said]:
        """Run commands, each with changes of its environment."""
        config = ("--config", str(self.folder / "agent.toml"))
        asked = [{"environment": of, "words": (*words, *config)} for of, words in orders]
        ran = subprocess.run(
            [sys.executable, "-m", "tests.nvidia.commands"], input=json.dumps(asked),
            capture_output=True, text=True, check=False, env=self.environment(**changes),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        answers = [Said(one["code"], one["said"]) for one in json.loads(ran.stdout)]
        for one, (changed, words) in zip(answers, orders, strict=True):
            assert one.code >= 0, f"{words} with {changed} ended by a signal:\n{one.text}"
            assert "PyCUDA ERROR" not in one.text
            assert "Traceback" not in one.text, one.text
        return answers

    def engine(self, *words: str, **changes: str) -> Said:
        return self.run(({}, ("engine", *words)), **changes)[0]

    def build(self, *options: str, **changes: str) -> str:
        said = self.engine("build", "--json", *options, **changes)
        assert said.code == 0, said.text
        return str(json.loads(said.text[said.text.index("{") :])["plan"])

    def verified(self, plan: str) -> str:
        here = Here.of(load_plan(self.plans / plan, None).manifest.machine)
        return made.verified(self.folder / "state", plan, here=here)


@pytest.fixture(scope="module")
def site(pytestconfig: pytest.Config) -> Path:
    """Where pycuda was built; ``.ci/nvidia`` builds it, which takes two minutes of a core."""
    cache = pytestconfig.cache.mkdir("pycuda")
    if not driver.is_built(cache):
        pytest.skip("no pycuda was built: .ci/nvidia builds it and runs these")
    return driver.build(cache)


@pytest.fixture(scope="module")
def built(site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CardBox, str]:
    """A box with a plan that is verified and in use."""
    box = CardBox(tmp_path_factory.mktemp("box"), site)
    plan = box.verified(box.build())
    (box.plans / "active.json").write_text(active_text({"any": Activation(plan=plan)}))
    return box, plan


@pytest.fixture
def box(site: Path, tmp_path: Path) -> CardBox:
    return CardBox(tmp_path, site)


def test_every_command_ends_with_a_code_of_its_own(built: tuple[CardBox, str]) -> None:
    box, plan = built

    found = box.run(
        ({}, ("engine", "build", "--protocol", "ge-head")),
        ({}, ("engine", "list")),
        ({}, ("engine", "activate", plan)),
        ({}, ("engine", "rollback")),
        ({}, ("engine", "verify", plan, "--heads", "1")),
        ({}, ("engine", "activate", "none-such")),
        ({}, ("engine", "bench", "--batch", "1", "--precision", "fp32")),
        ({}, ("doctor", "--json")),
        ({"TENSORRT_CANNOT_START": "initialization error: 35"}, ("engine", "build")),
    )

    codes = [one.code for one in found]
    box.verified(plan)
    assert codes == [0, 0, 0, 1, 0, 1, 0, 1, 1], [one.text for one in found]
    assert f"{plan}: passed" in found[4].text
    assert "PyCUDA WARNING" not in "".join(one.text for one in found)
    assert "cannot start its Builder: initialization error: 35" in found[-1].text


def test_whatever_call_fails_no_command_ends_by_a_signal(built: tuple[CardBox, str]) -> None:
    box, _ = built
    bench = ("engine", "bench", "--batch", "1", "--precision", "fp32")

    found = box.run(*[({"CUDA_FAILS": f"{n}:{nth}:{code}"}, bench) for n, nth, code in FAULTS])

    said = dict(zip(FAULTS, found, strict=True))
    assert {one.code for one in found} <= {0, 1}
    assert "no GPU" in said["cuInit", 1, 100].text
    assert "not enough free GPU memory" in said["cuMemAlloc_v2", 3, 2].text
    assert "illegal memory access" in said["cuStreamSynchronize", 2, 700].text
    assert said["cuStreamBeginCapture_v2", 1, 801].code == 0, "without graphs it is slower"


def test_a_card_without_enough_memory_is_told(built: tuple[CardBox, str]) -> None:
    box, plan = built

    said = box.engine("verify", plan, "--heads", "1", CUDA_GPUS=L4.replace("4096", "1"))

    assert said.code == 1
    assert "not enough free GPU memory" in said.text


def test_a_driver_older_than_what_pycuda_was_compiled_for_is_told(box: CardBox) -> None:
    old = driver.build_old_driver(box.site)

    build, listed = box.run(
        ({}, ("engine", "build")), ({}, ("engine", "list")), LD_LIBRARY_PATH=str(old)
    )

    assert build.code == 1
    assert "pycuda cannot be loaded" in build.text
    assert "undefined symbol: cuEventElapsedTime_v2" in build.text
    assert listed.code == 0


def test_of_two_gpus_the_one_of_the_uuid_is_taken(box: CardBox) -> None:
    both = {"CUDA_GPUS": f"{L4}\n{T4}"}
    first = box.build(**both)
    box.configure(f'gpu = "{T4.partition("|")[0]}"')
    second = box.build("--protocol", "ge-head", **both)
    box.configure('gpu = "GPU-00000000-0000-0000-0000-000000000000"')
    unknown = box.engine("build", **both)

    gpus = [load_plan(box.plans / plan, None).manifest.machine.gpu for plan in (first, second)]
    assert gpus == ["NVIDIA L4", "NVIDIA T4"]
    assert unknown.code == 1
    assert "there is no GPU GPU-00000000" in unknown.text
    assert "nvidia-smi -L" in unknown.text


def test_a_part_of_a_card_is_taken_by_its_uuid_and_not_by_chance(box: CardBox) -> None:
    without = box.engine("build", CUDA_GPUS=PART)
    box.configure(f'gpu = "{PART.partition("|")[0]}"')
    plan = box.build(CUDA_GPUS=PART)

    machine = load_plan(box.plans / plan, None).manifest.machine
    assert without.code == 1
    assert (machine.gpu, machine.multiprocessors) == ("NVIDIA H100 MIG 1g.10gb", 16)


@dataclass
class RunningAgent:
    program: Program
    process: subprocess.Popen[bytes]

    def degraded(self) -> str | None:
        with self.program.store() as store:
            status = store.queries.agent_status()
        return str(status.degraded) if status and status.degraded else None


@pytest.fixture
def start(built: tuple[CardBox, str]) -> Iterator:
    box, _ = built
    running: list[subprocess.Popen[bytes]] = []

    def begin(**changes: str) -> RunningAgent:
        program = Program(box.folder / "agent", box.engines)
        program.config.write_text(
            (box.folder / "agent.toml").read_text().replace(f"{box.folder}/in", str(program.export))
        )
        program.state = box.folder / "state"
        with program.log.open("wb") as log:
            process = subprocess.Popen(
                program.command("run"), env=box.environment(**changes), stderr=log
            )
        running.append(process)
        until(lambda: program.store_path.exists() and _ready(program, process.pid))
        return RunningAgent(program, process)

    yield begin
    for process in running:
        process.kill()
        process.wait()


def _ready(program: Program, pid: int) -> bool:
    with program.store() as store:
        status = store.queries.agent_status()
    return status is not None and status.pid == pid and status.networks_ready


def test_the_agent_answers_by_the_card_and_by_the_cpu_when_that_fails_and_comes_back(
    built: tuple[CardBox, str], start
) -> None:
    _, plan = built
    agent = start(BREAKS_AT_LAUNCH="12")
    program = agent.program

    write_series(program.export / "one", 12, seed=1)
    until(lambda: len(program.concluded()) == 1)
    for seed in range(2, 6):
        write_series(program.export / str(seed), 12, seed=seed)
    until(lambda: len(program.concluded()) == 5)
    backends = {row.report.engine.backend for row in program.rows().values()}
    until(lambda: agent.degraded() is None)

    assert any(plan in backend for backend in backends)
    assert any("ONNX Runtime" in backend for backend in backends)
    assert "an illegal memory access" in program.log.read_text()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(60) == 0, program.log.read_text()
    assert "PyCUDA ERROR" not in program.log.read_text()
