"""A model bundle: its manifest, read and checked. The contract is ``engines/CONTRACT.md``."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import AgentError, BundleError
from agent.infer.signature import check_signature
from agent.preprocess import SliceInput, VolumeInput
from agent.records import OperatingPoint, Reading, Subtype, VolumeInterval, VolumeIntervals

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST = "bundle.toml"

LEAST_TOLD: Final = 1 / 255
"""Masks tell no smaller probability than this."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model as it lies on disk, every digest checked. ``digest`` stands for all of its files.

    ``network_digests`` are the SHA-256 of the two ONNX files, slice network first.
    """

    name: str
    version: str
    digest: str
    slices: SliceInput
    volume: VolumeInput
    slice_network: Path
    volume_network: Path
    network_digests: tuple[str, str]
    reading: Reading
    intervals: VolumeIntervals
    operating_points: tuple[OperatingPoint, ...]

    @property
    def uncut(self) -> Bundle:
        """The same networks, read for every probability that a mask can tell.

        A slab in which nothing can reach the cut is not read at all (``label_head``): probabilities
        that are ranked or compared come from this.
        """
        return replace(self, reading=replace(self.reading, bleed_probability=LEAST_TOLD))

    def operating_point(self, name: str) -> OperatingPoint:
        """Look an operating point up by name; BundleError if there is none."""
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise BundleError(
            "operating_point_unknown",
            bundle=self.name,
            version=self.version,
            point=name,
            known=known,
        )


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Head(_Table):
    name: str
    version: str
    opset: int


_Positive = Annotated[float, Field(gt=0)]
_Windows = tuple[tuple[float, float], ...]


class _Slice(_Table):
    file: str
    sha256: str
    pixel_mm: _Positive
    size_px: Annotated[int, Field(gt=0)]
    slab_mm: _Positive
    neighbours: Annotated[int, Field(ge=0)]
    windows_hu: _Windows
    batch: Annotated[int, Field(gt=0)]


class _Volume(_Table):
    file: str
    sha256: str
    voxel_kji_mm: tuple[_Positive, _Positive, _Positive]
    shape_kji: tuple[int, int, int]
    windows_hu: _Windows


class _Reading(_Table):
    bleed_probability: Annotated[float, Field(gt=0, lt=1)]
    midline_shift: bool
    mirrored: bool = False


class _Interval(_Table):
    below: Annotated[float, Field(ge=0)]
    above: Annotated[float, Field(ge=0)]
    absolute_ml: Annotated[float, Field(ge=0)]


class _Intervals(_Table):
    intraparenchymal: _Interval
    intraventricular: _Interval
    subarachnoid: _Interval
    subdural: _Interval
    epidural: _Interval

    @model_validator(mode="before")
    @classmethod
    def _alike(cls, table: object) -> object:
        """Read ``relative`` as what every subtype's interval reaches, below and above."""
        if not isinstance(table, dict) or set(table) != {"relative", "absolute_ml"}:
            return table
        reach = table["relative"]
        one = {"below": reach, "above": reach, "absolute_ml": table["absolute_ml"]}
        return {subtype.name.lower(): one for subtype in Subtype}

    def of(self, subtype: Subtype) -> VolumeInterval:
        interval: _Interval = getattr(self, subtype.name.lower())
        return VolumeInterval(interval.below, interval.above, interval.absolute_ml)


class _Point(_Table):
    score: float
    alerts_per_100: float | None = None


class _Manifest(_Table):
    bundle: _Head
    slice: _Slice
    volume: _Volume
    reading: _Reading
    interval: _Intervals
    operating_points: dict[str, _Point]
    card: dict[str, str]


def load_bundle(folder: Path, key: Ed25519PublicKey | None = None) -> Bundle:
    """Read ``folder/bundle.toml`` and check the digest of every file that it names.

    With a ``key``, the manifest's signature is checked before anything else of it is used.

    Raises
    ------
    BundleError
        If the manifest is missing or wrong, or a file is not the one it names.
    SignatureError
        If the manifest's signature is missing or another's.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
        if key is not None:
            check_signature(folder / MANIFEST, raw, key)
        manifest = _Manifest.model_validate(tomllib.loads(raw.decode()))
    except OSError as error:
        raise BundleError(
            "bundle_unreadable", path=str(folder), why=f"{error.strerror}: {MANIFEST}"
        ) from error
    except (ValidationError, ValueError) as error:
        raise BundleError("bundle_wrong", path=str(folder), why=str(error)) from error
    slices, volume, reading = manifest.slice, manifest.volume, manifest.reading
    return Bundle(
        name=manifest.bundle.name,
        version=manifest.bundle.version,
        digest=hashlib.sha256(raw).hexdigest(),
        slices=SliceInput(
            slices.pixel_mm,
            slices.size_px,
            slices.slab_mm,
            slices.neighbours,
            slices.windows_hu,
            slices.batch,
        ),
        volume=VolumeInput(volume.voxel_kji_mm, volume.shape_kji, volume.windows_hu),
        slice_network=_checked(folder / slices.file, slices.sha256),
        volume_network=_checked(folder / volume.file, volume.sha256),
        network_digests=(slices.sha256, volume.sha256),
        reading=Reading(reading.bleed_probability, reading.midline_shift, reading.mirrored),
        intervals={subtype: manifest.interval.of(subtype) for subtype in Subtype},
        operating_points=_points(folder, manifest.operating_points),
    )


def _checked(path: Path, sha256: str) -> Path:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(
            "bundle_file_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    if found != sha256:
        raise BundleError("bundle_file_changed", path=str(path), sha256=found[:12])
    return path


def _points(folder: Path, points: dict[str, _Point]) -> tuple[OperatingPoint, ...]:
    try:
        return tuple(
            OperatingPoint(name, point.score, point.alerts_per_100)
            for name, point in points.items()
        )
    except AgentError as error:
        raise BundleError("bundle_wrong", path=str(folder), why=str(error)) from error
