"""An archive that earlier examinations are fetched from, by C-FIND and C-MOVE."""

from __future__ import annotations

from datetime import date

from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from pynetdicom.status import code_to_category

from agent.deliver.channel import unreachable
from agent.deliver.dimse import LOST, associated
from agent.deliver.moved import MovedImages
from agent.deliver.priors import (
    MOST_IMAGES,
    MOST_SERIES,
    MOST_STUDIES,
    FoundSeries,
    FoundStudy,
    Take,
    checked_uid,
    moment_of,
    number_of,
    refused,
)
from agent.deliver.settings import PriorDicomArchive


class DicomPriors:
    """One archive, with an association for each call."""

    def __init__(self, settings: PriorDicomArchive, moved: MovedImages) -> None:
        """Speak to the archive of the settings, which sends to where ``moved`` listens."""
        self._settings = settings
        self._moved = moved

    def greet(self) -> None:
        """Send a C-ECHO. See ``PriorArchive``."""
        with associated(self._settings, [Verification]) as association:
            if "Status" not in association.send_c_echo():
                raise unreachable(self._settings, LOST)

    def studies(self, patient_id: str, days: tuple[date, date]) -> list[FoundStudy]:
        """Ask for a patient's CT studies. See ``PriorArchive``."""
        first, last = days
        asked = {
            "PatientID": patient_id,
            "StudyDate": f"{first:%Y%m%d}-{last:%Y%m%d}",
            "ModalitiesInStudy": "CT",
        }
        told = "PatientName", "PatientBirthDate", "IssuerOfPatientID", "StudyTime"
        return [
            FoundStudy(
                uid=checked_uid(_text(one, "StudyInstanceUID"), self._settings.name),
                patient_id=_text(one, "PatientID"),
                patient_name=_text(one, "PatientName"),
                birth_date=_text(one, "PatientBirthDate"),
                issuer=_text(one, "IssuerOfPatientID"),
                at=moment_of(_text(one, "StudyDate"), _text(one, "StudyTime")),
            )
            for one in self._found("STUDY", asked, ("StudyInstanceUID", *told), MOST_STUDIES)
        ]

    def series(self, study_uid: str) -> list[FoundSeries]:
        """Ask for a study's series. See ``PriorArchive``."""
        told = "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances"
        found = self._found("SERIES", {"StudyInstanceUID": study_uid}, told, MOST_SERIES)
        return [
            FoundSeries(
                uid=checked_uid(_text(one, "SeriesInstanceUID"), self._settings.name),
                modality=_text(one, "Modality"),
                n_images=number_of(_text(one, told[2])),
            )
            for one in found
        ]

    def images(self, study_uid: str, series_uid: str) -> list[str]:
        """Ask for a series' images. See ``PriorArchive``."""
        asked = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        found = self._found("IMAGE", asked, ("SOPInstanceUID",), MOST_IMAGES)
        return [checked_uid(_text(one, "SOPInstanceUID"), self._settings.name) for one in found]

    def fetch(self, study_uid: str, series_uid: str, sop_uids: list[str], take: Take) -> None:
        """Have one image sent by itself, several as the series that they are. See the protocol."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        one = {"SOPInstanceUID": sop_uids[0]} if len(sop_uids) == 1 else {}
        asked = _asked("IMAGE" if one else "SERIES", keys | one, ())
        model, to = StudyRootQueryRetrieveInformationModelMove, self._settings.calling_ae_title
        with (
            self._moved.wanted(series_uid, take),
            associated(self._settings, [model]) as association,
        ):
            for status, _ in association.send_c_move(asked, to, model):
                category = self._category(status)
                if category == "Warning" or status.get("NumberOfFailedSuboperations"):
                    raise refused(self._settings.name, "some images were not sent, or not taken")
                if category not in ("Pending", "Success"):
                    raise refused(
                        self._settings.name, f"C-MOVE to {to}: status 0x{status.Status:04X}"
                    )

    def _found(
        self, level: str, asked: dict[str, str], told: tuple[str, ...], most: int
    ) -> list[Dataset]:
        """Return what a search finds; refused where that is more than ``most``."""
        found: list[Dataset] = []
        model = StudyRootQueryRetrieveInformationModelFind
        with associated(self._settings, [model]) as association:
            for status, one in association.send_c_find(_asked(level, asked, told), model):
                category = self._category(status)
                if category not in ("Pending", "Success"):
                    raise refused(self._settings.name, f"C-FIND: status 0x{status.Status:04X}")
                if category == "Pending" and one is None:
                    raise refused(self._settings.name, "its answer holds what is no data set")
                found += [one] if one is not None else []
                if len(found) > most:
                    association.abort()
                    raise refused(self._settings.name, f"its answer holds more than {most}")
        return found

    def _category(self, status: Dataset) -> str:
        if "Status" not in status:
            raise unreachable(self._settings, LOST)
        return code_to_category(status.Status)


def _asked(level: str, keys: dict[str, str], told: tuple[str, ...]) -> Dataset:
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = level
    for keyword in told:
        setattr(asked, keyword, None)
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def _text(one: Dataset, keyword: str) -> str:
    value = one.get(keyword)
    return "" if value is None else str(value).strip()
