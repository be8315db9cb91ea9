"""Which series are analysed, and in what words the others are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.assemble.protocol import check_extent, choose, load_profiles
from agent.errors import ConfigError, NotEligible
from tests.agent.assemble.made import HEADER, made, series_of

FOLDER = Path(__file__).parents[3] / "engines" / "protocols"
PROFILES = load_profiles(FOLDER)
PLAIN = replace(HEADER, rows=512, columns=512)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"body_part": "BRAIN"},
        {"body_part": "", "description": "Kopf nativ 4.8"},
        {"body_part": "", "description": ""},
        {"body_part": "", "description": "Axial 5mm"},
        {"body_part": "Schädel"},
        {"contrast": "NONE"},
        {"kernel": "H31s"},
        {"kernel": "Hr40"},
        {"kernel": "FC26"},
        {"kernel": "UB"},
        {"kernel": "STD+"},
        {"kvp": None, "thickness_mm": None},
        {"image_type": ("DERIVED", "PRIMARY", "AXIAL")},
        {"thickness_mm": 0.625},
        {"description": "CT HEAD WITHOUT CONTRAST"},
        {"description": "Head w/o contrast"},
        {"description": "Head non-contrast 5.0"},
    ],
    ids=str,
)
def test_plain_heads_are_eligible(changes):
    assert choose([replace(PLAIN, **changes)], PROFILES).name == "generic-head"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"body_part": "CHEST", "description": "Axial"}, "not a head series: CHEST"),
        ({"body_part": "", "description": "Abdomen venous"}, "not a head series: Abdomen venous"),
        ({"contrast": "OMNIPAQUE 350"}, "contrast agent was given"),
        ({"kernel": "BONEPLUS"}, r"bone reconstruction \(kernel BONEPLUS\)"),
        ({"kernel": "H60s"}, "bone reconstruction"),
        ({"kernel": "Hr68h"}, "bone reconstruction"),
        ({"kernel": "FC30"}, "bone reconstruction"),
        ({"kernel": "YB"}, "bone reconstruction"),
        ({"image_type": ("DERIVED", "SECONDARY", "MPR")}, "not an original axial image"),
        ({"description": "Head with contrast"}, "a series with contrast agent: Head with"),
        ({"description": "CTA Head"}, "a series with contrast agent: CTA Head"),
        ({"description": "Dose Report"}, "not a plain head series"),
        ({"thickness_mm": 20.0}, "slice thickness 20 mm, 0.4 to 10 covered"),
        ({"kvp": 40.0}, "tube voltage 40 kV"),
        ({"rows": 32}, "matrix 32 pixels"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "only localizer images"),
    ],
    ids=str,
)
def test_other_series_are_refused_in_words(changes, reason):
    with pytest.raises(NotEligible, match=reason) as refused:
        choose([replace(PLAIN, **changes)], PROFILES)
    assert refused.value.what_to_do


def test_one_slice_with_contrast_is_enough():
    with pytest.raises(NotEligible, match="contrast"):
        choose([PLAIN, replace(PLAIN, contrast="IOPAMIRON")], PROFILES)


def test_a_localizer_beside_the_head_does_not_matter():
    scout = replace(PLAIN, image_type=("LOCALIZER",), rows=32, body_part="")

    assert choose([scout, PLAIN], PROFILES)


def test_the_most_specific_profile_that_fits_is_chosen(tmp_path):
    generic = (FOLDER / "generic-head.toml").read_text()
    (tmp_path / "a.toml").write_text(generic)
    (tmp_path / "b.toml").write_text(
        generic.replace('"generic-head"', '"ge-head"') + '\nmanufacturer = "^ge\\\\b"\n'
    )
    profiles = load_profiles(tmp_path)

    assert choose([replace(PLAIN, manufacturer="GE MEDICAL SYSTEMS")], profiles).name == "ge-head"
    assert choose([PLAIN], profiles).name == "generic-head"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("quiet_s = 4.0", "quiet_s = 'soon'", "quiet_s"),
        ("quiet_s = 4.0", "", "quiet_s"),
        ("quiet_s = 4.0", "quiet_s = 4.0\nquite_s = 4.0", "quite_s"),
        (
            "bone_kernels = 'bone|",
            "bone_kernels = '(bone|",
            "bone_kernels.*not a regular expression",
        ),
        ("kvp = [70.0, 150.0]", "kvp = [70.0]", "kvp"),
        ("quiet_s = 4.0", "quiet_s =", "wrong.toml"),
    ],
)
def test_a_wrong_profile_names_file_and_key(tmp_path, old, new, named):
    text = (FOLDER / "generic-head.toml").read_text()
    assert old in text
    (tmp_path / "wrong.toml").write_text(text.replace(old, new))

    with pytest.raises(ConfigError, match=rf"wrong\.toml.*{named}|{named}"):
        load_profiles(tmp_path)


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ("kvp = [150.0, 70.0]", "kvp.*from 150 to 70 is no range"),
        ("min_slices = 2000", "min_slices 2000 is above max_slices"),
        ("quiet_s = 120.0", "quiet_s 120 reaches deadline_s 120"),
        ("quiet_s = 0.0", "quiet_s 0 is no time to wait"),
        ("min_slices = -3", "min_slices -3 asks for no slice"),
        ("min_coverage_mm = 0.0", "min_coverage_mm 0 asks for no head"),
        ("quiet_s = nan", "quiet_s.*finite"),
        ("thickness_mm = [nan, 5.0]", "thickness_mm.*finite"),
        ("quite_s = 1.0", "quite_s"),
    ],
)
def test_a_profile_that_contradicts_itself_is_an_error(tmp_path, own, named):
    (tmp_path / "generic.toml").write_text((FOLDER / "generic-head.toml").read_text())
    (tmp_path / "own.toml").write_text(f'name = "own"\nbased_on = "generic-head"\n{own}\n')

    with pytest.raises(ConfigError, match=rf"own\.toml.*{named}"):
        load_profiles(tmp_path)


def test_a_profile_takes_from_another_what_it_does_not_set(tmp_path):
    (tmp_path / "generic.toml").write_text((FOLDER / "generic-head.toml").read_text())
    (tmp_path / "own.toml").write_text('name = "own"\nbased_on = "generic-head"\nmin_slices = 12')

    own, generic = sorted(load_profiles(tmp_path), key=lambda profile: -profile.min_slices)

    assert replace(generic, name="own", min_slices=12) == own


@pytest.mark.parametrize("base", ["nobody", "own"])
def test_a_profile_based_on_one_that_is_not_there_is_an_error(tmp_path, base):
    (tmp_path / "generic.toml").write_text((FOLDER / "generic-head.toml").read_text())
    (tmp_path / "own.toml").write_text(f'name = "own"\nbased_on = "{base}"\n')

    with pytest.raises(ConfigError, match=rf"own\.toml: based_on: no profile '{base}'"):
        load_profiles(tmp_path)


MAKERS = {
    "ge-head": ("GE MEDICAL SYSTEMS", ("STANDARD", "SOFT", "STD+"), ("BONEPLUS", "DETAIL", "LUNG")),
    "siemens-head": ("Siemens Healthineers", ("H31s", "J40s", "Hr38f", "Qr40"), ("H60s", "Hr59f")),
    "philips-head": ("Philips", ("UB", "UC", "B"), ("YA", "YC", "D", "E")),
    "canon-head": ("TOSHIBA", ("FC21", "FC26", "FC64"), ("FC30", "FC81", "FC52")),
    "united-imaging-head": ("UIH", ("H_SOFT_B", "B_SOFT_A"), ("B_SHARP_C", "H_BONE_A")),
}


@pytest.mark.parametrize(("name", "maker_and_kernels"), MAKERS.items(), ids=str)
def test_each_makers_soft_heads_are_analysed_and_its_bone_series_named(name, maker_and_kernels):
    maker, soft, sharp = maker_and_kernels
    for kernel in soft:
        chosen = choose([replace(PLAIN, manufacturer=maker, kernel=kernel)], PROFILES)
        assert chosen.name == name
    for kernel in sharp:
        with pytest.raises(NotEligible, match="bone reconstruction") as refused:
            choose([replace(PLAIN, manufacturer=maker, kernel=kernel)], PROFILES)
        assert name in str(refused.value.what_to_do)


def test_a_thickness_beyond_a_scanners_own_profile_is_left_to_the_generic_one(tmp_path):
    (tmp_path / "generic.toml").write_text((FOLDER / "generic-head.toml").read_text())
    own = "based_on = 'generic-head'\nmanufacturer = 'phantom'\nthickness_mm = [4.5, 5.5]"
    (tmp_path / "own.toml").write_text(f'name = "own"\n{own}\n')
    profiles = load_profiles(tmp_path)

    assert choose([PLAIN], profiles).name == "own"
    assert choose([replace(PLAIN, thickness_mm=2.5)], profiles).name == "generic-head"
    with pytest.raises(NotEligible, match=r"thickness 20 mm, 4\.5 to 5\.5"):
        choose([replace(PLAIN, thickness_mm=20.0)], profiles)


def test_no_profile_or_two_of_one_name_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no protocol profile"):
        load_profiles(tmp_path)
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text((FOLDER / "generic-head.toml").read_text())
    with pytest.raises(ConfigError, match="two protocol profiles"):
        load_profiles(tmp_path)


@pytest.mark.parametrize(
    ("n", "spacing", "reason"),
    [
        (9, 15.0, "only 9 slices, 10 needed"),
        (1001, 0.2, "1001 slices, at most 1000"),
    ],
)
def test_too_few_or_too_many_slices_are_refused(n, spacing, reason):
    head = series_of([made(k, spacing * k) for k in range(n)]).volume()

    with pytest.raises(NotEligible, match=reason):
        check_extent(head, PROFILES[0])


def test_a_whole_head_is_not_refused():
    check_extent(series_of([made(k, 5.0 * k) for k in range(25)]).volume(), PROFILES[0])
