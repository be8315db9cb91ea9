"""The shipped bundle keeps its contract."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import Region
from agent.voxels import HeadVolume
from build_engine.heads.fields import grid_of
from build_engine.heads.known import generated_head
from build_engine.judge.evaluate import results
from build_engine.judge.tables import interval_95
from build_engine.synth.head import HeadRecipe, make_head
from tests.heads import read

FOLDER = PACKAGED_ENGINES / InferConfig().bundle
MOST_BYTES = 20_000_000


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(FOLDER)


@pytest.fixture(scope="module")
def backend(bundle: Bundle) -> OnnxBackend:
    return OnnxBackend(bundle, threads=2)


def test_the_checkout_and_so_the_wheel_holds_the_shipped_bundle_alone():
    manifests = PACKAGED_ENGINES.rglob("bundle.toml")

    assert [path.parent for path in manifests] == [FOLDER]


def test_false_alerts_to_expect_are_what_held_out_real_heads_without_a_bleed_give(bundle: Bundle):
    point = bundle.contract.operating_point("balanced")
    heads = [
        head
        for name in ("ct_ich", "phe_sich", "bleed_free")
        for head in json.loads((FOLDER / "card" / f"{name}.json").read_text("utf-8"))["heads"]
    ]

    low, high = interval_95([one["score"] >= point.score for one in heads if not one["bleed"]])

    assert point.alerts_per_100 == (round(100 * low, 1), round(100 * high, 1))


@pytest.mark.slow
def test_slices_give_probabilities_that_add_up(bundle: Bundle, backend: OnnxBackend):
    slabs = np.random.default_rng(0).random(bundle.contract.slices.shape, dtype=np.float32)

    first, second = backend.run_slices([slabs, slabs])

    assert np.allclose(first.sum(axis=1), 1.0, atol=1e-4)
    assert np.array_equal(first, second)


@pytest.mark.slow
def test_a_block_gives_bleed_regions_and_a_score(bundle: Bundle, backend: OnnxBackend):
    channels = 5 + len(bundle.contract.volume.windows_hu)
    block = np.random.default_rng(0).random((1, channels, *bundle.contract.volume.shape_kji))
    block = (block / 6).astype(np.float32)

    first, second = backend.run_volume(block), backend.run_volume(block)

    assert np.allclose(first.bleed.sum(axis=0), 1.0, atol=1e-4)
    assert first.anatomy.dtype == np.int32
    assert 0 <= first.anatomy.min() <= first.anatomy.max() <= max(Region)
    assert 0.0 <= first.score <= 1.0
    assert first.score == second.score
    assert np.array_equal(first.anatomy, second.anatomy)


@pytest.mark.slow
def test_an_empty_head_is_far_below_the_operating_point(bundle: Bundle, backend: OnnxBackend):
    channels = 5 + len(bundle.contract.volume.windows_hu)

    score = backend.run_volume(
        np.zeros((1, channels, *bundle.contract.volume.shape_kji), dtype=np.float32)
    ).score

    assert score < bundle.contract.operating_point("balanced").score / 2


def test_the_networks_are_small(bundle: Bundle):
    assert len(bundle.slice_network) + len(bundle.volume_network) < MOST_BYTES


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_head_without_a_bleed_scores_below_the_operating_point(
    bundle: Bundle, backend: OnnxBackend
):
    """That a large bleed scores above is in tests/build_engine/compile/test_precision.py."""
    synth = make_head(HeadRecipe(30_001, None, 40.0), (5.0, 1.0, 1.0))
    names = tuple(map(str, range(len(synth.hu))))
    clear = HeadVolume(synth.hu, grid_of(synth), names, ())

    mask = read(clear, bundle.contract, backend)

    assert mask.score < bundle.contract.operating_point("balanced").score


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_test_heads_with_and_without_a_bleed_are_mostly_told_apart(
    bundle: Bundle, backend: OnnxBackend
):
    """Three of each, of scanners with thick slices, smooth and noisy; bleeds of 2.7 to 9 mL."""
    heads = (generated_head(number) for number in (0, 6, 8, 15, 23, 25))

    found = list(results(heads, bundle.contract, backend))

    assert np.median([one.score for one in found if one.bleeds]) > 0.5
    assert np.median([one.score for one in found if not one.bleeds]) < 0.5
