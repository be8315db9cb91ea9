"""The public peer BLAST-CT on the same real heads, judged in the same way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.records import Subtype
from agent.voxels import Grid, LabelMask, Regions
from build_engine.heads.known import KnownHead
from build_engine.judge.evaluate import StudyResult, judged
from build_engine.judge.peer import PeerClass, PeerReading, load_peer, peer_reading, with_bone

CLIPPED_HU: Final = 100
"""A head with nothing denser was clipped when published [HU]: its bone is made dense again."""

SUBTYPE_OF: Final = {
    PeerClass.INTRAPARENCHYMAL: Subtype.INTRAPARENCHYMAL,
    PeerClass.INTRAVENTRICULAR: Subtype.INTRAVENTRICULAR,
    PeerClass.EXTRA_AXIAL: Subtype.SUBDURAL,
}


def peer_results(heads: Iterable[KnownHead], weights: Path) -> Iterator[StudyResult]:
    """Run all its networks over the heads that were boxed: minutes a head."""
    peer = load_peer(weights)
    for known in heads:
        if known.boxes is None:
            continue
        started_s = time.perf_counter()
        clipped = known.head.hu.max() <= CLIPPED_HU
        reading = peer_reading(peer, with_bone(known.head) if clipped else known.head)
        seconds = time.perf_counter() - started_s
        yield judged(known, mask_of(reading, known.head.grid), seconds)


def mask_of(reading: PeerReading, grid: Grid) -> LabelMask:
    """Name the peer's classes as ours are; its score is the highest blood probability."""
    subtypes = np.zeros(grid.shape_kji, dtype=np.uint8)
    for peer_class, subtype in SUBTYPE_OF.items():
        subtypes[reading.labels == peer_class] = subtype
    probability: NDArray[np.uint8] = np.rint(reading.blood.clip(0.0, 1.0) * 255).astype(np.uint8)
    score = float(probability.max()) / 255
    nowhere = Regions.of_voxels(np.zeros_like(subtypes))
    return LabelMask(subtypes, nowhere, probability, grid, score)
