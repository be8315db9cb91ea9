"""The shipped bundle keeps its contract."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.errors import BundleError
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.records import HeadVolume, Region, Subtype, VolumeInterval
from build_engine.heads.fields import grid_of
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


def test_slices_give_probabilities_that_add_up(bundle: Bundle, backend: OnnxBackend):
    slabs = np.random.default_rng(0).random(bundle.slices.shape, dtype=np.float32)

    first, second = backend.run_slices([slabs, slabs])

    assert np.allclose(first.sum(axis=1), 1.0, atol=1e-4)
    assert np.array_equal(first, second)


def test_a_block_gives_bleed_regions_and_a_score(bundle: Bundle, backend: OnnxBackend):
    channels = 5 + len(bundle.volume.windows_hu)
    block = np.random.default_rng(0).random((1, channels, *bundle.volume.shape_kji))
    block = (block / 6).astype(np.float32)

    first, second = backend.run_volume(block), backend.run_volume(block)

    assert np.allclose(first.bleed.sum(axis=0), 1.0, atol=1e-4)
    assert first.anatomy.dtype == np.int32
    assert 0 <= first.anatomy.min() <= first.anatomy.max() <= max(Region)
    assert 0.0 <= first.score <= 1.0
    assert first.score == second.score
    assert np.array_equal(first.anatomy, second.anatomy)


def test_an_empty_head_is_far_below_the_operating_point(bundle: Bundle, backend: OnnxBackend):
    channels = 5 + len(bundle.volume.windows_hu)

    score = backend.run_volume(
        np.zeros((1, channels, *bundle.volume.shape_kji), dtype=np.float32)
    ).score

    assert score < bundle.operating_point("balanced").score / 2


def test_the_networks_are_small(bundle: Bundle):
    sizes_bytes = [path.stat().st_size for path in (bundle.slice_network, bundle.volume_network)]

    assert sum(sizes_bytes) < MOST_BYTES


def with_interval(folder: Path, interval: str) -> Path:
    """Copy the shipped bundle with another interval in its manifest."""
    shutil.copytree(FOLDER, folder)
    manifest = (FOLDER / "bundle.toml").read_text()
    before, _, rest = manifest.partition("[interval")
    after = rest[rest.index("[operating_points") :]
    (folder / "bundle.toml").write_text(f"{before}{interval}\n{after}")
    return folder


SUBTYPE_NAMES = [subtype.name.lower() for subtype in Subtype]


def test_each_subtype_has_its_own_volume_interval(tmp_path: Path):
    tables = [
        f"[interval.{name}]\nbelow = 0.1\nabove = {number}.5\nabsolute_ml = 2.0"
        for number, name in enumerate(SUBTYPE_NAMES)
    ]

    intervals = load_bundle(with_interval(tmp_path / "own", "\n".join(tables))).intervals

    assert intervals[Subtype.INTRAPARENCHYMAL] == VolumeInterval(0.1, 0.5, 2.0)
    assert intervals[Subtype.EPIDURAL] == VolumeInterval(0.1, 4.5, 2.0)


def test_one_relative_interval_stands_for_all_subtypes_both_ways(tmp_path: Path):
    text = "[interval]\nrelative = 0.25\nabsolute_ml = 1.0"

    intervals = load_bundle(with_interval(tmp_path / "one", text)).intervals

    assert intervals == dict.fromkeys(Subtype, VolumeInterval(0.25, 0.25, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        "[interval]\nabsolute_ml = 1.0",
        "[interval]\nrelative = -0.25\nabsolute_ml = 1.0",
        "[interval]\nrelative = 0.25\nabsolute_ml = 1.0\nbelow = 0.1",
        "[interval.subdural]\nbelow = 0.1\nabove = 0.1\nabsolute_ml = 1.0",
    ],
    ids=["nothing relative", "negative", "both forms", "one subtype only"],
)
def test_an_interval_that_is_not_whole_is_refused(tmp_path: Path, text: str):
    with pytest.raises(BundleError, match="interval") as refused:
        load_bundle(with_interval(tmp_path / "part", text))

    assert "CONTRACT.md" in (refused.value.what_to_do or "")


def scores(bundle: Bundle, backend: OnnxBackend, bleed: Subtype | None) -> list[float]:
    found = []
    for seed in range(30_001, 30_006):
        synth = make_head(HeadRecipe(seed, bleed, 40.0), (5.0, 1.0, 1.0))
        names = tuple(map(str, range(len(synth.hu))))
        mask = read(HeadVolume(synth.hu, grid_of(synth), names, ()), bundle, backend)
        found.append(mask.score)
    return found


@pytest.mark.timeout(300)
def test_large_bleeds_are_suspected_and_heads_without_score_far_below(
    bundle: Bundle, backend: OnnxBackend
):
    bleeding = scores(bundle, backend, Subtype.INTRAPARENCHYMAL)
    clear = scores(bundle, backend, None)

    assert min(bleeding) >= bundle.operating_point("balanced").score
    assert np.median(clear) < bundle.operating_point("balanced").score
    assert max(clear) < min(bleeding)
