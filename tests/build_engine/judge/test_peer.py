"""The public peer is rebuilt as it was published, and sees the blood that annotators boxed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.voxels import Grid, HeadVolume

pytest.importorskip("torch", reason="torch is of the training extra")
pytest.importorskip("safetensors", reason="safetensors is of the training extra")

from safetensors.torch import load_file, save_file

from build_engine.heads.phe_sich import held_out_patients, phe_boxes, phe_head
from build_engine.judge import peer as peers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHARED = Path(__file__).parents[4] / "shared"
WEIGHTS = SHARED / "peers" / "blast_ct_v0.1.1"
PHE = SHARED / "data" / "phe_sich"

MARGIN_PX = 24

needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"{WEIGHTS} is not here")
needs_patients = pytest.mark.skipif(not PHE.is_dir(), reason=f"{PHE} is not here")


@pytest.fixture(scope="module")
def peer() -> peers.Peer:
    return peers.load_peer(WEIGHTS, n_models=1)


@needs_weights
def test_every_published_weight_is_used(peer: peers.Peer):
    (network,) = peer.networks

    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(1.03e6, rel=0.01)
    assert not network.training


@needs_weights
def test_weights_of_another_network_are_refused(tmp_path: Path):
    weights = load_file(WEIGHTS / "model_1.safetensors")
    surplus = {"surplus": weights["fully_connected.2.prelu.weight"].clone()}
    save_file(weights | surplus, tmp_path / "model_1.safetensors")

    with pytest.raises(RuntimeError, match="surplus"):
        peers.load_peer(tmp_path, n_models=1)


@needs_weights
def test_tiles_of_any_size_agree_with_the_published_ones(peer: peers.Peer):
    volume = np.random.default_rng(0).random((15, 31, 14), dtype=np.float32)

    published = peers.volume_probabilities(peer, volume)
    smaller, larger = (peers.volume_probabilities(peer, volume, tile_mm) for tile_mm in (15, 45))

    assert published.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(smaller - published).max() < 1e-4
    assert np.abs(larger - published).max() < 1e-4


def test_the_volume_follows_uneven_slices_that_slide():
    """HU that tell their own place [mm] come out in their place, and go back to it."""
    heights_mm = np.array([0.0, 2.0, 7.0])
    origins_mm = np.stack([np.zeros(3), 3.0 - heights_mm, heights_mm], axis=1)
    axes = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    grid = Grid(origins_mm, *axes, 0.5, 2.0, 80, 20)
    places_mm = grid.to_lps_mm(np.argwhere(np.ones(grid.shape_kji))).reshape(*grid.shape_kji, 3)
    hu = np.rint(places_mm.sum(axis=-1)).astype(np.int16)

    volume = peers.peer_volume(HeadVolume(hu, grid, ("a", "b", "c"), ()))
    low, high = peers.WINDOW_HU
    volume_hu = (volume + 1) / 2 * (high - low) + low
    back_hu = peers._on_slices(volume_hu[None], grid)[0]

    z, y, x = np.meshgrid(*map(np.arange, volume.shape), indexing="ij")
    assert volume.shape == (8, 48, 39)
    assert np.abs(volume_hu - (x + y - 4.0 + z))[:, 7:-8].max() < 0.01
    assert np.abs(back_hu - hu).max() < 1.01


@needs_weights
@needs_patients
def test_it_sees_the_blood_that_annotators_boxed(peer: peers.Peer):
    patient = held_out_patients(PHE)[0][0]
    head, boxed = about_boxes(patient)

    blood = peers.peer_reading(peer, peers.with_bone(head)).blood > 0.5

    assert ((blood & boxed).sum(axis=(1, 2)) > 2000).all()
    assert boxed[blood].mean() > 0.95


def about_boxes(patient: str) -> tuple[HeadVolume, np.ndarray]:
    """Cut the middle boxed slices of a patient out, about the boxes, with what is boxed in them."""
    head = phe_head(PHE, patient)
    boxed = np.zeros(head.hu.shape, dtype=bool)
    for k, boxes in phe_boxes(PHE, patient).items():
        for column0, row0, column1, row1 in boxes:
            boxed[k, row0 : row1 + 1, column0 : column1 + 1] = True
    k, j, i = np.nonzero(boxed)
    middle = int(np.median(k))
    cut = (
        slice(middle - 2, middle + 3),
        *(slice(max(0, at.min() - MARGIN_PX), at.max() + MARGIN_PX) for at in (j, i)),
    )
    hu, boxed = head.hu[cut], boxed[cut]
    origins_mm, uids = head.grid.origins_lps_mm[cut[0]], head.sop_uids[cut[0]]
    _, rows, columns = hu.shape
    grid = replace(head.grid, origins_lps_mm=origins_mm, rows=rows, columns=columns)
    return HeadVolume(hu, grid, uids, ()), boxed
