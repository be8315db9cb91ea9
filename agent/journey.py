"""One series on its way: what has come of it, and whether that is all.

Whoever holds ``Journeys``' lock may change an open journey; one that was withdrawn to be concluded
changes no more, but for what the network's thread itself finds out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent.assemble.completeness import Completion, judge
from agent.assemble.dicom_file import ReadSlice
from agent.assemble.protocol import ProtocolProfile, choose
from agent.assemble.series import Added, GrowingSeries
from agent.errors import AgentError, InputError, NotEligible
from agent.infer.slice_stage import SliceStage
from agent.reasons import Reason
from agent.records import Arrival, Identity, Instant, NotAnalysed, SliceHeader
from agent.store.rows import SeriesProgress

SILENT_S = 5.0
"""A series without one readable slice is ended when nothing more has come for this long [s]."""

LONGEST_S = 120.0
"""A series that no profile covers is ended this long after its first slice, come what may [s]."""

FAULT = NotAnalysed(Reason("internal"))
"""The answer that a bug of ours ends a series with."""


@dataclass
class Journey:
    """One series on its way. ``concluded_id`` names the result that it had before, if any.

    ``files`` are those that came on this journey: they are in its result, whatever it is.
    ``repeats`` counts how often it was asked to be tried again, ``n_unread`` the files that it was
    read from before and that cannot be read again.
    """

    series_uid: str
    identity: Identity
    first_slice: Instant
    last_slice: Instant
    stage: SliceStage
    slices: GrowingSeries = field(default_factory=GrowingSeries)
    sop_uids: set[str] = field(default_factory=set)
    files: list[Arrival] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)
    advanced_slices: int = 0
    profile: ProtocolProfile | None = None
    refusal: NotAnalysed | None = None
    concluded_id: str | None = None
    repeats: int = 0
    n_unread: int = 0
    completion: Completion | None = None
    completed_at: Instant | None = None

    @property
    def headers(self) -> list[SliceHeader]:
        """Headers of all images in hand, localizers first."""
        return [*self.slices.set_aside, *self.slices.headers]

    def put(self, read: ReadSlice, profiles: Sequence[ProtocolProfile], now: Instant) -> None:
        """Take in one slice; one that does not belong refuses the series."""
        self.sop_uids.add(read.header.sop_uid)
        try:
            added = self.slices.add(read.header, read.hu)
        except InputError as error:
            self.refusal, added = NotAnalysed(error.reason), Added.NEW
        if added is not Added.DUPLICATE:
            self._seen(now)
        if self.profile is None:
            with suppress(NotEligible):
                self.profile = choose([read.header], profiles)

    def refuse(self, error: AgentError, now: Instant) -> None:
        """Take in an image that cannot be a slice, and so refuses the series."""
        self.refusal = NotAnalysed(error.reason)
        self._seen(now)

    def fail(self, now: Instant) -> None:
        """Take in an image on which our own code fails, and so refuse the series."""
        self.refusal = FAULT
        self._seen(now)

    def _seen(self, now: Instant) -> None:
        self.last_slice = now
        self.seen_s.append(now.monotonic_s)

    def result_id(self, engine_digest: str) -> str:
        """Name the result that these images give: the same images, engine and refusal, the same.

        Unless it was asked to be tried again: that gives a result of its own.
        """
        code = self.refusal.reason.code if self.refusal else ""
        tried = [f"again {self.repeats}"] if self.repeats else []
        parts = [self.series_uid, engine_digest, code, *tried, *sorted(self.sop_uids)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def progress(self) -> SeriesProgress:
        """Say how far it is."""
        headers = self.headers
        return SeriesProgress(
            series_uid=self.series_uid,
            identity=self.identity,
            description=headers[0].description if headers else "",
            protocol=self.profile.name if self.profile else None,
            slices=len(headers),
            expected=max((header.expected_images for header in headers), default=0),
            first_slice=self.first_slice,
            last_slice=self.last_slice,
        )

    def judged(self, now: Instant) -> Completion | None:
        """Decide whether all of it has come, None if more is to be waited for."""
        if self.profile is not None:
            return judge(self.slices.facts(), self.seen_s, now.monotonic_s, self.profile)
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

    def taken_up(self, now: Instant, engine_digest: str) -> Journey:
        """Go on from where this one was withdrawn: a slice has come too late for its result."""
        return replace(
            self,
            first_slice=now,
            last_slice=now,
            slices=self.slices.continued(),
            sop_uids=set(self.sop_uids),
            files=[],
            seen_s=[now.monotonic_s],
            concluded_id=self.result_id(engine_digest),
            completion=None,
            completed_at=None,
        )
