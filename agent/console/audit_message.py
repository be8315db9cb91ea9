"""One line of the audit log: an AuditMessage after DICOM PS3.15 A.5 in an RFC 5424 frame.

It departs from the standard in one thing: no patient is named, as in all of Bleedwatch's logs.
Study and series UIDs lead to the patient for who has the PACS, and tell nothing to anyone else.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET

from agent.console.access import Person

PRI: Final = 85
"""Facility 10 (security), severity 5 (normal but significant). Source: DICOM PS3.15 A.6."""

MSGID: Final = "DICOM+RFC3881"
"""Source: DICOM PS3.15 A.6."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code with its meaning and the system that it is of."""

    value: str
    meaning: str
    system: str = "DCM"


ACTIVITY: Final = Code("110100", "Application Activity")
ACCESSED: Final = Code("110103", "DICOM Instances Accessed")
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

READ, UPDATE, EXECUTE = "R", "U", "E"
SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
"""Actions and outcomes. Source: DICOM PS3.15 A.5.1."""


def our_code(word: str) -> Code:
    """Return a role or an action by a code of our own. Source of "99": DICOM PS3.3, 8.2."""
    return Code(word, word.replace("-", " ").capitalize(), "99BLEEDWATCH")


@dataclass(frozen=True, slots=True)
class Thing:
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
    thing: Thing | None = None


def audit_line(event: Event, person: Person, at_utc: datetime, host: str, pid: int) -> str:
    """Write an event down, in ASCII and on one line, whatever its names hold."""
    root = ET.Element("AuditMessage")
    _identify(root, event, at_utc)
    _participate(root, person)
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=host)
    if event.thing:
        _object(root, event.thing)
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


def _participate(root: ET.Element, person: Person) -> None:
    node = ET.SubElement(
        root, "ActiveParticipant", UserID=_clean(person.user or "kiosk"), UserIsRequestor="true"
    )
    if person.address:
        node.set("NetworkAccessPointID", _clean(person.address))
        node.set("NetworkAccessPointTypeCode", "2")
    if person.role:
        role = APPLICATION if person.role == "application" else our_code(person.role)
        _coded(node, "RoleIDCode", role)


def _object(root: ET.Element, thing: Thing) -> None:
    node = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(thing.uid),
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole=thing.role,
    )
    _coded(node, "ParticipantObjectIDTypeCode", thing.named_by)
    ET.SubElement(node, "ParticipantObjectName").text = _clean(thing.name)
    if thing.alert:
        value = base64.b64encode(thing.alert.encode()).decode("ascii")
        ET.SubElement(node, "ParticipantObjectDetail", type="Alert Description", value=value)


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    values = {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning}
    ET.SubElement(parent, name, values)


def _clean(text: str) -> str:
    """Leave out what XML cannot hold, and what would end a line."""
    return "".join(c if c.isprintable() else "?" for c in text)
