"""agent.deliver.hl7: what a receiver over MLLP is sent, and what its answers are taken for."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message as ReadMessage
from hl7apy.parser import parse_message

from agent.deliver.hl7 import BEGIN, END, Hl7Receiver
from agent.deliver.hl7_message import acknowledgement_of, control_id, escaped, oru
from agent.deliver.result import StoredResult
from agent.deliver.settings import Hl7Channel
from agent.errors import ArchiveRefused, ArchiveUnreachable
from agent.reasons import english
from tests.agent.certificates import Authority
from tests.agent.deliver.results import stored_result
from tests.agent.doctor.scratch import free_port

CHINESE = "Wang^XiaoDong=王^小東="


def settings(port: int = 2575, **changes: Any) -> Hl7Channel:
    values = {"name": "ris", "host": "127.0.0.1", "port": port, "timeout_s": 5.0}
    return Hl7Channel.model_validate(values | changes)


def acknowledgement(
    message: str, code: str = "AA", of: str | None = None, words: str = ""
) -> bytes:
    control = message.split("|")[9] if of is None else of
    text = f"MSH|^~\\&|RIS||BLEEDWATCH||20261130||ACK|1|P|2.5.1\rMSA|{code}|{control}|{words}\r"
    return BEGIN + text.encode() + END


@dataclass
class Mllp:
    """A receiver that answers each message as ``answer`` says, None by closing the connection.

    ``fed`` are the messages as they came. One that asks for ``hangs`` waits instead of answering.
    """

    answer: Callable[[str], bytes | None] = acknowledgement
    hangs: bool = False
    reads: bool = True
    context: ssl.SSLContext | None = None
    fed: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[int]:
        self.ended = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.05)
            thread = threading.Thread(target=self._serve, args=(server,))
            thread.start()
            try:
                yield server.getsockname()[1]
            finally:
                self.ended.set()
                thread.join()

    def _serve(self, server: socket.socket) -> None:
        while not self.ended.is_set():
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(5.0)
                    if self.context:
                        with self.context.wrap_socket(connection, server_side=True) as secured:
                            self._converse(secured)
                    else:
                        self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        if not self.reads:
            return
        read = b""
        while not read.endswith(END):
            piece = connection.recv(65536)
            if not piece:
                return
            read += piece
        assert read.startswith(BEGIN)
        self.fed.append(read[1:-2].decode())
        answer = self.answer(self.fed[-1])
        if answer is not None:
            connection.sendall(answer)
        if self.hangs:
            connection.recv(1)  # until the sender is gone


def receiver(port: int, **changes: Any) -> Hl7Receiver:
    return Hl7Receiver(settings(port, **changes))


def sent(mllp: Mllp, result: StoredResult | None = None, **changes: Any) -> list[str]:
    with mllp.listening() as port:
        channel = receiver(port, **changes)
        letter = channel.letter(result or stored_result())
        channel.send(letter)
        assert channel.keeps(letter)
    return mllp.fed


def read(message: str) -> ReadMessage:
    """Have another library read and validate a message."""
    parsed = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    parsed.validate()
    return parsed


def fields(message: str, name: str) -> list[list[str]]:
    return [one.split("|") for one in message.split("\r") if one.startswith(f"{name}|")]


def observed(message: str, code: str, sub_id: str = "") -> str:
    (one,) = (
        obx for obx in fields(message, "OBX")
        if obx[3].startswith(f"{code}^") and obx[4] == sub_id and obx[2] != "TX"
    )  # fmt: skip
    return one[5]


def test_a_suspicion_is_a_valid_preliminary_result() -> None:
    (message,) = sent(Mllp())

    parsed = read(message)
    assert parsed.msh.msh_9.to_er7() == "ORU^R01^ORU_R01"
    assert parsed.msh.msh_18.to_er7() == "UNICODE UTF-8"
    order = parsed.oru_r01_patient_result.oru_r01_order_observation
    assert order.obr.obr_3.to_er7() == order.obr.obr_18.to_er7() == "A1"
    assert order.obr.obr_4.to_er7() == "24725-4^Head CT^LN"
    assert order.obr.obr_7.to_er7() == "20261130082000"
    assert order.obr.obr_25.to_er7() == "P"
    statuses = {one.obx.obx_11.to_er7() for one in order.oru_r01_observation}
    assert statuses == {"P"}


def test_findings_are_coded_and_measured_each_under_its_number() -> None:
    (message,) = sent(Mllp())

    assert observed(message, "answer").startswith("suspected^")
    assert observed(message, "121071", "1") == "35486000^Subdural hemorrhage^SCT"
    assert observed(message, "272741003", "1") == "7771000^Left^SCT"
    assert observed(message, "118565006", "1") == "31.4"
    assert observed(message, "363698007", "2") == "35764002^Brain ventricle^SCT"
    assert observed(message, "118565006", "2") == "4.1"
    lines = [obx[5] for obx in fields(message, "OBX") if obx[2] == "TX"]
    assert "AI result, not for diagnosis" in " ".join(lines)


@pytest.mark.parametrize("state", ["not_suspected", "not_analysed"])
def test_every_answer_is_told_and_none_says_that_there_is_no_bleed(state: str) -> None:
    text = "slices are missing" if state == "not_analysed" else None
    result = stored_result(state=state, findings=(), text=text, total_volume_ml=None)
    (message,) = sent(Mllp(), result)

    read(message)
    assert observed(message, "answer").startswith(state.replace("_", "-"))
    assert "no hemorrhage" not in message.lower()


def test_what_takes_the_place_of_another_is_a_correction_and_takes_findings_back() -> None:
    later = replace(stored_result(predecessor="former", revision=2), n_former_findings=3)
    (message,) = sent(Mllp(), later)

    read(message)
    assert fields(message, "OBR")[0][25] == "C"
    obx = fields(message, "OBX")
    assert {one[11] for one in obx} == {"C", "D"}
    assert [one[4] for one in obx if one[11] == "D"] == ["3"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Müller^Jörg", "Müller^Jörg^^^^^L^A"),
        (CHINESE, "Wang^XiaoDong^^^^^L^A~王^小東^^^^^L^I"),
        ("Doe^Jane^Mary^Dr^Jr", "Doe^Jane^Mary^Jr^Dr^^L^A"),
        ("A|B&C~D", r"A\F\B\T\C\R\D^^^^^^L^A"),
        ("Line\r\nOBX", r"Line\X0D\\X0A\OBX^^^^^^L^A"),
        ("", "^^^^^^U"),
    ],
)  # fmt: skip
def test_a_name_comes_whole_whatever_is_in_it(name: str, written: str) -> None:
    result = stored_result()
    result = replace(result, identity=replace(result.identity, patient_name=name))
    (message,) = sent(Mllp(), result)

    read(message)
    assert fields(message, "PID")[0][5] == written
    assert len(fields(message, "OBR")) == 1


def test_delimiters_and_framing_are_escaped() -> None:
    assert escaped("a|b^c&d~e\\f\x0b\x1c") == r"a\F\b\S\c\T\d\R\e\E\f\X0B\\X1C" + "\\"


def test_the_order_is_raised_where_the_site_wants_it_and_a_bleed_is_suspected() -> None:
    (message,) = sent(Mllp(), priority="stat")
    assert fields(message, "TQ1")[0][9] == "S^Stat^HL70485"
    read(message)

    calm = stored_result(state="not_suspected", findings=())
    assert fields(oru(calm, settings(priority="stat")), "TQ1") == []
    assert fields(oru(stored_result(), settings()), "TQ1") == []


def test_sent_again_it_is_the_same_message_and_another_result_or_channel_another() -> None:
    mllp = Mllp()
    sent(mllp)
    sent(mllp)
    assert mllp.fed[0] == mllp.fed[1]

    result = stored_result()
    ids = {
        control_id(result, "ris"),
        control_id(result, "other"),
        control_id(stored_result(revision=2), "ris"),
        control_id(stored_result(result_id="another"), "ris"),
    }
    assert len(ids) == 4
    assert all(len(one) == 20 for one in ids)


def test_an_acknowledgement_without_its_last_carriage_return_counts() -> None:
    assert len(sent(Mllp(lambda one: acknowledgement(one)[:-1], hangs=True))) == 1


@pytest.mark.parametrize("code", ["AE", "AR", "CE"])
def test_a_refusal_is_told_in_the_receivers_own_words(code: str) -> None:
    def refuse(message: str) -> bytes:
        error = "ERR||PID^1^3|204^Unknown key identifier^HL70357|E||||Patient nicht gefunden\r"
        return acknowledgement(message, code, words="rejected").replace(END, error.encode() + END)

    with pytest.raises(ArchiveRefused) as refused:
        sent(Mllp(refuse))

    said = english(refused.value.reason)
    assert said.startswith(f"ris refused the message: {code} rejected")
    assert "Unknown key identifier" in said
    assert said.endswith("Patient nicht gefunden")


@pytest.mark.parametrize(
    ("answer", "hangs", "why"),
    [
        (lambda _: b"", True, "in time"),
        (lambda one: acknowledgement(one)[:30], True, "in time"),
        (lambda one: acknowledgement(one)[:30], False, "before it had acknowledged"),
        (lambda one: acknowledgement(one, of="another"), False, "another message"),
        (lambda _: BEGIN + b"hello" + END, False, "no acknowledgement"),
        (lambda _: b"x" * 200_000, True, "no whole acknowledgement"),
        (lambda _: None, False, "before it had acknowledged"),
    ],
    ids=["none", "half, then silence", "half, then closed", "of another", "nonsense", "endless",
         "closed"],
)  # fmt: skip
def test_what_acknowledges_nothing_leaves_the_message_to_be_sent_again(
    answer: Callable[[str], bytes | None], hangs: bool, why: str
) -> None:
    with pytest.raises(ArchiveUnreachable, match=why):
        sent(Mllp(answer, hangs=hangs), timeout_s=0.3)


def test_a_connection_lost_amid_the_message_is_told() -> None:
    large = stored_result(caveats=(), text="x" * 2_000_000, state="not_analysed", findings=())

    with pytest.raises(ArchiveUnreachable, match="ris cannot be reached"):
        sent(Mllp(reads=False), large)


def test_nobody_there_is_told() -> None:
    with pytest.raises(ArchiveUnreachable, match="Connection refused"):
        receiver(free_port()).greet()


def test_over_tls_the_receiver_must_show_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(*authority.make("ris"))
    mllp = Mllp(context=own)

    assert len(sent(mllp, tls=True, tls_ca=authority.ca)) == 1
    with pytest.raises(ArchiveUnreachable, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify"):
        sent(mllp, tls=True)
    assert len(mllp.fed) == 1


def test_the_trial_is_marked_as_training_and_names_nobody() -> None:
    mllp = Mllp()
    with mllp.listening() as port:
        channel = receiver(port)
        channel.greet()
        channel.send(channel.trial("2.25.1", stored_result().at))

    (message,) = mllp.fed
    read(message)
    assert fields(message, "MSH")[0][10] == "T"
    assert fields(message, "PID")[0][5].startswith("BLEEDWATCH^TEST")


def test_nonsense_is_no_acknowledgement() -> None:
    for text in ("", "MSH", "MSH|", "MSA|AA|1", "MSH|^~\\&\rMSA", "MSH|^~\\&\rMSA|AA"):
        assert acknowledgement_of(text) is None
