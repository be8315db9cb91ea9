"""What training and the agent agree on about a model: one tree, stored as ``bundle.toml``.

Training fills it, export writes it, the agent reads it; ``engines/CONTRACT.md`` explains the file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from agent.errors import AgentError, BundleError
from agent.preprocess import SliceInput, VolumeInput
from agent.records import Calcification, Certainty, OperatingPoint, Reading, VolumeInterval

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEAST_TOLD: Final = 1 / 255
"""Masks tell no smaller probability than this."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
"""What a bundle's folders, ``engines/<name>/<version>``, can be called."""


def _of_different_names(points: tuple[OperatingPoint, ...]) -> tuple[OperatingPoint, ...]:
    if len({point.name for point in points}) < len(points):
        raise ValueError("two have the same name")
    return points


@dataclass(frozen=True, slots=True)
class NetworkDigests:
    """SHA-256 of the two ONNX files."""

    slices: Sha256
    volume: Sha256


@dataclass(frozen=True, slots=True)
class Contract:
    """All that is to be known of a model but its networks, of which it holds the digests.

    ``card`` holds texts for people, by heading: what it was trained and evaluated on, its limits.
    Without ``calcification`` nothing is said of calcium.
    """

    name: FolderName
    version: FolderName
    slices: SliceInput
    volume: VolumeInput
    reading: Reading
    interval: VolumeInterval
    operating_points: Annotated[
        tuple[OperatingPoint, ...], Field(min_length=1), AfterValidator(_of_different_names)
    ]
    sha256: NetworkDigests
    card: dict[str, str]
    certainty: Certainty = field(default_factory=Certainty)
    calcification: Calcification | None = None

    @property
    def uncut(self) -> Contract:
        """The same networks, read down to the lowest probability that a mask can hold.

        A slab in which nothing can reach the cut is not read at all (``label_head``): probabilities
        that are ranked or compared come from this.
        """
        return replace(self, reading=replace(self.reading, bleed_probability=LEAST_TOLD))

    def operating_point(self, name: str) -> OperatingPoint:
        """Look an operating point up by name; BundleError if there is none."""
        for point in self.operating_points:
            if point.name == name:
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise BundleError(
            "operating_point_unknown",
            bundle=self.name,
            version=self.version,
            point=name,
            known=known,
        )


Contract.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]
    extra="forbid", allow_inf_nan=False
)

CONTRACT: Final = TypeAdapter(Contract)


def read_contract(text: str, path: Path) -> Contract:
    """Read what ``path`` holds, also as it was laid out before version 2.0.0.

    Raises
    ------
    BundleError
        If that is no contract: what is wrong first, in one line.
    """
    try:
        table = tomllib.loads(text)
        return CONTRACT.validate_python(_laid_out_anew(table) if "bundle" in table else table)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BundleError("bundle_wrong", path=str(path), why=why) from error
    except (AgentError, ValueError) as error:
        raise BundleError("bundle_wrong", path=str(path), why=str(error)) from error


def _laid_out_anew(table: dict[str, Any]) -> dict[str, Any]:
    """Bring the layout that bundles before 2.0.0 have into today's.

    There the digests stood beside what the networks take, and operating points were tables by name,
    whose false alerts to expect were those of the heads that chose them, and are told no more.
    ``interval`` was as wide below as above, or one for each subtype, of which the widest ends are
    taken.
    """
    try:
        slices, volume, interval = (dict(table[key]) for key in ("slice", "volume", "interval"))
        sha256 = {"slices": slices.pop("sha256"), "volume": volume.pop("sha256")}
        if "relative" in interval:
            reach = interval.pop("relative")
            interval = {"any": {"below": reach, "above": reach, **interval}}
        widest = {
            end: max(one[end] for one in interval.values())
            for end in ("below", "above", "absolute_ml")
        }
        return {
            "name": table["bundle"]["name"],
            "version": table["bundle"]["version"],
            "slices": {key: value for key, value in slices.items() if key != "file"},
            "volume": {key: value for key, value in volume.items() if key != "file"},
            "reading": {"mirrored": False, **table["reading"]},
            "interval": {**widest, "below_by_doubt": 0.0, "above_by_doubt": 0.0},
            "operating_points": [
                {"name": name, "score": point["score"]}
                for name, point in table["operating_points"].items()
            ],
            "sha256": sha256,
            "card": table["card"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"there is no {error}") from error
