"""What every ``engine`` command needs to know of the box: its configuration, card and bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from agent.config import Config, InferConfig
from agent.errors import ConfigError
from agent.infer import tensorrt_api
from agent.infer.bundle import load_bundle
from agent.infer.onnx_backend import OnnxBackend
from agent.infer.server_settings import ServerSettings
from agent.infer.signature import load_public_key
from agent.infer.tensorrt_api import TensorRt
from agent.infer.verification import Here
from agent.log import LogStream, open_log
from build_engine.compile.plans import Site

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The agent's TOML file.")]
PlanName = Annotated[str, typer.Argument(help="Name of a plan, as `engine list` prints it.")]


@contextmanager
def taken_gpu(settings: Config) -> Iterator[TensorRt]:
    """Take the GPU for a command; GpuError where there is none.

    It is given back whatever happens: pycuda aborts a process that ends with it.
    """
    log = open_log(LogStream(), json=False)
    with closing(tensorrt_api.load(log, settings.infer.gpu)) as gpu:
        yield gpu


def site_of(settings: Config, gpu: TensorRt, bundle: str | None = None) -> Site:
    """Say what a plan must fit here; ``bundle`` is name/version, left out the one in use."""
    key = load_public_key(settings.infer.public_key)
    folder = settings.engines_folder / bundle if bundle else settings.bundle_folder
    here = Here.of(gpu.machine)
    return Site(settings.plans_folder, load_bundle(folder, key), key, here)


def reference_of(site: Site) -> OnnxBackend:
    """Load the bundle's ONNX Runtime reference, on all cores."""
    return OnnxBackend(site.bundle, threads=os.cpu_count() or 1)


def server_at(settings: Config, address: str) -> ServerSettings:
    """Say how a server is reached: with the configuration's certificates and deadline.

    Raises
    ------
    ConfigError
        If that is no address, or certificates are missing that it needs.
    """
    try:
        server = InferConfig(**settings.infer.model_dump() | {"server": address}).server_settings
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise ConfigError("server_address_wrong", address=address, why=why) from error
    if server is None:
        raise ConfigError("server_address_wrong", address=address, why="none is named")
    return server
