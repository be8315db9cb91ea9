"""The agent put together: configuration and store in; what moves series on, and watchers, out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger
from threadpoolctl import threadpool_limits

from agent.assemble.protocol import load_profiles
from agent.config import Config
from agent.errors import ConfigError
from agent.infer import tensorrt_api
from agent.infer.backend import Backend
from agent.infer.bundle import Bundle, load_bundle
from agent.infer.cpu_side import cpu_side
from agent.infer.gpu_side import GpuSettings, GpuSide
from agent.infer.networks import Accelerator, Networks
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.platform import platform_at
from agent.infer.server_side import ServerSide
from agent.infer.signature import load_public_key
from agent.infer.tensorrt_api import NO_GPU
from agent.pipeline import Resources
from agent.records import Clock
from agent.series.analyst import Analyst
from agent.series.archive import Archive
from agent.series.intake import Intake
from agent.series.reader import Reader
from agent.series.shell import Shell
from agent.store.agent_store import AgentStore
from agent.store.queries import Queries
from agent.watch import Watcher
from agent.wiring import system_clock


@dataclass(frozen=True, slots=True)
class Agent:
    """What moves series on: a thread that reads files has ``intake``, the networks' ``analyst``."""

    resources: Resources
    shell: Shell
    intake: Intake
    analyst: Analyst


def build_agent(config: Config, store: AgentStore, log: FilteringBoundLogger) -> Agent:
    """Load bundle and profiles, start the reference backend, and join them to the store.

    GPU or server is taken up by the thread that runs the networks.

    Raises
    ------
    BundleError
        If the bundle is not what its manifest says, or lacks a profile's operating point.
    SignatureError
        If the configuration names a key, and the bundle is not signed with it.
    ConfigError
        If a profile or the key cannot be read.
    """
    # numpy's matrices here are small: a second pool of threads beside ONNX Runtime's only makes
    # both wait for cores (measured on a busy machine: 9 s instead of 0.7 s for the volume stage).
    threadpool_limits(limits=1, user_api="blas")
    bundle = load_bundle(config.bundle_folder, load_public_key(config.infer.public_key))
    profiles = load_profiles(config.protocols_folder)
    for profile in profiles:
        bundle.contract.operating_point(profile.operating_point)
    reference = OnnxBackend(bundle, threads=config.infer.threads)
    accelerator = _accelerator(config, bundle, reference, log)
    cpu = cpu_side(config.infer.backend, bundle, config.plans_folder, config.infer.threads)
    networks = Networks(reference, accelerator, time.monotonic, log, cpu)
    resources = Resources(
        bundle, networks, profiles, config.deliver.channels, config.inlet.segmentations
    )
    archive = Archive(store, log, keeps_slices=config.store.slices_mb > 0)
    reader = Reader(store, config.read.limits, log, config.marks)
    shell = Shell(store, config.read.bounds)
    return joined(resources, shell, reader, archive, system_clock, log)


def _accelerator(
    config: Config, bundle: Bundle, reference: Backend, log: FilteringBoundLogger
) -> Accelerator:
    """Return what runs the networks in place of the CPU: the server where one is named."""
    server = config.infer.server_settings
    if server is not None:
        return ServerSide(server, bundle, reference)
    settings = GpuSettings(
        config.plans_folder,
        load_public_key(config.infer.public_key),
        config.infer.gpu_memory_share,
        allowed=config.infer.gpu != NO_GPU,
        expected=config.infer.gpu != NO_GPU and platform_at() is not None,
    )
    return GpuSide(settings, bundle, reference, lambda: tensorrt_api.load(log, config.infer.gpu))


def joined(
    resources: Resources,
    shell: Shell,
    reader: Reader,
    archive: Archive,
    clock: Clock,
    log: FilteringBoundLogger,
) -> Agent:
    """Join resources to a shell over the store: an agent."""
    intake = Intake(resources, shell, reader, clock, log)
    return Agent(resources, shell, intake, Analyst(resources, shell, archive, clock, log))


def build_watcher(config: Config, queries: Queries) -> Watcher:
    """Watch the export folder for what the store has not settled yet."""
    return Watcher(
        config.export_folder,
        rescan_s=config.watch.rescan_s,
        polling=config.watch.polling,
        monotonic=time.monotonic,
        known=queries.settled_files(),
    )


def build_own_watcher(config: Config, folder: Path, queries: Queries) -> Watcher:
    """Watch a folder of our own, made where it is not there yet: ``config.marks`` has them.

    Raises
    ------
    ConfigError
        If the export folder lies in it: patients would be taken for tests, or for fetched.
    """
    folder.mkdir(exist_ok=True)
    if config.export_folder.resolve().is_relative_to(folder.resolve()):
        raise ConfigError("export_folder_in_own", folder=str(config.export_folder), own=str(folder))
    return Watcher(
        folder,
        rescan_s=config.watch.rescan_s,
        polling=None,
        monotonic=time.monotonic,
        known=queries.settled_files(),
    )
