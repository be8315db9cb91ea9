"""Training that goes on from a bundle: its weights, brought back into a network to train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from agent.errors import ConfigError

Windows = tuple[tuple[float, float], ...]
Weights = tuple[NDArray[np.float32], NDArray[np.float32]]

NEW_LAYER_SHARE: Final = 0.1
"""How far a layer that the bundle lacks weighs at first: enough to learn from, too little to do
harm. Ours."""


def start_from(
    network: nn.Module, path: Path, samples: Iterable[Tensor], channels: Sequence[int]
) -> None:
    """Give a network the weights of an exported one, in place.

    Normalisation was folded into the convolutions at export. It is taken out again by what the
    layers give for ``samples``, so that training starts from what the bundle does. ``channels`` are
    the channels of ``samples`` that the exported network takes; others weigh nothing at first. What
    layers a deeper network has more weighs little at first.

    Raises
    ------
    ConfigError
        If the exported network has layers that the network to train lacks.
    """
    inputs = list(samples)
    network.eval()
    if _left_of(_stored(path, channels, inputs[0]), network, inputs):
        raise ConfigError("start_bundle_layers", path=str(path))


def average_with(
    network: nn.Module, path: Path, samples: Iterable[Tensor], channels: Sequence[int], share: float
) -> None:
    """Give a trained network the weighted mean of its weights and those it started from, in place.

    ``share`` is that of the start, an exported network of the same layers; the rest as in
    ``start_from``. A network that learns new heads unlearns something of the former ones: what lies
    between both does well on both. Source: Wortsman et al., CVPR 2022 (arXiv:2109.01903).

    Raises
    ------
    ConfigError
        If the layers are not the same.
    """
    inputs = list(samples)
    network.eval()
    trained, start = _folded(network, inputs[0]), _stored(path, channels, inputs[0])
    if [weight.shape for weight, _ in trained] != [weight.shape for weight, _ in start]:
        raise ConfigError("start_bundle_layers", path=str(path))
    mean = [
        (own[0] + share * (first[0] - own[0]), own[1] + share * (first[1] - own[1]))
        for own, first in zip(trained, start, strict=True)
    ]
    _left_of(mean, network, inputs)


def _left_of(stored: list[Weights], network: nn.Module, inputs: list[Tensor]) -> list[Weights]:
    """Give layers their stored weights; returns those that fit no layer: then none can be used."""
    layers = _in_order_of_use(network, inputs[0])
    with torch.no_grad():
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if _normalises(layer):
                continue
            if not stored or tuple(layer.weight.shape) != stored[0][0].shape:
                layer.weight.mul_(NEW_LAYER_SHARE)
                continue
            weight, bias = (torch.from_numpy(values.copy()) for values in stored.pop(0))
            layer.weight.copy_(weight)
            if layer.bias is None:  # a normalisation follows, and will only add the bias
                following.running_mean.zero_()
                following.running_var.fill_(1.0 - following.eps)
                following.weight.fill_(1.0)
            (following if layer.bias is None else layer).bias.copy_(bias)
        if not stored:
            _renormalise(network, inputs)
    return stored


def _folded(network: nn.Module, sample: Tensor) -> list[Weights]:
    """Weight and bias of each layer, its normalisation folded in, as an export has them."""
    folded = []
    layers = _in_order_of_use(network, sample)
    with torch.no_grad():
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if _normalises(layer):
                continue
            weight, bias = layer.weight, layer.bias
            if bias is None:
                scale = following.weight / (following.running_var + following.eps).sqrt()
                bias = following.bias - following.running_mean * scale
                weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
            folded.append((weight.numpy(), bias.numpy()))
    return folded


def channels_of(
    windows_hu: Windows,
    trained_hu: Windows,
    neighbours: tuple[int, int] = (0, 0),
    before: int = 0,
) -> list[int]:
    """List the channels of an input with ``windows_hu`` that one with ``trained_hu`` has as well.

    ``before`` channels come first, then a slab and its neighbours, each in every window
    (``agent.preprocess``). ``neighbours`` tells how many there are on either side, wanted and
    trained.

    Raises
    ------
    ConfigError
        If a window or a neighbour is missing.
    """
    wanted, trained = neighbours
    if wanted < trained:
        raise ConfigError("start_bundle_sees_more", trained=trained, wanted=wanted)
    if missing := set(trained_hu) - set(windows_hu):
        raise ConfigError("start_bundle_window", window_hu=str(min(missing)))
    seen = [windows_hu.index(window) for window in trained_hu]
    planes = range(wanted - trained, wanted + trained + 1)
    return [
        *range(before),
        *(before + plane * len(windows_hu) + n for plane in planes for n in seen),
    ]


def _normalises(layer: nn.Module) -> bool:
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


def _stored(path: Path, channels: Sequence[int], sample: Tensor) -> list[Weights]:
    """Read the layers of an exported network, the first as wide as ``sample``."""
    stored = _weights_in(path)
    stored[0] = _widened(stored[0], channels, sample.shape[1])
    return stored


def _weights_in(path: Path) -> list[Weights]:
    """Read weight and bias of each layer of an ONNX file, in the order of its graph."""
    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return [
        (stored[node.input[1]], stored[node.input[2]])
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    ]


def _widened(first: Weights, channels: Sequence[int], count: int) -> Weights:
    weight, bias = first
    outputs, inputs, *size = weight.shape
    if inputs != len(channels):
        return first
    wide = np.zeros((outputs, count, *size), dtype=np.float32)
    wide[:, channels] = weight
    return wide, bias


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
