"""All checks, one after another: one that fails does not keep the others from being made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from agent.config import load_config
from agent.doctor import archives, computer, folders, inlet, journal, networks, page
from agent.doctor.result import Box, CheckResult, Line, Mark, NotChecked, note, well, wrong
from agent.errors import AgentError, ConfigError
from agent.infer.tensorrt_api import TensorRt
from agent.reasons import Reason
from agent.service import ACCOUNT
from agent.watch.watcher import MOUNTS
from agent.wiring import boot_id, system_clock

OF_THE_COMPUTER: Final[tuple[tuple[str, Callable[[], CheckResult]], ...]] = (
    ("packages", computer.packages),
    ("time source", computer.time_source),
    ("agent's unit", partial(computer.unit, "bleedwatch-agent")),
    ("console's unit", partial(computer.unit, "bleedwatch-console")),
)

OF_THE_BOX: Final[tuple[tuple[str, Callable[[Box], CheckResult]], ...]] = (
    ("export folder", folders.export_folder),
    ("events", folders.events),
    ("free space", folders.free_space),
    ("store", journal.store),
    ("clock", journal.clock),
    ("agent", journal.agent),
    ("console", page.console),
    ("certificate", page.certificate),
    ("users", journal.users),
    ("last series", journal.last_series),
    ("alerts", journal.alerts),
    ("deliveries", journal.deliveries),
    ("archives", archives.archives),
    ("self-test", journal.selftest),
    ("bundle", networks.bundle),
    ("signature", networks.signature),
    ("protocols", networks.protocols),
    ("cpu", networks.cpu),
    ("gpu", networks.gpu),
)
"""The GPU is last: where its driver hangs or crashes, every other result is out by then."""

OF_THE_INLET: Final[tuple[tuple[str, Callable[[Box], CheckResult]], ...]] = (
    ("inlet's unit", lambda _: computer.unit("bleedwatch-inlet")),
    ("inlet's folder", inlet.folder),
    ("inlet", inlet.port),
    ("inlet's certificate", inlet.certificate),
    ("inlet's segmentations", inlet.segmentations),
    ("inlet's procedure steps", inlet.procedure_steps),
)
"""Made where the configuration names senders."""

OF_THE_WORKLIST: Final[tuple[tuple[str, Callable[[Box], CheckResult]], ...]] = (
    ("worklist", archives.worklist),
)
"""Made where the configuration names one."""

OF_THE_PRIORS: Final[tuple[tuple[str, Callable[[Box], CheckResult]], ...]] = (
    ("earlier examinations", archives.priors),
)
"""Made where the configuration names an archive that they are fetched from."""

OF_THE_SERVER: Final[tuple[tuple[str, Callable[[Box], CheckResult]], ...]] = (
    ("server", networks.server),
)
"""Made where the configuration names one."""


def examine(config_path: Path, take_gpu: Callable[[str], TensorRt]) -> Iterator[Line]:
    """Make every check; yield each line as soon as its check ends."""
    for name, check in OF_THE_COMPUTER:
        yield Line(name, _guarded(check))
    try:
        config = load_config(config_path)
    except ConfigError as error:
        yield Line("configuration", wrong(error.reason))
        unchecked = note("no_configuration_to_go_by")
        yield from (Line(name, unchecked) for name, _ in OF_THE_BOX)
        return
    yield Line("configuration", well("configuration_usable", path=str(config_path)))
    mounts = MOUNTS.read_text(encoding="utf-8")
    named = (
        *(OF_THE_INLET if config.inlet.senders else ()),
        *(OF_THE_SERVER if config.infer.server else ()),
        *(OF_THE_WORKLIST if config.worklist else ()),
        *(OF_THE_PRIORS if config.prior else ()),
    )
    for name, on_box in (*named, *OF_THE_BOX):
        box = Box(config, system_clock(), boot_id(), mounts, ACCOUNT, take_gpu)
        yield Line(name, _guarded(partial(on_box, box)))


def _guarded(check: Callable[[], CheckResult]) -> CheckResult:
    """Make a check, and turn whatever it raises into a result."""
    try:
        return check()
    except NotChecked as error:
        return note("check_not_made", why=error.reason)
    except AgentError as error:
        return wrong(error.reason)
    except PermissionError as error:
        return wrong("not_permitted", why=str(error))
    except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
        reason = Reason("check_failed", error=type(error).__name__, why=str(error))
        return CheckResult(Mark.WRONG, reason, quotes_error=True)
