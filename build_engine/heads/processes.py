"""Processes that make heads or train: how many threads they use and what memory they keep."""

from __future__ import annotations

import ctypes
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

import numpy as np  # noqa: F401 - only what is loaded can be kept to one thread
from threadpoolctl import threadpool_limits

M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4
"""Options of glibc's ``mallopt``."""


def head_makers(processes: int | None = None) -> ProcessPoolExecutor:
    """Start processes that make heads, one for each core unless told.

    numpy works on one thread in each: its own threads wait for each other on cores that are busy
    with other heads (1.0 heads a second on two cores instead of 2.5).
    """
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=_ready_to_make_heads)


def _ready_to_make_heads() -> None:
    threadpool_limits(limits=1, user_api="blas")
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, where there is glibc.

    Handing it back after every step took 40 % of training's time, and 10 % of a head's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
