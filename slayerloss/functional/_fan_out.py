"""How many synapses a neuron has into a layer: the adjoint of its linear map, of ones, where each synapse counts 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from slayerloss._check import ArgumentError, ShapeError, message

_INPUTS = {1: conv1d_input, 2: conv2d_input, 3: conv3d_input}


class Geometry(NamedTuple):
    """Of a convolution, for each dimension of its images."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def dense_fan_out(exists: Tensor, shape: Sequence[int], name: str = "Dense") -> Tensor:
    """Of a dense layer, whose synapses `exists` (O, ...) says, bool.

    Example:
        >>> dense_fan_out(torch.tensor([[True, False], [True, True]]), (2,))
        tensor([2., 1.])
    """
    counts = exists.flatten(1).view(torch.uint8).sum(0, dtype=torch.int32).to(torch.get_default_dtype())
    if math.prod(shape) != counts.numel():
        raise _unfit(name, f"{counts.numel()} neurons", shape)
    return counts.reshape(tuple(shape))


def conv_fan_out(
    exists: Tensor, shape: Sequence[int], geometry: Geometry, groups: int = 1, name: str = "Conv"
) -> Tensor:
    """Of a convolution of an image (C, ...) of 1 to 3 dimensions; what the padding cuts off is no synapse.

    Example:
        >>> conv_fan_out(torch.ones(1, 1, 3) > 0, (1, 4), Geometry((1,), (1,), (1,)))
        tensor([[2., 3., 3., 2.]])
    """
    _check(name, shape, exists.shape[1] * groups, exists.ndim - 1)
    each = zip(shape[1:], exists.shape[2:], *geometry, strict=True)
    out = [(size + 2 * pad - step * (width - 1) - 1) // jump + 1 for size, width, jump, pad, step in each]
    if min(out) < 1:
        problem, rule = "the kernel is larger than the image", f"an image in which {tuple(exists.shape[2:])} fits"
        raise ArgumentError(message(name, problem, rule, tuple(shape)))
    weight = exists.to(torch.get_default_dtype())
    ones = weight.new_ones(1, len(weight), *out)
    counts: Tensor = _INPUTS[len(out)]((1, *shape), weight, ones, *geometry, groups)
    return counts.squeeze(0).round()


def conv_transpose_fan_out(
    exists: Tensor, shape: Sequence[int], geometry: Geometry, groups: int = 1, name: str = "ConvTranspose"
) -> Tensor:
    """Of a transposed convolution of an image (C, H, W).

    Example:
        >>> conv_transpose_fan_out(torch.ones(1, 2, 2, 1) > 0, (1, 1, 2), Geometry((1, 1), (0, 0), (1, 1)))
        tensor([[[4., 4.]]])
    """
    _check(name, shape, len(exists), 3)
    each = zip(shape[1:], exists.shape[2:], *geometry, strict=True)
    out = [(size - 1) * jump - 2 * pad + step * (width - 1) + 1 for size, width, jump, pad, step in each]
    weight = exists.to(torch.get_default_dtype())
    ones = weight.new_ones(1, weight.shape[1] * groups, *out)
    return F.conv2d(ones, weight, None, *geometry, groups).squeeze(0).round()


def _check(name: str, shape: Sequence[int], channels: int, dimensions: int) -> None:
    if len(shape) != dimensions or shape[0] != channels:
        image = ("width",) if dimensions == 2 else ("depth", "height", "width")[4 - dimensions :]
        raise _unfit(name, f"({', '.join([str(channels), *image])})", shape)


def _unfit(name: str, rule: str, shape: Sequence[int]) -> ShapeError:
    return ShapeError(message(name, "shape is no input of this layer", rule, tuple(shape)))
