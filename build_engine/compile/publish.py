"""A bundle as a Triton server loads it: a model repository, with a record of every file's digest.

A repository may hold several bundles: their models' names differ. Plans for one more card join
those that are there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.errors import PlanError
from agent.infer.backend import N_CLASSES
from agent.infer.bundle import Bundle
from agent.infer.contract import Contract
from agent.infer.plan import Precision
from agent.infer.served import BLOCK, DIGEST, FIELDS, PRECISION, model_names
from agent.infer.signature import SUFFIX, check_signature
from build_engine.compile.plans import replace_file

RunsOn = Literal["onnxruntime", "python", "tensorrt"]

RECORD_SUFFIX: Final = ".published.json"
"""Ending of a record's name, beside the models' folders: Triton looks at folders alone."""

PYTHON_MODEL: Final = Path(__file__).with_name("triton_model.py")

MOST_SLABS: Final = 16
"""Slabs that a server computes at once: the requests of four boxes."""

QUEUE_DELAY_US: Final = 2000
"""How long a request waits for those of other boxes, at most [µs]. Ours: little beside the way."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a model's configuration: without the first axis where requests are batched."""

    name: str
    kind: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """One network as a server has it: ``files`` of its version, by name."""

    name: str
    takes: Tensor
    gives: tuple[Tensor, ...]
    most_at_once: int
    files: dict[str, bytes]


class Published(BaseModel):
    """The record of one bundle in a repository; ``files`` are SHA-256 by path in the repository.

    ``cards`` names each plan's file by the compute capability that it is for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    digest: str
    runs_on: RunsOn
    precision: Precision
    files: dict[str, str]
    cards: dict[str, str] = {}


def networks_of(
    bundle: Bundle, slices: dict[str, bytes], volume: dict[str, bytes]
) -> tuple[Model, Model]:
    """Describe both models: what they take and give, as the bundle's contract says."""
    contract, names = bundle.contract, model_names(bundle)
    size, neighbours = contract.slices.size_px, 2 * contract.slices.neighbours + 1
    blocks = contract.volume.shape
    return (
        Model(
            names.slices,
            Tensor(FIELDS, "TYPE_FP32", (neighbours, size, size)),
            (Tensor("probabilities", "TYPE_FP32", (N_CLASSES, size, size)),),
            MOST_SLABS,
            slices,
        ),
        Model(
            names.volume,
            Tensor(BLOCK, "TYPE_FP32", blocks),
            (
                Tensor("bleed", "TYPE_FP32", (1, N_CLASSES, *blocks[2:])),
                Tensor("anatomy", "TYPE_INT32", (1, *blocks[2:])),
                Tensor("score", "TYPE_FP32", (1,)),
            ),
            0,
            volume,
        ),
    )


def publish(
    folder: Path,
    bundle: Bundle,
    models: tuple[Model, Model],
    made: tuple[RunsOn, Precision],
    cards: dict[str, str],
    key: Ed25519PrivateKey | None,
) -> Published:
    """Write both models: each configuration after its networks, the record last.

    Plans that are there for other cards stay, where they are of this bundle and precision.

    Raises
    ------
    PlanError
        If the disk is full or not writable, or the record that is there is none.
    """
    runs_on, precision = made
    record = record_path(folder, bundle.contract, bundle.digest)
    before = read_published(record) if runs_on == "tensorrt" and record.exists() else None
    kept: dict[str, str] = {}
    if before and (before.runs_on, before.precision) == made:
        cards = {**before.cards, **cards}
        kept = {path: digest for path, digest in before.files.items() if path.endswith(".plan")}
    written: dict[str, bytes] = {}
    for model in models:
        for name, content in model.files.items():
            written[f"{model.name}/1/{name}"] = content
        text = configuration(model, bundle.digest, made, cards)
        written[f"{model.name}/config.pbtxt"] = text.encode()
    for path, content in written.items():
        replace_file(folder / path, content)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in written.items()}
    published = Published(
        bundle=f"{bundle.contract.name}/{bundle.contract.version}",
        digest=bundle.digest,
        runs_on=runs_on,
        precision=precision,
        files=dict(sorted({**kept, **digests}.items())),
        cards=cards,
    )
    content = published.model_dump_json(indent=2).encode()
    replace_file(record, content)
    if key is not None:
        replace_file(record.with_name(record.name + SUFFIX), key.sign(content))
    return published


def configuration(
    model: Model, digest: str, made: tuple[RunsOn, Precision], cards: dict[str, str]
) -> str:
    """Write a model's ``config.pbtxt``. Source: Triton, model_config.proto."""
    runs_on, precision = made
    lines = [f'name: "{model.name}"', f"max_batch_size: {model.most_at_once}"]
    lines += {
        "onnxruntime": ['backend: "onnxruntime"'],
        "python": ['backend: "python"'],
        "tensorrt": ['platform: "tensorrt_plan"'],
    }[runs_on]
    for capability, plan in sorted(cards.items()):
        lines.append(f'cc_model_filenames {{ key: "{capability}" value: "{plan}" }}')
    if cards:
        lines.append(f'default_model_filename: "{min(cards.values())}"')
    lines.append(f"input [ {_tensor_text(model.takes)} ]")
    lines.append(f"output [ {', '.join(map(_tensor_text, model.gives))} ]")
    if model.most_at_once:
        delay = f"max_queue_delay_microseconds: {QUEUE_DELAY_US}"
        lines.append(f"dynamic_batching {{ preferred_batch_size: [ 8, 16 ] {delay} }}")
    for key, value in ((DIGEST, digest), (PRECISION, precision)):
        lines.append(f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}')
    return "\n".join(lines) + "\n"


def record_path(folder: Path, contract: Contract, digest: str) -> Path:
    """Return where a bundle's record lies in a repository."""
    return folder / f"{contract.name}-{contract.version}-{digest[:12]}{RECORD_SUFFIX}"


def read_published(path: Path) -> Published:
    """Read a record; PlanError if it is none."""
    try:
        return Published.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PlanError("plan_unreadable", path=str(path), why=str(error.strerror)) from error
    except ValidationError as error:
        raise PlanError("plan_manifest_wrong", path=str(path), why=str(error)) from error


def is_repository(folder: Path) -> bool:
    """Tell whether a bundle was published into this folder."""
    return any(folder.glob(f"*{RECORD_SUFFIX}"))


def check_repository(folder: Path, key: Ed25519PublicKey | None) -> None:
    """Check every record in a repository, its files' digests, and its signature if there is a key.

    Raises
    ------
    PlanError, SignatureError
        What is wrong, and with which file.
    """
    for record in sorted(folder.glob(f"*{RECORD_SUFFIX}")):
        if key is not None:
            check_signature(record, record.read_bytes(), key)
        for name, expected in read_published(record).files.items():
            try:
                actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                why = str(error.strerror)
                raise PlanError("plan_unreadable", path=str(folder / name), why=why) from error
            if actual != expected:
                raise PlanError("plan_file_changed", path=str(folder / name))


def _tensor_text(tensor: Tensor) -> str:
    dims = ", ".join(map(str, tensor.dims))
    return f'{{ name: "{tensor.name}" data_type: {tensor.kind} dims: [ {dims} ] }}'
