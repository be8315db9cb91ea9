"""What a bundle's manifest says is read whole, or refused in one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.errors import BundleError
from agent.infer.bundle import MANIFEST, load_bundle
from agent.infer.contract import Contract, NetworkDigests, read_contract
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Calcification, Certainty, OperatingPoint, Reading, Subtype, VolumeInterval

PATH = Path(MANIFEST)
SLICES_SHA256, VOLUME_SHA256 = (hashlib.sha256(name).hexdigest() for name in (b"slice", b"volume"))

TODAY = f"""
name = "default"
version = "2.0.0"

[slices]
pixel_mm = 1.0
size_px = 256
slab_mm = 2.5
neighbours = 2
windows_hu = [[0.0, 80.0], [-20.0, 500.0]]
batch = 4

[volume]
voxel_kji_mm = [4.0, 2.0, 2.0]
shape_kji = [40, 128, 128]
windows_hu = [[0.0, 80.0]]

[reading]
bleed_probability = 0.45
midline_shift = false
mirrored = true

[interval]
below = 0.25
above = 0.5
below_by_doubt = 1.0
above_by_doubt = 2.5
absolute_ml = 1.0

[certainty]
intercept = -0.5
slope = 1.5
told_apart = 0.75

[calcification]
probability = 0.3
least_hu = 80.0
told_from = 0.7
intercept = -14.0
weights = [0.1, 1.8, -1.3, 2.9, 9.4, -2.4]

[[operating_points]]
name = "balanced"
score = 0.5
alerts_per_100 = [1.7, 23.6]

[[operating_points]]
name = "specific"
score = 0.7

[sha256]
slices = "{SLICES_SHA256}"
volume = "{VOLUME_SHA256}"

[card]
trained_on = "nothing"
"""

WITHOUT_POINTS, _, AFTER_POINTS = TODAY.partition("[[operating_points]]")
FROM_SHA256 = "[sha256]" + AFTER_POINTS.partition("[sha256]")[2]

BEFORE_2 = f"""
[bundle]
name = "default"
version = "1.4.0"
opset = 17

[slice]
file = "slice.onnx"
sha256 = "{SLICES_SHA256}"
pixel_mm = 1.0
size_px = 256
slab_mm = 2.5
neighbours = 2
windows_hu = [[0.0, 80.0], [-20.0, 500.0]]
batch = 4

[volume]
file = "volume.onnx"
sha256 = "{VOLUME_SHA256}"
voxel_kji_mm = [4.0, 2.0, 2.0]
shape_kji = [40, 128, 128]
windows_hu = [[0.0, 80.0]]

[reading]
bleed_probability = 0.45
midline_shift = false

[interval]
relative = 0.25
absolute_ml = 1.0

[operating_points.balanced]
score = 0.5
alerts_per_100 = 4.9

[card]
trained_on = "nothing"
"""


def contract(**changes: object) -> Contract:
    told = {
        "name": "default",
        "version": "2.0.0",
        "slices": SliceInput(1.0, 256, 2.5, 2, ((0.0, 80.0), (-20.0, 500.0)), 4),
        "volume": VolumeInput((4.0, 2.0, 2.0), (40, 128, 128), ((0.0, 80.0),)),
        "reading": Reading(0.45, midline_shift=False, mirrored=True),
        "interval": VolumeInterval(0.25, 0.5, 1.0, 2.5, 1.0),
        "operating_points": (
            OperatingPoint("balanced", 0.5, (1.7, 23.6)),
            OperatingPoint("specific", 0.7),
        ),
        "sha256": NetworkDigests(SLICES_SHA256, VOLUME_SHA256),
        "card": {"trained_on": "nothing"},
        "certainty": Certainty(-0.5, 1.5, 0.75),
        "calcification": Calcification(0.3, 80.0, 0.7, -14.0, (0.1, 1.8, -1.3, 2.9, 9.4, -2.4)),
    }
    return Contract(**told | changes)


def test_a_manifest_is_read_as_the_contract_page_describes_it():
    assert read_contract(TODAY, PATH) == contract()


def test_a_manifest_from_before_version_2_is_read_as_well():
    assert read_contract(BEFORE_2, PATH) == contract(
        version="1.4.0",
        reading=Reading(0.45, midline_shift=False, mirrored=False),
        interval=VolumeInterval(0.25, 0.25, 0.0, 0.0, 1.0),
        operating_points=(OperatingPoint("balanced", 0.5),),  # 4.9 was of heads that chose it
        certainty=Certainty(),
        calcification=None,
    )


def test_of_an_interval_for_each_subtype_from_before_version_2_the_widest_ends_are_taken():
    table = "".join(
        f"[interval.{subtype.word}]\nbelow = 0.{subtype}\nabove = {6 - subtype}.0\n"
        "absolute_ml = 2.0\n"
        for subtype in Subtype
    )
    old = BEFORE_2.replace("[interval]\nrelative = 0.25\nabsolute_ml = 1.0\n", table)

    assert read_contract(old, PATH).interval == VolumeInterval(0.5, 5.0, 0.0, 0.0, 2.0)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("", "name: "),
        ("name", "Expected '='"),
        (TODAY.replace("pixel_mm = 1.0", "pixel_mm = 0.0"), "slices.pixel_mm: "),
        (TODAY.replace("pixel_mm = 1.0", "pixel_mm = inf"), "slices.pixel_mm: "),
        (TODAY.replace("batch = 4", "batch = 4\ndepth = 3"), "slices.depth: "),
        (TODAY.replace("[-20.0, 500.0]", "[500.0, -20.0]"), "does not rise"),
        (TODAY.replace("= 0.45", "= 1.0"), "reading.bleed_probability: "),
        (TODAY.replace("below = 0.25", "below = -0.1"), "interval.below: "),
        (TODAY.replace("below = 0.25\n", ""), "interval.below: "),
        (TODAY.replace("score = 0.7", "score = 7.0"), "score 7 not in"),
        (TODAY.replace('"specific"', '"balanced"'), "two have the same name"),
        (f"operating_points = []\n{WITHOUT_POINTS}{FROM_SHA256}", "operating_points: "),
        (TODAY.replace(SLICES_SHA256, "1234"), "sha256.slices: "),
        (TODAY.replace('"default"', '"../default"'), "name: "),
        (BEFORE_2.replace("[interval]\nrelative = 0.25", "[interval]"), "bundle.toml"),
        (BEFORE_2.replace("[volume]", "[volumes]"), "there is no 'volume'"),
        (BEFORE_2.replace("batch = 4", "batch = 4\ndepth = 3"), "slices.depth: "),
    ],
)
def test_what_is_no_contract_is_refused_in_one_line(manifest: str, said: str):
    with pytest.raises(BundleError) as refused:
        read_contract(manifest, PATH)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "engines/CONTRACT.md" in refused.value.what_to_do


def test_the_refusal_of_a_bundle_names_its_manifest(tmp_path: Path):
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")

    with pytest.raises(BundleError, match=r"bundle\.toml: "):
        load_bundle(tmp_path)
