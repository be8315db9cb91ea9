"""Every code that objects and messages carry, in one place.

All are in the tables of DICOM PS3.16, where a test looks them up, but for those of ``SNOMED``, of
which nothing but the check digit is tested, and for our own, where neither has one.
"""

from __future__ import annotations

from typing import Final

from pydicom.sr.coding import Code

from agent.records import EXTRA_AXIAL, Region, Side, Subtype

PRIVATE_SCHEME: Final = "99BLEEDWATCH"

ABNORMAL_STRUCTURE: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
HEMORRHAGE: Final = Code("50960005", "SCT", "Hemorrhage")
INTRACRANIAL_HEMORRHAGE: Final = Code("1386000", "SCT", "Intracranial hemorrhage")
BRAIN: Final = Code("12738006", "SCT", "Brain")
VENTRICLE: Final = Code("35764002", "SCT", "Brain ventricle")
SUBARACHNOID_SPACE: Final = Code("35951006", "SCT", "Subarachnoid space")
INTRACRANIAL: Final = Code("1101003", "SCT", "Intracranial")
BRAIN_STEM: Final = Code("119238007", "SCT", "Brain Stem")
LEFT: Final = Code("7771000", "SCT", "Left")
RIGHT: Final = Code("24028007", "SCT", "Right")
VOLUME: Final = Code("118565006", "SCT", "Volume")
LONG_AXIS: Final = Code("103339001", "SCT", "Long axis")
SHORT_AXIS: Final = Code("103340004", "SCT", "Short axis")
HEIGHT: Final = Code("121207", "DCM", "Height")
PROBABILITY: Final = Code("122157", "DCM", "Probability")
YES: Final = Code("373066001", "SCT", "Yes")
CT_EXAMINATION: Final = Code("25045-6", "LN", "CT unspecified body region")
"""CID 100 has no code for a CT of the head."""
HEAD_CT: Final = Code("24725-4", "LN", "Head CT")
"""What was examined, as HL7 and FHIR tell it."""
STUDY_UID: Final = Code("110180", "DCM", "Study Instance UID")
ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
FINDING_SITE: Final = Code("363698007", "SCT", "Finding Site")
LATERALITY: Final = Code("272741003", "SCT", "Laterality")
REPORT_TITLE: Final = Code("18748-4", "LN", "Diagnostic Imaging Report")
FINDINGS: Final = Code("121070", "DCM", "Findings")
FINDING: Final = Code("121071", "DCM", "Finding")
IMPRESSIONS: Final = Code("121072", "DCM", "Impressions")
IMPRESSION: Final = Code("121073", "DCM", "Impression")
HISTORY: Final = Code("121060", "DCM", "History")
PREVIOUS_FINDING: Final = Code("121069", "DCM", "Previous Finding")
PREVIOUS_FINDINGS: Final = Code("121068", "DCM", "Previous Findings")
PROCEDURE: Final = Code("121065", "DCM", "Procedure Description")
PROCEDURES: Final = Code("55111-9", "LN", "Current Procedure Descriptions")
OF_INTEREST: Final = Code("113000", "DCM", "Of Interest")
MILLILITRE: Final = Code("mL", "UCUM", "Milliliter")
MILLIMETRE: Final = Code("mm", "UCUM", "Millimeter")
NO_UNITS: Final = Code("1", "UCUM", "no units")

ANSWER: Final = Code("answer", PRIVATE_SCHEME, "Answer of the algorithm")
MIDLINE_SHIFT: Final = Code("midline-shift", PRIVATE_SCHEME, "Midline shift")
AGREEMENT: Final = Code("agreement", PRIVATE_SCHEME, "What readers made of the answer")
VENTRICLES_REACHED: Final = Code("ivh-extension", PRIVATE_SCHEME, "Intraventricular extension")

NOT_ASSESSED: Final = Code("not-assessed", PRIVATE_SCHEME, "Not assessed")

SECTIONS: Final = {
    "clinical": (HISTORY, HISTORY),
    "technique": (PROCEDURES, PROCEDURE),
    "comparison": (PREVIOUS_FINDINGS, PREVIOUS_FINDING),
    "findings": (FINDINGS, FINDING),
    "not_assessed": (NOT_ASSESSED, FINDING),
    "impression": (IMPRESSIONS, IMPRESSION),
}
"""A signed report's headings, and what each sentence below is. Source: PS3.16 CID 7001, 7002."""

ANSWERS: Final = {
    "suspected": Code("suspected", PRIVATE_SCHEME, "Intracranial hemorrhage suspected"),
    "not_suspected": Code("not-suspected", PRIVATE_SCHEME, "Intracranial hemorrhage not suspected"),
    "not_analysed": Code("not-analysed", PRIVATE_SCHEME, "Not analysed"),
}
"""Nobody is told that there is no hemorrhage: the algorithm suspects one, or does not."""

KINDS_OF_BLEED: Final = {
    Subtype.INTRAPARENCHYMAL.word: Code("274100004", "SCT", "Cerebral hemorrhage"),
    Subtype.INTRAVENTRICULAR.word: INTRACRANIAL_HEMORRHAGE,
    Subtype.SUBARACHNOID.word: Code("21454007", "SCT", "Subarachnoid hemorrhage"),
    Subtype.SUBDURAL.word: Code("35486000", "SCT", "Subdural hemorrhage"),
    Subtype.EPIDURAL.word: Code("82999001", "SCT", "Epidural hemorrhage"),
    EXTRA_AXIAL: INTRACRANIAL_HEMORRHAGE,
}
"""An intraventricular bleed is told by its site: no code for it was found that two sources have.
None was for what is subdural or epidural either: the segment's label says it."""

SPACES: Final = {
    Subtype.INTRAPARENCHYMAL.word: BRAIN,
    Subtype.INTRAVENTRICULAR.word: VENTRICLE,
    Subtype.SUBARACHNOID.word: SUBARACHNOID_SPACE,
    Subtype.SUBDURAL.word: INTRACRANIAL,
    Subtype.EPIDURAL.word: INTRACRANIAL,
    EXTRA_AXIAL: INTRACRANIAL,
}
"""Where bleeds of a subtype lie; spaces about the dura have no code in the standard's tables."""

_FRONTAL: Final = Code("83251001", "SCT", "Frontal lobe")
_PARIETAL: Final = Code("16630005", "SCT", "Parietal lobe")
_TEMPORAL: Final = Code("78277001", "SCT", "Temporal lobe")
_OCCIPITAL: Final = Code("31065004", "SCT", "Occipital lobe")
_INSULA: Final = Code("36169008", "SCT", "Insula")
_THALAMUS: Final = Code("42695009", "SCT", "Thalamus")

SITES: Final = {
    "frontal": _FRONTAL,
    "parietal": _PARIETAL,
    "temporal": _TEMPORAL,
    "occipital": _OCCIPITAL,
    "insula": _INSULA,
    "basal ganglia": BRAIN,
    "thalamus": _THALAMUS,
    "midbrain": Code("61962009", "SCT", "Midbrain"),
    "pons": BRAIN_STEM,
    "medulla": BRAIN_STEM,
    "cerebellum": Code("113305005", "SCT", "Cerebellum"),
    "ventricles": VENTRICLE,
}
"""By ``Region.word``; what has no code in the standard's tables is told as what it is a part of.
Extra-axial is told by the bleed's space."""

SIDES: Final = {Side.LEFT.value: LEFT, Side.RIGHT.value: RIGHT}
"""The midline is told by no laterality: PS3.16's CID 244 has none."""

SNOMED: Final = frozenset({"274100004", "21454007", "35486000", "82999001"})
"""SNOMED CT identifiers that no table of the standard lists."""


def site_of(subtype: str, region: str | None) -> Code:
    """Return where a bleed lies, by a report's words; ``region`` is None where it is not known."""
    if region is None or region == Region.EXTRA_AXIAL.word:
        return SPACES[subtype]
    return SITES[region]
