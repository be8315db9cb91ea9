"""The images that a result was made from, as DICOM objects that are made of it must name them.

Stored with the result, since the scanner's files may be gone when it is sent. Whose they are stands
in the store's row of the series.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from agent.records import FRAME_MARK, SliceHeader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FASTEST: Final = 1
"""Of zlib's levels: the alert waits for it. Most labels are 0, which any level makes small."""

_Scalar = TypeVar("_Scalar", bound="np.generic")


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceImage(_Stored):
    """One image, or one frame of an Enhanced CT object."""

    sop_uid: str
    """Of the object."""
    frame: int | None
    """Counted from 1; None where the object is one image."""
    position_lps_mm: tuple[float, float, float]
    """Of the centre of its first voxel, as its header says."""


class SourceImages(_Stored):
    """The images, and what they have in common."""

    sop_class_uid: str
    frame_of_reference_uid: str
    study_date: str
    study_time: str
    study_id: str
    referring_physician: str
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float]
    """Between rows, and between columns."""
    row_direction: tuple[float, float, float]
    column_direction: tuple[float, float, float]
    thickness_mm: float | None
    images: tuple[SourceImage, ...]
    """The slices of a head that was analysed, lowest first; of another series its first image."""
    voxels_ml: tuple[float, ...] = ()
    """Volume of one voxel of each slice [mL]; none where nothing was measured."""
    rescale: tuple[float, float] | None = None
    """Slope and intercept [HU], by which what is stored becomes HU; None where images differ."""
    turned: tuple[bool, bool, bool] = (False, False, False)
    """How images were turned for the labels: rows and columns exchanged, then each flipped."""

    @classmethod
    def of(cls, headers: Sequence[SliceHeader]) -> Self:
        """Describe images by their headers, of which there is at least one."""
        first, rescales = headers[0], {one.rescale for one in headers}
        return cls(
            sop_class_uid=first.sop_class_uid,
            frame_of_reference_uid=first.frame_of_reference_uid,
            study_date=first.study.date,
            study_time=first.study.time,
            study_id=first.study.study_id,
            referring_physician=first.study.referring_physician,
            rows=first.rows,
            columns=first.columns,
            pixel_spacing_mm=(first.row_spacing_mm, first.column_spacing_mm),
            row_direction=first.row_direction,
            column_direction=first.column_direction,
            thickness_mm=first.thickness_mm,
            rescale=first.rescale if len(rescales) == 1 else None,
            images=tuple(map(_image, headers)),
        )

    def turned_back(self, labels: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Turn labels (k, j, i) as the images themselves lie, without copying them."""
        swap, flip_j, flip_i = self.turned
        flipped = labels[:, :: -1 if flip_j else 1, :: -1 if flip_i else 1]
        return flipped.swapaxes(1, 2) if swap else flipped


def _image(header: SliceHeader) -> SourceImage:
    sop_uid, _, frame = header.sop_uid.partition(FRAME_MARK)
    return SourceImage(
        sop_uid=sop_uid,
        frame=int(frame) if frame else None,
        position_lps_mm=header.position_lps_mm,
    )


class LabelBox(_Stored):
    """Where packed labels lie: ``size_kji`` from ``corner_kji`` on, of ``shape_kji``."""

    shape_kji: tuple[int, int, int]
    corner_kji: tuple[int, int, int]
    size_kji: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box, as an index."""
        ends = zip(self.corner_kji, self.size_kji, strict=True)
        return tuple(slice(first, first + n) for first, n in ends)


@dataclass(frozen=True, slots=True, eq=False)
class PackedLabels:
    """Labels (k, j, i) as they are stored: those in the smallest box about them, deflated."""

    box: LabelBox
    deflated: bytes

    @classmethod
    def of(cls, labels: NDArray[np.uint8]) -> Self | None:
        """Pack labels; None where all are 0."""
        import numpy as np  # noqa: PLC0415 - who only reads the store waits for none of it

        k = np.flatnonzero(labels.max(axis=(1, 2)))
        if not len(k):
            return None
        seen = labels[k[0] : k[-1] + 1].max(axis=0)
        j, i = np.flatnonzero(seen.max(axis=1)), np.flatnonzero(seen.max(axis=0))
        n_k, n_j, n_i = labels.shape
        box = LabelBox(
            shape_kji=(n_k, n_j, n_i),
            corner_kji=(int(k[0]), int(j[0]), int(i[0])),
            size_kji=(int(np.ptp(k)) + 1, int(np.ptp(j)) + 1, int(np.ptp(i)) + 1),
        )
        return cls(box, zlib.compress(labels[box.slices].tobytes(), FASTEST))

    def unpacked(self) -> NDArray[np.uint8]:
        """Return the labels (k, j, i)."""
        import numpy as np  # noqa: PLC0415 - see above

        labels = np.zeros(self.box.shape_kji, np.uint8)
        within = np.frombuffer(zlib.decompress(self.deflated), np.uint8)
        labels[self.box.slices] = within.reshape(self.box.size_kji)
        return labels


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """The images that a result was made from, and the ``Subtype`` of each voxel, None if none."""

    images: SourceImages
    labels: PackedLabels | None
