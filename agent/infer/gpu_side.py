"""The plans in use, loaded on the GPU. One thread, that of the networks, uses and closes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import PlanError
from agent.infer.backend import Backend, RunBy
from agent.infer.bundle import Bundle
from agent.infer.plan import ANY_PROTOCOL, load_plan, misfit, read_active
from agent.infer.tensorrt_api import TensorRt
from agent.infer.tensorrt_backend import TensorRtBackend


class GpuSide:
    """What ``active.json`` names, ready to run. Holds the GPU only while there is such a plan."""

    def __init__(
        self,
        plans_folder: Path,
        bundle: Bundle,
        key: Ed25519PublicKey | None,
        load: Callable[[], TensorRt],
        *,
        memory_share: float,
    ) -> None:
        """Begin with nothing loaded; ``load`` takes the GPU for the calling thread.

        ``memory_share`` is how much of the card's memory the plans in use may take, 0…1: the rest
        is for the other programs of a shared box.
        """
        self._plans_folder = plans_folder
        self._bundle = bundle
        self._key = key
        self._load = load
        self._memory_share = memory_share
        self._gpu: TensorRt | None = None
        self._backends: dict[str, TensorRtBackend] = {}
        self._taken_bytes: dict[str, int] = {}
        self._plan_of: dict[str, str] = {}

    @property
    def memory_bytes(self) -> tuple[int, int] | None:
        """How much of the card's memory is used, and how much there is; None while it is not held.

        Raises GpuError if the GPU fails.
        """
        return self._gpu.memory_bytes if self._gpu else None

    def wanted(self) -> dict[str, str]:
        """Read which plan is active for which protocol; PlanError if that cannot be read."""
        return {name: one.plan for name, one in read_active(self._plans_folder).items()}

    def take_up(self, wanted: dict[str, str]) -> None:
        """Load and warm up what is wanted and not loaded yet, then drop what is not wanted.

        Raises
        ------
        PlanError, SignatureError
            A plan is not whole, not signed, or not for this bundle and machine.
        GpuError
            The GPU or its driver fails, or there is none.
        """
        for name in sorted(set(wanted.values()) - set(self._backends)):
            self._backends[name] = self._loaded(name, set(wanted.values()))
        self._plan_of = wanted
        for name in sorted(set(self._backends) - set(wanted.values())):
            self._backends.pop(name).close()

    @property
    def run_by(self) -> RunBy | None:
        """What runs the plans in use; None where there is none."""
        by_name = [self._backends[name].run_by for name in sorted(self._backends)]
        backends = "; ".join(one.backend for one in by_name)
        return RunBy(backends, by_name[0].device) if by_name else None

    def backend(self, protocol: str) -> Backend | None:
        """Return what runs a protocol's series: its own plan, or the one for any protocol."""
        name = self._plan_of.get(protocol, self._plan_of.get(ANY_PROTOCOL))
        return self._backends[name] if name else None

    def close(self) -> None:
        """Give the GPU back."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()
        self._plan_of = {}
        if self._gpu:
            self._gpu.close()
            self._gpu = None

    def _loaded(self, name: str, beside: set[str]) -> TensorRtBackend:
        """Load a plan ``beside`` others that are wanted; what it takes is measured on the card."""
        plan = load_plan(self._plans_folder / name, self._key)
        self._gpu = self._gpu or self._load()
        reason = misfit(plan.manifest, self._bundle, self._gpu.machine)
        if reason:
            raise PlanError("plan_misfit", plan=name, why=reason)
        before_bytes, _ = self._gpu.memory_bytes
        backend = TensorRtBackend(plan, self._bundle, self._gpu)
        after_bytes, total_bytes = self._gpu.memory_bytes
        self._taken_bytes[name] = after_bytes - before_bytes
        taken_bytes = sum(self._taken_bytes[one] for one in beside if one in self._taken_bytes)
        if taken_bytes > self._memory_share * total_bytes:
            backend.close()
            raise PlanError(
                "plans_take_too_much",
                plan=name,
                taken_percent=100 * taken_bytes / total_bytes,
                allowed_percent=100 * self._memory_share,
            )
        return backend
