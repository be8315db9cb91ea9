"""The plans in use, loaded on the GPU. One thread, that of the networks, uses and closes it.

A plan that cannot be used is left out, and the others stay in use; it is looked at again when its
files change, not before. None is used that did not read the golden batch as the reference does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import BadOutputError, PlanError, SignatureError
from agent.infer.backend import Backend, RunBy
from agent.infer.bundle import Bundle
from agent.infer.golden import MOST_DIFFERENT, Reading, read_golden
from agent.infer.plan import ANY_PROTOCOL, Plan, load_plan, misfit, plan_folder, read_active
from agent.infer.tensorrt_api import TensorRt
from agent.infer.tensorrt_backend import TensorRtBackend
from agent.infer.verification import Here, failure
from agent.reasons import Reason

FileStamps = tuple[tuple[str, int, int], ...]
"""Name, time of change [ns] and size [bytes] of each file of a plan."""


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """What a site says of its GPU.

    ``plans_folder`` is where plans lie, ``key`` what they must be signed with, ``memory_share`` how
    much of the card's memory they may take, 0…1: the rest is for the other programs of a shared
    box. ``allowed`` says whether a GPU may be used, ``expected`` whether there is one to be used.
    """

    plans_folder: Path
    key: Ed25519PublicKey | None
    memory_share: float
    allowed: bool
    expected: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a plan is not used, and its files as they were when that was found."""

    reason: Reason
    stamps: FileStamps


class GpuSide:
    """What ``active.json`` names, ready to run. Holds the GPU only while there is such a plan."""

    def __init__(
        self,
        settings: GpuSettings,
        bundle: Bundle,
        reference: Backend,
        load: Callable[[], TensorRt],
    ) -> None:
        """Begin with nothing loaded; ``load`` takes the GPU for the calling thread."""
        self._settings = settings
        self._bundle = bundle
        self._reference = reference
        self._load = load
        self._gpu: TensorRt | None = None
        self._backends: dict[str, TensorRtBackend] = {}
        self._left_out: dict[str, LeftOut] = {}
        self._plan_of: dict[str, str] = {}
        self._unreadable: Reason | None = None

    @property
    def memory_bytes(self) -> tuple[int, int] | None:
        """How much of the card's memory is used, and how much there is; None while it is not held.

        Raises GpuError if the GPU fails.
        """
        return self._gpu.memory_bytes if self._gpu else None

    @property
    def shortfall(self) -> Reason | None:
        """Why the GPU does not do all that it should; None where it does, or is not wanted."""
        why = [self._unreadable] if self._unreadable else []
        why += [one.reason for _, one in sorted(self._left_out.items())]
        if not why and self._settings.expected and not self._plan_of:
            why = [Reason("card_unused")]
        if not why:
            return None
        if self._backends:
            return Reason("plans_left_out", why=why[0])
        return Reason("degraded_to_cpu", why=why[0])

    def take_up(self) -> bool:
        """Load what became active since, and drop what is active no longer; whether that is much.

        Raises GpuError if the GPU or its driver fails, or there is none.
        """
        settings = self._settings
        try:
            active = read_active(settings.plans_folder) if settings.allowed else {}
        except PlanError as error:
            changed, self._unreadable = self._unreadable != error.reason, error.reason
            return changed
        plan_of = {protocol: one.plan for protocol, one in active.items()}
        names = sorted(set(plan_of.values()))
        new = [name for name in names if name not in self._backends and not self._known_bad(name)]
        if not new and plan_of == self._plan_of and self._unreadable is None:
            return False
        self._plan_of, self._unreadable = plan_of, None
        for name in sorted((self._backends.keys() | self._left_out.keys()) - set(names)):
            self._left_out.pop(name, None)
            if name in self._backends:
                self._backends.pop(name).close()
        for name in new:
            self._add(name)
        if self._gpu and not self._backends:
            self._give_back()
        return True

    @property
    def run_by(self) -> RunBy | None:
        """What runs the plans in use; None where there is none."""
        by_name = [self._backends[name].run_by for name in sorted(self._backends)]
        backends = "; ".join(one.backend for one in by_name)
        return RunBy(backends, by_name[0].device) if by_name else None

    def backend(self, protocol: str) -> Backend | None:
        """Return what runs a protocol's series: its own plan, or else the one for any protocol."""
        names = (self._plan_of.get(protocol), self._plan_of.get(ANY_PROTOCOL))
        return next((self._backends[name] for name in names if name in self._backends), None)

    def close(self) -> None:
        """Give the GPU back."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
        self._left_out.clear()
        self._plan_of = {}
        self._give_back()

    def _give_back(self) -> None:
        if self._gpu:
            self._gpu.close()
            self._gpu = None

    def _known_bad(self, name: str) -> bool:
        known = self._left_out.get(name)
        return known is not None and known.stamps == self._stamps(name)

    def _stamps(self, name: str) -> FileStamps:
        try:
            files = sorted(plan_folder(self._settings.plans_folder, name).iterdir())
            return tuple((one.name, one.stat().st_mtime_ns, one.stat().st_size) for one in files)
        except (OSError, PlanError):
            return ()

    def _add(self, name: str) -> None:
        """Load a plan, or say why it is left out."""
        stamps = self._stamps(name)
        try:
            self._backends[name] = self._loaded(name)
        except (PlanError, SignatureError, BadOutputError) as error:
            self._left_out[name] = LeftOut(error.reason, stamps)
        else:
            self._left_out.pop(name, None)

    def _loaded(self, name: str) -> TensorRtBackend:
        plan = load_plan(plan_folder(self._settings.plans_folder, name), self._settings.key)
        self._gpu = self._gpu or self._load()
        reason = misfit(plan.manifest, self._bundle, self._gpu.machine)
        reason = reason or failure(plan, Here.of(self._gpu.machine))
        if reason:
            raise PlanError("plan_misfit", plan=name, why=reason)
        with ExitStack() as stack:
            backend = TensorRtBackend(plan, self._bundle, self._gpu)
            stack.callback(backend.close)
            self._check_memory(name, backend, self._gpu)
            self._check_golden(plan, backend)
            stack.pop_all()
        return backend

    def _check_memory(self, name: str, backend: TensorRtBackend, gpu: TensorRt) -> None:
        """Refuse a plan that would take, beside those in use, more than their share."""
        _, total_bytes = gpu.memory_bytes
        taken_bytes = sum(one.taken_bytes for one in (backend, *self._backends.values()))
        if taken_bytes > self._settings.memory_share * total_bytes:
            raise PlanError(
                "plans_take_too_much",
                plan=name,
                taken_percent=100 * taken_bytes / total_bytes,
                allowed_percent=100 * self._settings.memory_share,
            )

    def _check_golden(self, plan: Plan, backend: TensorRtBackend) -> None:
        """Refuse a plan that does not read the golden batch as the reference does."""
        difference = read_golden(self._bundle.contract, backend).difference(self._expected)
        allowed = MOST_DIFFERENT[plan.manifest.precision]
        if not difference <= allowed:
            raise PlanError(
                "plan_reads_differently",
                plan=plan.manifest.name,
                difference=difference,
                allowed=allowed,
            )

    @cached_property
    def _expected(self) -> Reading:
        """What the reference makes of the golden batch."""
        return read_golden(self._bundle.contract, self._reference)
