"""What a training run is made of, read from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from agent.config import PACKAGED_ENGINES
from agent.errors import ConfigError
from agent.infer.contract import FolderName
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Subtype

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = Path(__file__).with_name("default.toml")


SubtypeByWord = Annotated[
    Subtype, BeforeValidator(Subtype.of), PlainSerializer(lambda subtype: subtype.word)
]


def _among_packaged(folder: Path) -> Path:
    return PACKAGED_ENGINES / folder  # an absolute one stays as it is


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cases(_Table):
    """Which generated heads and how many real patients."""

    first_train_seed: int
    generated_train: int
    generated_in_blocks: int
    first_validation_seed: int
    generated_validation: int
    real_validation: int
    bleeds_laid_in: int

    @property
    def train_seeds(self) -> range:
        """Seeds of the generated heads trained on."""
        return range(self.first_train_seed, self.first_train_seed + self.generated_train)

    @property
    def validation_seeds(self) -> range:
        """Seeds of the generated heads that thresholds are chosen on."""
        first = self.first_validation_seed
        return range(first, first + self.generated_validation)


class AnnotatedFolder(_Table):
    """A folder of a site's own heads (``build_engine.heads.annotated``) and what its masks say."""

    folder: Path
    labels: dict[int, SubtypeByWord]


class Inputs(_Table):
    """What the networks take, as the bundle's contract will say it."""

    slices: SliceInput
    volume: VolumeInput


class ReadingChoice(_Table):
    """How the trained networks are read, as seen on the validation heads."""

    midline_shift: bool
    mirrored: bool


class Stage(_Table):
    """One network and its training."""

    width: int
    steps: int
    batch: int
    learning_rate: float


class TrainConfig(_Table):
    """A whole run. ``card`` adds lines to the manifest, such as what an evaluation found.

    So does ``alerts_per_100``: see ``OperatingPoint``; it is that of *balanced*.

    ``start_from`` is the folder of a bundle whose weights training goes on from: one that comes
    with the program, such as ``default/2.0.0``, or any other. ``start_share`` is their share in the
    mean with the trained ones that is exported.
    """

    name: FolderName
    version: FolderName
    start_from: Annotated[Path, AfterValidator(_among_packaged)] | None = None
    start_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    seed: int
    processes: int
    data: Cases
    annotated: tuple[AnnotatedFolder, ...] = ()
    contract: Inputs
    slices: Stage
    volume: Stage
    reading: ReadingChoice
    alerts_per_100: tuple[float, float] | None = None
    card: dict[str, str] = {}


def load_config(path: Path) -> TrainConfig:
    """Read a run's TOML; ConfigError if it cannot be used."""
    try:
        return TrainConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            "training_file_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise _wrong(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise _wrong(path, str(error)) from error


def _wrong(path: Path, why: str) -> ConfigError:
    return ConfigError("training_file_wrong", path=str(path), why=why, compare_with=str(DEFAULT))
