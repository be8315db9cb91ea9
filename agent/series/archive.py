"""The slices of heads on their way to the store: a few at a time, while nobody waits.

Those of suspicions are kept in any case, others where there is time for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from agent.draw.slices import encoded_slices, stack_of
from agent.errors import AgentError
from agent.infer.probabilities import Probabilities
from agent.measure import numbered_slices
from agent.report import SeriesReport
from agent.store.agent_store import AgentStore
from agent.voxels import HeadVolume

MOST_WAITING: Final = 1
"""Heads that are held in memory until their slices are stored; a thin one takes 240 MB. When
another comes, the first is stored at once, or let go where nothing is suspected in it. Ours."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """One result's slices; each step of ``steps`` keeps some."""

    series_uid: str
    revision: int
    suspected: bool
    steps: Iterator[None]


class Archive:
    """The stacks that are still to be stored. No answer depends on them: a failure is logged."""

    def __init__(self, store: AgentStore, log: FilteringBoundLogger, *, keeps_slices: bool) -> None:
        """Keep in this store, or nothing at all."""
        self._store = store
        self._log = log
        self._keeps_slices = keeps_slices
        self._waiting: deque[_Stack] = deque()

    def add(
        self,
        report: SeriesReport,
        head: HeadVolume,
        labels: NDArray[np.uint8],
        probabilities: Probabilities | None = None,
    ) -> None:
        """Have a head's slices kept; ``labels`` (k, j, i) is 0 where there is no bleed.

        A suspicion may be one without an outline. With them the networks' ``probabilities``.
        """
        if not self._keeps_slices:
            return
        result, suspected = (report.series_uid, report.revision), report.state == "suspected"
        self._waiting.append(
            _Stack(*result, suspected, self._steps(result, head, labels, probabilities))
        )
        while len(self._waiting) > MOST_WAITING:
            if self._waiting[0].suspected:
                self.keep_some()
            else:
                self._waiting.popleft()

    def _steps(
        self,
        result: tuple[str, int],
        head: HeadVolume,
        labels: NDArray[np.uint8],
        probabilities: Probabilities | None,
    ) -> Iterator[None]:
        stack, maps = stack_of(head.grid, labels), None
        if probabilities:
            maps = probabilities.maps()
            seen = {
                "field_mm": probabilities.field_mm,
                "vertex_mm": round(probabilities.vertex_mm, 2),
                "mapped": probabilities.first_k,
            }
            stack = stack.model_copy(update=seen)
        findings = numbered_slices(labels, head.grid.voxels_ml)
        slices = encoded_slices(head, labels, findings, maps)
        yield from self._store.keep_slices(*result, stack, slices)

    def keep_some(self) -> bool:
        """Keep some slices of the stack that waits longest; False if none waits."""
        if not self._waiting:
            return False
        if self._is_over(self._waiting[0]):
            self._waiting.popleft()
        return True

    def _is_over(self, stack: _Stack) -> bool:
        """Take one step with a stack; True if it was the last."""
        named = {"series_uid": stack.series_uid, "revision": stack.revision}
        try:
            next(stack.steps)
        except StopIteration:
            self._log.info("slices_kept", **named)
        except AgentError as error:
            self._log.warning("slices_not_kept", reason=str(error), **named)
        except Exception:  # noqa: BLE001 - our own fault must take no answer back
            self._log.exception("slices_not_kept", **named)
        else:
            return False
        return True
