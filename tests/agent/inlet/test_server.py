"""agent.inlet.server: DCMTK and pynetdicom call it, as they should and as they should not."""

from __future__ import annotations

import socket
import ssl
import struct
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)
from pynetdicom import AE, Association

from agent.errors import ConfigError
from agent.reasons import english
from tests.agent.certificates import Authority
from tests.agent.inlet.dcmtk import LIMITS, Inlet, dcmtk, inlet_in
from tests.agent.inlet.peer import Line, Peer, encoded_slice
from tests.phantoms import slice_dataset, write_series
from tests.program import until

ECHO = "1.2.840.10008.1.1"


@pytest.fixture(scope="module")
def inlet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inlet]:
    senders = ("CT1@127.0.0.0/8", "ELSEWHERE@192.0.2.1")
    with inlet_in(tmp_path_factory.mktemp("inlet"), *senders) as inlet:
        yield inlet


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("made") / "ct", 6)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_inlet(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Inlet]:
    certificate, key = authority.make("inlet")
    with inlet_in(
        tmp_path_factory.mktemp("tls"),
        tls_certificate=certificate,
        tls_key=key,
        tls_senders=authority.ca,
    ) as inlet:
        yield inlet


def calling(
    inlet: Inlet, *sop_classes: str, syntax: str = ExplicitVRLittleEndian, title: str = "CT1"
) -> Association:
    """Ask for an association by pynetdicom."""
    entity = AE(title)
    for sop_class in sop_classes or (CTImageStorage,):
        entity.add_requested_context(sop_class, syntax)
    return entity.associate("127.0.0.1", inlet.settings.port, ae_title="BLEEDWATCH")


def sent(association: Association, image: Dataset) -> Dataset:
    """Store an image; returns what was answered."""
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    try:
        return association.send_c_store(image)
    finally:
        association.release()


class TestDcmtk:
    def test_echo_is_answered(self, inlet: Inlet) -> None:
        assert dcmtk("echoscu", *inlet.calls()).returncode == 0

    def test_a_series_lies_in_the_folder_as_it_was_sent(
        self, inlet: Inlet, series: list[Path]
    ) -> None:
        assert dcmtk("storescu", "--required", *inlet.calls(), *series).returncode == 0

        for path in series:
            image = pydicom.dcmread(path)
            until(lambda name=f"{image.SOPInstanceUID}.dcm": name in inlet.files())
            received = pydicom.dcmread(
                next(inlet.settings.folder.glob(f"*/{image.SOPInstanceUID}.dcm"))
            )
            assert received == image
            assert received.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
        told = f"{len(series)} images from CT1"
        until(lambda: inlet.audit_path.exists() and told in inlet.audit_path.read_text())
        assert 'csd-code="110104"' in inlet.audit_path.read_text()

    @pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1, ExplicitVRLittleEndian])
    def test_images_come_in_the_transfer_syntax_that_they_are_in(
        self, inlet: Inlet, tmp_path: Path, syntax: str
    ) -> None:
        (path,) = write_series(tmp_path, 1, seed=hash(syntax) % 1000, transfer_syntax=syntax)

        assert dcmtk("dcmsend", *inlet.calls(), path).returncode == 0

        name = f"{pydicom.dcmread(path).SOPInstanceUID}.dcm"
        until(lambda: name in inlet.files())
        received = pydicom.dcmread(next(inlet.settings.folder.glob(f"*/{name}")))
        assert received.file_meta.TransferSyntaxUID == syntax
        assert received.PixelData == pydicom.dcmread(path).PixelData

    @pytest.mark.parametrize(
        ("called", "title", "said"),
        [
            ("ANOTHER", "CT1", "Called AE Title Not Recognized"),
            ("BLEEDWATCH", "CT2", "Calling AE Title Not Recognized"),
            ("BLEEDWATCH", "ELSEWHERE", "Calling AE Title Not Recognized"),
            ("BLEEDWATCH", "'; DROP--", "Calling AE Title Not Recognized"),
        ],
        ids=["called", "calling", "from-elsewhere", "sql"],
    )
    def test_a_wrong_ae_title_is_rejected_by_name(
        self, inlet: Inlet, series: list[Path], called: str, title: str, said: str
    ) -> None:
        refused = dcmtk("storescu", "-v", *inlet.calls(called, title), series[0])

        assert refused.returncode != 0
        assert said in refused.stdout + refused.stderr
        told = inlet.told.entries[-1]
        assert told["event"] in ("inlet_sender_unknown", "inlet_called_otherwise")
        assert told["calling"] == title

    def test_an_ae_title_that_would_write_to_a_terminal_is_aborted_and_not_logged(
        self, inlet: Inlet, series: list[Path]
    ) -> None:
        refused = dcmtk("storescu", *inlet.calls(calling="\x1b[31mCT1"), series[0])

        assert refused.returncode != 0
        assert "inlet_protocol_error" in inlet.events()
        assert "\x1b" not in str(inlet.told.entries)

    def test_objects_that_are_no_images_are_refused_and_the_images_beside_them_taken(
        self, inlet: Inlet, tmp_path: Path
    ) -> None:
        made = write_series(
            tmp_path, 2, seed=11, SOPClassUID=lambda k: (EnhancedSRStorage, CTImageStorage)[k]
        )

        sending = dcmtk("storescu", "-v", "--no-halt", "-xe", *inlet.calls(), *made)

        name = f"{pydicom.dcmread(made[1]).SOPInstanceUID}.dcm"
        until(lambda: name in inlet.files())
        assert f"{pydicom.dcmread(made[0]).SOPInstanceUID}.dcm" not in inlet.files()
        assert "Refused: SOPClassNotSupported" in sending.stdout + sending.stderr


class TestRefused:
    @pytest.mark.parametrize(
        ("tags", "status"),
        [
            ({"SOPInstanceUID": "../../../tmp/x"}, 0x0117),
            ({"SOPInstanceUID": "1.2.3\n4"}, 0x0117),
            ({"PixelData": bytes(2 * 2**20)}, 0xA700),
        ],
        ids=["path", "newline", "too-large"],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_bad_objects_are_refused_by_their_status(
        self, inlet: Inlet, tags: dict[str, object], status: int
    ) -> None:
        before = inlet.files().keys()

        answer = sent(calling(inlet), slice_dataset(seed=21, **tags))

        assert answer.Status == status
        assert answer.ErrorComment
        assert inlet.files().keys() == before

    def test_an_object_under_another_ones_uid_does_not_take_its_place(
        self, inlet: Inlet, series: list[Path]
    ) -> None:
        dcmtk("storescu", *inlet.calls(), series[0])
        victim = str(pydicom.dcmread(series[0]).SOPInstanceUID)
        until(lambda: f"{victim}.dcm" in inlet.files())
        before = inlet.files()[f"{victim}.dcm"]

        with Peer(inlet) as peer:
            peer.store(victim, encoded_slice(seed=31))
            assert peer.status() == 0xA900

        assert inlet.files()[f"{victim}.dcm"] == before

    def test_an_object_without_end_is_bounded_while_it_comes_and_refused_by_its_status(
        self, inlet: Inlet
    ) -> None:
        with Peer(inlet) as peer:
            peer.command("1.2.3")
            for _ in range(200):
                peer.piece(bytes(100_000), last=False)
            peer.piece(bytes(10), last=True)
            assert peer.status() == 0xA700

            peer.store("1.2.9", encoded_slice(seed=32, SOPInstanceUID="1.2.9"))
            assert peer.status() == 0

        until(lambda: "1.2.9.dcm" in inlet.files())
        assert "1.2.3.dcm" not in inlet.files()

    def test_a_command_without_end_ends_its_association(self, inlet: Inlet) -> None:
        n_told = len(inlet.told.entries)
        with Peer(inlet) as peer:
            with suppress(ConnectionError):
                for _ in range(100):
                    peer.piece(bytes(100_000), last=False, command=True)
            assert peer.is_closed()

        assert "inlet_association_lost" in inlet.events()[n_told:]
        assert dcmtk("echoscu", *inlet.calls()).returncode == 0

    def test_a_pdu_of_four_gigabytes_is_not_read(self, inlet: Inlet) -> None:
        with Peer(inlet) as peer:
            peer.socket.sendall(struct.pack(">BBL", 4, 0, 2**32 - 1))
            peer.socket.sendall(bytes(1000))

            assert peer.is_closed()

    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\x01"])
    def test_what_is_no_dicom_at_all_is_hung_up_on(self, inlet: Inlet, garbage: bytes) -> None:
        with socket.create_connection(("127.0.0.1", inlet.settings.port)) as line:
            line.sendall(garbage)
            line.shutdown(socket.SHUT_WR)
            line.settimeout(20)
            with suppress(ConnectionResetError):
                while line.recv(100):
                    pass

        assert dcmtk("echoscu", *inlet.calls()).returncode == 0

    def test_an_association_lost_amid_a_pdu_leaves_nothing_and_holds_nothing(
        self, inlet: Inlet
    ) -> None:
        before, n_told = inlet.files().keys(), len(inlet.told.entries)
        with Peer(inlet) as peer:
            peer.command("1.2.4")
            peer.piece(bytes(50_000), last=False)
            peer.socket.sendall(struct.pack(">BBL", 4, 0, 5000) + bytes(100))

        until(lambda: "inlet_association_lost" in inlet.events()[n_told:])
        assert inlet.files().keys() == before
        assert not [*inlet.settings.folder.rglob("*.inlet-part")]

    def test_what_is_said_of_a_refusal_names_no_patient(self, inlet: Inlet) -> None:
        sent(calling(inlet, EnhancedSRStorage), slice_dataset(SOPClassUID=EnhancedSRStorage))

        assert "Müller" not in str(inlet.told.entries)
        assert "object_of_other_kind" in str(inlet.told.entries)

    @pytest.mark.filterwarnings("ignore")
    def test_images_that_were_refused_are_noticed_once_for_each_reason_and_reports_are_not(
        self, tmp_path: Path
    ) -> None:
        with inlet_in(tmp_path) as inlet, Peer(inlet) as peer:
            for sop_uid in ("1.2.3", "1.2.4", "..", "1.2.5"):
                peer.store(sop_uid, encoded_slice())
                peer.status()
            sent(calling(inlet, EnhancedSRStorage), slice_dataset(SOPClassUID=EnhancedSRStorage))
            peer.socket.close()
            until(lambda: len(inlet.noticed) == 2)

        noticed = "\n".join(map(english, inlet.noticed))
        assert "CT1 sent were not received (3): an image has other UIDs than" in noticed
        assert "CT1 sent were not received (1): an image has a UID that is none" in noticed


class TestBounds:
    def test_one_association_too_many_is_rejected_and_another_time_accepted(
        self, tmp_path: Path
    ) -> None:
        with inlet_in(tmp_path, limits=replace(LIMITS, associations=2)) as inlet:
            two = [calling(inlet, ECHO) for _ in range(2)]
            refused = dcmtk("echoscu", "-v", *inlet.calls())
            for association in two:
                association.release()

            assert "Local Limit Exceeded" in refused.stdout + refused.stderr
            until(lambda: dcmtk("echoscu", *inlet.calls()).returncode == 0)

    @pytest.mark.slow
    def test_connections_on_which_nothing_is_asked_for_are_bounded_too(
        self, tmp_path: Path
    ) -> None:
        with inlet_in(tmp_path, limits=replace(LIMITS, associations=1)) as inlet:
            lines = [socket.create_connection(("127.0.0.1", inlet.settings.port)) for _ in range(9)]
            until(lambda: "inlet_connections_taken" in _with_one_more(inlet))
            for line in lines:
                line.close()

            until(lambda: dcmtk("echoscu", *inlet.calls()).returncode == 0)

    def test_an_address_that_is_not_listed_gets_no_word(self, tmp_path: Path) -> None:
        with inlet_in(tmp_path, "CT1@192.0.2.1") as inlet:
            with Line(inlet) as line:
                assert line.is_closed()

            assert inlet.events() == ["inlet_address_unknown"]

    @pytest.mark.filterwarnings("ignore")
    def test_a_command_that_makes_no_sense_takes_nobodys_place(self, tmp_path: Path) -> None:
        """pynetdicom's reading thread dies of it, and no event tells that the association ended."""
        with inlet_in(tmp_path, limits=replace(LIMITS, associations=1)) as inlet:
            for _ in range(2):
                until(lambda: dcmtk("echoscu", *inlet.calls()).returncode == 0)
                with Peer(inlet) as peer:
                    peer.piece(struct.pack("<HHLL", 0, 0, 4, 0), last=True, command=True)
                    assert peer.is_closed()

            until(lambda: dcmtk("echoscu", *inlet.calls()).returncode == 0)

    def test_objects_of_several_senders_share_the_memory(self, tmp_path: Path) -> None:
        limits = replace(LIMITS, arriving_bytes=250_000)
        with inlet_in(tmp_path, limits=limits) as inlet, Peer(inlet) as one, Peer(inlet) as other:
            until(lambda: 0xA700 in _answers_to(one, other))

    def test_a_sender_that_waits_for_no_answer_is_bounded_too(self, tmp_path: Path) -> None:
        limits = replace(LIMITS, arriving_bytes=250_000)
        content = encoded_slice(seed=41, SOPInstanceUID="1.2.3")
        with inlet_in(tmp_path, limits=limits) as inlet, Peer(inlet) as peer:
            for _ in range(100):
                peer.store("1.2.3", content)
            answers = {peer.status() for _ in range(100)}

        assert answers <= {0, 0xA700}
        assert 0 in answers


class TestTls:
    def test_a_sender_with_a_certificate_of_the_authority_is_served(
        self, tls_inlet: Inlet, authority: Authority, series: list[Path]
    ) -> None:
        certificate, key = authority.make("ct1")
        tls = ("+tls", key, certificate, "+cf", authority.ca)

        sending = dcmtk("storescu", *tls, *tls_inlet.calls(), *series)

        assert sending.returncode == 0, sending.stderr
        until(lambda: len(tls_inlet.files()) == len(series))

    @pytest.mark.parametrize("how", ["plain", "anonymous", "of another authority"])
    def test_any_other_sender_is_not(
        self, tls_inlet: Inlet, authority: Authority, how: str, tmp_path: Path
    ) -> None:
        stranger = Authority(tmp_path).make("ct1")
        tls = {
            "plain": (),
            "anonymous": ("+tla", "+cf", authority.ca),
            "of another authority": ("+tls", stranger[1], stranger[0], "+cf", authority.ca),
        }

        assert dcmtk("echoscu", *tls[how], *tls_inlet.calls()).returncode != 0

    def test_one_that_does_not_shake_hands_keeps_nobody_waiting(
        self, tls_inlet: Inlet, authority: Authority
    ) -> None:
        certificate, key = authority.make("ct1")
        with Line(tls_inlet):
            echo = dcmtk(
                "echoscu", "+tls", key, certificate, "+cf", authority.ca, *tls_inlet.calls()
            )

        assert echo.returncode == 0

    def test_old_versions_of_tls_are_not_spoken(self, tls_inlet: Inlet) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-SHA256")  # no forward secrecy

        with Line(tls_inlet) as line, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(line.socket)

    def test_the_senders_authorities_need_a_certificate_of_the_inlets_own(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        assert refusal(tmp_path, tls_senders=authority.ca) == "tls_senders_without_certificate"

    def test_an_expired_certificate_is_not_served(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        certificate, key = authority.make("old", begins=timedelta(-9), ends=timedelta(-1))

        found = refusal(tmp_path, tls_certificate=certificate, tls_key=key)

        assert found == "certificate_expired"

    def test_authorities_that_are_none_are_one_line(
        self, tmp_path: Path, authority: Authority
    ) -> None:
        certificate, key = authority.make("own")

        found = refusal(tmp_path, tls_certificate=certificate, tls_key=key, tls_senders=key)

        assert found == "tls_senders_unusable"


class TestStart:
    def test_without_senders_it_does_not_start(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, senders=()) == "inlet_off"

    @pytest.mark.parametrize("setting", ["port", "metrics_port"])
    def test_a_port_that_is_taken_is_told(self, tmp_path: Path, setting: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            assert refusal(tmp_path, **{setting: port}) == "inlet_address_in_use"

    def test_an_address_of_another_computer_is_told(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, host="192.0.2.1") == "inlet_address_unfit"

    def test_monitoring_counts_what_came_of_objects_without_naming_any(
        self, inlet: Inlet, series: list[Path]
    ) -> None:
        dcmtk("storescu", *inlet.calls(), series[0])
        dcmtk("storescu", *inlet.calls("ANOTHER"), series[0])

        address = f"http://127.0.0.1:{inlet.settings.metrics_port}/metrics"
        with urllib.request.urlopen(address) as answer:
            metrics = answer.read().decode()

        assert 'bleedwatch_inlet_objects_total{outcome="stored"}' in metrics
        assert 'bleedwatch_inlet_associations_total{outcome="rejected"}' in metrics
        assert str(pydicom.dcmread(series[0]).SOPInstanceUID) not in metrics
        assert "CT1" not in metrics


def refusal(tmp_path: Path, **changes: object) -> str:
    """Return the code of why an inlet does not start."""
    with pytest.raises(ConfigError) as refused, inlet_in(tmp_path, **changes):
        pass
    return refused.value.reason.code


def _with_one_more(inlet: Inlet) -> list[str]:
    with Line(inlet):
        return inlet.events()


def _answers_to(one: Peer, other: Peer) -> tuple[int, int]:
    """Have one send an object while another's is half sent: which is refused is the chance's."""
    one.command("1.2.3")
    one.piece(bytes(200_000), last=False)
    other.store("1.2.9", encoded_slice(seed=33, SOPInstanceUID="1.2.9", PixelData=bytes(100_000)))
    answer = other.status()
    one.piece(bytes(2), last=True)
    return one.status(), answer
