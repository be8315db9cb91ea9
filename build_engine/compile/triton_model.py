"""Copied into a model repository: ``model.onnx`` in Triton's Python backend, by ONNX Runtime.

For a server that lacks the ONNX Runtime backend, such as the one in nvidia-pytriton's wheel.
Requests that Triton puts together are run at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton asks a Python model to be."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network beside this file."""
        config = json.loads(args["model_config"])
        self._input = config["input"][0]["name"]
        self._outputs = [output["name"] for output in config["output"]]
        network = Path(__file__).with_name("model.onnx")
        self._session = onnxruntime.InferenceSession(
            str(network), providers=onnxruntime.get_available_providers()
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests, whose inputs have as many rows as each likes."""
        inputs = [
            triton.get_input_tensor_by_name(request, self._input).as_numpy() for request in requests
        ]
        values = self._session.run(self._outputs, {self._input: np.concatenate(inputs)})
        ends = np.cumsum([len(rows) for rows in inputs])[:-1]
        apart = zip(*(np.split(rows, ends) for rows in values), strict=True)
        return [
            triton.InferenceResponse(
                [triton.Tensor(*named) for named in zip(self._outputs, rows, strict=True)]
            )
            for rows in apart
        ]
