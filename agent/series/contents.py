"""What has come of one series, and whether that is all. It grows under the shell's lock.

Contents that the networks have taken grow no more: what comes later goes into those that
``taken_up`` gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.assemble.acquisition import with_image
from agent.assemble.bounds import Bounds
from agent.assemble.completeness import Completion, judge
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.header import SliceRefused, SliceUnneeded, SliceUnplaced
from agent.assemble.protocol import ProtocolProfile, choose
from agent.assemble.series import Added, GrowingSeries, is_localizer
from agent.errors import InputError, NotEligible
from agent.infer.slice_stage import SliceStage
from agent.reasons import Reason
from agent.records import Acquisition, Identity, Instant, NotAnalysed, SliceHeader
from agent.store.rows import SeriesProgress

SILENT_S = 5.0
"""A series without one readable slice is ended when nothing more has come for this long [s]."""

LONGEST_S = 120.0
"""A series that no profile covers is ended this long after its first slice, come what may [s]."""

FAULT = NotAnalysed(Reason("internal"))
"""The answer of a series on which our own code fails."""


@dataclass
class Contents:
    """What has come of one series.

    ``answered`` are the results that it has (result ID → revision), ``repeats`` is how often it was
    asked to be tried again, and ``n_attempts`` how often the networks' work on it ended the agent.
    ``n_unread`` counts files that it was read from before and that cannot be read again. ``paths``
    says of each image from which file it came: one that has changed replaces what was in it.
    ``advanced_slices`` is how many slices there were when slabs were run last, ``ended_slices`` how
    many when the last slabs were.
    ``ruled_out`` is the header of the first image whose pixels nobody needs, and why; ``too_large``
    is why there are no pixels at all. ``identity`` is the one on which all images last agreed, and
    ``stored_identity`` whose it is in the store.
    """

    uid: str
    identity: Identity
    bundle_digest: str
    first_slice: Instant
    last_slice: Instant
    stage: SliceStage
    bounds: Bounds
    stored_identity: Identity
    answered: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 0
    n_attempts: int = 0
    n_unread: int = 0
    slices: GrowingSeries = field(default_factory=GrowingSeries)
    sop_uids: set[str] = field(default_factory=set)
    paths: dict[str, Path] = field(default_factory=dict)
    seen_s: list[float] = field(default_factory=list)
    expected_images: int = 0
    advanced_slices: int = 0
    ended_slices: int = 0
    profile: ProtocolProfile | None = None
    refusal: NotAnalysed | None = None
    ruled_out: tuple[SliceHeader, Reason] | None = None
    too_large: Reason | None = None
    n_pixel_images: int = 0
    acquisition: Acquisition = field(default_factory=Acquisition)

    @property
    def digests(self) -> dict[str, str]:
        """SOP UID → digest of all images in hand."""
        return self.slices.digests

    @property
    def next_revision(self) -> int:
        """The number of the result that these contents give."""
        return max(self.answered.values(), default=0) + 1

    @property
    def known_revision(self) -> int | None:
        """Which result was made of these very contents, None if none was."""
        return self.answered.get(self.result_id) if self.answered else None

    @property
    def refused(self) -> NotAnalysed | None:
        """Why it cannot be analysed as it is."""
        disagreement = self.slices.disagreement
        return self.refusal or (NotAnalysed(disagreement.reason) if disagreement else None)

    def put(
        self, read: ReadSlice, path: Path, profiles: Sequence[ProtocolProfile], now: Instant
    ) -> None:
        """Take in one slice of a file; one that does not belong refuses the series."""
        header = read.header
        self.sop_uids.add(header.sop_uid)
        if self.too_large:
            self._seen(now)
            return
        changed = self.paths.get(header.sop_uid) == path
        self.paths[header.sop_uid] = path
        try:
            added = self.slices.add(header, read.hu, changed=changed)
        except InputError as error:
            self.refusal, added = NotAnalysed(error.reason), Added.NEW
        promised = header.expected_images or header.images_in_acquisition
        self.expected_images = max(self.expected_images, promised)
        if added is Added.REPLACED:
            self.stage = self.stage.afresh()
        if added is not Added.DUPLICATE:
            self._seen(now)
            self.n_pixel_images += 1
            objection = self.bounds.objection(self.n_pixel_images, self.slices.pixels_bytes)
            if objection is not None:
                self.give_up(objection)
            if not is_localizer(header):
                self.acquisition = with_image(self.acquisition, header)
        if self.profile is None:
            with suppress(NotEligible):
                self.profile = choose([header], profiles)

    def give_up(self, why: Reason) -> None:
        """Refuse a series for its size, and keep no pixel of it."""
        self.too_large, self.refusal = why, NotAnalysed(why)
        self.slices.drop_pixels()

    def rule_out(self, image: SliceUnneeded, now: Instant) -> None:
        """Take note of an image whose pixels nobody needs: it is no slice of a head."""
        why = image.reason.without_file()
        self.sop_uids.add(image.owner.sop_uid)
        self.ruled_out = self.ruled_out or (image.header, why)
        self.acquisition = with_image(self.acquisition, image.header)
        try:
            self.slices.set_aside(image.owner.sop_uid, image.owner.identity, why, image.header)
        except InputError as error:
            self.refusal = NotAnalysed(error.reason)
        self._seen(now)

    def leave_out(self, refused: SliceRefused, now: Instant) -> None:
        """Take note of an image that is no slice: it has no place, or cannot be read."""
        _, sop_uid, identity = refused.owner
        unplaced = isinstance(refused, SliceUnplaced)
        take = self.slices.set_aside if unplaced else self.slices.leave_unread
        try:
            take(sop_uid, identity, refused.reason.without_file())
        except InputError as error:
            self.refusal = NotAnalysed(error.reason)
        self._seen(now)

    def fail(self, now: Instant) -> None:
        """Take in an image on which our own code fails, and so refuse the series."""
        self.refusal = FAULT
        self._seen(now)

    def _seen(self, now: Instant) -> None:
        self.identity = self.slices.identity or self.identity
        self.last_slice = now
        self.seen_s.append(now.monotonic_s)

    @property
    def refused_for(self) -> str | None:
        """Why its headers, or its size, refuse whatever comes of it, as a code; None if not."""
        if self.too_large:
            return self.too_large.code
        return self.ruled_out[1].code if self.ruled_out and not self.n_pixel_images else None

    @property
    def result_id(self) -> str:
        """Name the result: the same images, bundle and refusal give the same name.

        Unless it was asked to be tried again: that gives a result of its own.
        """
        code = self.refused.reason.code if self.refused else ""
        tried = [f"again {self.repeats}"] if self.repeats else []
        # What is refused by its headers or for its size is so whatever else of it comes.
        images = [] if self.refused_for else sorted({*self.sop_uids, *self.slices.marks})
        parts = [self.uid, self.bundle_digest, code, *tried, *images]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def progress(self) -> SeriesProgress:
        """Say how far it is."""
        first = self.slices.first or (self.ruled_out[0] if self.ruled_out else None)
        return SeriesProgress(
            series_uid=self.uid,
            identity=self.identity,
            description=first.description if first else "",
            protocol=self.profile.name if self.profile else None,
            slices=self.slices.n_images,
            expected=self.expected_images,
            first_slice=self.first_slice,
            last_slice=self.last_slice,
            acquisition=self._placed_acquisition(),
        )

    def _placed_acquisition(self) -> Acquisition:
        """Say which scan it shows, and which place its profile gives it."""
        if self.profile is None:
            return self.acquisition
        preference = self.profile.preference(self.acquisition.thickness_mm)
        return replace(self.acquisition, preference=preference)

    def judged(self, now: Instant, performed_images: int = 0) -> Completion | None:
        """Decide whether all of it has come, None if more is to be waited for.

        ``performed_images`` is how many the scanner's procedure step lists.
        """
        if self.profile is not None and not self.slices.disagreement:
            facts = replace(self.slices.facts(), performed_images=performed_images)
            return judge(facts, self.seen_s, now.monotonic_s, self.profile)
        return self.judged_by_silence(now)

    def judged_by_silence(self, now: Instant) -> Completion | None:
        """Decide the same where nothing but time can tell."""
        silent_s = now.monotonic_s - self.last_slice.monotonic_s
        waited_s = now.monotonic_s - self.first_slice.monotonic_s
        if silent_s >= SILENT_S:
            return Completion("quiet", f"nothing new for {silent_s:.1f} s")
        if waited_s >= LONGEST_S:
            return Completion("deadline", f"{waited_s:.0f} s since the first slice")
        return None

    def taken_up(self, now: Instant) -> Contents:
        """Begin the next revision's contents: the networks have these, and a file came too late."""
        return replace(
            self,
            first_slice=now,
            last_slice=now,
            slices=self.slices.continued(),
            sop_uids=set(self.sop_uids),
            paths=dict(self.paths),
            seen_s=[now.monotonic_s],
            answered={**self.answered, self.result_id: self.next_revision},
            n_attempts=0,
        )
