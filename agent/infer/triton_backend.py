"""A bundle run by a Triton server, over gRPC (KServe's protocol, version 2).

Whatever the server does or sends ends in an ``InferenceError``, within the deadline of each
request. Needs the ``triton`` extra.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadOutputError, PlanError, ServerError, legible
from agent.infer.backend import N_CLASSES, Floats, RunBy, VolumeOutput, sound, sound_volume
from agent.infer.bundle import Bundle
from agent.infer.golden import MOST_DIFFERENT, Reading, read_golden
from agent.infer.plan import Precision
from agent.infer.platform import PIP
from agent.infer.served import (
    BLOCK,
    DIGEST,
    FIELDS,
    PRECISION,
    model_names,
    on_the_wire,
    with_mirrored,
)
from agent.infer.server_settings import ServerSettings

IN_FLIGHT: Final = 2
"""Requests under way at once: one is copied while the other is computed."""

SPARE_BYTES: Final = 2**20
"""What an answer may hold besides its tensors."""

MOST_SAID: Final = 200
"""Characters of a server's own words that are kept."""

INSTALL: Final = f"{PIP} install '.[triton]'"


class TritonBackend:
    """Runs a bundle's networks on a server. It may be looked at (``check``) by another thread."""

    def __init__(self, settings: ServerSettings, bundle: Bundle) -> None:
        """Connect; the server is asked nothing but what it is, and for the bundle's models.

        Raises
        ------
        ServerError
            If it cannot be reached, is another than the certificates say, or has not these models.
        PlanError
            If the extra is not installed, or a certificate's file cannot be read.
        """
        self._settings, self._bundle, self._names = settings, bundle, model_names(bundle)
        self._grpc = _client_package()
        with ExitStack() as stack:
            self._client = _connected(self._grpc, settings, _answer_bytes(bundle))
            stack.callback(self._client.close)
            server = self._asked("get_server_metadata")
            self.precision = self.check()
            said = legible(f"{server.name} {server.version}")[:40]
            self._run_by = RunBy(f"{said}, {self.precision}", f"server {settings.target}")
            stack.pop_all()

    @property
    def run_by(self) -> RunBy:
        """The server's name and version, and where it is."""
        return self._run_by

    @property
    def slabs_per_run(self) -> int:
        """See ``Backend``; the server puts requests of several boxes together.

        A slab and its mirror image are not parted.
        """
        contract = self._bundle.contract
        runs = contract.reading.runs_per_slab
        return max(1, contract.slices.batch // runs) * runs

    def check(self) -> Precision:
        """Look whether both models are loaded, and are of this bundle; raises as ``__init__``."""
        found = {self._checked(name) for name in (self._names.slices, self._names.volume)}
        return "fp32" if found == {"fp32"} else "fp16"

    def check_golden(self, expected: Reading) -> None:
        """Let it read the golden batch; ServerError if it does not do so as the reference does."""
        difference = read_golden(self._bundle.contract, self).difference(expected)
        allowed = MOST_DIFFERENT[self.precision]
        if not difference <= allowed:
            raise ServerError(
                "server_reads_differently",
                address=self._settings.target,
                difference=difference,
                allowed=allowed,
            )

    def run_slices(self, batches: Iterable[Floats]) -> Iterator[Floats]:
        """See ``Backend``. Where the bundle is read mirrored, its image follows each slab."""
        contract = self._bundle.contract
        running: deque[Future[Any]] = deque()
        for slabs in batches:
            if len(running) == IN_FLIGHT:
                yield with_mirrored(self._probabilities(running.popleft()), contract)
            fields = on_the_wire(slabs, contract)
            running.append(self._begun(self._names.slices, FIELDS, fields, ("probabilities",)))
        while running:
            yield with_mirrored(self._probabilities(running.popleft()), contract)

    def run_volume(self, block: Floats) -> VolumeOutput:
        """See ``Backend``."""
        names = ("bleed", "anatomy", "score")
        answer = self._begun(self._names.volume, BLOCK, block, names)
        bleed, anatomy, score = self._outputs(answer, names)
        shape_kji = self._bundle.contract.volume.shape_kji
        return sound_volume(bleed, anatomy, score.reshape(-1), shape_kji)

    def batch_counts(self) -> dict[int, int]:
        """Say how many batches of how many slabs the server has computed; raises as ``check``."""
        answer = self._asked("get_inference_statistics", self._names.slices)
        sizes = [one for model in answer.model_stats for one in model.batch_stats]
        return {int(one.batch_size): int(one.compute_infer.count) for one in sizes}

    def close(self) -> None:
        """End the connection; requests under way fail."""
        self._client.close()

    def _probabilities(self, answer: Future[Any]) -> Floats:
        contract = self._bundle.contract
        rows, columns = contract.slices.shape[2:]
        n_slabs = self.slabs_per_run // contract.reading.runs_per_slab
        (values,) = self._outputs(answer, ("probabilities",))
        return sound(values, (n_slabs, N_CLASSES, rows, columns), "slice probabilities")

    def _checked(self, model: str) -> Precision:
        """Return a model's precision; ServerError if it is not there, or not of this bundle."""
        if not self._asked("is_model_ready", model):
            raise ServerError("server_model_missing", address=self._settings.target, model=model)
        parameters = self._asked("get_model_config", model).config.parameters
        said = {key: parameters[key].string_value for key in (DIGEST, PRECISION)}
        if said[DIGEST] != self._bundle.digest:
            raise ServerError("server_model_differs", address=self._settings.target, model=model)
        return "fp32" if said[PRECISION] == "fp32" else "fp16"

    def _asked(self, question: str, *about: str) -> Any:  # noqa: ANN401 - one of protobuf's
        try:
            return getattr(self._client, question)(*about, client_timeout=self._settings.deadline_s)
        except Exception as error:  # the vendor's, gRPC's or protobuf's
            raise self._failed(error) from error

    def _begun(
        self, model: str, name: str, values: Floats, outputs: tuple[str, ...]
    ) -> Future[Any]:
        """Send a request; its answer, or how it failed, comes by itself."""
        answer: Future[Any] = Future()

        def done(result: Any, error: Exception | None) -> None:  # noqa: ANN401 - the vendor's
            answer.set_exception(error) if error else answer.set_result(result)

        try:
            tensor = self._grpc.InferInput(name, values.shape, "FP32")
            tensor.set_data_from_numpy(values)
            self._client.async_infer(
                model,
                [tensor],
                done,
                outputs=[self._grpc.InferRequestedOutput(output) for output in outputs],
                client_timeout=self._settings.deadline_s,
            )
        except Exception as error:  # as above
            raise self._failed(error) from error
        return answer

    def _outputs(self, answer: Future[Any], names: tuple[str, ...]) -> list[NDArray[Any]]:
        """Wait for a request's answer; its deadline ends it at the latest."""
        try:
            result = answer.result(self._settings.deadline_s + 1.0)
        except Exception as error:  # as above
            raise self._failed(error) from error
        try:
            return [np.asarray(result.as_numpy(name), np.float32) for name in names]
        except Exception as error:  # tensors that are not there, or are not as long as they say
            raise BadOutputError(
                "server_answer_wrong", address=self._settings.target, why=_said(error)
            ) from error

    def _failed(self, error: Exception) -> ServerError:
        return ServerError("server_failed", address=self._settings.target, why=_said(error))


def connect(settings: ServerSettings, bundle: Bundle, expected: Reading) -> TritonBackend:
    """Connect to a server that reads the golden batch as the reference does.

    Raises
    ------
    InferenceError
        If there is none.
    """
    with ExitStack() as stack:
        backend = TritonBackend(settings, bundle)
        stack.callback(backend.close)
        backend.check_golden(expected)
        stack.pop_all()
    return backend


def _client_package() -> ModuleType:
    try:
        import tritonclient.grpc  # noqa: PLC0415 - of the triton extra
    except ImportError as error:
        raise PlanError(
            "server_package_missing", package="tritonclient[grpc]", command=INSTALL
        ) from error
    module: ModuleType = tritonclient.grpc
    return module


def _connected(grpc: ModuleType, settings: ServerSettings, answer_bytes: int) -> Any:  # noqa: ANN401
    """Make a client; nothing is sent yet."""
    options = [
        ("grpc.max_receive_message_length", answer_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),  # what scanners' images show goes to that address alone
        ("grpc.enable_retries", 0),
    ]
    if not settings.encrypted:
        return grpc.InferenceServerClient(settings.target, channel_args=options)
    for path in (settings.ca, settings.certificate, settings.key):
        _check_readable(path)
    return grpc.InferenceServerClient(
        settings.target,
        ssl=True,
        root_certificates=str(settings.ca),
        certificate_chain=str(settings.certificate),
        private_key=str(settings.key),
        channel_args=options,
    )


def _check_readable(path: Path | None) -> None:
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise PlanError(
            "server_certificate_unreadable", path=str(path), why=str(error.strerror)
        ) from error


def _answer_bytes(bundle: Bundle) -> int:
    """Size of the largest answer that is taken."""
    batch, _, rows, columns = bundle.contract.slices.shape
    slabs = batch * N_CLASSES * rows * columns
    voxels = (N_CLASSES + 1) * int(np.prod(bundle.contract.volume.shape_kji))
    return 4 * max(slabs, voxels) + SPARE_BYTES


def _said(error: Exception) -> str:
    """Say in a line what the client says; the vendor's error holds the words apart."""
    words = error.message() if hasattr(error, "message") else str(error)
    return legible(str(words) or type(error).__name__)[:MOST_SAID]
