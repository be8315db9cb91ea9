"""agent.deliver.dimse and dicomweb: what real archives say is understood, object by object."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from agent.deliver.channel import Channel
from agent.deliver.commitments import Commitments
from agent.deliver.dicom.objects import objects_of
from agent.deliver.dicom.trial import trial_object
from agent.deliver.dicomweb import DicomWebArchive
from agent.deliver.dimse import STORED, DicomArchive, listening
from agent.deliver.settings import KINDS, DicomChannel, DicomWebChannel
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import english
from tests.agent.certificates import Authority
from tests.agent.deliver.archives import Orthanc, needs_orthanc, unclosed
from tests.agent.deliver.results import AT, stored_result
from tests.agent.deliver.web import Web
from tests.agent.doctor.scratch import free_port
from tests.phantoms import uid
from tests.program import until

pytestmark = unclosed


@pytest.fixture(scope="module")
def objects() -> list[Dataset]:
    return list(objects_of(stored_result(), KINDS))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        yield archive


def dicom_channel(port: int, **changes: Any) -> DicomChannel:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "ORTHANC"}
    return DicomChannel.model_validate({**values, "timeout_s": 5.0, **changes})


@contextmanager
def both(orthanc: Orthanc) -> Iterator[dict[str, Channel[Any]]]:
    """Both ways to speak to one archive, with a listener for its reports."""
    commitments = Commitments()
    server = listening("127.0.0.1", orthanc.report_port, "BLEEDWATCH", commitments)
    try:
        yield {
            "dicom": DicomArchive(dicom_channel(orthanc.port), commitments),
            "web": DicomWebArchive(DicomWebChannel(name="web", url=orthanc.web)),
        }
    finally:
        server.shutdown()


@pytest.mark.slow
@needs_orthanc
@pytest.mark.parametrize("way", ["dicom", "web"])
def test_an_archive_takes_all_objects_once_and_says_that_it_keeps_them(
    orthanc: Orthanc, way: str
) -> None:
    objects = list(objects_of(stored_result(result_id=way), KINDS))
    uids = {str(one.SOPInstanceUID) for one in objects}
    with both(orthanc) as ways:
        archive = ways[way]
        archive.greet()
        with pytest.raises(ArchiveRefused) as before:
            archive.keeps(objects)

        for _ in range(2):
            archive.send(objects)
        assert archive.keeps(objects)

    assert before.value.reason.code == "archive_lost"
    assert sorted(uids) == [uid for uid in orthanc.sop_uids() if uid in uids]


@pytest.mark.slow
@needs_orthanc
def test_the_trial_object_goes_the_same_way(orthanc: Orthanc) -> None:
    one = trial_object(uid("trial"), AT)
    with both(orthanc) as ways:
        for archive in ways.values():
            archive.send([one])
            assert archive.keeps([one])


@needs_orthanc
def test_who_is_called_by_a_wrong_name_rejects_in_its_own_words(orthanc: Orthanc) -> None:
    archive = DicomArchive(dicom_channel(orthanc.port, ae_title="NOBODY"), Commitments())

    def why() -> str:
        with pytest.raises(ArchiveUnreachable) as refused:
            archive.greet()
        return str(refused.value)

    # Orthanc closes the connection at once, which on a busy machine is seen before its words.
    until(lambda: "Called AE title not recognised" in why())


def test_nobody_there_is_said() -> None:
    nobody = free_port()
    for archive in (
        DicomArchive(dicom_channel(nobody), Commitments()),
        DicomWebArchive(DicomWebChannel(name="web", url=f"http://127.0.0.1:{nobody}")),
    ):
        with pytest.raises(ArchiveUnreachable, match="cannot be reached"):
            archive.greet()


Answer = Callable[[evt.Event], Any]


@contextmanager
def pacs(
    store: Answer = lambda _event: 0x0000,
    commit: Answer = lambda _event: (0x0000, None),
    **server: Any,
) -> Iterator[int]:
    """A PACS that answers as it is told to; gives its port."""
    ae = AE(ae_title="ORTHANC")
    for sop_class in server.pop("classes", STORED):
        ae.add_supported_context(sop_class)
    ae.add_supported_context(Verification)
    ae.add_supported_context(StorageCommitmentPushModel)
    port = free_port()
    running = ae.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, commit)],
        **server,
    )
    try:
        yield port
    finally:
        running.shutdown()


def refusing(nth: int, status: int, comment: str) -> Answer:
    """Refuse the nth object, and take all others."""
    seen: list[evt.Event] = []

    def store(event: evt.Event) -> Dataset | int:
        seen.append(event)
        if len(seen) != nth:
            return 0x0000
        answer = Dataset()
        answer.Status, answer.ErrorComment = status, comment
        return answer

    return store


def test_one_object_of_five_that_is_refused_is_named_with_the_archives_words(
    objects: list[Dataset],
) -> None:
    with pacs(refusing(3, 0xA700, "disk quota of SCU exceeded")) as port:
        archive = DicomArchive(dicom_channel(port), Commitments())
        with pytest.raises(ArchiveRefused) as refused:
            archive.send(objects)

    said = english(refused.value.reason)
    assert said.startswith("pacs refused 1 of 5 objects: Key Object")
    assert "0xA700 disk quota of SCU exceeded" in said


def test_a_coerced_object_is_taken(objects: list[Dataset]) -> None:
    with pacs(refusing(2, 0xB000, "patient name coerced")) as port:
        DicomArchive(dicom_channel(port), Commitments()).send(objects)


def test_an_archive_without_a_sop_class_refuses_that_alone(objects: list[Dataset]) -> None:
    stored: list[str] = []

    def store(event: evt.Event) -> int:
        stored.append(event.request.AffectedSOPClassUID)
        return 0x0000

    with pacs(store, classes=STORED[1:]) as port:
        archive = DicomArchive(dicom_channel(port), Commitments())
        with pytest.raises(ArchiveRefused, match="Segmentation Storage: SOP class not accepted"):
            archive.send(objects)

    assert len(stored) == 4


@pytest.mark.parametrize("nth", range(1, 6))
def test_an_association_lost_at_any_object_is_no_refusal(nth: int, objects: list[Dataset]) -> None:
    seen: list[evt.Event] = []

    def store(event: evt.Event) -> int:
        seen.append(event)
        if len(seen) == nth:
            event.assoc.abort()
        return 0x0000

    with pacs(store) as port:
        archive = DicomArchive(dicom_channel(port), Commitments())
        with pytest.raises(ArchiveUnreachable):
            archive.send(objects)


def test_a_report_on_the_same_association_counts(objects: list[Dataset]) -> None:
    def commit(event: evt.Event) -> tuple[int, None]:
        said = Dataset()
        said.TransactionUID = event.action_information.TransactionUID
        said.ReferencedSOPSequence = event.action_information.ReferencedSOPSequence
        threading.Thread(
            target=event.assoc.send_n_event_report,
            args=(said, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"),
        ).start()
        return 0x0000, None

    with pacs(commit=commit) as port:
        assert DicomArchive(dicom_channel(port), Commitments()).keeps(objects)


def test_without_a_report_nothing_is_kept_and_a_late_one_counts(
    monkeypatch: pytest.MonkeyPatch, objects: list[Dataset]
) -> None:
    monkeypatch.setattr("agent.deliver.dimse.REPORT_S", 0.1)
    asked: list[Dataset] = []

    def commit(event: evt.Event) -> tuple[int, None]:
        asked.append(event.action_information)
        return 0x0000, None

    commitments = Commitments()
    with pacs(commit=commit) as port:
        archive = DicomArchive(dicom_channel(port), commitments)
        assert not archive.keeps(objects)
        assert commitments.report(asked[0])
        assert archive.keeps(objects)

    assert len(asked) == 1


def test_a_report_that_nobody_asked_for_is_not_believed() -> None:
    commitments, said = Commitments(), Dataset()
    said.TransactionUID = "1.2.3"
    said.ReferencedSOPSequence = []

    assert not commitments.report(said)
    assert commitments.said_of(["1.2"], 0.0) == [None]


def test_who_is_asked_for_no_commitment_keeps_what_it_took(objects: list[Dataset]) -> None:
    channel = dicom_channel(free_port(), commitment=False)

    assert DicomArchive(channel, Commitments()).keeps(objects)


def test_tls_is_verified_and_a_stranger_is_sent_nothing(
    tmp_path: Path, objects: list[Dataset]
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.make()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with pacs(ssl_context=context) as port:
        known = dicom_channel(port, tls=True, tls_ca=authority.ca)
        DicomArchive(known, Commitments()).send(objects)
        with pytest.raises(ArchiveUnreachable):
            DicomArchive(dicom_channel(port, tls=True), Commitments()).send(objects)


@contextmanager
def web(status: int, body: bytes) -> Iterator[DicomWebArchive]:
    """A DICOMweb server that answers everything alike."""

    with Web(status, body).listening() as address:
        url = f"{address}/dicom-web"
        yield DicomWebArchive(DicomWebChannel(name="web", url=url))


def stow_answer(stored: list[Dataset], failed: list[Dataset]) -> bytes:
    def items(some: list[Dataset], **more: Any) -> dict[str, Any]:
        named = [{"00081155": {"Value": [str(one.SOPInstanceUID)]}, **more} for one in some]
        return {"vr": "SQ", "Value": named}

    because = {"00081197": {"Value": [272]}}
    return json.dumps({"00081199": items(stored), "00081198": items(failed, **because)}).encode()


def test_a_200_without_the_objects_is_a_refusal(objects: list[Dataset]) -> None:
    with web(200, b"{}") as archive, pytest.raises(ArchiveRefused, match="refused 5 of 5"):
        archive.send(objects)


def test_what_the_answer_names_as_failed_is_told_with_its_reason(objects: list[Dataset]) -> None:
    answer = stow_answer(objects[:4], objects[4:])
    with web(202, answer) as archive, pytest.raises(ArchiveRefused) as refused:
        archive.send(objects)

    assert english(refused.value.reason) == (
        "web refused 1 of 5 objects: Basic Text SR Storage: failure reason 272"
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ArchiveRefused),
        (401, ArchiveRefused),
        (413, ArchiveRefused),
        (503, ArchiveUnreachable),
    ],
)
def test_an_http_error_is_told_with_how_the_answer_begins(
    status: int, error: type[Exception], objects: list[Dataset]
) -> None:
    with web(status, b"no room\n left") as archive, pytest.raises(error, match="no room left"):
        archive.send(objects)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[1]", b'{"00081199": null}', b"\xff"])
def test_nonsense_is_no_receipt(body: bytes, objects: list[Dataset]) -> None:
    with web(200, body) as archive, pytest.raises(ArchiveRefused, match="not in the answer"):
        archive.send(objects)
