"""Every real head there is: taken for a head in HU, and for a whole one unless it was cut."""

from __future__ import annotations

import json
from typing import Final

import pytest

from agent.assemble.coverage import unseen_of
from agent.assemble.head_facts import HeadFacts, facts_of
from agent.assemble.plausibility import faults_of
from agent.voxels import HeadVolume
from tests.agent.assemble.whole_heads import CT_ICH, PHE, WITHOUT_BRAIN, cut, real_heads

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PHE.is_dir() and CT_ICH.is_dir()), reason=f"no {PHE}"),
]
pytest.importorskip("nibabel", reason="nibabel is of the training extra")

NOT_WHOLE: Final = {
    "phe_sich 0048": {"vertex_not_seen"},
    "ct_ich 078": {"levels_without_brain"},
    "ct_ich 094": {"levels_without_brain"},
}
"""One was scanned to 2 cm below the vertex; two lost slices together with the face."""

FEWEST_SLICES = 9

EVERY = 6
"""Without --full, every so many heads that bleed are cut."""


@pytest.fixture(scope="module")
def heads() -> list[tuple[str, HeadVolume]]:
    return [(name, head) for name, head in real_heads() if name != WITHOUT_BRAIN]


@pytest.fixture(scope="module")
def facts(heads: list[tuple[str, HeadVolume]]) -> dict[str, HeadFacts]:
    return {name: facts_of(head) for name, head in heads}


def test_every_real_head_is_a_head_in_hu(facts: dict[str, HeadFacts]) -> None:
    faults = {name: faults_of(about) for name, about in facts.items()}

    assert len(faults) >= 101
    assert {name: found for name, found in faults.items() if found} == {}


def test_every_real_head_that_is_whole_is_taken_for_whole(facts: dict[str, HeadFacts]) -> None:
    unseen = {name: {one.code for one in unseen_of(about)} for name, about in facts.items()}

    assert {name: codes for name, codes in unseen.items() if codes} == NOT_WHOLE


def test_no_cut_that_takes_bleeding_slices_leaves_a_whole_head(
    heads: list[tuple[str, HeadVolume]], request: pytest.FixtureRequest
) -> None:
    """Cut at every level from either end: what is taken for whole holds what bleeds."""
    bleeding = bleeding_slices()
    bleed = [(name, head) for name, head in heads if bleeding.get(name)]
    chosen = bleed if request.config.getoption("--full") else bleed[::EVERY]
    n_cuts = 0

    for name, head in chosen:
        n = len(head.hu)
        for count in range(1, n - FEWEST_SLICES):
            for kept in (range(n - count), range(count, n)):
                gone = [k for k in bleeding[name] if k not in kept]
                if not gone or len(gone) < 0.1 * len(bleeding[name]):
                    continue
                facts = facts_of(cut(head, slice(kept.start, kept.stop)))
                n_cuts += 1
                assert unseen_of(facts) or faults_of(facts), (name, kept)
    assert n_cuts > 15 * len(chosen)


def bleeding_slices() -> dict[str, list[int]]:
    """Which slices annotators saw blood in, by head."""
    boxes = json.loads((PHE / "boxes.json").read_text())
    labels = json.loads((CT_ICH / "labels.json").read_text())
    found = {f"phe_sich {patient}": list(map(int, slices)) for patient, slices in boxes.items()}
    for patient, about in labels.items():
        found[f"ct_ich {patient}"] = list(map(int, about.get("slices") or {}))
    return found
