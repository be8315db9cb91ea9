"""Measurements: a Comprehensive 3D SR by TID 1500, one measurement group a finding."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, SegmentationStorage

from agent.deliver.dicom.codes import (
    ABNORMAL_STRUCTURE,
    ANSWER,
    ANSWERS,
    CT_EXAMINATION,
    HEIGHT,
    KINDS_OF_BLEED,
    LONG_AXIS,
    MIDLINE_SHIFT,
    MILLILITRE,
    MILLIMETRE,
    NO_UNITS,
    PRIVATE_SCHEME,
    PROBABILITY,
    SHORT_AXIS,
    SIDES,
    VENTRICLES_REACHED,
    VOLUME,
    YES,
    site_of,
)
from agent.deliver.dicom.result import (
    MANUFACTURER,
    MODEL,
    derived_uid,
    finished,
    identification,
    instance_uid,
    key_slices,
    predecessors,
    reference_to,
    source_datasets,
)
from agent.deliver.dicom.segmentation import tracking_uid
from agent.deliver.result import StoredResult
from agent.records import Subtype
from agent.report import FindingReport


def measurements(result: StoredResult, *, segmented: bool) -> Dataset:
    """Make the measurement report; where ``segmented``, it refers to the segments."""
    evidence = source_datasets(result, key_slices(result))
    if segmented:
        evidence.append(reference_to(result, "segmentation", SegmentationStorage))
    content = sr.MeasurementReport(
        observation_context=observers(result),
        procedure_reported=CT_EXAMINATION,
        imaging_measurements=[_of_head(result), *_of_findings(result, segmented=segmented)],
    )
    made = sr.Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        **identification(result, "measurements"),
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=predecessors(result, "measurements", Comprehensive3DSRStorage),
    )
    made.CodingSchemeIdentificationSequence = [own_scheme()]
    return finished(made, result, "Bleedwatch measurements")


def own_scheme() -> Dataset:
    """Say whose the private codes are."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeName = scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def observers(result: StoredResult) -> sr.ObservationContext:
    """Say who observed: the program, and no person."""
    engine = result.report.engine
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", engine.device if engine else ""),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )
    return sr.ObservationContext(observer_device_context=observer)


def _of_head(result: StoredResult) -> sr.MeasurementsAndQualitativeEvaluations:
    """Tell the answer, the score that it rests on, and what was measured of the head as a whole."""
    report = result.report
    evaluations = [sr.QualitativeEvaluation(ANSWER, ANSWERS[report.state])]
    if any(finding.subtype == Subtype.INTRAVENTRICULAR.word for finding in report.findings):
        evaluations.append(sr.QualitativeEvaluation(VENTRICLES_REACHED, YES))
    values = []
    if report.score is not None:
        values.append(sr.Measurement(PROBABILITY, report.score, NO_UNITS))
    if report.midline_shift_mm is not None:
        values.append(sr.Measurement(MIDLINE_SHIFT, report.midline_shift_mm, MILLIMETRE))
    if report.findings and report.total_volume_ml is not None:
        values.append(sr.Measurement(VOLUME, report.total_volume_ml, MILLILITRE))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid(report.result_id, "head"), identifier="Head"
        ),
        algorithm_id=algorithm(result),
        measurements=values or None,
        qualitative_evaluations=evaluations,
        source_images=_key_images(result, key_slices(result)),
    )


def _of_findings(
    result: StoredResult, *, segmented: bool
) -> Iterator[
    sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
]:
    for number, finding in enumerate(result.report.findings, 1):
        side = SIDES.get(finding.side or "")
        told: dict[str, Any] = {
            "tracking_identifier": sr.TrackingIdentifier(
                uid=tracking_uid(result, number), identifier=f"Finding {number}"
            ),
            "finding_category": ABNORMAL_STRUCTURE,
            "finding_type": KINDS_OF_BLEED[finding.subtype],
            "finding_sites": [
                sr.FindingSite(site_of(finding.subtype, finding.region), laterality=side)
            ],
            "algorithm_id": algorithm(result),
            "measurements": _values(finding),
        }
        if segmented:
            yield sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_segment(result, number), **told
            )
        else:
            yield sr.MeasurementsAndQualitativeEvaluations(
                source_images=_key_images(result, [finding.key_slice]), **told
            )


def _values(finding: FindingReport) -> list[sr.Measurement]:
    """Measure one finding."""
    long_mm, short_mm, height_mm = finding.extent_mm
    return [
        _volume(finding),
        sr.Measurement(LONG_AXIS, long_mm, MILLIMETRE),
        sr.Measurement(SHORT_AXIS, short_mm, MILLIMETRE),
        sr.Measurement(HEIGHT, height_mm, MILLIMETRE),
        sr.Measurement(PROBABILITY, finding.probability, NO_UNITS),
    ]


def _volume(finding: FindingReport) -> sr.Measurement:
    """Give a volume with its 90 % interval, as how far that reaches to either side."""
    low_ml, high_ml = finding.volume_interval_ml
    interval = sr.MeasurementProperties(
        upper_measurement_uncertainty=max(0.0, round(high_ml - finding.volume_ml, 2)),
        lower_measurement_uncertainty=max(0.0, round(finding.volume_ml - low_ml, 2)),
    )
    volume = sr.Measurement(VOLUME, finding.volume_ml, MILLILITRE, properties=interval)
    for reach in volume[0].ContentSequence:  # highdicom takes them for ratios
        unit = sr.CodedConcept.from_code(MILLILITRE)
        reach.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [unit]
    return volume


def algorithm(result: StoredResult) -> sr.AlgorithmIdentification:
    """Name the networks that ran, and the bundle's digest."""
    engine = result.report.engine
    if engine is None:
        return sr.AlgorithmIdentification(name=MODEL, version=version("bleedwatch"))
    parameters = [f"operating point {result.report.operating_point}"]
    if engine.digest:
        parameters.append(f"bundle sha256 {engine.digest}")
    return sr.AlgorithmIdentification(
        name=f"{MODEL} {engine.bundle}",
        version=engine.version,
        parameters=parameters,
    )


def _segment(result: StoredResult, number: int) -> sr.ReferencedSegment:
    return sr.ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=instance_uid(result.report.result_id, "segmentation"),
        segment_number=number,
        source_series=sr.SourceSeriesForSegmentation(result.report.series_uid),
    )


def _key_images(result: StoredResult, slices: list[int]) -> list[sr.SourceImageForMeasurementGroup]:
    images = result.images
    return [
        sr.SourceImageForMeasurementGroup(
            referenced_sop_class_uid=images.sop_class_uid or CTImageStorage,
            referenced_sop_instance_uid=images.images[k].sop_uid,
            referenced_frame_numbers=[frame] if (frame := images.images[k].frame) else None,
        )
        for k in slices
    ]
