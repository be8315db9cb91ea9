"""The work of the thread that owns the networks: run slabs as slices come, answer whole series.

Whatever goes wrong on the way is turned into the series' answer, so that it disturbs no other.
Attempts are counted before they begin: a series on which the process ended twice is set aside, and
before its second attempt others are answered first, since it may end the process again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from structlog.typing import FilteringBoundLogger

from agent.deliver.outbox import CONSOLE, EarlierDeliveries, channels_for, signed_to
from agent.errors import AgentError, InputError
from agent.infer.backend import Backend
from agent.pipeline import (
    Analysis,
    Resources,
    Subject,
    analyse,
    pictures_of,
    report_of,
    seen_in,
    sources_of,
)
from agent.reasons import Reason
from agent.records import Clock, Instant, NotAnalysed, is_new, is_prior
from agent.report import SeriesReport
from agent.series.archive import Archive
from agent.series.contents import FAULT, Contents
from agent.series.lifecycle import (
    Answered,
    Complete,
    Event,
    NothingNew,
    Receiving,
    SlabsBegun,
    SlabsDone,
    Taken,
)
from agent.series.shell import Board, InMemory, Shell
from agent.sources import Sources
from agent.voxels import HeadVolume

AHEAD_S: Final = 0.2
"""A series that would be found complete in this time, if nothing more came, has its last slabs run
meanwhile [s]. Ours: what they take on two cores; a slice that does come has some run again."""

MOST_ATTEMPTS: Final = 2
"""A series on which work began this often and never ended is set aside: the process died of it."""

LAST_FOR_S: Final = 120.0
"""A series on which the process ended lets the others go first for this long, and no longer: it has
to end as well [s]. Ours: as long as a series without a profile is waited for."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A report, its pictures as PNG by view, and the analysis that it reports."""

    report: SeriesReport
    pictures: dict[str, bytes]
    analysis: Analysis


class Analyst:
    """Works on one series at a time. All of it is one thread's."""

    def __init__(
        self,
        resources: Resources,
        shell: Shell,
        archive: Archive,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Work with these."""
        self._resources = resources
        self._shell = shell
        self._archive = archive
        self._clock = clock
        self._log = log

    def work_once(self) -> bool:
        """Do one piece of work, the first that there is; False if there is none.

        In this order: answer a complete series; run slabs of one that is being received, the last
        ones too where it seems about to be complete; store some slices.
        """
        if self._between_series():
            self._resources.networks.refresh()
        return (
            self._conclude_next()
            or self._run_slabs()
            or self._run_last_slabs()
            or self._archive.keep_some()
        )

    def _between_series(self) -> bool:
        """Whether the networks have not run yet on any series that is under way."""
        with self._shell.held() as board:
            return not any(each.advanced_slices for each in board.growing())

    def _conclude_next(self) -> bool:
        """Take the next complete series to its answer; False if there is none."""
        with self._shell.held() as board:
            match self._next(board):
                case InMemory(Complete() as complete, Contents() as contents) as one:
                    revision = contents.known_revision
                    board.move(one, Taken() if revision is None else NothingNew(revision))
                    board.commit()
                    if revision is None:
                        contents.slices.sort()
                case _:
                    return False
        if revision is None:
            self._conclude(contents, complete)
        return True

    def _next(self, board: Board) -> InMemory | None:
        """Choose a complete series: new ones before others, and those that may crash last.

        An earlier examination that was fetched is not begun while a head is received.
        """
        one = min(
            board.in_state(Complete),
            key=lambda each: (self._goes_last(each), *_rank(each.state.uid)),
            default=None,
        )
        if one is None:
            return None
        receiving = board.in_state(Receiving)
        if is_prior(one.state.uid) and any(map(_is_new_head, receiving)):
            return None
        return None if self._goes_last(one) and receiving else one

    def _goes_last(self, one: InMemory) -> bool:
        """Whether a complete series ended the process before, and lets the others go first."""
        match one:
            case InMemory(Complete(at=at), Contents(n_attempts=n_attempts)):
                waited_s = self._clock().monotonic_s - at.monotonic_s
                return 0 < n_attempts < MOST_ATTEMPTS and waited_s < LAST_FOR_S
        return False

    def _conclude(self, contents: Contents, complete: Complete) -> None:
        """Answer a series that is taken, and store that with its deliveries."""
        answer = self._answer(contents, complete)
        report = answer.report
        channels, sources = self._delivered_to(contents, answer)
        self._commit(contents.uid, Answered(report, answer.pictures, channels, sources))
        self._log.info(
            "concluded",
            series_uid=contents.uid,
            state=report.state,
            code=report.code,
            revision=report.revision,
            slices=contents.slices.n_images,
            engine=report.engine.model_dump() if report.engine else None,
            completed_by=report.completed_by,
            **{f"{stage}_s": seconds for stage, seconds in report.timings_s.items()},
        )
        seen = seen_in(answer.analysis)
        if seen:
            self._archive.add(report, *seen, answer.analysis.probabilities)

    def _delivered_to(
        self, contents: Contents, answer: Answer
    ) -> tuple[tuple[str, ...], Sources | None]:
        """Return the channels that carry a result, and the images that these have to name.

        What came without one readable image can be told to the console alone; what was fetched is
        news to nobody.
        """
        if is_prior(contents.uid):
            return (), None
        resources = self._resources
        is_named_later = resources.drawings or bool(signed_to(resources.channels))
        if not resources.channels and not is_named_later:
            return (CONSOLE,), None
        uid, queries = contents.uid, self._shell.queries
        beside = queries.channels_told_beside(uid, contents.identity.study_uid)
        earlier = EarlierDeliveries(queries.channels_told(uid), beside)
        channels = channels_for(answer.report, resources.channels, earlier)
        if channels == (CONSOLE,) and not is_named_later:
            return channels, None
        described = self._guarded(
            contents.uid, lambda: sources_of(contents.slices, answer.analysis)
        )
        if not isinstance(described, Sources):
            return (CONSOLE,), None
        # Only channels need labels; what is signed or drawn later names the images.
        return channels, described if len(channels) > 1 else Sources(described.images, None)

    def _answer(self, contents: Contents, complete: Complete) -> Answer:
        """Take one series to its answer, whatever happens on the way."""
        waited_s = self._clock().monotonic_s - complete.at.monotonic_s

        def reported(analysis: Analysis) -> Answer:
            analysis.timings_s["waited"] = waited_s
            return self._reported(contents, complete, analysis)

        answer = self._guarded(contents.uid, lambda: reported(self._analysed(contents)))
        return reported(Analysis(answer)) if isinstance(answer, NotAnalysed) else answer

    def _analysed(self, contents: Contents) -> Analysis:
        if contents.n_attempts >= MOST_ATTEMPTS:
            return Analysis(NotAnalysed(Reason("set_aside", n_times=contents.n_attempts)))
        if contents.refused is not None:
            return Analysis(contents.refused)
        if contents.slices.obstacle:
            return Analysis(NotAnalysed(contents.slices.obstacle))
        if contents.slices.first is None:
            return Analysis(NotAnalysed(Reason("files_gone")))
        return analyse(contents.slices, contents.stage, self._resources)

    def _reported(self, contents: Contents, complete: Complete, analysis: Analysis) -> Answer:
        """Report an analysis; a picture that cannot be drawn takes no suspicion back."""
        began_s = self._clock().monotonic_s
        drawn = {
            view: self._guarded(contents.uid, draw) for view, draw in pictures_of(analysis).items()
        }
        pictures = {view: png for view, png in drawn.items() if isinstance(png, bytes)}
        last_s, now_s = contents.last_slice.monotonic_s, self._clock().monotonic_s
        analysis.timings_s["pictures"] = now_s - began_s
        analysis.timings_s["completeness"] = complete.at.monotonic_s - last_s
        analysis.timings_s["total"] = now_s - last_s
        subject = Subject(
            contents.uid,
            contents.identity.study_uid,
            contents.next_revision,
            contents.result_id,
            complete.completion,
        )
        return Answer(report_of(subject, analysis, self._resources), pictures, analysis)

    def _run_slabs(self) -> bool:
        """Run slabs that can no longer change, of a series under way; False if there are none."""
        with self._shell.held() as board:
            growing = board.growing()
        return any(self._advance(contents) for contents in growing)

    def _advance(self, contents: Contents) -> bool:
        """Run slabs of a series, once enough slices have come since the last time."""
        first, stage = contents.slices.first, contents.stage
        per_run = stage.slices_per_run(first.thickness_mm if first else None)
        if contents.slices.n_slices < contents.advanced_slices + per_run:
            return False
        return self._run_ahead(
            contents, lambda head, backend: stage.advance(head, backend, self._is_none_complete)
        )

    def _run_last_slabs(self) -> bool:
        """Run also the last slabs of a series that will soon be complete; False if there is none.

        They are run once for the slices that are there: what comes after all changes some of them.
        """
        with self._shell.held() as board:
            receiving = [one.contents for one in board.in_state(Receiving) if one.contents]
        return any(self._run_last(contents) for contents in receiving)

    def _run_last(self, contents: Contents) -> bool:
        n_slices = contents.slices.n_slices
        if not n_slices or contents.ended_slices == n_slices:
            return False
        now = self._clock()
        soon = Instant(now.utc, now.monotonic_s + AHEAD_S)

        def seems_complete() -> bool:
            with self._shell.held():
                return contents.judged(soon) is not None

        if self._guarded(contents.uid, seems_complete) is not True:
            return False
        contents.ended_slices = n_slices
        return self._run_ahead(
            contents, lambda head, backend: len(contents.stage.finish(head, backend).seen)
        )

    def _is_none_complete(self) -> bool:
        with self._shell.held() as board:
            return self._next(board) is None

    def _run_ahead(self, contents: Contents, work: Callable[[HeadVolume, Backend], int]) -> bool:
        """Do ``work`` on the slices so far; False if it returns 0, since there was none to do."""
        profile = contents.profile
        if profile is None or contents.refused or contents.n_attempts or is_prior(contents.uid):
            return False
        contents.advanced_slices = contents.slices.n_slices

        def work_done() -> int:
            head = self._head_so_far(contents)
            if head is None:
                return 0
            return self._resources.networks.run(profile.name, lambda backend: work(head, backend))

        self._commit(contents.uid, SlabsBegun())
        ran = self._guarded(contents.uid, work_done)
        self._commit(contents.uid, SlabsDone())
        if isinstance(ran, NotAnalysed):
            contents.refusal = contents.refusal or ran
            return False
        return ran > 0

    def _commit(self, uid: str, event: Event) -> None:
        """Move a series on, with all its effects on the disk."""
        with self._shell.held() as board:
            board.move(board.of(uid), event)
            board.commit()

    def _head_so_far(self, contents: Contents) -> HeadVolume | None:
        """Return the slices so far, None where they did not come in order."""
        try:
            with self._shell.held():
                slices = contents.slices
                return slices.volume() if slices.layout().in_order else None
        except InputError:
            return None  # the whole series will say so, by name, when it is complete

    def _guarded(self, series_uid: str, work: Callable[[], Result]) -> Result | NotAnalysed:
        """Work on one series, and turn whatever goes wrong into *not analysed, because …*."""
        try:
            return work()
        except AgentError as error:
            return NotAnalysed(error.reason)
        except Exception:  # noqa: BLE001 - our own fault must still end the series by name
            self._log.exception("analysis_failed", series_uid=series_uid)
            return FAULT


def _rank(uid: str) -> tuple[bool, bool]:
    """Sort what is scanned now before tests, and these before what was fetched."""
    return not is_new(uid), is_prior(uid)


def _is_new_head(one: InMemory) -> bool:
    return is_new(one.state.uid) and one.contents is not None and one.contents.profile is not None
