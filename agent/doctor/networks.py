"""Checks of the networks: bundle, signature, profiles, server, GPU and plans."""

from __future__ import annotations

from contextlib import closing

from agent.assemble.protocol import load_profiles
from agent.config import Config
from agent.doctor.result import Box, CheckResult, NotChecked, note, well, wrong
from agent.errors import AgentError, GpuError
from agent.infer import cpu_side
from agent.infer.bundle import load_bundle
from agent.infer.openvino_backend import installed_version
from agent.infer.plan import Activation, Machine, Plan, load_plan, misfit, plan_folder, read_active
from agent.infer.platform import platform_at
from agent.infer.signature import load_public_key
from agent.infer.tensorrt_api import NO_GPU
from agent.infer.triton_backend import TritonBackend
from agent.infer.verification import Here, objection
from agent.reasons import Reason


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


def server(box: Box) -> CheckResult:
    """Ask the server that is to run the networks for this bundle's models."""
    settings = box.config.infer.server_settings
    if settings is None:
        return well("server_not_named")
    with closing(TritonBackend(settings, load_bundle(box.config.bundle_folder))) as backend:
        return well("server_serves", server=str(backend.run_by))


def cpu(box: Box) -> CheckResult:
    """Tell what runs the networks where no GPU does, and why not OpenVINO."""
    config = box.config
    if config.infer.backend == "onnxruntime":
        return well("cpu_by_choice")
    version = installed_version()
    if version is None:
        return well("cpu_by_reference")
    try:
        loaded = load_bundle(config.bundle_folder, load_public_key(config.infer.public_key))
    except AgentError as error:
        raise NotChecked("see_bundle_line") from error
    why_not = cpu_side.objection(config.plans_folder, loaded)
    return (
        note("openvino_unused", why=why_not)
        if why_not
        else well("cpu_by_openvino", version=version)
    )


def gpu(box: Box) -> CheckResult:
    """Check that the plans in use fit the bundle, the card, its driver and TensorRT."""
    config = box.config
    if config.infer.server is not None:
        return well("gpu_replaced", address=config.infer.server)
    if config.infer.gpu == NO_GPU:
        return well("gpu_switched_off")
    active = read_active(config.plans_folder)
    former = config.engines_folder / "plans"
    if not active and read_active(former):
        return wrong("plans_in_former_folder", former=str(former), folder=str(config.plans_folder))
    try:
        card = box.take_gpu(config.infer.gpu)
    except GpuError as error:
        return _without_card(error, n_plans=len(active))
    with closing(card):
        machine = card.machine
    return _plans_on(machine, config, active)


def _without_card(error: GpuError, n_plans: int) -> CheckResult:
    if n_plans:
        return wrong("cpu_stands_in", why=error.reason, remedy=error.what_to_do)
    if platform_at() is not None:
        return wrong("no_plan_and_no_card", why=error.reason, remedy=error.what_to_do)
    return well("cpu_runs", why=error.reason)


def _plans_on(machine: Machine, config: Config, active: dict[str, Activation]) -> CheckResult:
    card_words = f"{machine.gpu}, driver {machine.driver}, TensorRT {machine.tensorrt}"
    if not active:
        return wrong("card_without_plan", card=card_words)
    names = sorted({one.plan for one in active.values()})
    plans = Plans(config)
    unfit = tuple(filter(None, (plans.unfit(name, machine) for name in names)))
    if unfit:
        return wrong("plans_unfit", why=unfit)
    unverified = tuple(filter(None, (plans.unverified(name, machine) for name in names)))
    if unverified:
        return note("plans_unverified", why=unverified)
    return well("plans_fit", card=card_words, plans=", ".join(names))


class Plans:
    """Plans in use, held against bundle and machine."""

    def __init__(self, config: Config) -> None:
        """Load the bundle that they must be of."""
        self._folder = config.plans_folder
        self._key = load_public_key(config.infer.public_key)
        self._bundle = load_bundle(config.bundle_folder, self._key)

    def unfit(self, name: str, machine: Machine) -> Reason | None:
        """Say why a plan cannot be used here; None if it can."""
        try:
            reason = misfit(self._load(name).manifest, self._bundle, machine)
        except AgentError as error:
            reason = error.reason
        return Reason("plan_misfit", plan=name, why=reason) if reason else None

    def unverified(self, name: str, machine: Machine) -> Reason | None:
        """Say why a plan's verification does not stand for this machine; None if it does."""
        reason = objection(self._load(name), Here.of(machine))
        return Reason("plan_misfit", plan=name, why=reason) if reason else None

    def _load(self, name: str) -> Plan:
        return load_plan(plan_folder(self._folder, name), self._key)
