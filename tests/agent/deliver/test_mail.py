"""agent.deliver.mail: a real mail server takes it for all or none, and it identifies nobody."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from agent.deliver.mail import MailServer
from agent.deliver.settings import EmailChannel
from agent.errors import ArchiveRefused, ArchiveUnreachable
from tests.agent.certificates import Authority
from tests.agent.deliver.results import AT, stored_result
from tests.agent.doctor.scratch import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd")


@dataclass
class Post:
    """A mail server's mailbox. ``says`` is what it answers to an address, or to the mail itself."""

    says: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.says.get(address, "250 OK")

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        await asyncio.sleep(float(self.says.get("delay_s", 0)))
        if "data" in self.says:
            return self.says["data"]
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _way: str, data: Any
    ) -> Any:
        self.users.append(f"{data.login.decode()} {data.password.decode()}")
        return AuthResult(success=data.password == b"right", handled=False)

    @contextmanager
    def listening(self, context: ssl.SSLContext | None = None) -> Iterator[int]:
        port = free_port()
        controller = Controller(
            self, hostname="127.0.0.1", port=port, tls_context=context,
            require_starttls=context is not None, authenticator=self.authenticate,
        )  # fmt: skip
        controller.start()
        try:
            yield port
        finally:
            controller.stop()


def channel(port: int, **changes: Any) -> MailServer:
    values = {
        "name": "mail", "host": "127.0.0.1", "port": port, "security": "none", "timeout_s": 5.0,
        "sender": "bleedwatch@hospital.example", "recipients": ["one@hospital.example"],
    }  # fmt: skip
    return MailServer(EmailChannel.model_validate(values | changes))


@contextmanager
def secured(folder: Path, post: Post) -> Iterator[tuple[int, Path]]:
    authority = Authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.make("mail"))
    with post.listening(context) as port:
        yield port, authority.ca


def test_a_suspicion_comes_as_a_mail_that_identifies_nobody() -> None:
    post = Post()
    with post.listening() as port:
        sender = channel(port, recipients=["one@hospital.example", "two@hospital.example"])
        sender.greet()
        for _ in range(2):
            letter = sender.letter(stored_result())
            sender.send(letter)
            assert sender.keeps(letter)

    first, again = post.mails
    assert first["Subject"] == "Bleedwatch: Intracranial hemorrhage suspected"
    assert first["Message-ID"] == again["Message-ID"]
    text = first.get_content()
    assert "Subdural hemorrhage, left frontal: 31.4 mL" in text
    assert "AI result, not for diagnosis" in text
    identity, study = stored_result().identity, stored_result().report.study_uid
    told = first.as_string()
    assert not any(one in told for one in ("ller", "19500101", study))
    assert identity.patient_name == "Müller^Jörg"
    assert first.as_bytes().isascii()


def test_over_starttls_the_patient_is_told_where_the_site_wants_it(tmp_path: Path) -> None:
    password, post = tmp_path / "password", Post()
    password.write_text("right\n")
    with secured(tmp_path, post) as (port, ca):
        secure = {"security": "starttls", "user": "bleed", "password_file": password}
        sender = channel(port, tls_ca=ca, identified=True, **secure)
        sender.send(sender.letter(stored_result()))

        password.write_text("wrong\n")
        with pytest.raises(ArchiveUnreachable, match="535"):
            sender.greet()
        with pytest.raises(ArchiveUnreachable, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
            channel(port, **secure).greet()

    assert "Müller^Jörg" in post.mails[0].get_content()
    assert set(post.users) == {"bleed right", "bleed wrong"}


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ({"two@hospital.example": "550 no such mailbox"}, ArchiveRefused),
        ({"two@hospital.example": "451 greylisted"}, ArchiveUnreachable),
        ({"data": "554 spam"}, ArchiveRefused),
        ({"data": "452 full"}, ArchiveUnreachable),
    ],
)
def test_what_is_refused_is_told_in_the_servers_words_and_nobody_has_it(
    says: dict[str, str], error: type[Exception]
) -> None:
    post, words = Post(says), next(iter(says.values()))
    with post.listening() as port:
        sender = channel(port, recipients=["one@hospital.example", "two@hospital.example"])
        with pytest.raises(error, match=words):
            sender.send(sender.letter(stored_result()))

    assert post.mails == []


def test_no_answer_in_time_and_nobody_there_are_told() -> None:
    with Post({"delay_s": "1"}).listening() as port:
        sender = channel(port, timeout_s=0.2)
        with pytest.raises(ArchiveUnreachable, match="timed out"):
            sender.send(sender.letter(stored_result()))
    with pytest.raises(ArchiveUnreachable, match="Connection refused"):
        channel(free_port()).greet()


@pytest.mark.parametrize(
    "changes",
    [
        {"identified": True},
        {"user": "u", "password_file": "p"},
        {"security": "tls", "user": "u"},
        {"recipients": []},
        {"sender": "a@b\r\nBcc: c@d"},
        {"recipients": ["mÜ@hospital.example"]},
    ],
)
def test_a_setting_that_would_tell_too_much_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        channel(25, **changes)


def test_the_trial_says_to_be_one() -> None:
    mail = channel(25).trial("2.25.1", AT)

    assert mail["Subject"] == "Bleedwatch: a test"
