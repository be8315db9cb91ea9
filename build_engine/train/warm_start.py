"""Training that goes on from a bundle: its weights, brought back into a network to train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from agent.errors import ConfigError

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


def start_from(network: nn.Module, path: Path, samples: Iterable[Tensor]) -> None:
    """Give a network the weights of an exported one, in place.

    Normalisation was folded into the convolutions at export. It is taken out again by what the
    layers give for ``samples``, so that training starts from what the bundle does.

    Raises
    ------
    ConfigError
        If the exported network has other layers.
    """
    inputs = list(samples)
    network.eval()
    with torch.no_grad():
        for layer, weight, bias in _beside(network, path, inputs[0]):
            layer.put(weight, bias)
        _renormalise(network, inputs)


def draw_back(network: nn.Module, path: Path, share: float, sample: Tensor) -> None:
    """Draw a trained network's weights back towards those it started from, in place.

    Between the two lie weights that keep what the start was good at. Source: Wortsman et al.,
    "Robust fine-tuning of zero-shot models", CVPR 2022.

    Parameters
    ----------
    network : nn.Module
        What was trained from the exported network in ``path``.
    share : float
        How much of the start is in the weights afterwards, 0 to 1.
    sample : Tensor
        An input of the network's shape.
    """
    network.eval()
    with torch.no_grad():
        for layer, weight, bias in _beside(network, path, sample):
            now_weight, now_bias = layer.folded()
            layer.put(now_weight.lerp(weight, share), now_bias.lerp(bias, share))


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """A layer with weights, and the normalisation that follows it, if one does."""

    layer: Any
    normalisation: Any

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that do alone what the layer and its normalisation do."""
        weight, after = self.layer.weight, self.normalisation
        if after is None:
            return weight, self.layer.bias
        scale = after.weight / (after.running_var + after.eps).sqrt()
        spread = scale.reshape(-1, *(1,) * (weight.dim() - 1))
        return weight * spread, after.bias - after.running_mean * scale

    def put(self, weight: Tensor, bias: Tensor) -> None:
        """Set them, in place; the normalisation then only adds the bias."""
        self.layer.weight.copy_(weight)
        after = self.normalisation
        if after is not None:
            after.running_mean.zero_()
            after.running_var.fill_(1.0 - after.eps)
            after.weight.fill_(1.0)
        (after or self.layer).bias.copy_(bias)


def _beside(network: nn.Module, path: Path, sample: Tensor) -> list[tuple[_Layer, Tensor, Tensor]]:
    """Lay each layer beside the weight and bias of the exported one."""
    used = _in_order_of_use(network, sample)
    layers = [
        _Layer(layer, following if _normalises(following) else None)
        for layer, following in zip(used, [*used[1:], None], strict=True)
        if not _normalises(layer)
    ]
    stored = _weights_in(path)
    if [tuple(one.layer.weight.shape) for one in layers] != [w.shape for w, _ in stored]:
        raise ConfigError(
            f"{path}: its layers are not those of the network to train",
            hint="give the contract and the widths that the bundle was trained with",
        )
    return [
        (layer, torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy()))
        for layer, (weight, bias) in zip(layers, stored, strict=True)
    ]


def _normalises(layer: nn.Module | None) -> bool:
    return isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d))


def _in_order_of_use(network: nn.Module, inputs: Tensor) -> list[Any]:
    """List the layers that hold weights, as a forward pass comes to them."""
    used: list[Any] = []
    kinds = (nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm3d)
    hooks = [
        layer.register_forward_hook(lambda one, *_: used.append(one))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return used


def _weights_in(path: Path) -> list[Weights]:
    """Read weight and bias of each layer of an ONNX file, in the order of its graph."""
    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return [
        (stored[node.input[1]], stored[node.input[2]])
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    ]


def _renormalise(network: nn.Module, samples: list[Tensor]) -> None:
    """Set mean and variance to what comes in, and weight and bias so that the same goes out."""
    sums: dict[Any, list[Tensor]] = {}

    def keep(layer: nn.Module, came_in: tuple[Tensor]) -> None:
        flat = came_in[0].float().transpose(0, 1).flatten(1)
        moments = torch.stack([flat.mean(dim=1), flat.square().mean(dim=1)])
        sums.setdefault(layer, []).append(moments)

    normalisations = [layer for layer in network.modules() if _normalises(layer)]
    hooks = [layer.register_forward_pre_hook(keep) for layer in normalisations]
    for inputs in samples:
        network(inputs)
    for hook in hooks:
        hook.remove()
    for layer, moments in sums.items():
        mean, square = torch.stack(moments).mean(dim=0)
        variance = (square - mean.square()).clamp_min(0.0)
        layer.bias.add_(mean)
        layer.weight.copy_((variance + layer.eps).sqrt())
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
