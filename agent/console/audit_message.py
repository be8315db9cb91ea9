"""One line of the audit log: an AuditMessage after DICOM PS3.15 A.5 in an RFC 5424 frame.

It departs from the standard in one point: it does not name the patient, as no log of Bleedwatch
does. Whoever has the PACS finds the patient by the study UID.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

from agent.console.authorization import Principal

PRI: Final = 85
"""Facility 10 (security), severity 5 (normal but significant). Source: DICOM PS3.15 A.6."""

MSGID: Final = "DICOM+RFC3881"
"""Source: DICOM PS3.15 A.6."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value, its meaning, and its coding scheme."""

    value: str
    meaning: str
    system: str = "DCM"


ACTIVITY: Final = Code("110100", "Application Activity")
ACCESSED: Final = Code("110103", "DICOM Instances Accessed")
TRANSFERRED: Final = Code("110104", "DICOM Instances Transferred")
EXPORT: Final = Code("110106", "Export")
PROCEDURE: Final = Code("110111", "Procedure Record")
ALERT: Final = Code("110113", "Security Alert")
AUTHENTICATION: Final = Code("110114", "User Authentication")
"""Events. Source: DICOM PS3.16 CID 400."""

START: Final = Code("110120", "Application Start")
STOP: Final = Code("110121", "Application Stop")
LOGIN: Final = Code("110122", "Login")
LOGOUT: Final = Code("110123", "Logout")
USER_CHANGED: Final = Code("110137", "User Security Attributes Changed")
"""Types of events. Source: DICOM PS3.16 CID 401 and 403."""

APPLICATION: Final = Code("110150", "Application")
"""A participant's role. Source: DICOM PS3.16 CID 402."""

STUDY: Final = Code("110180", "Study Instance UID")
NODE: Final = Code("110182", "Node ID")
USER: Final = Code("11", "User Identifier", "RFC-3881")
"""What an object is named by. Source: DICOM PS3.16 CID 404, PS3.15 A.5.1.2.4."""

REPORT, SECURITY_RESOURCE = "3", "13"
"""Roles of an object. Source: DICOM PS3.15 A.5.1.2.2."""

CREATE, READ, UPDATE, EXECUTE = "C", "R", "U", "E"
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
"""Actions and outcomes. Source: DICOM PS3.15 A.5.1."""


def our_code(word: str) -> Code:
    """Code a role or an action in a private coding scheme. Source of "99": DICOM PS3.3, 8.2."""
    return Code(word, word.replace("-", " ").capitalize(), "99BLEEDWATCH")


@dataclass(frozen=True, slots=True)
class AuditedObject:
    """What an event is about: a study or, in a security alert, a user or a computer."""

    named_by: Code
    uid: str
    name: str
    role: str
    alert: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, and to what."""

    family: Code
    kind: Code
    action: str
    outcome: str = SUCCESS
    subject: AuditedObject | None = None


def audit_line(event: Event, principal: Principal, at_utc: datetime, host: str, pid: int) -> str:
    """Format an event as one line of ASCII, whatever characters its names hold."""
    root = ET.Element("AuditMessage")
    _identify(root, event, at_utc)
    _participate(root, principal)
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=host)
    if event.subject:
        _object(root, event.subject)
    message = ET.tostring(root, encoding="us-ascii", xml_declaration=False).decode("ascii")
    moment = at_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"<{PRI}>1 {moment} {host} bleedwatch {pid} {MSGID} - {message}\n"


def _identify(root: ET.Element, event: Event, at_utc: datetime) -> None:
    node = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=at_utc.isoformat(),
        EventOutcomeIndicator=event.outcome,
    )
    _coded(node, "EventID", event.family)
    _coded(node, "EventTypeCode", event.kind)


def _participate(root: ET.Element, principal: Principal) -> None:
    node = ET.SubElement(
        root, "ActiveParticipant", UserID=_clean(principal.user or "kiosk"), UserIsRequestor="true"
    )
    if principal.address:
        node.set("NetworkAccessPointID", _clean(principal.address))
        node.set("NetworkAccessPointTypeCode", "2")
    if principal.role:
        role = APPLICATION if principal.role == "application" else our_code(principal.role)
        _coded(node, "RoleIDCode", role)


def _object(root: ET.Element, subject: AuditedObject) -> None:
    node = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(subject.uid),
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole=subject.role,
    )
    _coded(node, "ParticipantObjectIDTypeCode", subject.named_by)
    ET.SubElement(node, "ParticipantObjectName").text = _clean(subject.name)
    if subject.alert:
        value = base64.b64encode(subject.alert.encode()).decode("ascii")
        ET.SubElement(node, "ParticipantObjectDetail", type="Alert Description", value=value)


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    values = {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning}
    ET.SubElement(parent, name, values)


def _clean(text: str) -> str:
    """Replace what XML cannot hold, and what would end the line."""
    return "".join(c if c.isprintable() else "?" for c in text)
