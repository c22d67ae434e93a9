"""Dense synapses, convolution and pooling, and the last two the other way, with lava-dl's weights and names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, ShapeError, check_events, check_integer, check_range, message
from slayerloss.functional import synapse as functional
from slayerloss.functional._fan_out import Geometry, conv_fan_out, conv_transpose_fan_out, dense_fan_out
from slayerloss.functional.events import LARGEST_SIZE
from slayerloss.synapse._weight import Hook, Synapse

__all__ = ["Conv", "ConvTranspose", "Dense", "Pool", "Unpool"]


Size = int | tuple[int, int]
"""A number for height and width, or both."""


def pair(function: str, argument: str, value: Size, low: int = 1) -> tuple[int, int]:
    """One number for height and width, or both."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2:
        raise ArgumentError(message(function, f"{argument} is not a pair", "a number or (height, width)", value))
    height, width = (check_integer(function, argument, size, low, LARGEST_SIZE) for size in values)
    return height, width


def _initial(function: str, weight_scale: float, *shape: int) -> Tensor:
    """Uniform in +-1/sqrt(fan-in), torch's and lava-dl's default, times `weight_scale`."""
    check_range(function, "weight_scale", weight_scale)
    bound = abs(float(weight_scale)) / math.sqrt(math.prod(shape[1:]))
    return torch.empty(*shape).uniform_(-bound, bound)


def _check_groups(function: str, in_features: int, out_features: int, groups: int) -> None:
    check_integer(function, "groups", groups, 1)
    for name, features in (("in_features", in_features), ("out_features", out_features)):
        check_integer(function, name, features, 1, LARGEST_SIZE)
    if in_features % groups or out_features % groups:
        rule = f"a divisor of {in_features} and {out_features}"
        raise ArgumentError(message(function, "groups does not divide the channels", rule, groups))


class Dense(Synapse):
    """Connect everything to everything, `functional.dense`.

    Args:
        in_neurons: C; (W, H) or (W, H, C) for an input with space, which arrives as (N, C, H, W, T).
        out_neurons: O.
        weight_scale: factor of the initial weights.
        weight_norm: hold the weight as direction and length.
        pre_hook_fx: applied to the weight at every use.

    Example:
        >>> Dense(2, 3)(torch.ones(1, 2, 5)).shape
        torch.Size([1, 3, 5])
    """

    def __init__(
        self,
        in_neurons: int | tuple[int, ...],
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        space = tuple(in_neurons) if isinstance(in_neurons, (tuple, list)) else (in_neurons,)
        if not 1 <= len(space) <= 3:
            raise ArgumentError(message("Dense", "in_neurons is no shape", "C, (W, H) or (W, H, C)", in_neurons))
        for size in (*space, out_neurons):
            check_integer("Dense", "number of neurons", size, 1, LARGEST_SIZE)
        width, height = space[:2] if len(space) > 1 else (1, 1)
        channels = 1 if len(space) == 2 else space[-1]
        super().__init__(
            _initial("Dense", weight_scale, out_neurons, channels, height, width, 1), weight_norm, pre_hook_fx
        )
        self.in_channels, self.out_channels = channels, out_neurons

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, T) or (N, C, H, W, T) -> (N, O, T)."""
        return functional.dense(input, self.effective_weight(mask).flatten(1))

    def fan_out(self, exists: Tensor, shape: Sequence[int]) -> Tensor:
        """How many synapses each input neuron of a layer (C, ...) has, if those `exists`, of the weight's shape."""
        return dense_fan_out(exists, shape)


class Windowed(Synapse):
    """What moves a kernel over an image."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def _set_geometry(self, kernel: tuple[int, int], stride: Size, padding: Size, dilation: Size) -> None:
        name = type(self).__name__
        self.kernel_size = kernel
        self.stride = pair(name, "stride", stride)
        self.padding = pair(name, "padding", padding, 0)
        self.dilation = pair(name, "dilation", dilation)

    @property
    def geometry(self) -> Geometry:
        """Stride, padding and dilation."""
        return Geometry(self.stride, self.padding, self.dilation)


class Conv(Windowed):
    """Convolve each step's image, `functional.conv`.

    Args:
        in_features, out_features: C and O.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale, weight_norm, pre_hook_fx: as `Dense`.

    Example:
        >>> Conv(2, 3, kernel_size=3, padding=1)(torch.ones(1, 2, 4, 4, 5)).shape
        torch.Size([1, 3, 4, 4, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        _check_groups("Conv", in_features, out_features, groups)
        kernel = pair("Conv", "kernel_size", kernel_size)
        shape = (out_features, in_features // groups, *kernel, 1)
        super().__init__(_initial("Conv", weight_scale, *shape), weight_norm, pre_hook_fx)
        self.in_channels, self.out_channels, self.groups = in_features, out_features, groups
        self._set_geometry(kernel, stride, padding, dilation)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, H, W, T) -> (N, O, H', W', T)."""
        weight = self.effective_weight(mask).squeeze(-1)
        return functional.conv(input, weight, self.stride, self.padding, self.dilation, self.groups)

    def fan_out(self, exists: Tensor, shape: Sequence[int]) -> Tensor:
        """How many synapses each input neuron of a layer (C, ...) has, if those `exists`, of the weight's shape."""
        return conv_fan_out(exists.squeeze(-1), shape, self.geometry, self.groups)


class ConvTranspose(Windowed):
    """Convolve each step's image the other way, `functional.conv_transpose`.

    Args:
        in_features, out_features: C and O.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale, weight_norm, pre_hook_fx: as `Dense`; the weight is (C, O / groups, height, width, 1).

    Example:
        >>> ConvTranspose(2, 3, kernel_size=2, stride=2)(torch.ones(1, 2, 4, 4, 5)).shape
        torch.Size([1, 3, 8, 8, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        _check_groups("ConvTranspose", in_features, out_features, groups)
        kernel = pair("ConvTranspose", "kernel_size", kernel_size)
        shape = (in_features, out_features // groups, *kernel, 1)
        super().__init__(_initial("ConvTranspose", weight_scale, *shape), weight_norm, pre_hook_fx)
        self.in_channels, self.out_channels, self.groups = in_features, out_features, groups
        self._set_geometry(kernel, stride, padding, dilation)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, H, W, T) -> (N, O, H', W', T)."""
        weight = self.effective_weight(mask).squeeze(-1)
        return functional.conv_transpose(input, weight, self.stride, self.padding, self.dilation, self.groups)

    def fan_out(self, exists: Tensor, shape: Sequence[int]) -> Tensor:
        """How many synapses each input neuron of a layer (C, ...) has, if those `exists`, of the weight's shape."""
        return conv_transpose_fan_out(exists.squeeze(-1), shape, self.geometry, self.groups)


class Uniform(Windowed):
    """What has one fixed weight, for each channel alone."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        kernel = pair(type(self).__name__, "kernel_size", kernel_size)
        check_range(type(self).__name__, "weight_scale", weight_scale)
        super().__init__(torch.full((1, 1, *kernel, 1), float(weight_scale)), weight_norm, pre_hook_fx)
        self.requires_grad_(False)
        self._set_geometry(kernel, kernel if stride is None else stride, padding, dilation)

    def _weight_of_each_channel(self, input: Tensor, mask: Tensor | None) -> Tensor:
        name = type(self).__name__
        check_events(name, input, "input", sparse=True)
        channels = input.shape[1]
        if channels == 0:
            raise ShapeError(message(name, "input has no channels", "C of at least 1", tuple(input.shape)))
        return self.effective_weight(mask).squeeze(-1).expand(channels, -1, -1, -1)


class Pool(Uniform):
    """Sum each channel over a window, times a fixed weight.

    Args:
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx: as `Dense`.

    Example:
        >>> Pool(2)(torch.ones(1, 3, 4, 4, 5)).shape
        torch.Size([1, 3, 2, 2, 5])

    Note:
        lava-dl folds the channels into the height, so that a stride other than the kernel size mixes them; here they
        stay apart. An image that is no multiple of the stride loses its rest, where lava-dl adds zeros or fails.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, H, W, T) -> (N, C, H', W', T)."""
        weight = self._weight_of_each_channel(input, mask)
        return functional.conv(input, weight, self.stride, self.padding, self.dilation, len(weight))

    def fan_out(self, exists: Tensor, shape: Sequence[int]) -> Tensor:
        """How many synapses each input neuron of a layer (C, ...) has, if those `exists`, of the weight's shape."""
        return conv_fan_out(_of_each(exists, shape), shape, self.geometry, shape[0])


class Unpool(Uniform):
    """Spread each value over a window, times a fixed weight: the adjoint of `Pool`.

    Args:
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx: as `Dense`.

    Example:
        >>> Unpool(2)(torch.ones(1, 3, 4, 4, 5)).shape
        torch.Size([1, 3, 8, 8, 5])

    Note:
        lava-dl folds the channels into the height, so that a stride other than the kernel size, or a padding, mixes
        them; here they stay apart.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, C, H, W, T) -> (N, C, H', W', T)."""
        weight = self._weight_of_each_channel(input, mask)
        return functional.conv_transpose(input, weight, self.stride, self.padding, self.dilation, len(weight))

    def fan_out(self, exists: Tensor, shape: Sequence[int]) -> Tensor:
        """How many synapses each input neuron of a layer (C, ...) has, if those `exists`, of the weight's shape."""
        return conv_transpose_fan_out(_of_each(exists, shape), shape, self.geometry, shape[0])


def _of_each(exists: Tensor, shape: Sequence[int]) -> Tensor:
    """The one kernel for each channel of an input (C, H, W)."""
    return exists.squeeze(-1).expand(shape[0], -1, -1, -1)
