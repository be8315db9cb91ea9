"""Plans on disk: written whole, activated by one atomic switch, rolled back."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.errors import PlanError
from agent.infer.bundle import Bundle
from agent.infer.plan import (
    ACTIVE,
    MANIFEST,
    Activation,
    Plan,
    PlanManifest,
    active_text,
    load_plan,
    misfit,
    plan_folder,
    read_active,
)
from agent.infer.verification import Here, load_verification, objection
from agent.reasons import Reason

TIMINGS: Final = ".timings"
"""Folder beside the plans, of ``TimingCache``."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a plan must fit to be used: the plans' folder, the bundle, the key, the machine."""

    plans_folder: Path
    bundle: Bundle
    key: Ed25519PublicKey | None
    here: Here


def write_plan(plans_folder: Path, manifest: PlanManifest, engines: dict[str, bytes]) -> Path:
    """Write a plan into a folder of its own, which appears whole or not at all.

    ``manifest.files`` is filled in from ``engines``. Where another plan has its name, one built in
    the same second, it is dated a second later. Returns the folder.

    Raises
    ------
    PlanError
        If the disk is full or not writable; what was written is removed.
    """
    files = {name: hashlib.sha256(engine).hexdigest() for name, engine in engines.items()}
    manifest = manifest.model_copy(update={"files": files})
    with _writing(plans_folder):
        plans_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=plans_folder, prefix=".new-") as folder:
            beside = Path(folder) / "plan"
            beside.mkdir()
            for name, content in engines.items():
                _write_through(beside / name, content)
            while True:
                text = manifest.model_dump_json(indent=2).encode()
                _write_through(beside / MANIFEST, text)
                try:
                    return beside.rename(plans_folder / manifest.name)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                later = manifest.built_at + timedelta(seconds=1)
                manifest = manifest.model_copy(update={"built_at": later})


def plan_folders(plans_folder: Path) -> list[Path]:
    """Folders of all plans, newest last."""
    if not plans_folder.is_dir():
        return []
    return sorted(
        (path.parent for path in plans_folder.glob(f"[!.]*/{MANIFEST}")),
        key=lambda folder: (folder / MANIFEST).stat().st_mtime,
    )


def activate(site: Site, name: str, *, even_if_slower: bool = False) -> Activation:
    """Make a verified plan the one in use for its protocol; the one before it is kept.

    Raises
    ------
    PlanError, SignatureError
        If it is not whole, not signed, not for this machine, not verified here, or slower than the
        active one. Nothing is switched.
    """
    plan = usable_plan(site, name)
    verified = load_verification(plan.folder)
    if verified is not None and verified.slower and not even_if_slower:
        raise PlanError(
            "plan_slower",
            plan=name,
            head_ms=verified.head_ms or 0.0,
            active_ms=verified.active_ms or 0.0,
        )
    active = read_active(site.plans_folder)
    before = active.get(plan.manifest.protocol)
    if before is not None and before.plan == name:
        return before
    switched = Activation(plan=name, previous=before.plan if before else None)
    _switch(site.plans_folder, {**active, plan.manifest.protocol: switched})
    return switched


def rollback(site: Site, protocol: str) -> Activation:
    """Go back to the plan that was in use before; the one in use becomes the previous one.

    Raises
    ------
    PlanError, SignatureError
        If there is none, or it can no longer be used here. Nothing is switched.
    """
    active = read_active(site.plans_folder)
    current = active.get(protocol)
    if current is None or current.previous is None:
        raise PlanError("no_earlier_plan", protocol=protocol)
    usable_plan(site, current.previous)
    switched = Activation(plan=current.previous, previous=current.plan)
    _switch(site.plans_folder, {**active, protocol: switched})
    return switched


def usable_plan(site: Site, name: str) -> Plan:
    """Load a plan that may be used here; PlanError or SignatureError says why it may not."""
    plan = load_plan(plan_folder(site.plans_folder, name), site.key)
    reason = why_unusable(plan, site)
    if reason is not None:
        raise PlanError("plan_unfit", plan=name, why=reason)
    return plan


def why_unusable(plan: Plan, site: Site) -> Reason | None:
    """Say why a plan may not be used here; None if it may."""
    return misfit(plan.manifest, site.bundle, site.here.machine) or objection(plan, site.here)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file at once, its content on disk before its name is."""
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two processes may write at once, and the later one is to stand whole.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        _write_through(beside, content)
        beside.replace(path)


def _switch(plans_folder: Path, active: dict[str, Activation]) -> None:
    replace_file(plans_folder / ACTIVE, active_text(active).encode())


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise PlanError("plans_disk_full", folder=str(folder)) from error
        raise PlanError(
            "plans_unwritable", path=str(error.filename or folder), why=str(error.strerror)
        ) from error
