"""What runs the networks: a plan on the GPU where one is active, else the reference on the CPU.

When the GPU fails at a series, that series is run again as a whole on the CPU. The GPU is started
again between two series. A plan that cannot be used takes none of the others with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from structlog.typing import FilteringBoundLogger

from agent.errors import GpuError, InferenceError
from agent.infer.backend import Backend
from agent.infer.gpu_side import GpuSide
from agent.reasons import Reason, english

LOOK_S: Final = 1.0
"""How often it is looked whether another plan was activated [s]."""

RETRY_S: Final = 10.0
"""How long the GPU rests after a fault before it is started again [s]. Ours."""

MOST_RESTARTS: Final = 3
"""A GPU that ran and then could not be started this often needs a process of its own: CUDA keeps
some errors for as long as the process lives."""

Result = TypeVar("Result")


class Networks:
    """Used by one thread, but for what it says of itself, which any may read.

    ``degraded`` says why the GPU does not do all that it should; None while it does.
    ``gpu_bytes`` is how much of the GPU's memory is used and how much there is, when that was last
    looked at; None while no GPU is used.
    """

    def __init__(
        self,
        reference: Backend,
        gpu: GpuSide,
        monotonic: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        """Begin on the CPU; ``refresh`` takes up the GPU."""
        self.degraded: Reason | None = None
        self.gpu_bytes: tuple[int, int] | None = None
        self.run_by = reference.run_by
        self._reference = reference
        self._gpu = gpu
        self._monotonic = monotonic
        self._log = log
        self._next_look_s = float("-inf")
        self._has_run = False
        self._failed_starts = 0

    @property
    def process_spent(self) -> bool:
        """Whether only a new process can use the GPU again."""
        return self._has_run and self._failed_starts >= MOST_RESTARTS

    def refresh(self) -> None:
        """Take up what was activated since, and start the GPU again after a fault.

        To be called between two series.
        """
        now_s = self._monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_S
        try:
            changed = self._gpu.take_up()
            self.gpu_bytes = self._gpu.memory_bytes
        except GpuError as error:
            self._failed_starts += 1
            self._go_on_without(error)
            return
        self._failed_starts = 0
        self._tell(self._gpu.shortfall)
        self._has_run = self._has_run or self._gpu.run_by is not None
        self.run_by = self._gpu.run_by or self._reference.run_by
        if changed:
            self._log.info("networks", run_by=str(self.run_by))

    def run(self, protocol: str, work: Callable[[Backend], Result]) -> Result:
        """Do ``work`` with what runs a protocol's series; where the GPU fails at it, on the CPU.

        Raises
        ------
        InferenceError
            If the reference fails as well.
        """
        backend = self._gpu.backend(protocol)
        if backend is not None:
            try:
                return work(backend)
            except InferenceError as error:
                self._go_on_without(error)
        return work(self._reference)

    def close(self) -> None:
        """Give the GPU back; the thread that used it is about to end."""
        self._gpu.close()
        self.gpu_bytes = None

    def _tell(self, degraded: Reason | None) -> None:
        if degraded and degraded != self.degraded:
            self._log.error("degraded", reason=english(degraded))
        self.degraded = degraded

    def _go_on_without(self, error: InferenceError) -> None:
        self._gpu.close()
        self.gpu_bytes = None
        self._tell(Reason("degraded_to_cpu", why=error.reason))
        self.run_by = self._reference.run_by
        self._next_look_s = self._monotonic() + RETRY_S
