"""The agent's configuration: one TOML file, overridden by environment, parsed once, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from agent.assemble.limits import ReadLimits
from agent.errors import ConfigError
from agent.store import Keep

DEFAULT_PATH = Path("/etc/bleedwatch/agent.toml")

PACKAGED_ENGINES = Path(__file__).resolve().parent.parent / "engines"
"""Bundles and protocol profiles as they are installed."""

Seconds = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchConfig(_Table):
    """How the export folder is watched."""

    rescan_s: Seconds = 2.0
    """The folder is listed whole this often: events are hints, the listing is the truth."""
    polling: bool | None = None
    """True for a share that sends no events; left out, the file system's type decides."""


class ReadConfig(_Table):
    """How large a file may be, or say that it is, to be read at all."""

    file_mb: Annotated[int, Field(ge=1, le=2048)] = 512
    """Size of a file, and of its pixels once decompressed [MiB]."""
    matrix_px: Annotated[int, Field(ge=512, le=16384)] = 4096
    frames: Annotated[int, Field(ge=1)] = 4096

    @property
    def limits(self) -> ReadLimits:
        """The same for who reads."""
        return ReadLimits(self.file_mb * 2**20, self.matrix_px, self.frames)


class InferConfig(_Table):
    """How the networks are run."""

    bundle: str = "default/1.0.0"
    """Name and version, below ``engines_folder``."""
    threads: Annotated[int, Field(ge=1)] = 3
    """CPU threads for ONNX Runtime; leave one core to the reader."""
    public_key: Path | None = None
    """PEM file of the Ed25519 key that bundles and plans must be signed with; left out, digests
    alone are checked."""


class StoreConfig(_Table):
    """How long results are kept. What is undelivered or unacknowledged is kept in any case."""

    keep_days: Annotated[float, Field(ge=1)] = 400.0
    """Series older than this are forgotten [days]."""
    keep_mb: Annotated[int, Field(ge=10)] = 8192
    """Above this size the oldest series are forgotten first [MiB]."""

    @property
    def keep(self) -> Keep:
        """The same for the store."""
        return Keep(self.keep_days, self.keep_mb * 2**20)


class ConsoleConfig(_Table):
    """Where the console's page is served."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8742


class Config(BaseSettings):
    """Everything that a site sets. Unknown keys are errors."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="BLEEDWATCH_", env_nested_delimiter="__"
    )

    export_folder: Path
    """The folder into which the scanner exports. Read only: nothing is ever written here."""
    state_folder: Path = Path("/var/lib/bleedwatch")
    """Where the store lies."""
    engines_folder: Path = PACKAGED_ENGINES
    """Model bundles and protocol profiles."""
    watch: WatchConfig = WatchConfig()
    read: ReadConfig = ReadConfig()
    infer: InferConfig = InferConfig()
    store: StoreConfig = StoreConfig()
    console: ConsoleConfig = ConsoleConfig()

    @property
    def store_path(self) -> Path:
        """The SQLite file."""
        return self.state_folder / "bleedwatch.sqlite"

    @property
    def bundle_folder(self) -> Path:
        """The bundle in use."""
        return self.engines_folder / self.infer.bundle

    @property
    def plans_folder(self) -> Path:
        """TensorRT plans built on this machine."""
        return self.engines_folder / "plans"

    @property
    def protocols_folder(self) -> Path:
        """The protocol profiles."""
        return self.engines_folder / "protocols"


def load_config(path: Path) -> Config:
    """Read ``path``; the environment (``BLEEDWATCH_…``, nested with ``__``) wins over the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key is unknown or has no usable value.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file", hint="name one with --config")

    class FromFile(Config):
        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the rest come by name
            cls,
            settings_cls: type[BaseSettings],
            env_settings: PydanticBaseSettingsSource,
            **_others: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, TomlConfigSettingsSource(settings_cls, path)

    try:
        return FromFile()  # type: ignore[call-arg]  # pydantic-settings fills them in
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{path}: {'; '.join(lines)}", hint="`bleedwatch config show`") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}", hint="mend the file's TOML") from error
