"""agent.infer.networks: the GPU where it can, the CPU where it must, and back again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import structlog

from agent.errors import InferenceError
from agent.infer.backend import Backend, VolumeOutput
from agent.infer.networks import MOST_RESTARTS, RETRY_S, Networks
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.plan import SLICE_PLAN
from agent.infer.verification import Here
from agent.reasons import english
from tests.build_engine.compile import made
from tests.nvidia.box import GpuBox

QUIET = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


@dataclass
class Seat:
    """Networks on a box with a card, and a clock that is set by hand."""

    box: GpuBox
    now_s: float = 0.0
    networks: Networks = field(init=False)

    def __post_init__(self) -> None:
        reference = OnnxBackend(self.box.bundle, threads=1)
        self.networks = Networks(reference, self.box.gpu_side(), lambda: self.now_s, QUIET)

    def refresh(self, after_s: float = RETRY_S) -> None:
        self.now_s += after_s
        self.networks.refresh()

    def run(self, protocol: str = "ge-head") -> tuple[str, VolumeOutput]:
        """Run one block; returns what ran it, and what came out."""
        block = np.full(self.box.bundle.contract.volume.shape, 0.5, np.float32)
        return self.networks.run(protocol, lambda one: (one.run_by.backend, one.run_volume(block)))


@pytest.fixture
def seat(tmp_path) -> Seat:
    return Seat(GpuBox(tmp_path))


def test_without_a_plan_the_cpu_runs_and_no_card_is_looked_for(seat):
    seat.refresh()

    assert seat.run()[0].startswith("ONNX Runtime")
    assert seat.networks.degraded is None
    assert seat.box.card.calls == []


def test_an_active_plan_is_taken_up_and_says_so(seat):
    plan = seat.box.build()
    seat.box.activate(any=plan)

    seat.refresh()

    assert plan in seat.run()[0]
    assert seat.networks.run_by.backend.endswith(plan)
    assert seat.networks.degraded is None


@pytest.mark.slow
def test_a_protocols_own_plan_goes_before_the_one_for_any(seat):
    general, own = seat.box.build(), seat.box.build(protocol="ge-head")
    seat.box.activate(any=general, **{"ge-head": own})

    seat.refresh()

    assert own in seat.run("ge-head")[0]
    assert general in seat.run("siemens-head")[0]


@pytest.mark.slow
def test_a_plan_activated_later_takes_the_place_of_the_earlier_one(seat):
    first = seat.box.build()
    seat.box.activate(any=first)
    seat.refresh()
    second = seat.box.build(protocol="ge-head")
    seat.networks.refresh()
    seat.box.activate(any=second)
    in_use = seat.box.card.in_use_bytes()

    seat.refresh(after_s=1.0)

    assert second in seat.run()[0]
    assert seat.box.card.in_use_bytes() == in_use, "the earlier one was given back"


def test_a_plan_that_takes_more_of_the_card_than_its_share_is_not_taken_up(seat):
    backend = seat.box.ready()
    (plan,) = (folder.name for folder in seat.box.plans.glob("[!.]*"))
    seat.box.card.memory_bytes = int(1.9 * backend.taken_bytes)  # half of it may be taken
    backend.close()
    seat.box.activate(any=plan)

    seat.refresh()

    assert "53 % of the GPU's memory, 50 % are allowed" in english(seat.networks.degraded)
    reference = OnnxBackend(seat.box.bundle, threads=1).run_by
    assert seat.run()[0] == reference.backend
    assert seat.networks.run_by == reference
    assert seat.box.card.in_use_bytes() == 0


def test_a_fault_is_run_again_whole_on_the_cpu_and_told(seat):
    seat.box.activate(any=seat.box.build())
    seat.refresh()
    expected = OnnxBackend(seat.box.bundle, threads=1)
    seat.box.card.breaks_at_launch = seat.box.card.launches + 1

    name, output = seat.run()

    assert name == expected.run_by.backend
    assert output.score == expected.run_volume(np.full((1, 6, 20, 32, 32), 0.5, np.float32)).score
    assert english(seat.networks.degraded).startswith("degraded to CPU: ")
    assert "illegal memory access" in english(seat.networks.degraded)
    assert seat.networks.run_by == expected.run_by


def test_what_is_no_number_is_run_again_on_the_cpu_too(seat):
    seat.box.activate(any=seat.box.build())
    seat.refresh()
    seat.box.card.nan_outputs = True

    assert seat.run()[0].startswith("ONNX Runtime")
    assert "not all numbers" in english(seat.networks.degraded)


def test_after_a_rest_the_gpu_is_started_again_by_itself(seat):
    plan = seat.box.build()
    seat.box.activate(any=plan)
    seat.refresh()
    seat.box.card.breaks_at_launch = seat.box.card.launches + 1
    seat.run()

    seat.refresh(after_s=RETRY_S / 2)
    assert seat.networks.degraded, "it rests first"
    seat.refresh(after_s=RETRY_S / 2)

    assert seat.networks.degraded is None
    assert plan in seat.run()[0]
    assert not seat.networks.process_spent


def test_a_gpu_that_this_process_cannot_use_again_asks_for_a_new_process(seat):
    seat.box.activate(any=seat.box.build())
    seat.refresh()
    seat.box.card.breaks_at_launch = seat.box.card.launches + 1
    seat.box.card.breaks_for_good = True
    seat.run()

    for _ in range(MOST_RESTARTS):
        assert not seat.networks.process_spent
        seat.refresh()

    assert seat.networks.process_spent
    assert seat.run()[0].startswith("ONNX Runtime"), "series are analysed meanwhile"


def test_a_gpu_that_never_ran_asks_for_no_new_process(seat):
    seat.box.activate(any=seat.box.build())
    seat.box.card.broken = "no such device"
    seat.box.card.breaks_for_good = True

    for _ in range(2 * MOST_RESTARTS):
        seat.refresh()

    assert "no such device" in english(seat.networks.degraded)
    assert not seat.networks.process_spent


def test_a_damaged_plan_is_never_loaded_and_told(seat):
    plan = seat.box.build()
    (seat.box.plans / plan / SLICE_PLAN).write_bytes(b"something else")
    seat.box.activate(any=plan)
    calls = len(seat.box.card.calls)

    seat.refresh()

    assert "is not the file that the manifest names" in english(seat.networks.degraded)
    assert len(seat.box.card.calls) == calls, "nothing was deserialised"
    assert seat.run()[0].startswith("ONNX Runtime")


def test_a_damaged_plan_asks_for_no_new_process(seat):
    seat.box.activate(any=seat.box.build())
    seat.refresh()
    damaged = seat.box.build(protocol="ge-head")
    (seat.box.plans / damaged / SLICE_PLAN).write_bytes(b"something else")
    seat.box.activate(any=damaged)

    for _ in range(2 * MOST_RESTARTS):
        seat.refresh()

    assert "is not the file that the manifest names" in english(seat.networks.degraded)
    assert not seat.networks.process_spent


def test_a_plan_of_another_card_is_told_with_both_names(seat):
    seat.box.activate(any=seat.box.build())
    seat.box.card.name = "NVIDIA T4"

    seat.refresh()

    assert "built for GPU NVIDIA L4, this is NVIDIA T4" in english(seat.networks.degraded)


def test_an_unreadable_list_of_active_plans_is_told(seat):
    seat.box.plans.mkdir(parents=True)
    (seat.box.plans / "active.json").write_text("{")

    seat.refresh()

    assert "active.json" in english(seat.networks.degraded)


def test_a_plan_taken_out_of_use_leaves_the_cpu_and_no_complaint(seat):
    seat.box.activate(any=seat.box.build())
    seat.refresh()
    seat.box.activate()

    seat.refresh()

    assert seat.run()[0].startswith("ONNX Runtime")
    assert seat.networks.degraded is None
    assert seat.box.card.in_use_bytes() == 0


def test_where_the_cpu_fails_as_well_the_error_is_the_cpus(seat):
    def failing(backend: Backend) -> None:
        raise InferenceError("onnx_failed", why=backend.run_by.backend)

    seat.box.activate(any=seat.box.build())
    seat.refresh()

    with pytest.raises(InferenceError, match="ONNX Runtime"):
        seat.networks.run("ge-head", failing)


def test_what_other_programs_take_of_the_cards_memory_is_not_counted_as_the_plans(seat):
    backend = seat.box.ready()
    (plan,) = (folder.name for folder in seat.box.plans.glob("[!.]*"))
    seat.box.card.memory_bytes = 3 * backend.taken_bytes
    backend.close()
    seat.box.activate(any=plan)
    seat.box.card.others_bytes = backend.taken_bytes

    seat.refresh()

    assert seat.networks.degraded is None
    assert plan in seat.run()[0]


def test_a_plan_that_cannot_be_used_leaves_the_others_in_use(seat):
    good, broken = seat.box.build(), seat.box.build(protocol="ge-head")
    (seat.box.plans / broken / SLICE_PLAN).write_bytes(b"something else")
    seat.box.activate(any=good, **{"ge-head": broken})

    seat.refresh()

    assert good in seat.run("ge-head")[0], "the plan for any protocol stands in"
    assert good in seat.run("siemens-head")[0]
    assert good in seat.networks.run_by.backend
    told = english(seat.networks.degraded)
    assert told.startswith("degraded, a plan is left out: ")
    assert "is not the file that the manifest names" in told


def test_a_plan_left_out_is_looked_at_again_when_its_files_change_and_not_before(seat):
    good, broken = seat.box.build(), seat.box.build(protocol="ge-head")
    whole = (seat.box.plans / broken / SLICE_PLAN).read_bytes()
    (seat.box.plans / broken / SLICE_PLAN).write_bytes(b"something else")
    seat.box.activate(any=good, **{"ge-head": broken})
    seat.refresh()
    calls = len(seat.box.card.calls)

    for _ in range(5):
        seat.refresh()
    only_asked = set(seat.box.card.calls[calls:])
    (seat.box.plans / broken / SLICE_PLAN).write_bytes(whole)
    seat.refresh()

    assert only_asked == {"cuMemGetInfo"}, "nothing was loaded anew"
    assert seat.networks.degraded is None
    assert broken in seat.run("ge-head")[0]


def test_a_plan_that_reads_the_golden_batch_differently_is_never_used(seat):
    plan = seat.box.build()
    seat.box.activate(any=plan)
    seat.box.nvidia.sees_less_by = 0.2  # as with a driver that was exchanged since

    seat.refresh()

    assert f"plan {plan} does not read as the reference" in english(seat.networks.degraded)
    assert seat.run()[0].startswith("ONNX Runtime")
    assert seat.box.card.in_use_bytes() == 0


def test_a_plan_that_failed_its_verification_here_is_never_used(seat):
    plan = seat.box.build()
    gpu = seat.box.connect()
    here = Here.of(gpu.machine)
    gpu.close()
    made.verified(seat.box.plans.parent, plan, here=here, faults=("golden head 7: 3 mL",))
    seat.box.activate(any=plan)

    seat.refresh()

    assert "it failed its verification: golden head 7: 3 mL" in english(seat.networks.degraded)
    assert seat.run()[0].startswith("ONNX Runtime")


@pytest.mark.parametrize("name", ["/etc", "../elsewhere", ".timings", ""])
def test_a_name_that_leads_out_of_the_plans_folder_is_no_plans(seat, name):
    seat.box.build()
    seat.box.activate(any=name)

    seat.refresh()

    assert f"'{name}' is no plan's name" in english(seat.networks.degraded)


def test_a_tensorrt_that_cannot_start_is_told_and_tried_again(seat):
    plan = seat.box.build()
    seat.box.activate(any=plan)
    seat.box.nvidia.cannot_start = "CUDA initialization failure with error: 35"

    seat.refresh()

    assert "cannot start its Runtime: CUDA initialization failure with error: 35" in english(
        seat.networks.degraded
    )
    assert seat.run()[0].startswith("ONNX Runtime")
    seat.box.nvidia.cannot_start = None
    seat.refresh()
    assert seat.networks.degraded is None
    assert plan in seat.run()[0]


def test_a_box_that_ought_to_use_its_card_and_has_no_plan_is_degraded(seat):
    reference = OnnxBackend(seat.box.bundle, threads=1)
    card = seat.box.gpu_side(expected=True)
    networks = Networks(reference, card, lambda: seat.now_s, QUIET)

    networks.refresh()

    assert english(networks.degraded) == (
        "degraded to CPU: there is an NVIDIA GPU, and no plan is in use"
    )
    assert seat.box.card.calls == []


def test_a_card_that_is_switched_off_is_left_alone_whatever_is_active(seat):
    seat.box.activate(any=seat.box.build())
    calls = len(seat.box.card.calls)
    reference = OnnxBackend(seat.box.bundle, threads=1)
    networks = Networks(reference, seat.box.gpu_side(allowed=False), lambda: 0.0, QUIET)

    networks.refresh()

    assert networks.degraded is None
    assert networks.run_by == reference.run_by
    assert len(seat.box.card.calls) == calls
