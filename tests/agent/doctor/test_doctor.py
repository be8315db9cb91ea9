"""Doctor's first hour on a box: all is well, then one thing after another is broken."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.doctor import Mark, computer, folders, journal
from agent.infer.openvino_backend import installed_version
from agent.infer.plan import Activation, active_text
from agent.infer.verification import Here
from agent.records import TEST_MARK, Instant
from agent.store.rows import Selftest
from agent.wiring import system_clock
from build_engine.compile.signing import sign
from tests.agent.doctor.scratch import Scratch, page_that_says, write_systemctl
from tests.agent.reports import ENGINE, add_result, not_suspected, receive, recorded, report
from tests.agent.stored import Store
from tests.build_engine.compile import made
from tests.nvidia.box import GpuBox

UID = "1.2.3.4"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with page_that_says(b"ok\n") as port:
        yield port


@pytest.fixture
def scratch(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    write_systemctl(tmp_path / "bin", None)  # what this machine's own units do is beside the point
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return Scratch(tmp_path, port)


def test_on_a_box_that_is_well_nothing_is_wrong(scratch: Scratch) -> None:
    results = scratch.results()

    assert [name for name, one in results.items() if one.mark is Mark.WRONG] == []
    assert results["agent"].text == "default 0.1.0, ONNX Runtime 1.20.1, CPU"
    assert results["bundle"].text.startswith("tiny 1, SHA-256 ")
    assert results["export folder"].text == f"{scratch.export} can be read"


def no_export_folder(box: Scratch) -> None:
    box.export.rmdir()


def export_folder_is_a_file(box: Scratch) -> None:
    box.export.rmdir()
    box.export.touch()


def no_store(box: Scratch) -> None:
    box.store_path.unlink()


def newer_store(box: Scratch) -> None:
    with sqlite3.connect(box.store_path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def damaged_store(box: Scratch) -> None:
    with sqlite3.connect(box.store_path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    content = bytearray(box.store_path.read_bytes())
    content[len(content) // 2 :] = b"\xa5" * (len(content) - len(content) // 2)
    box.store_path.write_bytes(content)


def store_is_no_database(box: Scratch) -> None:
    box.store_path.write_text("not a database, but long enough to be looked at as one " * 100)


def clock_set_back(box: Scratch) -> None:
    box.beat(ahead_s=7300)


def agent_silent(box: Scratch) -> None:
    box.beat(ahead_s=-60)


def agent_of_an_earlier_boot(box: Scratch) -> None:
    box.beat(boot_id="another")


def agent_cannot_list_the_folder(box: Scratch) -> None:
    box.beat(folder_problem=recorded("/srv/ct-export: Permission denied"))


def agent_watches_another_folder(box: Scratch) -> None:
    box.beat(folder="/srv/elsewhere")


def agent_degraded(box: Scratch) -> None:
    box.beat(degraded=recorded("degraded to CPU: no GPU"))


def console_closed(box: Scratch) -> None:
    box.configure(port=1)


def console_for_others(box: Scratch) -> None:
    box.configure(host="10.0.0.1")


def network_changed(box: Scratch) -> None:
    with (box.engines / "tiny/1/slice.onnx").open("ab") as network:
        network.write(b"\0")


def no_manifest(box: Scratch) -> None:
    (box.engines / "tiny/1/bundle.toml").unlink()


def key_and_no_signature(box: Scratch) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    (box.root / "key.pem").write_bytes(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    box.configure(infer=f'public_key = "{box.root / "key.pem"}"')


def no_key_where_one_is_named(box: Scratch) -> None:
    box.configure(infer=f'public_key = "{box.root / "gone.pem"}"')


def profile_without_its_operating_point(box: Scratch) -> None:
    path = box.engines / "protocols/generic-head.toml"
    path.write_text(path.read_text().replace('"balanced"', '"eager"'))


def plan_in_use_and_no_card(box: Scratch) -> None:
    (box.state / "plans").mkdir()
    active = active_text({"any": Activation(plan="p1")})
    (box.state / "plans/active.json").write_text(active)


def list_of_plans_in_use_unreadable(box: Scratch) -> None:
    (box.state / "plans").mkdir()
    (box.state / "plans/active.json").write_text("{")


def result_that_no_page_has_shown(box: Scratch) -> None:
    now = system_clock()
    earlier = Instant(now.utc - timedelta(hours=3), now.monotonic_s)
    with Store(box.store_path, lambda: earlier) as store:
        receive(store, lambda: earlier, UID)
        add_result(store, not_suspected(UID))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "check", "found", "next_step"),
    [
        (no_export_folder, "export folder", "No such file or directory", "mount the share"),
        (export_folder_is_a_file, "export folder", "Not a directory", "mount the share"),
        (no_store, "store", "there is none at", "systemctl start bleedwatch-agent"),
        (newer_store, "store", "of version 99", "install the newer program"),
        (damaged_store, "store", "damaged", "move bleedwatch.sqlite*"),
        (store_is_no_database, "store", "not a database", "move bleedwatch.sqlite*"),
        (clock_set_back, "clock", "2 h behind what was stored", "set the time"),
        (agent_silent, "agent", "is not running", "systemctl start bleedwatch-agent"),
        (agent_of_an_earlier_boot, "agent", "since this computer was started", "systemctl start"),
        (agent_cannot_list_the_folder, "agent", "Permission denied", "`export folder`"),
        (agent_watches_another_folder, "agent", "/srv/elsewhere", "systemctl restart"),
        (agent_degraded, "agent", "degraded to CPU", "the line `gpu`"),
        (console_closed, "console", "refused", "systemctl start bleedwatch-console"),
        (console_for_others, "console", "10.0.0.1", "127.0.0.1"),
        (network_changed, "bundle", "slice.onnx is not the file", "install the bundle again"),
        (no_manifest, "bundle", "bundle.toml", "name a folder of a bundle"),
        (key_and_no_signature, "signature", "is not signed", "engine sign"),
        (no_key_where_one_is_named, "signature", "gone.pem", "openssl"),
        (profile_without_its_operating_point, "protocols", "'eager'", "balanced"),
        (
            plan_in_use_and_no_card,
            "gpu",
            "not there; a plan is in use",
            "install it",
        ),
        (list_of_plans_in_use_unreadable, "gpu", "active.json", "engine activate"),
        (
            result_that_no_page_has_shown,
            "deliveries",
            "no page has shown: 1; the oldest for 3 h",
            "open http://",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_broken_is_told_on_its_own_line_with_what_to_do(
    scratch: Scratch, broken: Callable[[Scratch], None], check: str, found: str, next_step: str
) -> None:
    broken(scratch)

    results = scratch.results()

    assert results[check].mark is Mark.WRONG
    assert found in results[check].text
    assert next_step in results[check].what_to_do
    assert len(results) == 24


def test_a_configuration_that_cannot_be_used_leaves_the_other_lines_standing(
    scratch: Scratch,
) -> None:
    scratch.config.write_text('export_foldr = "/srv"\n')

    results = scratch.results()

    assert "did you mean export_folder?" in results["configuration"].text
    assert results["packages"].mark is Mark.WELL
    assert (results["store"].mark, results["store"].text) == (
        Mark.NOTE,
        "not checked: there is no configuration to go by",
    )
    assert len(results) == 24


@pytest.mark.skipif(installed_version() is None, reason="openvino is not installed")
def test_what_runs_on_the_cpu_is_told_and_why_not_openvino(scratch: Scratch) -> None:
    told = scratch.results()["cpu"]
    assert (told.mark, told.text) == (
        Mark.NOTE,
        "ONNX Runtime, not OpenVINO: it was never verified here",
    )
    assert "engine openvino" in told.what_to_do

    scratch.configure(infer='backend = "onnxruntime"')

    told = scratch.results()["cpu"]
    assert (told.mark, told.what_to_do) == (Mark.WELL, "")
    assert told.text == "ONNX Runtime, since infer.backend is onnxruntime"


def test_a_check_that_fails_itself_hides_no_other(scratch: Scratch) -> None:
    def a_fault(_gpu: str) -> None:
        raise RuntimeError("a fault of ours")

    scratch.take_gpu = a_fault

    results = scratch.results()

    assert results["gpu"].text == "the check failed: RuntimeError: a fault of ours"
    assert [name for name, one in results.items() if one.mark is Mark.WRONG] == ["gpu"]


def test_without_a_store_what_it_would_tell_is_not_checked_and_none_is_made(
    scratch: Scratch,
) -> None:
    scratch.store_path.unlink()

    results = scratch.results()

    for name in ("clock", "agent", "last series", "alerts", "deliveries"):
        assert (results[name].mark, results[name].text) == (
            Mark.NOTE,
            "not checked: see the line `store`",
        )
    assert not scratch.store_path.exists()


def test_a_newer_programs_store_is_not_touched(scratch: Scratch) -> None:
    newer_store(scratch)
    before = scratch.store_path.read_bytes()

    scratch.results()

    assert scratch.store_path.read_bytes() == before


def test_a_full_disk_is_told(scratch: Scratch) -> None:
    scratch.configure(export_folder=Path("/proc"))  # it has no byte free

    free = folders.free_space(scratch.box())

    assert free.mark is Mark.WRONG
    assert "0.0 GB at /proc" in free.text
    assert free.what_to_do == "make room at /proc"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try what another account can read")
@pytest.mark.parametrize("closed", ["the folder", "a file in it"])
def test_what_root_can_read_and_the_services_account_cannot_is_told(
    scratch: Scratch, closed: str
) -> None:
    for folder in (scratch.export, *scratch.export.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    file = scratch.export / "0001.dcm"
    file.touch()
    assert folders.export_folder(scratch.box(account="nobody")).mark is Mark.WELL

    shut = scratch.export if closed == "the folder" else file
    shut.chmod(0o700)

    told = folders.export_folder(scratch.box(account="nobody"))
    assert told.mark is Mark.WRONG
    assert told.text == f"{shut} cannot be read by the account nobody"
    assert "usermod -aG" in told.what_to_do


@pytest.mark.parametrize(
    ("share", "polling", "mark", "found"),
    [
        ("ext4", None, Mark.WELL, "sent; the folder is also listed every 2 s"),
        ("cifs", None, Mark.WELL, "none: the folder is listed every second"),
        ("ext4", "true", Mark.WELL, "none: the folder is listed every second"),
        ("nfs4", "false", Mark.WRONG, "lies on a share that sends no events"),
    ],
)
def test_how_the_agent_learns_of_files_is_told(
    scratch: Scratch, share: str, polling: str | None, mark: Mark, found: str
) -> None:
    if polling:
        scratch.configure(watch=f"polling = {polling}")

    told = folders.events(scratch.box(mounts=f"server:/ct {scratch.root} {share} rw 0 0\n"))

    assert told.mark is mark
    assert found in told.text


def test_another_program_on_the_consoles_port_is_told(scratch: Scratch) -> None:
    with page_that_says(b"<html>PACS</html>") as port:
        scratch.configure(port=port)
        told = scratch.results()["console"]

    assert told.mark is Mark.WRONG
    assert f"ss -ltnp sport = :{port}" in told.what_to_do


def test_a_signed_bundle_is_told_to_be(scratch: Scratch) -> None:
    key = Ed25519PrivateKey.generate()
    (scratch.root / "key.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    sign(scratch.engines / "tiny/1", key)
    scratch.configure(infer=f'public_key = "{scratch.root / "key.pem"}"')

    told = scratch.results()["signature"]

    assert told.mark is Mark.WELL
    assert "key.pem" in told.text


def test_alerts_and_the_last_series_are_told_without_a_name(scratch: Scratch) -> None:
    assert scratch.results()["last series"].text == "none has come yet"

    with Store(scratch.store_path, system_clock) as store:
        receive(store, system_clock, UID, name="DOE^JANE")
        add_result(store, report(UID), channels=())

    results = scratch.results()
    assert results["last series"].text.endswith("s ago; 1 today")
    assert results["alerts"].mark is Mark.NOTE
    assert results["alerts"].text.startswith("suspected and not acknowledged: 1;")
    assert "DOE" not in str(results)

    with Store(scratch.store_path, system_clock) as store:
        store.console.acknowledge(UID, 1, "MTRA", "")
    assert scratch.results()["alerts"].text == "none waits for an acknowledgement"


@pytest.mark.parametrize(
    ("daily", "hours_ago", "failure", "mark", "found", "next_step"),
    [
        (True, 5, None, Mark.WELL, "passed 5 h ago, alert after 1.4 s", ""),
        (True, 40, None, Mark.WRONG, "OVERDUE", "enable --now bleedwatch-selftest.timer"),
        (True, 5, "not suspected", Mark.WRONG, "FAILED: not suspected", "start bleedwatch-selft"),
        (True, None, None, Mark.WRONG, "MISSING", "start bleedwatch-selftest"),
        (False, None, None, Mark.NOTE, "none has run", "bleedwatch selftest"),
    ],
    ids=["passed", "overdue", "failed", "missing", "not asked for"],
)
def test_the_last_self_test_is_told(  # noqa: PLR0913
    scratch: Scratch,
    *,
    daily: bool,
    hours_ago: float | None,
    failure: str | None,
    mark: Mark,
    found: str,
    next_step: str,
) -> None:
    scratch.configure(selftest=f"daily = {str(daily).lower()}")
    now = system_clock()
    with Store(scratch.store_path, system_clock) as store:
        if hours_ago is not None:
            at = Instant(now.utc - timedelta(hours=hours_ago), now.monotonic_s)
            reason = recorded(failure) if failure else None
            store.console.note_selftest(Selftest(at, reason, ENGINE, 1.4, 31.0, 30.0))

    told = journal.selftest(dataclasses.replace(scratch.box(), now=Instant(now.utc, 9e4)))

    assert told.mark is mark
    assert found in told.text
    assert next_step in told.what_to_do


def test_a_self_tests_alert_waits_for_nobody(scratch: Scratch) -> None:
    with Store(scratch.store_path, system_clock) as store:
        receive(store, system_clock, f"{TEST_MARK}1.9")
        add_result(store, report(f"{TEST_MARK}1.9"))

    assert scratch.results()["alerts"].text == "none waits for an acknowledgement"
    assert scratch.results()["last series"].text == "none has come yet"


class TestOnACard:
    """A double of TensorRT and CUDA stands for the card."""

    @pytest.fixture
    def card(self, scratch: Scratch, tmp_path: Path) -> GpuBox:
        card = GpuBox(tmp_path / "card")
        scratch.take_gpu = card.connect
        scratch.configure(engines_folder=card.folder, state_folder=card.plans.parent)
        return card

    def test_a_card_without_a_plan_is_wrong_unless_it_is_switched_off(
        self, scratch: Scratch, card: GpuBox
    ) -> None:
        told = scratch.results()["gpu"]
        folders = {"engines_folder": card.folder, "state_folder": card.plans.parent}
        scratch.configure(infer='gpu = "none"', **folders)
        switched_off = scratch.results()["gpu"]

        assert told.mark is Mark.WRONG
        assert "TensorRT 10.7.0; no plan is in use" in told.text
        assert "infer.gpu = none" in told.what_to_do
        assert (switched_off.mark, switched_off.text) == (
            Mark.WELL,
            "not to be used: infer.gpu is none",
        )

    def test_plans_in_the_folder_of_earlier_versions_are_told_how_to_move(
        self, scratch: Scratch, card: GpuBox
    ) -> None:
        card.activate(any=card.build())
        card.plans.rename(card.folder / "plans")

        told = scratch.results()["gpu"]

        assert told.mark is Mark.WRONG
        assert told.what_to_do == f"mv {card.folder / 'plans'} {card.plans}"

    def test_a_plan_that_fits_is_well(self, scratch: Scratch, card: GpuBox) -> None:
        plan = card.build()
        card.activate(any=plan)
        unverified = scratch.results()["gpu"]
        made.verified(card.plans.parent, plan, here=Here.of(card.connect().machine))

        told = scratch.results()["gpu"]

        assert unverified.mark is Mark.NOTE
        assert f"plan {plan}: it was never verified" in unverified.text
        assert told.mark is Mark.WELL
        assert plan in told.text

    def test_a_plan_of_another_tensorrt_does_not_fit(self, scratch: Scratch, card: GpuBox) -> None:
        plan = card.build()
        card.activate(any=plan)
        scratch.take_gpu = GpuBox(card.folder.with_name("newer"), version="10.8.0").connect

        told = scratch.results()["gpu"]

        assert told.mark is Mark.WRONG
        assert f"plan {plan}: built for TensorRT 10.7.0, this is 10.8.0" in told.text
        assert "engine build" in told.what_to_do

    def test_a_plan_that_was_changed_is_told(self, scratch: Scratch, card: GpuBox) -> None:
        plan = card.build()
        card.activate(any=plan)
        (card.plans / plan / "slice.plan").write_bytes(b"something else")

        assert "is not the file that the manifest names" in scratch.results()["gpu"].text


class TestOfTheComputer:
    def test_a_package_that_is_too_old_is_named_with_what_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert computer.packages().mark is Mark.WELL
        old = tmp_path / "xxhash-0.1.dist-info"
        old.mkdir()
        (old / "METADATA").write_text("Metadata-Version: 2.1\nName: xxhash\nVersion: 0.1\n")
        monkeypatch.syspath_prepend(tmp_path)

        told = computer.packages()

        assert told.mark is Mark.WRONG
        assert told.text == "xxhash is 0.1, >=3.5 is needed"

    def test_a_package_that_is_missing_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = tmp_path / "bleedwatch-9.dist-info"
        ours.mkdir()
        (ours / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: bleedwatch\nVersion: 9\n"
            "Requires-Dist: numpy>=1.26\nRequires-Dist: no-such-package>=1\n"
            "Requires-Dist: neither; extra == 'test'\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

        assert computer.packages().text == "no-such-package is missing"

    def test_a_drifting_clock_is_no_fault_of_the_box(self) -> None:
        assert computer.time_source().mark in (Mark.WELL, Mark.NOTE)

    @pytest.mark.parametrize(
        ("answer", "mark", "found", "next_step"),
        [
            ("loaded active running enabled success 0 0", Mark.WELL, "active, running", ""),
            (
                "not-found inactive dead - success 0 0",
                Mark.WRONG,
                "not installed",
                "service install",
            ),
            ("masked inactive dead masked success 0 0", Mark.WRONG, "masked", "unmask"),
            ("loaded inactive dead enabled success 0 0", Mark.WRONG, "inactive, dead", "start"),
            ("loaded failed failed enabled exit-code 78 0", Mark.WRONG, "failed: its conf", "-n 9"),
            ("loaded failed failed enabled watchdog 6 5", Mark.WRONG, ": watchdog", "journalctl"),
            ("loaded active running disabled success 0 0", Mark.WRONG, "disabled", "enable"),
            ("loaded active running enabled success 0 3", Mark.NOTE, "restarts: 3", "journalctl"),
        ],
        ids=[
            "well",
            "absent",
            "masked",
            "stopped",
            "unusable",
            "stuck",
            "not-enabled",
            "restarted",
        ],
    )
    def test_a_units_state_is_told(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        answer: str,
        mark: Mark,
        found: str,
        next_step: str,
    ) -> None:
        told = zip(computer.PROPERTIES, answer.split(), strict=True)
        lines = "\n".join(f"{name}={value}" for name, value in told)
        write_systemctl(tmp_path, lines)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

        result = computer.unit("bleedwatch-agent")

        assert result.mark is mark
        assert found in result.text
        assert next_step in result.what_to_do

    @pytest.mark.parametrize("systemctl", ["absent", "in vain"])
    def test_where_no_systemd_runs_units_are_not_checked(
        self, scratch: Scratch, monkeypatch: pytest.MonkeyPatch, systemctl: str
    ) -> None:
        if systemctl == "absent":
            monkeypatch.setenv("PATH", "")

        told = scratch.results()["agent's unit"]

        assert told.mark is Mark.NOTE
        assert "systemd does not run here" in told.text
