"""agent.records.Certainty: what a finding is called, and how probable it is told to be."""

from __future__ import annotations

import pytest

from agent.records import EXTRA_AXIAL, Certainty, Finding, Region, Side, Subtype
from agent.report import finding_report
from tests.agent.reports import finding


def measured(subtype: Subtype, epidural: float | None = None, probability: float = 0.9) -> Finding:
    return Finding(
        subtype=subtype,
        side=Side.LEFT,
        region=Region.EXTRA_AXIAL,
        volume_ml=12.0,
        volume_interval_ml=(9.0, 16.0),
        mean_probability=probability,
        epidural_share=epidural,
        extent_mm=(60.0, 10.0, 40.0),
        centroid_lps_mm=(50.0, 0.0, 0.0),
        place=None,
        key_slice_k=3,
    )


@pytest.mark.parametrize(
    ("subtype", "epidural", "kind"),
    [
        (Subtype.SUBDURAL, 0.1, "subdural"),
        (Subtype.SUBDURAL, 0.25, "subdural"),
        (Subtype.SUBDURAL, 0.3, EXTRA_AXIAL),
        (Subtype.EPIDURAL, 0.6, EXTRA_AXIAL),
        (Subtype.EPIDURAL, 0.75, "epidural"),
        (Subtype.SUBARACHNOID, None, "subarachnoid"),
    ],
)
def test_what_could_be_subdural_or_epidural_is_called_both(subtype, epidural, kind):
    certainty = Certainty(told_apart=0.75)

    assert finding_report(measured(subtype, epidural), certainty).subtype == kind


def test_a_bundle_that_says_nothing_of_it_has_kinds_told_apart():
    assert Certainty().kind(measured(Subtype.SUBDURAL, 0.49)) == "subdural"


@pytest.mark.parametrize(
    ("certainty", "mean", "told"),
    [
        (Certainty(), 0.8, 0.8),
        (Certainty(), 1.0, 0.996),  # a mask tells no nearer to 1 than 1/255
        (Certainty(intercept=-1.0986), 0.75, 0.5),  # odds of 3 to 1, a third of them
        (Certainty(slope=2.0), 0.75, 0.9),  # … squared
    ],
)
def test_a_findings_probability_is_its_voxels_mean_calibrated(certainty, mean, told):
    one = measured(Subtype.INTRAPARENCHYMAL, probability=mean)

    assert finding_report(one, certainty).probability == pytest.approx(told, abs=0.001)


@pytest.mark.parametrize(
    ("subtype", "region", "where"),
    [
        ("subdural", "extra-axial", "left extra-axial"),
        (EXTRA_AXIAL, "extra-axial", "left"),
        (EXTRA_AXIAL, "frontal", "left frontal"),
        ("subdural", None, "left"),
    ],
)
def test_a_place_that_the_kind_names_is_not_said_twice(subtype, region, where):
    assert finding(subtype=subtype, region=region).where == where
