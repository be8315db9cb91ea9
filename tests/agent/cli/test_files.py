"""``bleedwatch files``: which files came, and why one is no slice."""

from __future__ import annotations

import json

import pytest

from agent.reasons import Reason
from agent.store.effects import NoteFile
from agent.store.rows import FileNote
from tests.agent.cli.conftest import Call
from tests.agent.stored import Store

READ, CUT, STRANGE = "/export/1.dcm", "/export/[2].dcm", "/export/\udcff.txt"


@pytest.fixture(autouse=True)
def folder(store: Store) -> None:
    """A slice, a file of its series that is cut, and one that is no image, in that order."""
    refusals = {READ: None, CUT: Reason("header_cut"), STRANGE: Reason("not_dicom")}
    for k, (path, refusal) in enumerate(refusals.items()):
        series_uid = None if path == STRANGE else "1.2.3.4"
        sop_uid = "1.2.3.4.1" if path == READ else None
        note = FileNote(path, 1000, (1 + k) * 10**9, series_uid, sop_uid, refusal, settled=True)
        store.agent.commit([NoteFile(note)])


def listed(call: Call, *words: object) -> list[tuple[str, str | None, str | None]]:
    files = json.loads(call("files", "--json", *words).stdout)["files"]
    return [
        (one["path"], one["series_uid"], one["refused"] and one["refused"]["code"]) for one in files
    ]


def test_files_are_listed_with_the_last_one_first(call: Call) -> None:
    assert listed(call) == [
        ("/export/\\udcff.txt", None, "not_dicom"),
        (CUT, "1.2.3.4", "header_cut"),
        (READ, "1.2.3.4", None),
    ]
    assert listed(call, "--limit", 1) == [("/export/\\udcff.txt", None, "not_dicom")]


def test_refused_files_are_listed_alone_with_what_to_do(call: Call) -> None:
    text = call("files", "--refused").stdout

    assert READ not in text
    assert CUT in text
    assert "of series 1.2.3.4" in text
    assert "→" in text
    assert [code for _, _, code in listed(call, "--refused")] == ["not_dicom", "header_cut"]
