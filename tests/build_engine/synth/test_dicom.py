"""Generated series, read back from the files as anyone would read them."""

from dataclasses import replace
from datetime import datetime, timezone
from io import BytesIO

import numpy as np
import pydicom
import pytest

from agent.records import Subtype
from build_engine.synth.dicom import (
    AIR_HU,
    SyntheticStudy,
    datasets,
    file_bytes,
    localizer,
    scan_grid,
)
from build_engine.synth.head import SynthHead
from build_engine.synth.presets import GE_32X5, GE_DUAL, PRESETS, Stretch

BALL_MM, BALL_ZYX_MM, BALL_HU, BRAIN_HU = 17.0, (20.0, -15.0, 40.0), 70, 30
STUDY = SyntheticStudy(1, "DEMO^BLEED LEFT", "DEMO-001", datetime(2026, 1, 2, tzinfo=timezone.utc))


def ball_head(spacing_mm=2.0):
    """An egg of brain with a ball of blood in its left half, in front of the middle."""
    shape = tuple(round(extent / spacing_mm) for extent in (180, 220, 180))
    z, y, x = (
        (index - (n - 1) / 2) * spacing_mm
        for index, n in zip(np.indices(shape), shape, strict=True)
    )
    head = (z / 75) ** 2 + (y / 95) ** 2 + (x / 75) ** 2 < 1
    z0, y0, x0 = BALL_ZYX_MM
    ball = (z - z0) ** 2 + (y - y0) ** 2 + (x - x0) ** 2 < BALL_MM**2
    hu = np.where(ball, BALL_HU, np.where(head, BRAIN_HU, AIR_HU)).astype(np.int16)
    subtypes = np.where(ball, Subtype.INTRAPARENCHYMAL, 0).astype(np.uint8)
    return SynthHead(hu, subtypes, head.astype(np.uint8), (spacing_mm,) * 3, 0.0, ~head & ball)


def small(preset):
    return replace(preset, matrix=128, pixel_mm=1.8)


def read_back(preset):
    images = [
        pydicom.dcmread(BytesIO(file_bytes(image)))
        for image in datasets(ball_head(), preset, STUDY)
    ]
    values = [pydicom.pixels.apply_modality_lut(image.pixel_array, image) for image in images]
    return images, np.stack(values)


def normal(image):
    row, column = np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    return np.cross(row, column)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_the_bleed_keeps_its_volume_and_place(name):
    preset = small(PRESETS[name])

    images, hu = read_back(preset)

    blood = hu > (BALL_HU + BRAIN_HU) / 2
    heights = [np.array(image.ImagePositionPatient, float) @ normal(image) for image in images]
    thickness_mm = np.array([float(image.SliceThickness) for image in images])
    volume_ml = (blood.sum(axis=(1, 2)) * thickness_mm).sum() * preset.pixel_mm**2 / 1000
    assert volume_ml == pytest.approx(4 / 3 * np.pi * BALL_MM**3 / 1000, rel=0.06)
    k, j, i = np.argwhere(blood).mean(axis=0)
    image = images[round(k)]
    row, column = np.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    centre = np.array(image.ImagePositionPatient) + (row * i + column * j) * preset.pixel_mm
    assert centre[::-1] == pytest.approx(BALL_ZYX_MM, abs=thickness_mm.max() / 2 + 1)
    assert np.diff(heights).min() > 0


def test_positions_say_what_the_gantry_tilt_is():
    images, _ = read_back(small(GE_DUAL))

    first, last = (np.array(images[n].ImagePositionPatient, float) for n in (0, -1))
    travel = (last - first) / np.linalg.norm(last - first)
    assert np.degrees(np.arccos(travel @ normal(images[0]))) == pytest.approx(18.5, abs=0.01)
    assert travel == pytest.approx([0, 0, 1])
    assert {float(image.GantryDetectorTilt) for image in images} == {18.5}


def test_thin_slices_below_are_followed_by_thick_ones():
    grid = scan_grid(ball_head(), small(GE_DUAL))

    spacings = np.diff(grid.heights_mm)
    assert spacings == pytest.approx([4.0] * 15 + [5.5] + [7.0] * 12)


def test_the_scan_ends_above_the_head():
    _, hu = read_back(small(GE_32X5))

    assert (hu[-1] > BRAIN_HU / 2).sum() == 0
    assert (hu[-4] > BRAIN_HU / 2).sum() > 0


def test_files_are_whole_ct_images_of_nobody():
    images, _ = read_back(small(replace(GE_32X5, promises_count=True)))

    assert len({image.SOPInstanceUID for image in images}) == 32
    assert {image.SeriesInstanceUID for image in images} == {STUDY.series_uid}
    assert [image.InstanceNumber for image in images] == list(range(1, 33))
    for image in images:
        assert list(image.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
        assert image.ImagesInAcquisition == 32
        assert str(image.PatientName).startswith("DEMO^")
        assert "Synthetic" in image.ImageComments


def test_one_seed_makes_one_study_and_another_makes_another():
    same = replace(STUDY)
    other = replace(STUDY, seed=2)

    assert same.series_uid == STUDY.series_uid
    assert other.series_uid != STUDY.series_uid


def test_the_scout_view_is_a_series_of_its_own():
    scout = pydicom.dcmread(BytesIO(file_bytes(localizer(ball_head(), small(GE_32X5), STUDY))))

    assert scout.ImageType[2] == "LOCALIZER"
    assert scout.SeriesInstanceUID != STUDY.series_uid
    assert scout.pixel_array.shape == (90, 110)
    assert np.ptp(scout.pixel_array) > 100


def test_presets_differ_in_what_trips_readers():
    presets = PRESETS.values()

    assert all(preset.name == name for name, preset in PRESETS.items())
    assert {preset.signed for preset in presets} == {True, False}
    assert {preset.ascending for preset in presets} == {True, False}
    assert {preset.promises_count for preset in presets} == {True, False}
    assert replace(GE_DUAL, stretches=(Stretch(2, 1.0), Stretch(1, 3.0))).thicknesses_mm == (
        1,
        1,
        3,
    )


def test_no_two_slices_below_the_head_are_the_same():
    """They were, and the agent took a thin series for one in which slices came twice."""
    hu = np.random.default_rng(0).normal(30, 5, (30, 40, 40)).astype(np.int16)
    none, brain = np.zeros_like(hu, np.uint8), np.ones_like(hu, np.uint8)
    head = SynthHead(hu, none, brain, (2.0,) * 3, 0.0, none > 0)
    longer = replace(GE_32X5, matrix=32, pixel_mm=2.0, tilt_deg=0.0, stretches=(Stretch(50, 2.0),))

    slices = {pixels(image) for image in datasets(head, longer, STUDY)}

    assert len(slices) >= 50 - 7  # above its top is air


def pixels(image: pydicom.Dataset) -> bytes:
    return bytes(image.PixelData)
