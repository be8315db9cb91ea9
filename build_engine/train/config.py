"""What a training run is made of, read from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from agent.config import PACKAGED_ENGINES
from agent.errors import ConfigError
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Subtype

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = Path(__file__).with_name("default.toml")


SubtypeName = Literal[
    "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural"
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
    labels: dict[int, SubtypeName]

    @property
    def names(self) -> dict[int, Subtype]:
        """Subtype of each value of a mask."""
        return {value: Subtype[name.upper()] for value, name in self.labels.items()}


class Contract(_Table):
    """The frames that the networks see (agent.preprocess)."""

    pixel_mm: float
    size_px: int
    slab_mm: float
    neighbours: int
    windows_hu: tuple[tuple[float, float], ...]
    batch: int
    voxel_kji_mm: tuple[float, float, float]
    shape_kji: tuple[int, int, int]
    volume_windows_hu: tuple[tuple[float, float], ...]

    @property
    def slices(self) -> SliceInput:
        """What the slice network takes."""
        return SliceInput(
            self.pixel_mm,
            self.size_px,
            self.slab_mm,
            self.neighbours,
            self.windows_hu,
            self.batch,
        )

    @property
    def volume(self) -> VolumeInput:
        """What the volume network takes."""
        return VolumeInput(self.voxel_kji_mm, self.shape_kji, self.volume_windows_hu)


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

    ``start_from`` is the folder of a bundle whose weights training goes on from: one that comes
    with the program, such as ``default/1.4.0``, or any other.
    """

    name: str
    version: str
    start_from: Annotated[Path, AfterValidator(_among_packaged)] | None = None
    seed: int
    processes: int
    data: Cases
    annotated: tuple[AnnotatedFolder, ...] = ()
    contract: Contract
    slices: Stage
    volume: Stage
    reading: ReadingChoice
    card: dict[str, str] = {}


def load_config(path: Path) -> TrainConfig:
    """Read a run's TOML; ConfigError if it cannot be used."""
    try:
        return TrainConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(
            "training_file_unreadable", path=str(path), why=str(error.strerror)
        ) from error
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            "training_file_wrong", path=str(path), why=str(error), compare_with=str(DEFAULT)
        ) from error
