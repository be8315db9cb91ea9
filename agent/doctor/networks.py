"""Checks of the networks: the bundle, its signature, the profiles, the GPU and its plans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from agent.assemble.protocol import load_profiles
from agent.config import Config
from agent.doctor.result import Box, CheckResult, note, well, wrong
from agent.errors import AgentError, GpuError
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.plan import Machine, load_plan, misfit, read_active
from agent.infer.signature import load_public_key
from agent.reasons import Reason

DRIVER: Final = Path("/proc/driver/nvidia")
"""Exists where NVIDIA's driver is loaded."""


def bundle(box: Box) -> CheckResult:
    """Check that every file of the bundle has the digest that its manifest states."""
    loaded = load_bundle(box.config.bundle_folder)
    return well(
        "bundle_whole",
        bundle=loaded.contract.name,
        version=loaded.contract.version,
        sha256=loaded.digest[:12],
    )


def signature(box: Box) -> CheckResult:
    """Check the bundle's signature, if the configuration names a key."""
    key = box.config.infer.public_key
    if key is None:
        return note("signature_not_asked_for")
    load_bundle(box.config.bundle_folder, load_public_key(key))
    return well("bundle_signed", key=str(key))


def protocols(box: Box) -> CheckResult:
    """Check that every protocol profile can be used with the bundle."""
    loaded = load_bundle(box.config.bundle_folder)
    profiles = load_profiles(box.config.protocols_folder)
    for profile in profiles:
        loaded.contract.operating_point(profile.operating_point)
    return well("profiles_fit", n_profiles=len(profiles))


def gpu(box: Box) -> CheckResult:
    """Check that the plans in use fit the bundle, the card, its driver and TensorRT."""
    active = read_active(box.config.plans_folder)
    try:
        card = box.take_gpu()
    except GpuError as error:
        if active:
            return wrong("cpu_stands_in", why=error.reason, remedy=error.what_to_do)
        if DRIVER.exists():
            return note("no_plan_and_no_card", why=error.reason, remedy=error.what_to_do)
        return well("cpu_runs", why=error.reason)
    try:
        machine = card.machine
    finally:
        card.close()
    card_words = f"{machine.gpu}, driver {machine.driver}, TensorRT {machine.tensorrt}"
    if not active:
        return note("card_without_plan", card=card_words)
    names = sorted({one.plan for one in active.values()})
    unfit = tuple(_unfit(box.config, names, machine))
    if unfit:
        return wrong("plans_unfit", why=unfit)
    return well("plans_fit", card=card_words, plans=", ".join(names))


def _unfit(config: Config, names: Iterable[str], machine: Machine) -> Iterable[Reason]:
    key = load_public_key(config.infer.public_key) if config.infer.public_key else None
    loaded: Bundle = load_bundle(config.bundle_folder, key)
    for name in names:
        try:
            reason = misfit(load_plan(config.plans_folder / name, key).manifest, loaded, machine)
        except AgentError as error:
            reason = error.reason
        if reason:
            yield Reason("plan_misfit", plan=name, why=reason)
