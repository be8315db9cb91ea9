"""What the networks are asked for in a generated head."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_info

from agent.preprocess import AIR_HU, SliceInput
from agent.records import Subtype
from build_engine.heads.fields import (
    BONE_HU,
    LOWEST_HU,
    PUBLISHED_HU,
    UNSURE,
    generated_case,
    grid_of,
    load_case,
    packed,
    random_recipe,
    save_case,
    unpacked,
)
from build_engine.heads.processes import head_makers
from build_engine.synth.head import make_head
from tests.build_engine.cases import clear_case

CONTRACT: Final = SliceInput(1.0, 256, 2.5, 1, ((0.0, 80.0),), 4)


def subdural_seeds(wanted: int) -> list[int]:
    """Seeds of training heads with one subdural bleed of 10 to 60 mL."""
    recipes = ((seed, random_recipe(seed)[0]) for seed in count(1))
    seeds = (
        seed
        for seed, recipe in recipes
        if recipe.bleed is Subtype.SUBDURAL and not recipe.more and 10 < recipe.volume_ml < 60
    )
    return [next(seeds) for _ in range(wanted)]


@pytest.mark.slow
def test_blood_that_bone_outshines_is_asked_for_beside_blood_that_is_seen():
    """Without it a subdural bleed was learned, and told, a third too small."""
    shares = []
    for seed in subdural_seeds(4):
        case, head = generated_case(seed, CONTRACT), make_head(*random_recipe(seed))
        asked_px = np.count_nonzero(case.subtypes % UNSURE)
        shares.append(
            asked_px / (np.count_nonzero(head.subtypes) * grid_of(head).row_spacing_mm ** 2)
        )

    assert np.median(shares) > 0.9
    assert max(shares) < 1.05


@pytest.mark.slow
def test_blood_that_is_seen_is_always_asked_for():
    seed = subdural_seeds(1)[0]
    case = generated_case(seed, CONTRACT)

    assert case.fields[case.subtypes == UNSURE].min(initial=np.inf) > BONE_HU


@given(arrays(np.float32, 20, elements=st.floats(-1024, 3071, width=32)))
def test_bytes_keep_brain_and_blood_to_a_quarter_hu_and_tell_bone_from_bone(hu):
    kept = unpacked(packed(hu))

    published = (hu > LOWEST_HU + 0.25) & (hu <= PUBLISHED_HU)
    assert np.abs(kept - hu)[published].max(initial=0) <= 0.251
    beyond = (hu > PUBLISHED_HU) & (hu < 1000)
    assert np.abs(kept - hu)[beyond].max(initial=0) <= 30.1
    assert (kept[hu <= LOWEST_HU] == AIR_HU).all()
    assert np.array_equal(packed(kept), packed(hu))


def test_heads_are_made_on_one_thread_a_process(monkeypatch: pytest.MonkeyPatch):
    """Two processes with two threads each on two cores made 1.0 heads a second, not 2.5."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)  # the tests' own bound
    with head_makers(1) as makers:
        libraries = makers.submit(threadpool_info).result()

    assert {one["num_threads"] for one in libraries if one["user_api"] == "blas"} == {1}


def test_a_run_that_is_killed_while_it_writes_a_case_leaves_the_former_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "0012.npz"
    case, write = clear_case(), np.savez_compressed

    def killed(to: Path, **parts: np.ndarray) -> None:
        write(to, **parts)
        to.write_bytes(to.read_bytes()[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", killed)
        with pytest.raises(KeyboardInterrupt):
            save_case(case, path)

    assert not path.exists()
    save_case(case, path)
    assert np.array_equal(load_case(path).packed, case.packed)
