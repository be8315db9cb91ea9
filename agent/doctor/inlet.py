"""Checks of the inlet, made where senders are named: its folder, its port, its certificate."""

from __future__ import annotations

import importlib.util
import socket
import urllib.request
from typing import Final

from agent.console.address import own_address
from agent.doctor.folders import may
from agent.doctor.journal import ago, opened
from agent.doctor.page import EXPIRES_SOON
from agent.doctor.result import Box, CheckResult, note, well, wrong
from agent.inlet.settings import InletSettings

ANSWER_S: Final = 5.0
"""How long the inlet may take to answer [s]."""

ITS_METRICS: Final = b"bleedwatch_inlet_"


def folder(box: Box) -> CheckResult:
    """Check that the services' account can write to the folder of received images."""
    folder = box.config.inlet_settings.folder
    nearest = folder if folder.exists() else folder.parent
    if not may(box.account, "-w", str(nearest)):
        return wrong("inlet_folder_closed", folder=str(folder), account=box.account)
    return well("inlet_folder_open", folder=str(folder))


def port(box: Box) -> CheckResult:
    """Check that the inlet is what answers on its port: it tells by its metrics that it listens."""
    settings = box.config.inlet_settings
    if importlib.util.find_spec("pynetdicom") is None:
        return wrong("dicom_package_missing", package="pynetdicom")
    if _answers(settings):
        senders = ", ".join(f"{one.ae_title}@{one.network}" for one in settings.senders)
        return well("inlet_listens", where=settings.where, senders=senders)
    if _is_taken(settings):
        return wrong("inlet_port_of_other_program", where=settings.where, port=settings.port)
    return wrong("inlet_silent", where=settings.where)


def certificate(box: Box) -> CheckResult:
    """Check that images come encrypted, and that the certificate stays valid for some time."""
    served = box.config.inlet_settings.checked_certificate(box.now)
    if served is None:
        return note("inlet_unencrypted")
    path, until = str(served.path), f"{served.until_utc:%Y-%m-%d}"
    if served.until_utc - box.now.utc < EXPIRES_SOON:
        return note("inlet_certificate_expires_soon", path=path, until=until)
    return well("inlet_certificate_valid", path=path, until=until)


def segmentations(box: Box) -> CheckResult:
    """Tell whether segmentations that people draw are taken, and whether any came."""
    settings = box.config.inlet_settings
    if not settings.segmentations:
        return well("segmentations_not_taken")
    if importlib.util.find_spec("highdicom") is None:
        return wrong("dicom_package_missing", package="highdicom")
    with opened(box) as queries:
        last = queries.last_drawing_at()
    if last is None:
        return note("segmentations_none", where=settings.where)
    return well("segmentations_came", ago=ago(box.now.utc - last))


def procedure_steps(box: Box) -> CheckResult:
    """Tell whether a scanner tells of its procedure steps; none has to."""
    with opened(box) as queries:
        last = queries.last_step_at()
    if last is None:
        return well("steps_none", where=box.config.inlet_settings.where)
    return well("steps_came", ago=ago(box.now.utc - last))


def _answers(settings: InletSettings) -> bool:
    address = f"http://127.0.0.1:{settings.metrics_port}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_S) as answer:
            return ITS_METRICS in answer.read()
    except OSError:
        return False


def _is_taken(settings: InletSettings) -> bool:
    try:
        with socket.create_connection((own_address(settings.host), settings.port), ANSWER_S):
            return True
    except OSError:
        return False
