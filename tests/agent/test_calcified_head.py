"""A real head without a bleed, whose negative rests on calcified plexus: the answer says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import PACKAGED_ENGINES, InferConfig
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from tests.agent.assemble.whole_heads import CT_ICH, ct_ich_head
from tests.agent.box import Box
from tests.cases.exports import head, save_all, set_stored

PATIENT = CT_ICH / "120_ct.nii.gz"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PATIENT.is_file(), reason=f"{PATIENT} is not here"),
]


def test_what_was_taken_for_a_calcification_is_told_with_the_answer(tmp_path: Path) -> None:
    real = ct_ich_head(PATIENT)
    images = head("canon-32x5")[: len(real.hu)]
    for k, (image, hu) in enumerate(zip(images, real.hu, strict=True)):
        image.ImagePositionPatient = real.grid.origins_lps_mm[k].tolist()
        image.ImageOrientationPatient = [*real.grid.row_direction, *real.grid.column_direction]
        image.PixelSpacing = [real.grid.row_spacing_mm, real.grid.column_spacing_mm]
        image.SliceThickness = 5.0
        set_stored(image, hu.astype("int32") - int(image.RescaleIntercept))
    bundle = load_bundle(PACKAGED_ENGINES / InferConfig().bundle)
    box = Box(tmp_path / "store.sqlite", bundle, OnnxBackend(bundle, threads=2))

    box.export(save_all(images, tmp_path / "in"))
    box.wait()

    report = box.report()
    assert report.state == "not_suspected"
    assert {caveat.code for caveat in report.caveats} == {"calcification_no_bleed"}
