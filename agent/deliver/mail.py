"""Results by e-mail, through a mail server of the site's."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from agent.deliver.channel import refused, tls_context, unreachable
from agent.deliver.result import (
    ANSWERS_IN_WORDS,
    StoredResult,
    derived_uuid,
    finding_lines,
    impression_lines,
)
from agent.deliver.settings import EmailChannel
from agent.deliver.site_text import SiteText
from agent.deliver.trial import is_trial, trial_result

LAST_DIGITS: Final = 8
"""The study is named by so many digits at its UID's end: enough to find it on the page. Ours."""

FOR_GOOD: Final = 500
"""From this reply code on a server refuses for good. Source: RFC 5321, 4.2.1."""


class MailServer:
    """One mail server, with a session for each result."""

    def __init__(self, settings: EmailChannel) -> None:
        """Send through the server of the settings; ConfigError where its template is wrong."""
        self._settings = settings
        identified = settings.identified
        self._own_text = SiteText(settings, identified=identified) if settings.template else None

    def greet(self) -> None:
        """Connect, and sign in where a user is named. See ``Channel``."""
        with self._session():
            pass

    def letter(self, result: StoredResult) -> EmailMessage:
        """Write the mail of a result; its Message-ID is the same each time. See ``Channel``."""
        settings, report = self._settings, result.report
        parts = ("email", settings.name, report.result_id, str(report.revision))
        mail = EmailMessage()
        mail["From"], mail["To"] = settings.sender, ", ".join(settings.recipients)
        if self._own_text:
            subject, _, text = self._own_text.of(result).partition("\n")
        else:
            subject = "a test" if is_trial(result) else ANSWERS_IN_WORDS[report.state]
            subject, text = f"Bleedwatch: {subject}", self._our_text(result)
        mail["Subject"] = subject
        mail["Date"] = format_datetime(result.at)
        mail["Message-ID"] = f"<{derived_uuid(*parts).hex}@bleedwatch.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{text}\n", cte="quoted-printable")  # any server takes it
        return mail

    def _our_text(self, result: StoredResult) -> str:
        report, identity = result.report, result.identity
        lines = [*impression_lines(result), "", *finding_lines(result), ""]
        lines += [f"Study UID ending in {report.study_uid[-LAST_DIGITS:]}"]
        if self._settings.identified:
            lines += [
                f"Patient: {identity.patient_name}, {identity.patient_id}, {identity.birth_date}",
                f"Accession number: {identity.accession}",
                f"Study UID: {report.study_uid}",
            ]
        return "\n".join("".join(filter(str.isprintable, one)) for one in lines)

    def trial(self, study_uid: str, at: datetime) -> EmailMessage:
        """Write a test of nobody. See ``Channel``."""
        return self.letter(trial_result(study_uid, at))

    def send(self, letter: EmailMessage) -> None:
        """Have the server take the mail for every recipient, or for none. See ``Channel``."""
        settings = self._settings
        with self._session() as session:
            session.ehlo_or_helo_if_needed()
            self._check(*session.mail(settings.sender))
            for recipient in settings.recipients:
                self._check(*session.rcpt(recipient))
            self._check(*session.data(letter.as_bytes(policy=letter.policy.clone(linesep="\r\n"))))

    def keeps(self, letter: EmailMessage) -> bool:
        """Hold what the server took to be on its way: there is nobody else to ask."""
        return "Message-ID" in letter

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Hold a session, over TLS from its beginning or from STARTTLS on, and signed in."""
        settings, timeout_s = self._settings, self._settings.timeout_s
        try:
            if settings.security == "tls":
                context = tls_context(settings)
                session: smtplib.SMTP = smtplib.SMTP_SSL(
                    settings.host, settings.port, timeout=timeout_s, context=context
                )
            else:
                session = smtplib.SMTP(settings.host, settings.port, timeout=timeout_s)
            with session:
                if settings.security == "starttls":
                    session.starttls(context=tls_context(settings))
                if settings.user and settings.password_file:
                    password = settings.password_file.read_text(encoding="utf-8").strip()
                    session.login(settings.user, password)
                yield session
        except smtplib.SMTPResponseException as error:
            raise unreachable(self._settings, _words(error.smtp_code, error.smtp_error)) from error
        except (OSError, smtplib.SMTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise unreachable(self._settings, why) from error

    def _check(self, code: int, said: bytes) -> None:
        """Make sure that the server goes along; it refuses for now, or for good."""
        if code >= FOR_GOOD:
            raise refused(self._settings, _words(code, said))
        if code >= 400:  # noqa: PLR2004
            raise unreachable(self._settings, _words(code, said))


def _words(code: int, said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())[:200]}"
