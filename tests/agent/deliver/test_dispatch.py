"""agent.dispatch: each result reaches each channel once, whatever happens on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import structlog
from pydicom.dataset import Dataset

from agent.console.audit import AuditLog
from agent.deliver.commitments import Commitments
from agent.deliver.dicom.objects import letter_of
from agent.deliver.outbox import signed_to
from agent.deliver.result import StoredResult
from agent.deliver.settings import KINDS, DicomChannel, UpsChannel
from agent.dispatch import Courier, channel_of, wait_s
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import Reason
from agent.store.delivery_store import DeliveryStore
from agent.store.effects import Conclude
from agent.store.readings import Section, Sentence
from agent.store.rows import Delivery
from agent.store.view import delivery_view
from tests.agent.box import SetClock
from tests.agent.deliver.results import png, sources, stored_result
from tests.agent.reports import receive
from tests.agent.stored import Store

PACS = DicomChannel(name="pacs", host="127.0.0.1", ae_title="PACS")
SIGNS = PACS.model_copy(update={"objects": (*KINDS, "signed_report"), "organization": "Clinic"})
OTHER = DicomChannel(name="other", host="127.0.0.1", ae_title="OTHER", objects=("report",))
LOG = structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""])


@dataclass
class Memory:
    """An archive in memory. ``fails`` are the errors of the next calls, None for one that works."""

    settings: DicomChannel
    kept: dict[str, Dataset] = field(default_factory=dict)
    fails: list[Exception | None] = field(default_factory=list)
    commits: bool = True
    n_sent: int = 0
    remark: Reason | None = None

    def greet(self) -> None:
        self._fail()

    def letter(self, result: StoredResult) -> list[Dataset]:
        return letter_of(result, self.settings)

    def send(self, objects: Sequence[Dataset]) -> Reason | None:
        self._fail()
        self.n_sent += 1
        for one in objects:
            self.kept.setdefault(str(one.SOPInstanceUID), one)
        return self.remark

    def keeps(self, objects: Sequence[Dataset]) -> bool:
        if not self.commits:
            return False
        self._fail()
        if any(str(one.SOPInstanceUID) not in self.kept for one in objects):
            raise ArchiveRefused("archive_lost", channel="pacs", n_lost=1, n_objects=5)
        return True

    def _fail(self) -> None:
        error = self.fails.pop(0) if self.fails else None
        if error:
            raise error


DOWN = ArchiveUnreachable("archive_unreachable", channel="pacs", why="no connection")
FULL = ArchiveRefused(
    "archive_refused", channel="pacs", n_refused=1, n_objects=5, why="0xA700 full"
)


@dataclass
class Site:
    """A store with results for channels, and the archive in memory of each channel."""

    store: Store
    clock: SetClock
    channels: tuple[DicomChannel, ...]
    folder: Path

    def __post_init__(self) -> None:
        self.audit_path = self.folder / "audit.log"
        self.audit = AuditLog(self.audit_path, self.clock, self.store.console.notice)
        self.archives = {one.name: Memory(one) for one in self.channels}

    def conclude(self, seed: int = 0, revision: int = 1) -> None:
        """Let a suspicion be stored, as the agent does."""
        self.clock.now_s += 1.0
        uid = f"1.2.{seed}"
        result = stored_result(
            series_uid=uid, revision=revision, result_id=f"{uid} {revision}", size=64
        )
        receive(self.store, self.clock, uid)
        channels = ("console", *(one.name for one in self.channels))
        effect = Conclude(result.report, {"axial": png()}, channels, sources(result))
        self.store.agent.commit([effect])

    def courier(self, name: str = "pacs") -> Courier:
        """Begin as after a start of the service's process."""
        store = DeliveryStore(self.store.database, self.clock)
        (settings,) = (one for one in self.channels if one.name == name)
        return Courier(settings, self.archives[name], store, self.clock, LOG, self.audit.exported)

    def audit_lines(self) -> list[str]:
        path = self.audit_path
        return path.read_text().splitlines() if path.exists() else []

    def sign(self, *sentences: str, seed: int = 0, revision: int = 1) -> None:
        """Let a report on a result be signed, as the console does."""
        self.clock.now_s += 1.0
        told = tuple(Sentence(text=one, reason=None) for one in sentences)
        section = Section(section="impression", title="Impression", sentences=told)
        of_result, to = (f"1.2.{seed}", revision), signed_to(self.channels)
        self.store.console.sign(of_result, "rae", "en", (section,), to)

    def labels(self) -> list[bytes | None]:
        return [row["labels"] for row in self.store.sql("SELECT labels FROM sources")]

    def waiting(self) -> list[Delivery]:
        return [one for one in self.store.queries.undelivered() if one.channel != "console"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    clock = SetClock()
    with Store(tmp_path / "store.sqlite", clock) as store:
        yield lambda *channels: Site(store, clock, channels or (PACS,), tmp_path)


def test_a_suspicion_reaches_the_archive_as_five_objects(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()

    assert at.courier().turn() == 1
    assert at.courier().turn() == 0

    assert len(at.archives["pacs"].kept) == 5
    assert at.waiting() == []
    row = at.store.sql("SELECT * FROM outbox WHERE channel = 'pacs'")[0]
    assert row["sent_utc"]
    assert row["delivered_utc"]


def test_each_export_is_audited_once_it_was_taken_and_names_no_patient(
    site: Callable[..., Site],
) -> None:
    at = site()
    at.conclude()
    courier = at.courier()
    at.archives["pacs"].fails = [FULL]
    assert courier.turn() == 0
    assert not at.audit_lines()

    at.clock.now_s += 15.0
    assert courier.turn() == 1
    (line,) = at.audit_lines()
    assert 'csd-code="110106"' in line
    assert "series 1.2.0, result 1, to channel pacs" in line
    assert not any(one in line for one in ("DOE", "P1", "19500101"))


def test_what_a_work_list_is_not_sent_is_no_export(site: Callable[..., Site]) -> None:
    """A suspicion that takes the place of one raises nothing anew: nobody listens at the port."""
    at = site()
    at.conclude()
    at.courier().turn()
    at.audit_path.unlink()
    at.conclude(revision=2)
    ups = UpsChannel(name="pacs", host="127.0.0.1", port=9, ae_title="RIS", timeout_s=1.0)
    store, sends = DeliveryStore(at.store.database, at.clock), channel_of(ups, Commitments())

    assert Courier(ups, sends, store, at.clock, LOG, at.audit.exported).turn() == 1

    assert at.waiting() == []
    assert not at.audit_lines()


def test_what_else_came_of_sending_is_kept_beside_the_delivery(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()
    at.archives["pacs"].remark = Reason("order_raised", channel="pacs", priority="stat")
    at.courier().turn()

    (sent,) = at.store.queries.sent([("1.2.0", 1)])[("1.2.0", 1)]
    assert delivery_view(sent).remark.text == "pacs: the order was raised to stat"
    assert sent.delivered_at


def test_the_segments_are_the_findings_of_the_report(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()
    at.courier().turn()

    (made,) = (one for one in at.archives["pacs"].kept.values() if one.Modality == "SEG")
    wanted = stored_result(size=64)
    shown = np.flatnonzero(wanted.numbers.any(axis=(1, 2)))
    masks = hd.seg.Segmentation.from_dataset(made).get_pixels_by_source_instance(
        [wanted.images.images[k].sop_uid for k in shown], combine_segments=True
    )
    assert (masks == wanted.numbers[shown]).all()


def test_a_channel_that_is_down_delays_no_other(site: Callable[..., Site]) -> None:
    at = site(PACS, OTHER)
    at.conclude()
    at.archives["pacs"].fails = [DOWN]

    assert (at.courier("pacs").turn(), at.courier("other").turn()) == (0, 1)
    (waiting,) = at.waiting()
    assert (waiting.channel, waiting.n_attempts) == ("pacs", 1)
    assert waiting.problem == DOWN.reason


@pytest.mark.slow
def test_an_archive_that_cannot_be_reached_is_tried_for_one_result_alone(
    site: Callable[..., Site],
) -> None:
    at = site()
    for seed in range(3):
        at.conclude(seed)
    courier = at.courier()
    at.archives["pacs"].fails = [DOWN]

    assert courier.turn() == 0
    assert [one.n_attempts for one in at.waiting()] == [1, 0, 0]
    assert courier.turn() == 0
    at.clock.now_s += 15.0
    assert courier.turn() == 3


@pytest.mark.slow
def test_one_result_that_is_never_answered_holds_up_no_other(site: Callable[..., Site]) -> None:
    at = site()
    for seed in range(2):
        at.conclude(seed)
    courier = at.courier()
    at.archives["pacs"].fails = [DOWN, None, None, DOWN]

    assert courier.turn() == 0
    at.clock.now_s += 15.0
    assert courier.turn() == 1
    at.conclude(2)
    assert courier.turn() == 0
    at.clock.now_s += 15.0
    assert courier.turn() == 1
    assert [one.series_uid for one in at.waiting()] == ["1.2.0"]


@pytest.mark.slow
def test_a_retry_of_one_result_does_not_wait_for_a_receiver_that_was_lost(
    site: Callable[..., Site],
) -> None:
    at = site()
    for seed in range(2):
        at.conclude(seed)
    courier = at.courier()
    at.archives["pacs"].fails = [DOWN]
    assert courier.turn() == 0

    DeliveryStore(at.store.database, at.clock).retry(at.waiting()[0])

    assert courier.turn() == 2


@pytest.mark.slow
def test_a_refusal_holds_up_nothing_else_and_is_kept_in_the_archives_words(
    site: Callable[..., Site],
) -> None:
    at = site()
    for seed in range(2):
        at.conclude(seed)
    at.archives["pacs"].fails = [FULL]
    courier = at.courier()

    assert courier.turn() == 1
    (refused,) = at.waiting()
    assert refused.problem == FULL.reason
    at.clock.now_s += 15.0
    assert courier.turn() == 1


def test_between_attempts_ever_more_is_waited_but_not_for_ever() -> None:
    refused, down = FULL.reason, DOWN.reason

    assert [wait_s(n, refused) for n in (0, 1, 2, 3)] == [0.0, 15.0, 30.0, 60.0]
    assert wait_s(500, refused) == 3600.0
    assert wait_s(500, down) == 600.0


@pytest.mark.slow
def test_without_a_commitment_a_result_is_sent_and_no_more(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()
    archive, courier = at.archives["pacs"], at.courier()
    archive.commits = False

    assert courier.turn() == 0
    (waiting,) = at.waiting()
    assert waiting.sent_at
    assert waiting.problem == Reason("archive_silent", channel="pacs")
    archive.commits = True
    at.clock.now_s += 15.0
    assert courier.turn() == 1
    assert archive.n_sent == 1


@pytest.mark.slow
def test_what_an_archive_has_lost_is_sent_again(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()
    archive, courier = at.archives["pacs"], at.courier()
    archive.commits = False
    courier.turn()
    archive.commits = True
    archive.kept.clear()

    at.clock.now_s += 15.0
    assert courier.turn() == 0
    at.clock.now_s += 30.0
    assert courier.turn() == 1
    assert len(archive.kept) == 5


@pytest.mark.slow
def test_a_later_result_waits_for_the_earlier_of_its_series_and_names_it(
    site: Callable[..., Site],
) -> None:
    at = site()
    at.conclude(revision=1)
    at.conclude(revision=2)
    at.archives["pacs"].fails = [FULL]
    courier = at.courier()

    assert courier.turn() == 0
    at.clock.now_s += 15.0
    assert courier.turn() == 1
    earlier = set(at.archives["pacs"].kept)
    assert courier.turn() == 1
    later = [one for uid, one in at.archives["pacs"].kept.items() if uid not in earlier]
    named = [one for one in later if "PredecessorDocumentsSequence" in one]
    assert {one.SOPClassUID.name for one in named} == {
        "Basic Text SR Storage",
        "Comprehensive 3D SR Storage",
    }


def test_what_is_dropped_is_sent_no_more_and_its_labels_go(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()

    DeliveryStore(at.store.database, at.clock).drop(at.waiting()[0])

    assert at.waiting() == []
    assert at.courier().turn() == 0
    assert at.labels() == [None]


@pytest.mark.slow
def test_what_is_retried_begins_anew_and_at_once(site: Callable[..., Site]) -> None:
    at = site()
    at.conclude()
    at.archives["pacs"].fails = [FULL]
    courier = at.courier()
    courier.turn()

    DeliveryStore(at.store.database, at.clock).retry(at.waiting()[0])

    assert courier.turn() == 1


def test_labels_are_kept_until_the_last_channel_has_its_result(
    site: Callable[..., Site],
) -> None:
    at = site(PACS, OTHER)
    at.conclude()

    at.courier("pacs").turn()
    assert at.labels() != [None]
    at.courier("other").turn()
    assert at.labels() == [None]


def test_a_bug_of_ours_is_told_and_stops_no_other(site: Callable[..., Site]) -> None:
    at = site()
    for seed in range(2):
        at.conclude(seed)
    at.store.sql("UPDATE sources SET labels = x'00' WHERE series_uid = '1.2.0'")

    assert at.courier().turn() == 1
    (waiting,) = at.waiting()
    assert waiting.problem == Reason("objects_not_made", error="error")


@dataclass
class Stops(Memory):
    """An archive before whose nth call the process ends."""

    calls_left: int = 0

    def _fail(self) -> None:
        if self.calls_left == 0:
            raise KeyboardInterrupt
        self.calls_left -= 1


@pytest.mark.slow
@pytest.mark.parametrize("calls", range(3))
def test_killed_between_any_two_calls_each_object_is_there_once(
    site: Callable[..., Site], calls: int
) -> None:
    at = site()
    at.conclude()
    archive = at.archives["pacs"] = Stops(PACS, calls_left=calls)
    with contextlib.suppress(KeyboardInterrupt):
        at.courier().turn()
    archive.calls_left = 99

    at.courier().turn()

    assert len(archive.kept) == 5
    assert at.waiting() == []


def signed_ones(at: Site) -> list[Dataset]:
    kept = at.archives["pacs"].kept.values()
    return [one for one in kept if one.get("PreliminaryFlag") == "FINAL"]


def test_what_is_signed_is_sent_once_the_result_is_long_delivered(
    site: Callable[..., Site],
) -> None:
    at = site(SIGNS)
    at.conclude()
    at.courier().turn()

    at.sign("A bleed.")

    assert at.courier().turn() == 1
    assert at.waiting() == []
    (report,) = signed_ones(at)
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == "rae^"
    assert "PredecessorDocumentsSequence" not in report


def test_a_correction_names_the_version_that_the_archive_was_sent_before(
    site: Callable[..., Site],
) -> None:
    at = site(SIGNS)
    at.conclude()
    at.courier().turn()
    at.sign("A bleed.")
    at.courier().turn()
    at.sign("Dropped by a person.")
    DeliveryStore(at.store.database, at.clock).drop(at.waiting()[0])
    at.sign("No bleed.")
    at.courier().turn()

    first, corrected = signed_ones(at)
    (study,) = corrected.PredecessorDocumentsSequence
    (former,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert former.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert (first.InstanceNumber, corrected.InstanceNumber) == (1, 3)


def test_signed_reports_are_in_order_and_do_not_wait_for_results_nor_these_for_them(
    site: Callable[..., Site],
) -> None:
    at = site(SIGNS)
    at.conclude()
    at.sign("First.")
    at.sign("Second.")
    at.archives["pacs"].fails = [FULL]

    assert at.courier().turn() == 1  # the result is refused, the first version is taken
    assert [one.signed for one in at.waiting()] == [0, 2]
    assert at.courier().turn() == 2
    assert len(signed_ones(at)) == 2


def test_a_site_that_does_not_ask_for_it_is_sent_nothing_that_was_signed(
    site: Callable[..., Site],
) -> None:
    at = site(PACS)
    at.conclude()
    at.courier().turn()

    at.sign("A bleed.")

    assert at.waiting() == []


def test_who_is_told_of_no_result_may_be_sent_a_report_on_it_and_is_told_no_more(
    site: Callable[..., Site],
) -> None:
    at = site(SIGNS)
    at.conclude()
    at.store.sql("DELETE FROM outbox WHERE channel = 'pacs'")
    at.sign("A bleed.")

    assert at.courier().turn() == 1
    assert at.store.queries.channels_told("1.2.0") == {"console"}
