"""One series while it grows: checked on arrival, a volume at any moment. Pure."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.assemble.geometry import (
    Orientation,
    check_same_plane,
    find_gaps,
    normal_of,
    order_of,
    orientation_of,
)
from agent.errors import GeometryError, IdentityError, InputError
from agent.records import Gap, Grid, HeadVolume, Identity, SliceHeader

FRAME_MARK: Final = ".frame"
"""Stands between an Enhanced CT object's UID and the frame's number, counted from 1. No UID holds a
letter, so it is never mistaken for one."""

RESERVED_BYTES: Final = 256 * 1024 * 1024
"""What is reserved before the buffer first grows: 512 slices of 512². Ours: pages that are never
written cost nothing, a copy into a larger buffer does."""

HEAD_HU: Final = -300
"""Above this a pixel is head [HU]. Half way between air and scalp fat, rounded up."""

VERTEX_SHARE: Final = 0.35
"""The top of the head is reached where a slice shows less than this share of the largest one.
Ours: in a sphere of a head's size that is 17 mm below the vertex; no level below it is so small."""

COARSE: Final = 4
"""Only every fourth pixel each way is looked at to tell head from air. Ours: it is an area."""


class Added(Enum):
    """What became of a slice."""

    NEW = "new"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set aside"


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What completeness is judged by.

    ``n_images`` counts localizer images too. ``expected_images`` is 0 unless all slices promise the
    same count, and belong to one acquisition. ``coverage_mm`` runs along the normal, from the
    lowest slice centre to the highest. ``end_seen``: the last slice to come is one with which an
    export ends. It shows the vertex, so the export went up the head and has reached the top; or its
    image number is 1 and the numbers came falling. An export that goes down the head, or came in no
    order, has no such end: there may always be another slice below.
    """

    n_slices: int
    n_images: int
    expected_images: int
    multi_frame: bool
    coverage_mm: float
    gaps: tuple[Gap, ...]
    end_seen: bool


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The slices so far in order, lowest first: ``order`` holds their buffer indices."""

    grid: Grid
    order: tuple[int, ...]
    sop_uids: tuple[str, ...]
    gaps: tuple[Gap, ...]

    @property
    def in_order(self) -> bool:
        """Whether slices came lowest or highest first, so that their volume is no copy."""
        return self.order in (tuple(range(len(self.order))), tuple(range(len(self.order)))[::-1])


class GrowingSeries:
    """The slices of one series, as they arrive.

    Once a slice has shown that the series cannot be trusted or stacked, every later call that adds
    or asks for the volume raises the same error again: a mixed series is refused whole.
    """

    def __init__(self) -> None:
        """Begin without slices."""
        self.headers: list[SliceHeader] = []
        """Of the slices in the volume, by buffer index."""
        self.set_aside: list[SliceHeader] = []
        """Of localizer images, which are no part of the volume."""
        self.refusal: InputError | None = None
        self._by_sop_uid: dict[str, SliceHeader] = {}
        self._buffer = np.empty((0, 0, 0), np.int16)
        self._facts: SeriesFacts | None = None
        self._normal = np.zeros(3)
        self._heights_mm: list[float] = []
        self._head_px: list[int] = []

    def add(self, header: SliceHeader, hu: NDArray[np.int16]) -> Added:
        """Take in one slice.

        Raises
        ------
        IdentityError
            Patient or study differ, or one SOP UID comes with two different images.
        GeometryError
            The slice cannot be stacked on the others.
        """
        if self.refusal:
            raise self.refusal
        try:
            return self._add(header, hu)
        except InputError as error:
            self.refusal = error
            raise

    def _add(self, header: SliceHeader, hu: NDArray[np.int16]) -> Added:
        if self._by_sop_uid:
            check_identity(next(iter(self._by_sop_uid.values())).identity, header.identity)
        known = self._by_sop_uid.get(header.sop_uid)
        if known:
            if (known.digest, known.position_lps_mm) != (header.digest, header.position_lps_mm):
                raise IdentityError("uid_used_twice", sop_uid=header.sop_uid)
            return Added.DUPLICATE
        if is_localizer(header):
            self._know(header)
            self.set_aside.append(header)
            return Added.SET_ASIDE
        if self.headers:
            check_same_plane(self.headers[0], header)
        self._know(header)
        self._store(header, hu)
        return Added.NEW

    def _know(self, header: SliceHeader) -> None:
        self._by_sop_uid[header.sop_uid] = header
        self._facts = None

    def _store(self, header: SliceHeader, hu: NDArray[np.int16]) -> None:
        n = len(self.headers)
        if n == len(self._buffer):
            capacity = max(1, RESERVED_BYTES // hu.nbytes, 2 * n)
            grown = np.empty((capacity, *hu.shape), np.int16)
            grown[:n] = self._buffer.reshape(n, *hu.shape)
            self._buffer = grown
        self._buffer[n] = hu
        self.headers.append(header)
        if n == 0:
            self._normal = normal_of(header)
        self._heights_mm.append(float(self._normal @ header.position_lps_mm))
        self._head_px.append(int(np.count_nonzero(hu[::COARSE, ::COARSE] > HEAD_HU)))

    def continued(self) -> GrowingSeries:
        """Go on in a second series; from now on slices may be added to that one only.

        The two share their pixels: what lies in the buffer is never written again.
        """
        second = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | dict):
                setattr(second, name, copy(value))
        return second

    @property
    def identity(self) -> Identity | None:
        """Whose series it is, None before the first slice."""
        return next((header.identity for header in self._by_sop_uid.values()), None)

    @property
    def orientation(self) -> Orientation:
        """How images are turned for the volume; NotEligible if they are not axial."""
        if not self.headers:
            raise GeometryError("no_slices")
        return orientation_of(self.headers[0])

    def hu(self, index: int) -> NDArray[np.int16]:
        """HU (j, i) of the slice at a buffer index, turned as in the volume, not copied."""
        return self.orientation.turn(self._buffer[index])

    def layout(self) -> Layout:
        """Put the slices so far in order.

        Raises
        ------
        InputError
            The series was refused, is not axial, or has two different images at one position.
        """
        if self.refusal:
            raise self.refusal
        orientation = self.orientation
        heights_mm = np.array(self._heights_mm)
        order = order_of(self.headers, heights_mm)
        headers = [self.headers[index] for index in order]
        return Layout(
            grid=orientation.grid(headers),
            order=tuple(order),
            sop_uids=tuple(header.sop_uid for header in headers),
            gaps=find_gaps(headers, heights_mm[order]),
        )

    def volume(self) -> HeadVolume:
        """Turn the slices so far into a volume.

        It is a view on the buffer where slices came in order, up or down, and else a copy.

        Raises
        ------
        InputError
            As ``layout``.
        """
        layout = self.layout()
        hu = self.orientation.turn(self._stack(layout))
        return HeadVolume(hu=hu, grid=layout.grid, sop_uids=layout.sop_uids, gaps=layout.gaps)

    def _stack(self, layout: Layout) -> NDArray[np.int16]:
        if not layout.in_order:
            return self._buffer[list(layout.order)]
        stack = self._buffer[: len(layout.order)]
        return stack if layout.order[0] == 0 else stack[::-1]

    def facts(self) -> SeriesFacts:
        """Say what the slices so far amount to; never raises."""
        if self._facts is None:
            self._facts = self._gathered()
        return self._facts

    def _gathered(self) -> SeriesFacts:
        heights_mm = np.array(self._heights_mm)
        order = np.argsort(heights_mm, kind="stable")
        kept = [
            k for n, k in enumerate(order) if n == 0 or heights_mm[k] > heights_mm[order[n - 1]]
        ]
        headers = [self.headers[k] for k in kept]
        return SeriesFacts(
            n_slices=len(self.headers),
            n_images=len(self._by_sop_uid),
            expected_images=expected_images(self.headers),
            multi_frame=any(FRAME_MARK in header.sop_uid for header in self.headers),
            coverage_mm=float(np.ptp(heights_mm)) if headers else 0.0,
            gaps=find_gaps(headers, heights_mm[kept]) if headers else (),
            end_seen=bool(headers) and (self._vertex_came_last() or self._number_1_came_last()),
        )

    def _vertex_came_last(self) -> bool:
        above = self._heights_mm[-1] > float(np.mean(self._heights_mm))
        return above and self._head_px[-1] < VERTEX_SHARE * max(self._head_px)

    def _number_1_came_last(self) -> bool:
        numbers = [header.instance_number or 0 for header in self.headers]
        falling = numbers[0] == max(numbers) == len(numbers) + len(self.set_aside)
        return falling and len(numbers) > 1 and numbers[-1] == min(numbers) == 1


def check_identity(first: Identity, other: Identity) -> None:
    """Refuse a slice of somebody else, naming what differs and not the values.

    Raises
    ------
    IdentityError
        Any of patient, study and accession differs.
    """
    differing = [
        field.name.replace("_", " ")
        for field in fields(Identity)
        if getattr(first, field.name) != getattr(other, field.name)
    ]
    if differing:
        raise IdentityError("identity_differs", attributes=", ".join(differing))


def is_localizer(header: SliceHeader) -> bool:
    """Say whether the image is a scout view."""
    return any("LOCALIZER" in value.upper() for value in header.image_type)


def expected_images(headers: list[SliceHeader]) -> int:
    """Return the count all slices promise for the series, 0 where it cannot be trusted.

    ImagesInAcquisition counts one acquisition: with several in a series it says nothing.
    """
    promised = {header.expected_images for header in headers}
    acquisitions = {header.acquisition_number for header in headers}
    return promised.pop() if len(promised) == 1 and len(acquisitions) == 1 else 0
