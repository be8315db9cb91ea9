"""CT-ICH is split by patient, and its labels are told slice by slice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agent.records import Subtype
from build_engine.heads.ct_ich import (
    bleed_free_patients,
    trauma_case,
    trauma_head,
    trauma_labels,
    trauma_split,
)
from build_engine.heads.known import held_out_trauma_heads
from tests.build_engine.cases import CONTRACT

nibabel = pytest.importorskip("nibabel", reason="real heads need the train extra")

SHAPE_IJK = (64, 64, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One bleeding and one bleed-free patient that train, and one held out."""
    told = {
        "053": {"age": 44.0, "slices": {"2": ["epidural", "subdural"]}},
        "055": {"age": 3.0, "slices": {}},
        "051": {"age": 5.0, "slices": {"1": ["subdural"], "2": ["subdural"], "0": ["epidural"]}},
    }
    (tmp_path / "labels.json").write_text(json.dumps(told))
    (tmp_path / "peer").mkdir()
    for patient in told:
        hu = np.full(SHAPE_IJK, -1000, dtype=np.int16)
        hu[10:50, 8:56] = 30
        image = nibabel.Nifti1Image(hu, np.diag([2.0, 2.0, 5.0, 1.0]))
        nibabel.save(image, tmp_path / f"{patient}_ct.nii.gz")
        peer = np.zeros((4, *SHAPE_IJK[::-1]), dtype=np.uint8)
        np.savez(tmp_path / "peer" / f"{patient}.npz", p=peer)
    return tmp_path


def test_nobody_is_in_two_parts_and_who_is_named_nowhere_trains(folder: Path):
    split = trauma_split(folder)

    assert split.train == ("053", "055")
    assert len({*split.held_out, *split.validation, *split.left_out}) == 11 + 5 + 1
    assert "051" in split.held_out


def test_a_head_is_read_slice_by_slice_with_rows_towards_the_back(folder: Path):
    head = trauma_head(folder, "053")

    assert head.hu.shape == SHAPE_IJK[::-1]
    assert (head.grid.row_spacing_mm, head.grid.end_thickness_mm) == (2.0, 5.0)
    assert head.hu[0, 8, 10] == 30
    assert head.hu[0, 8, 9] == -1000


def test_a_slice_that_readers_do_not_name_is_bleed_free(folder: Path):
    labels = trauma_labels(folder, "053", 4)

    nothing = frozenset()
    assert labels.kinds == (nothing, nothing, {Subtype.EPIDURAL, Subtype.SUBDURAL}, nothing)
    assert bleed_free_patients(folder) == {"055"}


def test_a_case_says_which_kinds_were_named_and_where_an_earlier_bundle_alarmed(folder: Path):
    seen = np.zeros(SHAPE_IJK[::-1], dtype=np.float32)
    seen[1, 20:40, 20:40] = 0.9

    case = trauma_case(folder, "053", seen, CONTRACT)

    assert case.kinds is not None
    assert case.alarming is not None
    assert np.argwhere(case.kinds).tolist() == [
        [2, Subtype.SUBDURAL - 1],
        [2, Subtype.EPIDURAL - 1],
    ]
    assert case.boxed.tolist() == [False, False, True, False]
    assert case.alarming.tolist() == [False, True, False, False]


def test_a_held_out_head_is_asked_for_the_kind_that_most_slices_show(folder: Path):
    known = next(held_out_trauma_heads(folder))

    assert known.name == "trauma-051"
    assert (known.bleed, known.kinds) == (Subtype.SUBDURAL, (Subtype.SUBDURAL, Subtype.EPIDURAL))
    assert known.bleeding_slices is not None
    assert known.bleeding_slices.tolist() == [True, True, True, False]
    assert known.age_years == 5.0
