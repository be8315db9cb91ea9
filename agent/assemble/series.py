"""One series while it grows: checked on arrival, a volume at any moment. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import copy
from dataclasses import astuple, dataclass, fields, replace
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.assemble.coverage import CLOSED_SHARE
from agent.assemble.geometry import (
    GAP_RATIO,
    TOUCH_RATIO,
    Orientation,
    apartness,
    find_gaps,
    orientation_of,
)
from agent.assemble.hounsfield import AIR_HU
from agent.assemble.planes import Plane
from agent.assemble.stacks import FEW, SAME_POSITION_MM, Stack, are_few
from agent.errors import GeometryError, IdentityError, InputError
from agent.reasons import Reason
from agent.records import FRAME_MARK, Gap, Identity, SliceHeader
from agent.voxels import Grid, HeadVolume

VERTEX_SHARE: Final = 0.35
"""The top of the head is reached where a slice shows less than this share of the largest one.
Ours: in a sphere of a head's size that is 17 mm below the vertex; no level below it is so small."""


class Added(Enum):
    """What became of an image."""

    NEW = "new"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set aside"
    REPLACED = "replaced"
    IDENTIFIED = "identified"
    """It was there already, and its file now names another patient."""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What completeness is judged by.

    ``n_images`` counts the images that were read, ``n_unread`` those that came and could not be.
    ``expected_images`` is how many the series has by its headers, 0 unless all slices agree.
    ``hinted_images`` is how many its acquisition has, 0 unless there is only one and all slices
    agree; or, where image numbers leave some out all along, how many there are by these. It is a
    hint: an acquisition's count may include other series.
    ``performed_images`` is how many the scanner's procedure step lists, 0 where it lists none: a
    hint too, since it may be sent before the last image is made.
    ``touching``: no slice could lie between two neighbours. ``coverage_mm``: along the normal, from
    the lowest slice centre to the highest.
    ``end_seen``: an export ends with a slice like the last one that came. Either that shows the
    vertex, and the export went up the head; or image numbers fell and have reached 1. An export
    down the head or in no order has no such end: another slice may follow below.
    """

    n_slices: int
    n_images: int
    n_unread: int
    expected_images: int
    hinted_images: int
    multi_frame: bool
    coverage_mm: float
    gaps: tuple[Gap, ...]
    touching: bool
    end_seen: bool
    performed_images: int = 0

    @property
    def shortfall(self) -> Reason | None:
        """How many images did not come of those that were promised, None where all did.

        What an acquisition is said to have is a hint: where slices touch, none is missing for it.
        """
        n_expected = self.expected_images or (0 if self.touching else self.hinted_images)
        if self.n_images >= n_expected:
            return None
        return Reason("images_missing", n_images=self.n_images, n_expected=n_expected)


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


@dataclass(frozen=True, slots=True)
class Blank:
    """An image of one value all over."""

    header: SliceHeader
    hu: int


class GrowingSeries:
    """The images of one series, as they arrive.

    The latest file of each image says which patient it is of. Where the patient was corrected at
    the source, the series is the corrected patient's once all images say so; until then it has no
    volume. Studies are never corrected.

    Most images lie in parallel planes: these are the slices. Localizers, and the few that lie
    otherwise, have another matrix or no place at all, are set aside, each with its reason. An image
    that shows that the series cannot be trusted refuses it whole: every later call that adds or
    asks for the volume raises the same error again.
    """

    def __init__(self) -> None:
        """Begin without images."""
        self.refusal: InputError | None = None
        self._identities: dict[str, Identity] = {}
        """By SOP UID: whose an image is."""
        self._n_said: Counter[Identity] = Counter()
        """How many images are whose."""
        self._images: dict[str, SliceHeader] = {}
        """By SOP UID: those that show something, and have their place."""
        self._localizers: list[SliceHeader] = []
        self._planes: list[Plane] = []
        self._unneeded: dict[str, SliceHeader] = {}
        """By SOP UID: images whose pixels nobody needs; they are among the ``_unplaced``."""
        self._unplaced: dict[str, Reason] = {}
        """By SOP UID: why an image that was read cannot be a slice."""
        self._blank: dict[str, Blank] = {}
        """By SOP UID: images of one value: they show nothing, or are not written yet."""
        self._unread: dict[str, Reason] = {}
        """By SOP UID: why an image whose file came could not be read."""
        self._replaced: dict[str, str] = {}
        """SOP UID → digest of images whose files have changed since they were first read."""
        self._facts: SeriesFacts | None = None
        self._stack: Stack | None = None

    def add(self, header: SliceHeader, hu: NDArray[np.int16], *, changed: bool = False) -> Added:
        """Take in one image; one whose file has ``changed`` replaces what was read from it before.

        Raises
        ------
        IdentityError
            The study differs, or one SOP UID comes with two different images.
        """
        if self.refusal:
            raise self.refusal
        try:
            return self._add(header, hu, changed=changed)
        except InputError as error:
            self.refusal = error
            raise

    def set_aside(
        self, sop_uid: str, identity: Identity, why: Reason, header: SliceHeader | None = None
    ) -> Added:
        """Take in an image that cannot be a slice; IdentityError as ``add``.

        ``header`` says where one lies that has its place, and whose pixels nobody needs.
        """
        told_anew = self._identify(sop_uid, identity)
        if sop_uid in self._unplaced:
            return Added.IDENTIFIED if told_anew else Added.DUPLICATE
        self._unplaced[sop_uid] = why
        if header is not None:
            self._unneeded[sop_uid] = header
        self._facts = None
        return Added.SET_ASIDE

    def leave_unread(self, sop_uid: str, identity: Identity, why: Reason) -> None:
        """Take note of an image that came and cannot be read, until it can; raises as ``add``.

        ``sop_uid`` is "" where the file does not tell.
        """
        self._identify(sop_uid, identity)
        if not self.has(sop_uid):
            self._unread[sop_uid] = why
            self._facts = None

    def _identify(self, sop_uid: str, identity: Identity) -> bool:
        """Take note of whose an image is; whether another was said before. Studies must agree."""
        first = next(iter(self._identities.values()), identity)
        check_identity(first, replace(first, study_uid=identity.study_uid))
        before = self._identities.get(sop_uid)
        self._identities[sop_uid] = identity
        self._n_said[identity] += 1
        if before is not None:
            self._n_said[before] -= 1
        return before is not None and before != identity

    def _add(self, header: SliceHeader, hu: NDArray[np.int16], *, changed: bool) -> Added:
        told_anew = self._identify(header.sop_uid, header.identity)
        known = self._images.get(header.sop_uid)
        if known and (known.digest, known.position_lps_mm) == (
            header.digest,
            header.position_lps_mm,
        ):
            return Added.IDENTIFIED if told_anew else Added.DUPLICATE
        if known and not changed:
            raise IdentityError("uid_used_twice", sop_uid=header.sop_uid)
        if is_blank(hu):
            self._blank[header.sop_uid] = Blank(header, int(hu[0, 0]))
            self._facts = None
            return Added.SET_ASIDE
        self._blank.pop(header.sop_uid, None)
        self._unread.pop(header.sop_uid.partition(FRAME_MARK)[0], None)
        self._images[header.sop_uid] = header
        self._facts = self._stack = None
        if is_localizer(header):
            self._localizers.append(header)
            return Added.SET_ASIDE
        if known:
            self._replaced[header.sop_uid] = header.digest
            for plane in self._planes:
                plane.drop(header.sop_uid)
        self._plane_of(header).add(header, hu)
        return Added.REPLACED if known else Added.NEW

    def _plane_of(self, header: SliceHeader) -> Plane:
        """Find the plane that an image lies in, or begin one."""
        for plane in self._planes:
            if plane.difference(header) is None:
                return plane
        self._planes.append(Plane(header))
        return self._planes[-1]

    def continued(self) -> GrowingSeries:
        """Go on in a second series; from now on images may be added to that one only.

        The two share their pixels: what lies in the buffer is never written again.
        """
        second = copy(self)
        own = {
            name: copy(each)
            for name, each in vars(self).items()
            if isinstance(each, list | dict | set)
        }
        vars(second).update(own, _planes=[plane.continued() for plane in self._planes])
        return second

    @property
    def identity(self) -> Identity | None:
        """Whose series all images say that it is, None where they do not agree."""
        said = list(+self._n_said)
        return said[0] if len(said) == 1 else None

    @property
    def disagreement(self) -> IdentityError | None:
        """In what the images disagree about whose they are, None where they agree."""
        said = list(+self._n_said)
        try:
            for one in said:
                check_identity(said[0], one)
        except IdentityError as error:
            return error
        return None

    @property
    def _main(self) -> Plane:
        """The plane in which most images lie; an axial one before all others."""
        if not self._planes:
            raise GeometryError("no_slices")
        return max(self._planes, key=lambda plane: (plane.is_axial, plane.n_images))

    @property
    def headers(self) -> list[SliceHeader]:
        """Headers of the slices, in no order; of localizers where there are no others."""
        if not self._planes:
            return self._localizers
        plane = self._main
        try:
            return [plane.headers[index] for index in self._chosen().order]
        except GeometryError:
            return plane.kept_headers

    def has(self, sop_uid: str) -> bool:
        """Say whether an image is here, as a whole or as frames."""
        return any(
            uid in known
            for uid in (sop_uid, f"{sop_uid}{FRAME_MARK}1")
            for known in (self._blank, self._images)
        )

    @property
    def first(self) -> SliceHeader | None:
        """Header of the first of the slices, or of the localizers; None where there are neither."""
        return self._main.first if self._planes else next(iter(self._localizers), None)

    @property
    def n_slices(self) -> int:
        """How many images lie in the plane of the slices."""
        return self._main.n_images if self._planes else 0

    @property
    def digests(self) -> dict[str, str]:
        """SOP UID → digest of all images that were read."""
        seen = dict.fromkeys(self._unplaced, "")
        seen |= {sop_uid: blank.header.digest for sop_uid, blank in self._blank.items()}
        seen |= {sop_uid: each.digest for sop_uid, each in self._images.items()}
        return {sop_uid: digest_of(seen[sop_uid], self._identities[sop_uid]) for sop_uid in seen}

    @property
    def pixels_bytes(self) -> int:
        """How much the pixels take."""
        return sum(plane.pixels_bytes for plane in self._planes)

    def drop_pixels(self) -> None:
        """Forget all pixels: from now on there is no volume, and nothing may be added."""
        for plane in self._planes:
            plane.drop_pixels()

    @property
    def n_images(self) -> int:
        """How many images there are, whatever has become of them."""
        return len(self._images) + len(self._unplaced) + len(self._blank)

    @property
    def orientation(self) -> Orientation:
        """How images are turned for the volume; NotEligible if they are not axial."""
        return orientation_of(self._main.first)

    def hu(self, index: int) -> NDArray[np.int16]:
        """HU (j, i) of the slice at a buffer index, turned as in the volume, not copied."""
        return self.orientation.turn(self._main.buffer[index])

    def _chosen(self) -> Stack:
        if self._stack is None:
            self._stack = self._main.stack()
        return self._stack

    def sort(self) -> None:
        """Put the slices in order where they lie, so that their volume is no copy.

        Nobody may hold what ``volume`` gave before.
        """
        try:
            layout = self.layout()
        except InputError:
            return  # asking for the volume says so
        if not layout.in_order and self._main.sort(layout.order):
            self._stack = None

    def layout(self) -> Layout:
        """Put the slices so far in order.

        Raises
        ------
        InputError
            The series was refused, is not axial, or its images do not make up a stack.
        """
        refusal = self.refusal or self.disagreement
        if refusal:
            raise refusal
        orientation, plane, order = self.orientation, self._main, self._chosen().order
        headers = [plane.headers[index] for index in order]
        return Layout(
            grid=orientation.grid(headers),
            order=order,
            sop_uids=tuple(header.sop_uid for header in headers),
            gaps=find_gaps(headers, plane.heights_of(order)),
        )

    def volume(self) -> HeadVolume:
        """Turn the slices so far into a volume.

        It is a view on the buffer where slices came in order or were sorted, and else a copy: as
        long as they come, and where some images are left out between others.

        Raises
        ------
        InputError
            As ``layout``.
        """
        layout = self.layout()
        hu = self.orientation.turn(self._stacked(layout))
        return HeadVolume(hu=hu, grid=layout.grid, sop_uids=layout.sop_uids, gaps=layout.gaps)

    def _stacked(self, layout: Layout) -> NDArray[np.int16]:
        if not layout.in_order:
            return self._main.buffer[list(layout.order)]
        stack = self._main.buffer[: len(layout.order)]
        return stack if layout.order[0] == 0 else stack[::-1]

    @property
    def marks(self) -> frozenset[str]:
        """What a result of these images depends on beside their SOP UIDs."""
        replaced = {f"{sop_uid} {digest}" for sop_uid, digest in self._replaced.items()}
        unread = {f"{sop_uid} unread" for sop_uid in self._unread}
        return frozenset({*replaced, *unread, *self._unplaced})

    def remarks(self) -> tuple[Reason, ...]:
        """Say which images are not in the volume, and what its pixels have lost."""
        missed = self._missed
        set_aside = {uid: why for uid, why in self._unplaced.items() if uid not in missed}
        for uid in self._unneeded:
            if is_localizer(self._unneeded[uid]):
                set_aside.pop(uid, None)
        why = Counter(set_aside.values())
        if not self._planes:
            return tuple(_set_aside(why))
        plane, stack = self._main, self._chosen()
        why += self._in_other_planes
        if stack.strays:
            why[Reason("derived_images")] += len(stack.strays)
        remarks = _set_aside(why)
        if stack.again:
            remarks.append(Reason("scanned_again", n_images=len(stack.again)))
        if any(plane.headers[index].lossy for index in stack.order):
            remarks.append(Reason("lossy_pixels"))
        return tuple(remarks)

    def unread(self) -> tuple[Reason, ...]:
        """Say which images came and were not seen: as long as there are any, a bleed may be."""
        missed = [self._unplaced[sop_uid] for sop_uid in self._missed]
        reasons = [
            Reason("files_unread", n_files=n, because=why)
            for why, n in _by_kind([*self._unread.values(), *missed])
        ]
        if n_blank := self._n_blank:
            reasons.append(Reason("images_blank", n_images=n_blank))
        elsewhere = self._in_other_planes
        if not self.facts().touching and not are_few(elsewhere.total(), self.n_images):
            reasons += _set_aside(elsewhere)
        return tuple(reasons)

    def unseen_between(self) -> tuple[Reason, ...]:
        """Say that slices leave out as much of the head as they show; empty where they do not."""
        headers, heights_mm = self._distinct()
        apart = apartness(headers, heights_mm)
        return (apart,) if apart else ()

    def _distinct(self) -> tuple[list[SliceHeader], NDArray[np.float64]]:
        """Return one header for each height of the slices, lowest first, and the heights [mm]."""
        headers = self.headers if self._planes else []
        heights_mm = np.array([self._main.normal @ h.position_lps_mm for h in headers])
        order = np.argsort(heights_mm, kind="stable")
        distinct = [
            k for n, k in enumerate(order) if n == 0 or heights_mm[k] > heights_mm[order[n - 1]]
        ]
        return [headers[k] for k in distinct], heights_mm[distinct]

    @property
    def _in_other_planes(self) -> Counter[Reason]:
        """How many images cannot be stacked on the slices, by what they differ in."""
        why: Counter[Reason] = Counter()
        for other in self._planes:
            if other is not self._main and (difference := self._main.difference(other.first)):
                why[difference] += other.n_images
        return why

    @property
    def _missed(self) -> list[str]:
        """SOP UIDs of images set aside that may be slices: too many for strays, nowhere seen."""
        missed = [uid for uid in self._unplaced if not self._is_seen(self._unneeded.get(uid))]
        return [] if are_few(len(missed), self.n_images) else missed

    def _is_seen(self, header: SliceHeader | None) -> bool:
        """Say whether the slices show what an image does, or it is none of theirs."""
        if header is None or not self._planes:
            return False
        plane = self._main
        if is_localizer(header) or plane.difference(header) is not None:
            return True
        apart_mm = np.abs(np.array(plane.heights_mm) - plane.normal @ header.position_lps_mm)
        return bool(apart_mm.min() <= max((header.thickness_mm or 0) / 2, SAME_POSITION_MM))

    @property
    def obstacle(self) -> Reason | None:
        """Why next to nothing could be read of a series of which files came; None if enough was."""
        unusable = _by_kind([*self._unread.values(), *self._unplaced.values()])
        n_unusable = sum(n for _, n in unusable)
        # That the others are not tried follows from the file that ended the decoder.
        causes = [each for each in unusable if each[0].code != "series_set_aside"] or unusable
        if not unusable or (self.n_slices > FEW or n_unusable <= self.n_slices):
            return None
        return max(causes, key=lambda each: each[1])[0]

    @property
    def _n_blank(self) -> int:
        """How many images of one value are no air above a head that has closed below them."""
        return sum(not self._is_air_above(blank) for blank in self._blank.values())

    def _is_air_above(self, blank: Blank) -> bool:
        """Say whether an image shows air above the vertex.

        What is nothing but zeros may not be written yet, unless the scanner blanks surroundings.
        """
        if not self._planes or blank.hu > AIR_HU:
            return False
        plane = self._main
        highest = int(np.argmax(plane.heights_mm))
        height_mm = float(plane.normal @ blank.header.position_lps_mm)
        return bool(
            (plane.is_blanked or not blank.header.only_zeros)
            and plane.difference(blank.header) is None
            and height_mm > plane.heights_mm[highest]
            and plane.head_px[highest] <= CLOSED_SHARE * max(plane.head_px)
        )

    def facts(self) -> SeriesFacts:
        """Say what the images so far amount to; never raises."""
        if self._facts is None:
            self._facts = self._gathered()
        return self._facts

    def _gathered(self) -> SeriesFacts:
        headers, heights_mm = self._distinct()
        n_blank = self._n_blank
        return SeriesFacts(
            n_slices=self.n_slices,
            n_images=self.n_images - n_blank,
            n_unread=len(self._unread) + n_blank,
            expected_images=agreed([header.expected_images for header in headers]),
            hinted_images=max(hinted_images(headers), numbered_images(headers, heights_mm)),
            multi_frame=any(FRAME_MARK in header.sop_uid for header in headers),
            coverage_mm=float(np.ptp(heights_mm)) if headers else 0.0,
            gaps=find_gaps(headers, heights_mm),
            touching=are_touching(headers, heights_mm),
            end_seen=bool(headers) and (self._vertex_came_last() or self._number_1_came_last()),
        )

    def _vertex_came_last(self) -> bool:
        plane = self._main
        last = plane.as_they_came[-1]
        above = plane.heights_mm[last] > float(np.mean(plane.heights_mm))
        return above and plane.head_px[last] < VERTEX_SHARE * max(plane.head_px)

    def _number_1_came_last(self) -> bool:
        plane = self._main
        numbers = [plane.headers[k].instance_number or 0 for k in plane.as_they_came]
        falling = numbers[0] == max(numbers) == self.n_images
        return falling and len(numbers) > 1 and numbers[-1] == min(numbers) == 1


def digest_of(pixels: str, identity: Identity) -> str:
    """Give the digest of an image: of its pixels, and of whose they are."""
    return "\n".join((pixels, *astuple(identity)))


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


def is_blank(hu: NDArray[np.int16]) -> bool:
    """Say whether an image has one value all over; of one pixel it says nothing."""
    if hu.size == 1 or hu[0, 0] != hu[len(hu) // 2, hu.shape[1] // 2]:  # as in most images
        return False
    return bool((hu == hu[0, 0]).all())


def is_localizer(header: SliceHeader) -> bool:
    """Say whether the image is a scout view."""
    return any("LOCALIZER" in value.upper() for value in header.image_type)


def _by_kind(reasons: Iterable[Reason]) -> list[tuple[Reason, int]]:
    """Count reasons of one kind together, and give the first of each for all."""
    by_code: dict[str, list[Reason]] = {}
    for reason in reasons:
        by_code.setdefault(reason.code, []).append(reason)
    return [(alike[0], len(alike)) for alike in by_code.values()]


def _set_aside(why: Counter[Reason]) -> list[Reason]:
    return [Reason("images_set_aside", n_images=n, because=one) for one, n in why.items()]


def agreed(counts: list[int]) -> int:
    """Return the count that all slices promise, 0 where they do not agree."""
    promised = set(counts)
    return promised.pop() if len(promised) == 1 else 0


def hinted_images(headers: list[SliceHeader]) -> int:
    """Return how many images all slices say their acquisition has, 0 where there are several.

    With several in a series it says nothing; and with one it may count other reconstructions too.
    """
    acquisitions = {header.acquisition_number for header in headers}
    counts = [header.images_in_acquisition for header in headers]
    return agreed(counts) if len(acquisitions) == 1 else 0


def numbered_images(headers: list[SliceHeader], heights_mm: NDArray[np.float64]) -> int:
    """Return how many images there are by their numbers, where these leave out some all along.

    Only of slices between which others could lie by their thickness, given lowest first; else 0.
    """
    numbers = [header.instance_number or 0 for header in headers]
    thickest_mm = max((header.thickness_mm or 0.0 for header in headers), default=0.0)
    steps = np.abs(np.diff(numbers))
    apart_mm = float(np.median(np.diff(heights_mm))) if len(headers) > 1 else 0.0
    if not thickest_mm or apart_mm < GAP_RATIO * thickest_mm or not 1 < np.median(steps) <= FEW + 1:
        return 0
    return max(numbers) - min(numbers) + 1


def are_touching(headers: list[SliceHeader], heights_mm: NDArray[np.float64]) -> bool:
    """Say whether no slice could lie between two neighbours, given lowest first."""
    return len(headers) > 1 and all(
        above_mm - below_mm
        <= TOUCH_RATIO * ((below.thickness_mm or 0) + (above.thickness_mm or 0)) / 2
        for (below, above), (below_mm, above_mm) in zip(
            pairwise(headers), pairwise(heights_mm.tolist()), strict=True
        )
    )
