"""What is no head in HU is told from a head, with which of it failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.assemble.head_facts import facts_of
from agent.assemble.plausibility import faults_of
from agent.voxels import HeadVolume
from tests.agent.assemble.whole_heads import made_head, volume

Hu = NDArray[np.int16]

INTERCEPT_HU = -1024


def faults_in(head: HeadVolume) -> set[str]:
    return {fault.code for fault in faults_of(facts_of(head))}


def altered(change: Callable[[NDArray[np.int32]], NDArray[np.number]]) -> HeadVolume:
    """A head whose HU became something else, and were clipped to what 16 bits hold."""
    head = made_head()
    hu = np.clip(change(head.hu.astype(np.int32)), -32768, 32767).astype(np.int16)
    return volume(hu, 5.0, 1.0)


def stored(change: Callable[[NDArray[np.int32]], NDArray[np.number]]) -> HeadVolume:
    """A head whose stored values, HU + 1024 in 12 bits, became something else."""
    return altered(lambda hu: change(np.clip(hu - INTERCEPT_HU, 0, 4095)) + INTERCEPT_HU)


@pytest.mark.parametrize(
    ("seed", "slice_mm"),
    [
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((1, 0.625), (1, 1.25), (2, 1.25))),
        *(pytest.param(seed, 2.5, marks=pytest.mark.slow) for seed in (1, 2)),
        (1, 5.0),
        (2, 5.0),
    ],
)
def test_a_head_has_no_fault(seed: int, slice_mm: float) -> None:
    assert faults_in(made_head(seed, slice_mm)) == set()


@pytest.mark.slow
def test_a_noisy_thin_head_has_no_fault() -> None:
    head = made_head(1, 1.25)
    noise = np.random.default_rng(0).normal(0, 25, head.hu.shape)

    assert faults_in(volume((head.hu + noise).astype(np.int16), 1.25, 1.0)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("padding_hu", [-1024, -1500, -2000, -3024])
def test_a_head_whose_surroundings_are_padded_has_no_fault(padding_hu: int) -> None:
    assert faults_in(altered(lambda hu: np.where(hu < -900, padding_hu, hu))) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "faults"),
    [
        (lambda: altered(lambda hu: hu - 32768), {"no_skull"}),
        (lambda: altered(lambda hu: hu + 1024), {"no_air", "no_skull"}),
        (lambda: altered(lambda hu: hu + 1000), {"no_skull"}),
        (lambda: altered(lambda hu: hu - 1000), {"no_skull"}),
        (lambda: altered(lambda hu: hu + 30), {"not_brain"}),
        (lambda: altered(lambda hu: hu - 30), {"not_brain"}),
        (lambda: altered(lambda hu: hu * 0.5), {"air_off"}),
        (lambda: altered(lambda hu: hu * 2), {"not_brain"}),
        (lambda: altered(lambda hu: hu * 1.5), {"air_off"}),
        (lambda: altered(lambda hu: -hu), {"no_air", "no_skull"}),
        (lambda: stored(lambda values: values * 2), {"no_skull"}),
        (lambda: stored(lambda values: values // 2), {"no_skull"}),
        (lambda: stored(lambda values: 4095 - values), {"no_air", "no_skull"}),
        (lambda: stored(lambda values: values << 4), {"no_skull"}),
        (lambda: stored(lambda values: values >> 4), {"no_skull"}),
        (lambda: stored(lambda values: values & 0xFF), {"no_skull"}),
        (
            lambda: stored(lambda values: values.astype(np.uint16).byteswap().astype(int)),
            {"no_skull"},
        ),
        (lambda: altered(lambda hu: np.maximum(hu, 0)), {"no_air"}),
        (lambda: altered(lambda hu: hu & 0xFFFF), {"no_air"}),
        (lambda: altered(lambda hu: np.clip((hu + 20) * 2, 0, 255)), {"no_air", "no_skull"}),
    ],
    ids=[
        "moved by 32768",
        "intercept lost",
        "1000 HU too dense",
        "1000 HU too light",
        "30 HU too dense",
        "30 HU too light",
        "half as dense",
        "twice as dense",
        "half as dense again",
        "negative",
        "slope 2 forgotten",
        "slope 0.5 forgotten",
        "MONOCHROME1 taken for MONOCHROME2",
        "High Bit 15 not heeded",
        "shifted by four bits",
        "eight bits of twelve",
        "byte order",
        "negative values cut off",
        "signed read as unsigned",
        "a windowed picture",
    ],
)
def test_values_that_are_no_hu_are_told(head: Callable[[], HeadVolume], faults: set[str]) -> None:
    assert faults <= faults_in(head())


@pytest.mark.parametrize("factor", [0.5, 0.6, 0.65, 1.5, 1.6])
def test_soft_tissue_of_another_scale_between_air_and_bone_that_are_right_is_told(
    factor: float,
) -> None:
    scaled = altered(lambda hu: np.where((hu > -200) & (hu < 200), hu * factor, hu))

    assert faults_in(scaled) & {"scale_off", "not_brain", "no_skull", "uniform"}


def test_where_values_are_cut_to_a_brain_window_no_fat_is_asked_for() -> None:
    facts = facts_of(altered(lambda hu: np.where(hu < -60, np.where(hu < -300, -1000, -60), hu)))

    assert facts.brain_over_fat_hu is None
    assert faults_of(facts) == ()


def windowed(hu: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cut to a brain window, with air round it."""
    return np.where(hu < -300, -1000, np.clip(hu, -20, 100))


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.3, 1.5])
def test_soft_tissue_of_another_scale_than_bone_is_told_in_a_brain_window(factor: float) -> None:
    def scaled(hu: NDArray[np.int32]) -> NDArray[np.number]:
        hu = windowed(hu)
        return np.where((hu >= -20) & (hu < 100), hu * factor, hu)

    assert faults_in(altered(windowed)) == set()
    assert faults_in(altered(scaled)) & {"scales_differ", "not_brain"}


def test_hu_in_eight_bits_have_no_fault() -> None:
    assert faults_in(stored(lambda values: values // 16 * 16 + 8)) == set()


def of_pixels(row_mm: float, column_mm: float) -> HeadVolume:
    """A head whose pixels are said to be so large."""
    head = made_head()
    grid = replace(head.grid, row_spacing_mm=row_mm, column_spacing_mm=column_mm)
    return replace(head, grid=grid)


def test_pixels_that_are_said_not_to_be_square_are_told() -> None:
    assert faults_in(of_pixels(1.05, 1.0)) == set()
    assert faults_in(of_pixels(1.4, 1.0)) == {"pixels_stretched"}
    assert faults_in(of_pixels(1.0, 1.4)) == {"pixels_stretched"}
    assert faults_in(of_pixels(1.0, 0.7)) == {"pixels_stretched"}


def test_a_head_that_lies_on_its_side_has_no_fault() -> None:
    assert faults_in(altered(lambda hu: np.rot90(hu, axes=(1, 2)))) == set()


def test_thick_slices_that_overlap_have_no_fault() -> None:
    """5 mm every 2.5 mm, of a head of 1.25 mm: each is like the next."""
    thin = made_head(2, 1.25).hu
    thick = np.stack([thin[k : k + 4].mean(axis=0) for k in range(0, len(thin) - 3, 2)])

    assert faults_in(volume(thick.astype(np.int16), 2.5, 1.0)) == set()


@pytest.mark.parametrize(("lower", "upper"), [(2, 4), (4, 2)])
def test_a_brain_is_as_high_where_slices_lie_unevenly(lower: int, upper: int) -> None:
    """Every so many of 2.5 mm, of the lower half and of the upper one."""
    head = made_head(1, 2.5)
    middle = len(head.hu) // 2
    kept = [*range(0, middle, lower), *range(middle, len(head.hu), upper)]
    grid = replace(head.grid, origins_lps_mm=head.grid.origins_lps_mm[kept])
    uneven = HeadVolume(head.hu[kept], grid, tuple(map(str, kept)), ())

    assert facts_of(uneven).large_mm == pytest.approx(facts_of(head).large_mm, abs=5)


@pytest.mark.parametrize(("rows", "columns"), [(2, 1), (1, 2)])
def test_a_stretched_head_is_told_unless_its_pixels_are_said_to_be_so(
    rows: int, columns: int
) -> None:
    hu = made_head().hu.repeat(rows, axis=1).repeat(columns, axis=2)
    stretched = volume(hu, 5.0, 0.5)
    grid = replace(stretched.grid, row_spacing_mm=1.0 / rows, column_spacing_mm=1.0 / columns)

    assert faults_in(stretched) & {"pixels_stretched", "no_skull"}
    assert faults_in(replace(stretched, grid=grid)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
def test_a_head_whose_slices_lie_in_reverse_is_told(slice_mm: float) -> None:
    assert faults_in(volume(made_head(5, slice_mm).hu[::-1], slice_mm, 1.0)) == {"upside_down"}


@pytest.mark.slow
def test_two_heads_beside_one_another_are_told() -> None:
    one, other = made_head().hu, made_head(6).hu
    n = min(len(one), len(other))
    both = np.concatenate([one[:n], other[:n]], axis=2)

    assert faults_in(volume(both, 5.0, 1.0)) == {"two_heads"}


def with_air(
    middle_kji: tuple[float, float, float], radii_kji: tuple[float, float, float]
) -> set[str]:
    """Fill an ellipsoid of a head, placed in shares of its box, with air."""
    head = made_head()
    at = np.indices(head.hu.shape) - np.reshape(middle_kji, (3, 1, 1, 1))
    air = np.square(at / np.reshape(radii_kji, (3, 1, 1, 1))).sum(axis=0) <= 1
    return faults_in(volume(np.where(air, -950, head.hu).astype(np.int16), 5.0, 1.0))


def test_air_within_the_brain_is_told_and_under_the_skull_is_not() -> None:
    hu = made_head().hu
    n, rows, columns = hu.shape
    front = int(np.flatnonzero(hu[n * 2 // 3, :, columns // 2] > 300)[0])  # the frontal bone

    assert with_air((n * 0.6, rows / 2, columns / 2), (2.5, 18.0, 12.0)) == {"air_in_brain"}
    assert with_air((n * 2 / 3, front + 14, columns / 2), (2.5, 12.0, 15.0)) == set()


def noisy(hu: NDArray[np.floating], sigma_hu: float = 5.0) -> HeadVolume:
    """Give 32 slices of one section noise of their own."""
    noise = np.random.default_rng(0).normal(0, sigma_hu, (32, *hu.shape))
    return volume(np.clip(hu + noise, -1024, 3000).astype(np.int16), 5.0, 1.0)


def section() -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Rows, columns and distance from the middle of a section of 256 mm."""
    rows, columns = np.mgrid[:256, :256] - 127.5
    return rows, columns, np.hypot(rows, columns)


def water_bath(wall_hu: float) -> HeadVolume:
    _, _, radius = section()
    return noisy(np.select([radius < 95, radius < 101], [0, wall_hu], -1000))


def head_phantom() -> HeadVolume:
    """A ball of brain-like stuff in a shell like bone, as dose is measured with."""
    _, _, radius = section()
    heights_mm = np.linspace(-95, 95, 32)[:, None, None]
    distance = np.hypot(radius, heights_mm)
    hu = np.select([distance < 85, distance < 92], [35, 900], -1000)
    noise = np.random.default_rng(0).normal(0, 5, hu.shape)
    return volume((hu + noise).astype(np.int16), 6.0, 1.0)


def trunk() -> HeadVolume:
    """Fat, muscle, organs, a spine and a closed ring of ribs."""
    rows, columns, _ = section()
    skin = np.hypot(columns / 115, rows / 85)
    spine = np.hypot(columns / 20, (rows - 50) / 18) < 1
    liver, gas = np.hypot((columns + 40) / 45, rows / 45) < 1, np.hypot(columns / 10, rows / 25) < 1
    within = [spine, gas, liver, skin < 0.8, skin < 0.84, skin < 0.88, skin < 1]
    return noisy(np.select(within, [400, -900, 60, -100, 500, 55, -100], -1000), 10)


def pelvis() -> HeadVolume:
    """A ring of bone round muscle and a bladder."""
    rows, columns, _ = section()
    skin, ring = np.hypot(columns / 115, rows / 85), np.hypot(columns / 80, rows / 60)
    bladder = np.hypot(columns / 35, rows / 30) < 1
    within = [bladder, np.abs(ring - 1) < 0.08, skin < 0.85, skin < 1]
    return noisy(np.select(within, [8, 600, 58, -100], -1000), 10)


def knees() -> HeadVolume:
    _, columns, _ = section()
    rows = section()[0]
    distance = np.minimum(np.hypot(columns - 60, rows), np.hypot(columns + 60, rows))
    within = [distance < 26, distance < 30, distance < 44, distance < 50]
    return noisy(np.select(within, [-30, 900, 58, -100], -1000), 10)


@pytest.mark.parametrize(
    ("stack", "fault"),
    [
        (lambda: water_bath(120), "not_brain"),
        (lambda: water_bath(900), "not_brain"),
        (lambda: water_bath(0), "no_skull"),
        (head_phantom, "uniform"),
        (trunk, "not_brain"),
        (pelvis, "not_brain"),
        (knees, "no_skull"),
        (lambda: noisy(np.full((256, 256), -1000.0)), "no_skull"),
        (lambda: noisy(np.full((256, 256), 0.0), 300), "no_skull"),
        (lambda: volume(np.zeros((32, 256, 256), np.int16), 5.0, 1.0), "no_air"),
    ],
    ids=[
        "water bath",
        "water in a bony shell",
        "water without a wall",
        "head phantom",
        "trunk",
        "pelvis",
        "knees",
        "empty scan",
        "noise",
        "zeros",
    ],
)
def test_what_is_no_head_is_told(stack: Callable[[], HeadVolume], fault: str) -> None:
    assert fault in faults_in(stack())


@pytest.mark.parametrize("n_copies", [1, 3, 31])
def test_copies_of_one_slice_are_told(n_copies: int) -> None:
    hu = made_head().hu.copy()
    k = np.linspace(12, len(hu) - 10, n_copies).round().astype(int)
    hu[k] = hu[len(hu) // 2 + 3]

    (fault,) = faults_of(facts_of(volume(hu, 5.0, 1.0)))

    assert fault.code == "slices_repeated"


@pytest.mark.parametrize("from_level", [14, 22, 26])
def test_upper_slices_whose_values_are_no_hu_are_told(from_level: int) -> None:
    noise = np.random.default_rng(0).integers(-1024, 3072, made_head().hu.shape)
    upper = np.arange(len(noise))[:, None, None] >= from_level

    assert "air_off" in faults_in(altered(lambda hu: np.where(upper, noise, hu)))


def test_a_head_of_another_scale_than_heads_is_told() -> None:
    assert "skull_too_large" in faults_in(volume(made_head().hu, 5.0, 2.5))


def beside_the_middle(seed: int = 5) -> NDArray[np.int16]:
    """A head that lies some centimetres off the middle of the image."""
    return np.roll(made_head(seed).hu, (12, 15), axis=(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("from_level", [10, 16])
@pytest.mark.parametrize("axis", [1, 2], ids=["upside down", "right side left"])
def test_mirrored_slices_among_others_are_told(axis: int, from_level: int) -> None:
    hu = beside_the_middle()
    hu[from_level : from_level + 10] = np.flip(hu[from_level : from_level + 10], axis)

    assert faults_in(volume(hu, 5.0, 1.0)) == {"slices_mirrored"}


@pytest.mark.slow
def test_every_other_slice_of_another_head_is_told() -> None:
    hu, other = beside_the_middle(5), beside_the_middle(1)
    hu[1::2] = other[1 : len(hu) : 2]

    assert faults_in(volume(hu, 5.0, 1.0)) == {"slices_of_two_heads"}


@pytest.mark.parametrize(("n_times", "sigma_hu"), [(4, 3), (8, 5), (8, 12)])
def test_a_slice_that_is_repeated_with_other_noise_is_told(n_times: int, sigma_hu: float) -> None:
    hu = made_head().hu.copy()
    middle = len(hu) // 2
    noise = np.random.default_rng(0).normal(0, sigma_hu, (n_times, *hu.shape[1:]))
    hu[middle : middle + n_times] = np.clip(hu[middle] + noise, -1024, 3000)

    assert faults_in(volume(hu, 5.0, 1.0)) == {"slices_alike"}


@pytest.mark.slow
@pytest.mark.parametrize("slice_mm", [1.25, 5.0])
@pytest.mark.parametrize("factor", [0.5, 0.4])
def test_pixels_of_another_size_than_is_said_are_told(factor: float, slice_mm: float) -> None:
    head = made_head(1, slice_mm)

    assert faults_in(volume(head.hu, slice_mm, factor)) & {"out_of_proportion", "no_skull"}
    assert faults_in(volume(head.hu, slice_mm, 1.1)) == set()


def test_slices_twice_as_far_apart_as_they_are_are_told() -> None:
    assert "out_of_proportion" in faults_in(volume(made_head(1).hu, 10.0, 1.0))
