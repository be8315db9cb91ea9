"""agent.infer.bundle: what runs is what was hashed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from agent.errors import BundleError
from agent.infer.bundle import SLICE_FILE, VOLUME_FILE, load_bundle
from agent.infer.onnx_backend import OnnxBackend
from tests.tiny import slice_model, volume_model, write_tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path)


def test_a_file_changed_after_it_was_hashed_changes_nothing(folder: Path) -> None:
    bundle = load_bundle(folder)
    slabs = np.full(bundle.contract.slices.shape, 0.7, np.float32)
    (expected,) = OnnxBackend(bundle, threads=1).run_slices([slabs])

    (folder / SLICE_FILE).write_bytes(slice_model(dense=0.1).SerializeToString())
    (folder / VOLUME_FILE).unlink()

    (found,) = OnnxBackend(bundle, threads=1).run_slices([slabs])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "model"), [(SLICE_FILE, slice_model()), (VOLUME_FILE, volume_model())]
)
def test_weights_beside_a_network_are_refused_though_its_digest_is_right(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, model: onnx.ModelProto
) -> None:
    """No digest covers their file, be it in the bundle or in the working folder."""
    before = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    onnx.save(model, folder / name, save_as_external_data=True, location="w", size_threshold=0)
    manifest = folder / "bundle.toml"
    now = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(before, now))
    bundle = load_bundle(folder)

    with pytest.raises(BundleError, match=name):
        OnnxBackend(bundle, threads=1)
    monkeypatch.chdir(folder)
    with pytest.raises(BundleError, match=name):
        OnnxBackend(bundle, threads=1)


def test_a_bundle_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    here = folder.parent / "engines" / "head" / "1.0.0"
    here.parent.mkdir(parents=True)
    folder.rename(here)

    with pytest.raises(BundleError, match=r"installed: head/1\.0\.0") as refused:
        load_bundle(here.with_name("9.9.9"))

    assert "infer.bundle" in refused.value.what_to_do
