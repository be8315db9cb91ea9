"""What runs the networks: a server or a plan on the GPU, else OpenVINO or the reference on the CPU.

When server or GPU fails at a series, that series is run again as a whole on the CPU, and it is
taken up again between two series. A plan that cannot be used takes none of the others with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from agent.errors import GpuError, InferenceError
from agent.infer.backend import Backend, RunBy
from agent.infer.cpu_side import REFERENCE_ALONE, CpuSide
from agent.reasons import Reason, english

LOOK_S: Final = 1.0
"""How often it is looked whether another plan was activated, or the server is back [s]."""

RETRY_S: Final = 10.0
"""How long GPU or server rests after a fault before it is used again [s]. Ours."""

MOST_RESTARTS: Final = 3
"""A GPU that ran and then could not be started this often needs a process of its own: CUDA keeps
some errors for as long as the process lives."""

Result = TypeVar("Result")


class Accelerator(Protocol):
    """What runs networks in place of the CPU: ``GpuSide`` or ``ServerSide``. It has one thread."""

    @property
    def memory_bytes(self) -> tuple[int, int] | None:
        """How much of a GPU's memory is used, and how much there is; None while none is held."""
        ...

    @property
    def shortfall(self) -> Reason | None:
        """Why it does not do all that it should; None where it does, or is not wanted."""
        ...

    @property
    def run_by(self) -> RunBy | None:
        """What runs networks there; None where nothing does."""
        ...

    def take_up(self) -> bool:
        """Use what may be used by now; whether that changed. GpuError if the GPU fails."""
        ...

    def backend(self, protocol: str) -> Backend | None:
        """Return what runs a protocol's series there; None where the CPU does."""
        ...

    def close(self) -> None:
        """Give it back; ``take_up`` begins anew."""
        ...


class Networks:
    """Used by one thread, but for what it says of itself, which any may read.

    ``degraded`` says why GPU or server does not do all that it should; None while it does.
    ``gpu_bytes`` is how much of the GPU's memory is used and how much there is, when that was last
    looked at; None while no GPU is used.
    """

    def __init__(
        self,
        reference: Backend,
        accelerator: Accelerator,
        monotonic: Callable[[], float],
        log: FilteringBoundLogger,
        cpu: CpuSide = REFERENCE_ALONE,
    ) -> None:
        """Begin on the CPU; ``refresh`` takes up what there is."""
        self.degraded: Reason | None = None
        self.gpu_bytes: tuple[int, int] | None = None
        self._reference = reference
        self._cpu = cpu
        self.run_by = self._on_cpu.run_by
        self._accelerator = accelerator
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
        """Take up what there is since, and start the GPU or ask the server again after a fault.

        To be called between two series.
        """
        now_s = self._monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_S
        try:
            changed = self._accelerator.take_up()
            self.gpu_bytes = self._accelerator.memory_bytes
        except GpuError as error:
            self._failed_starts += 1
            self._go_on_without(error)
            return
        self._failed_starts = 0
        self._tell(self._accelerator.shortfall or self._cpu.shortfall)
        self._has_run = self._has_run or self._accelerator.run_by is not None
        self.run_by = self._accelerator.run_by or self._on_cpu.run_by
        if changed:
            self._log.info("networks", run_by=str(self.run_by))

    def run(self, protocol: str, work: Callable[[Backend], Result]) -> Result:
        """Do ``work`` with what runs a protocol's series; where that fails at it, on the CPU.

        Raises
        ------
        InferenceError
            If the reference fails as well.
        """
        backend = self._accelerator.backend(protocol)
        if backend is not None:
            try:
                return work(backend)
            except InferenceError as error:
                self._go_on_without(error)
        if self._cpu.backend is not None:
            try:
                return work(self._cpu.backend)
            except InferenceError as error:
                self._cpu = CpuSide(shortfall=Reason("openvino_left", why=error.reason))
                self._tell(self.degraded or self._cpu.shortfall)
                self.run_by = self._reference.run_by
        return work(self._reference)

    def close(self) -> None:
        """Give GPU or server back; the thread that used it is about to end."""
        self._accelerator.close()
        self.gpu_bytes = None

    @property
    def _on_cpu(self) -> Backend:
        return self._cpu.backend or self._reference

    def _tell(self, degraded: Reason | None) -> None:
        if degraded and degraded != self.degraded:
            self._log.error("degraded", reason=english(degraded))
        self.degraded = degraded

    def _go_on_without(self, error: InferenceError) -> None:
        self._accelerator.close()
        self.gpu_bytes = None
        self._tell(Reason("degraded_to_cpu", why=error.reason))
        self.run_by = self._on_cpu.run_by
        self._next_look_s = self._monotonic() + RETRY_S
