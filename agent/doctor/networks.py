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
from agent.reasons import Reason, english

DRIVER: Final = Path("/proc/driver/nvidia")
"""Exists where NVIDIA's driver is loaded."""


def bundle(box: Box) -> CheckResult:
    """Check that every file of the bundle has the digest that its manifest states."""
    loaded = load_bundle(box.config.bundle_folder)
    return well(f"{loaded.contract.name} {loaded.contract.version}, SHA-256 {loaded.digest[:12]}…")


def signature(box: Box) -> CheckResult:
    """Check the bundle's signature, if the configuration names a key."""
    key = box.config.infer.public_key
    if key is None:
        return note("not asked for: infer.public_key is not set")
    load_bundle(box.config.bundle_folder, load_public_key(key))
    return well(f"the bundle is signed by {key}")


def protocols(box: Box) -> CheckResult:
    """Check that every protocol profile can be used with the bundle."""
    loaded = load_bundle(box.config.bundle_folder)
    profiles = load_profiles(box.config.protocols_folder)
    for profile in profiles:
        loaded.contract.operating_point(profile.operating_point)
    return well(f"{len(profiles)} profiles")


def gpu(box: Box) -> CheckResult:
    """Check that the plans in use fit the bundle, the card, its driver and TensorRT."""
    active = read_active(box.config.plans_folder)
    try:
        card = box.take_gpu()
    except GpuError as error:
        if active:
            return wrong(f"{error}; a plan is in use, so the CPU stands in", error.what_to_do)
        found = f"no plan is in use: the CPU runs the networks ({error})"
        return note(found, error.what_to_do) if DRIVER.exists() else well(found)
    try:
        machine = card.machine
    finally:
        card.close()
    found = f"{machine.gpu}, driver {machine.driver}, TensorRT {machine.tensorrt}"
    if not active:
        return note(
            f"{found}; no plan is in use", "`bleedwatch engine build`, `verify`, `activate`"
        )
    names = sorted({one.plan for one in active.values()})
    unfit = list(_unfit(box.config, names, machine))
    if unfit:
        return wrong("; ".join(unfit), "`bleedwatch engine build`, `verify`, `activate`")
    return well(f"{found}; {', '.join(names)}")


def _unfit(config: Config, names: Iterable[str], machine: Machine) -> Iterable[str]:
    key = load_public_key(config.infer.public_key) if config.infer.public_key else None
    loaded: Bundle = load_bundle(config.bundle_folder, key)
    for name in names:
        try:
            reason = misfit(load_plan(config.plans_folder / name, key).manifest, loaded, machine)
        except AgentError as error:
            reason = error.reason
        if reason:
            yield english(Reason("plan_misfit", plan=name, why=reason))
