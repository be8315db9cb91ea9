"""How far the midline shift that is told lies from the one that was seen: the model card's table.

``python -m tests.documentation.midline`` takes real heads whose shift was read by eye, and
generated ones whose shift is known, through the bundle in use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.measure.midline_shift import midline_shift_mm
from agent.voxels import HeadVolume
from build_engine.heads.ct_ich import trauma_head
from build_engine.heads.known import generated_head
from build_engine.heads.phe_sich import phe_head
from tests.heads import read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
BY_EYE: Final = ROOT / "build_engine" / "heads" / "midline_by_eye.toml"
HEAD_OF: Final = {"phe_sich": phe_head, "ct_ich": trauma_head}
GENERATED: Final = range(1, 80, 2)
"""Numbers of the generated test heads with a bleed."""

NEAR_MM: Final = 2.0

Known = tuple[float, Callable[[], HeadVolume]]


def known_by_eye(of_set: dict[str, dict[str, float]]) -> Iterator[Known]:
    """Shift [mm] and head of each patient."""
    for name, shifts_mm in of_set.items():
        for patient, shift_mm in shifts_mm.items():
            yield shift_mm, partial(HEAD_OF[name], DATA / name, patient)


def generated() -> Iterator[Known]:
    """The same of generated heads."""
    for number in GENERATED:
        known = generated_head(number)
        yield known.midline_shift_mm or 0.0, lambda head=known.head: head


def row(title: str, heads: Iterator[Known], told: Callable[[HeadVolume], float | None]) -> str:
    """One row of the table."""
    pairs = [(shift_mm, told(head())) for shift_mm, head in heads]
    off_mm = np.array([abs(one - shift_mm) for shift_mm, one in pairs if one is not None])
    near = np.count_nonzero(off_mm <= NEAR_MM)
    middle, most = np.percentile(off_mm, (50, 90))
    return (
        f"| {title} | {len(off_mm)} of {len(pairs)} | {near} of {len(off_mm)} "
        f"| {middle:.1f}; {most:.1f}; {off_mm.max():.1f} mm |"
    )


def main() -> None:
    """Print the table."""
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    backend = OnnxBackend(bundle, threads=1)
    by_eye = tomllib.loads(BY_EYE.read_text(encoding="utf-8"))

    def told(head: HeadVolume) -> float | None:
        return midline_shift_mm(head, read(head, bundle.contract, backend))

    print("| heads | told | within 2 mm | error: median; of nine in ten; largest |")
    print("| --- | --- | --- | --- |")
    print(row("real, by which it was chosen", known_by_eye(by_eye["chosen_on"]), told))
    print(row("real, read afterwards", known_by_eye(by_eye["read_afterwards"]), told))
    print(row("generated, with a bleed", generated(), told))


if __name__ == "__main__":
    main()
