"""``bleedwatch support-bundle``: all about the box, nothing about a patient."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.doctor import examine
from agent.handover.log_lines import line_facts
from agent.handover.support import MASKED, add_doctor, masked, write_archive
from agent.infer.tensorrt_api import TensorRt
from agent.reasons import Reason, plain
from agent.records import Identity
from agent.store.delivery_store import DeliveryStore
from agent.store.effects import NoteFile
from agent.store.rows import FileNote
from agent.wiring import boot_id, system_clock
from tests.agent.doctor.scratch import Scratch, write_systemctl
from tests.agent.handover.planted import Planted, unpacked
from tests.agent.reports import add_result, not_analysed, receive, recorded, report
from tests.agent.stored import Store
from tests.phantoms import uid, write_series

UID = "1.2.3.4"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    write_systemctl(tmp_path / "bin", None)
    write_journalctl(tmp_path / "bin", [])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return Scratch(tmp_path / "box", 1)


def write_journalctl(folder: Path, messages: list[Any]) -> None:
    """Write a ``journalctl`` that knows these messages, in journald's own JSON."""
    entries = [json.dumps({"MESSAGE": message, "_PID": "99"}) for message in messages]
    entries.append(json.dumps({"MESSAGE": "Started bleedwatch-agent.service.", "_PID": "1"}))
    (folder / "log").write_text("\n".join(entries) + "\n")
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\ncat {folder}/log\n")
    program.chmod(0o755)


def call(monkeypatch: pytest.MonkeyPatch, scratch: Scratch, *words: object) -> int:
    command = ["bleedwatch", "support-bundle", *map(str, words), "--config", str(scratch.config)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def read(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(f"{path.stem}/{name}"))


def plant_store(scratch: Scratch, planted: Planted) -> None:
    """Plant a value in every column that the outside reaches."""
    with Store(scratch.store_path, system_clock) as store:
        for series in (UID, "1.2.3.5"):
            receive(store, system_clock, series)
        told = {
            "text": planted("text"),
            "values": {"found": planted("value")},
            "what_to_do": planted("what to do"),
        }
        add_result(store, not_analysed("1.2.3.5").model_copy(update=told))
        shown = {"axial": planted("picture").encode()}
        add_result(store, report(UID), shown, channels=("console", "ris"))
        deliveries = DeliveryStore(store.database, system_clock)
        why = Reason("message_refused", channel="ris", why=planted("receiver's words"))
        deliveries.failed(deliveries.waiting("ris")[0], why, send_again=True)
        store.console.acknowledge(UID, 1, planted("who"), planted("note"))
        store.console.judge(UID, 1, planted("judge"), planted("verdict"), agrees=False)
        store.console.accounts.add_user(planted("user"), "service", planted("hash"), system_clock())
        (scratch.store_path.parent / "audit.log").write_text(planted("audit log"))
        store.agent.notice("file_refused", recorded(planted("notice")))
        path, refusal = f"/srv/{planted('path')}/1.dcm", recorded(planted("refusal"))
        note = FileNote(path, 1, 1, UID, planted("sop uid"), refusal, settled=True)
        store.agent.commit([NoteFile(note)])
    scratch.beat(
        folder=planted("folder"),
        folder_problem=recorded(planted("folder problem")),
        degraded=recorded(planted("degraded")),
    )
    with closing(sqlite3.connect(scratch.store_path)) as db:
        for column in (*Identity.__dataclass_fields__, "description"):
            db.execute(f"UPDATE series SET {column} = ?", (planted(column),))
        because = json.dumps(plain(recorded(planted("transition"))))
        db.execute("UPDATE transitions SET reason = ?", (because,))
        db.execute("PRAGMA foreign_keys = OFF")
        receive_uid = planted("series uid")
        for table in ("results", "transitions", "outbox"):
            db.execute(
                f"UPDATE {table} SET series_uid = ? WHERE series_uid = '1.2.3.5'", (receive_uid,)
            )
        db.execute("UPDATE series SET uid = ? WHERE uid = '1.2.3.5'", (receive_uid,))
        db.commit()


def planted_log(planted: Planted) -> list[Any]:
    """Lines that hold a value in every field, in an error's words, and in no form at all."""
    at = "2026-11-24T18:00:00.000000Z"
    named = {"reason": planted("log reason"), "name": planted("log name"), "timestamp": at}
    raised = (
        'Traceback (most recent call last):\n  File "/opt/bleedwatch/lib/python3.11/site-packages/'
        'agent/series/intake.py", line 210, in _put_slice\n'
        f'    read("{planted("source line")}")\nValueError: {planted("message")}\n'
        f"{planted('second line')}"
    )
    words = ("event", "level", "state", "code", "completed_by", "series_uid", "timestamp")
    return [
        json.dumps({"event": "concluded", "series_uid": UID, "total_s": 1.5, **named}),
        json.dumps({"event": "taking_in_failed", "exception": raised}, ensure_ascii=False),
        *(json.dumps({"event": "concluded", word: planted(f"log {word}")}) for word in words),
        json.dumps({"event": "concluded", planted("log key"): 1, "total_s": planted("log total")}),
        f"a plain line: {planted('plain line')}",
        [*planted("line that is no text").encode("latin-1")],
    ]


@pytest.mark.slow
def test_no_planted_value_is_in_the_archive_in_any_spelling(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, to = Planted(), tmp_path / "support.zip"
    plant_store(scratch, planted)
    write_journalctl(tmp_path / "bin", planted_log(planted))
    (scratch.export / planted("export folder")).mkdir()

    assert call(monkeypatch, scratch, "--to", to) == 0

    assert len(planted.places) > 30
    assert planted.found_in(unpacked(to)) == []
    assert planted.found_in([scratch.store_path.read_bytes()]) != []


def test_the_archive_tells_what_a_service_engineer_asks_for(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(scratch.store_path, system_clock) as store:
        receive(store, system_clock, UID)
        add_result(store, report(UID, timings_s={"total": 1.5}))
    line = {"event": "concluded", "series_uid": UID, "total_s": 1.5, "revision": 2}
    write_journalctl(tmp_path / "bin", [json.dumps(line), "Segmentation fault"])
    to = tmp_path / "support.zip"

    assert call(monkeypatch, scratch, "--to", to) == 0

    doctor = {line["check"]: line for line in read(to, "doctor.json")}
    assert doctor["bundle"]["text"].startswith("tiny 1, SHA-256 ")
    assert doctor["console"]["mark"] == "wrong"
    (series,) = read(to, "series.json")
    assert series["results"][0]["report"]["state"] == "suspected"
    assert read(to, "timings.json")["total"]["median_s"] == 1.5
    assert read(to, "store.json")["examinations"] == {"suspected": 1}
    assert read(to, "versions.json")["packages"]["pydicom"]
    settings = {one["name"]: one for one in read(to, "config.json")}
    assert settings["infer.bundle"]["value"] == "tiny/1"
    with zipfile.ZipFile(to) as archive:
        logged = archive.read("support/log.jsonl").decode().splitlines()
        contents = archive.read("support/CONTENTS.txt").decode()
    assert list(map(json.loads, logged)) == [
        line,
        {"systemd": "Started bleedwatch-agent.service.", "timestamp": 0},
    ]
    assert "2 lines; 1 of another form than the agent's were left out" in contents
    assert to.stat().st_mode & 0o777 == 0o600


def test_of_an_error_its_kind_and_place_are_told() -> None:
    raised = 'File "/opt/x/lib/python3.11/agent/series/intake.py", line 7, in put\nKeyError: "DOE"'

    told = line_facts(json.dumps({"event": "judging_failed", "exception": raised}))

    assert told["exception"] == {
        "raised": ["KeyError"],
        "at": ["lib/python3.11/agent/series/intake.py:7 put"],
    }


@pytest.mark.parametrize("broken", ["no configuration", "no store", "an older store"])
def test_a_box_that_is_broken_still_tells_of_itself(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    if broken == "no configuration":
        scratch.config.write_text('export_foldr = "/srv"\n')
    elif broken == "no store":
        scratch.store_path.unlink()
    else:
        with closing(sqlite3.connect(scratch.store_path)) as db:
            db.execute("PRAGMA user_version = 1")
    to = tmp_path / "support.zip"

    assert call(monkeypatch, scratch, "--to", to) == 0

    assert read(to, "store.json")["not_read"]
    assert len(read(to, "doctor.json")) == 24
    assert scratch.store_path.exists() == (broken != "no store")


def test_a_driver_that_ends_doctor_leaves_the_archive_whole(
    scratch: Scratch, tmp_path: Path
) -> None:
    def crash(_gpu: str) -> TensorRt:
        raise KeyboardInterrupt  # as close as a test comes to a driver's crash

    to = tmp_path / "support.zip"
    write_archive(to, scratch.config, system_clock(), boot_id())

    with pytest.raises(KeyboardInterrupt):
        add_doctor(to, examine(scratch.config, crash))

    with zipfile.ZipFile(to) as archive:
        assert archive.testzip() is None
    assert read(to, "config.json")


def test_an_unknown_study_is_refused_and_nothing_is_written(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "support.zip"

    assert call(monkeypatch, scratch, "--to", to, "--with-study", "9.9.9") == 1
    assert not to.exists()


def test_nothing_is_overwritten(
    scratch: Scratch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "support.zip"
    to.write_text("another's")

    assert call(monkeypatch, scratch, "--to", to) == 1
    assert "File exists" in capsys.readouterr().err
    assert to.read_text() == "another's"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("console.port", 8742, 8742),
        ("webhook.token", "abc", MASKED),
        ("pacs.Password", "abc", MASKED),
        ("webhook.secret", None, None),
        ("webhook.url", "https://me:abc@host/x", f"https://{MASKED}@host/x"),
        ("export_folder", "/srv/ct-export", "/srv/ct-export"),
    ],
)
def test_what_opens_a_door_is_masked(name: str, value: object, told: object) -> None:
    assert masked(name, value) == told


def test_a_studys_images_are_added_without_whose_they_are(
    scratch: Scratch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planted, to = Planted(), tmp_path / "support.zip"
    name = planted("name")
    paths = write_series(scratch.export / planted("folder"), 4, PatientName=name)
    with Store(scratch.store_path, system_clock) as store:
        receive(store, system_clock, uid("series", 0))
        notes = [FileNote(str(p), 1, 1, uid("series", 0), None, None, settled=True) for p in paths]
        store.agent.commit(map(NoteFile, notes))
    paths[3].unlink()

    assert call(monkeypatch, scratch, "--to", to, "--with-study", uid("series", 0)) == 0

    with zipfile.ZipFile(to) as archive:
        images = [one for one in archive.namelist() if one.endswith(".dcm")]
    assert len(images) == 3
    assert planted.found_in(unpacked(to)) == []
    assert "1 left out: a file that cannot be read: No such file" in capsys.readouterr().out
    audited = scratch.store_path.with_name("audit.log").read_text()
    assert 'csd-code="images-written"' in audited
    assert name not in audited
