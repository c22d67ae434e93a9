"""Synapses of resonators: two of the same kind, whose weights are the real and the imaginary part."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_callable, message
from slayerloss.functional._keys import ExplainsKeys
from slayerloss.synapse import layer
from slayerloss.synapse._weight import Hook, Synapse
from slayerloss.synapse.layer import Size

__all__ = ["ComplexSynapse", "Conv", "ConvTranspose", "Dense", "Pool", "Unpool"]

Part = TypeVar("Part", bound=Synapse)


class ComplexSynapse(ExplainsKeys, Generic[Part]):
    """A synapse with complex weights: z = real(x) + i imag(x), as a pair.

    Args:
        real, imag: synapses of the same kind and size.

    Example:
        >>> synapse = ComplexSynapse(layer.Dense(2, 3), layer.Dense(2, 3))
        >>> real, imag = synapse(torch.ones(1, 2, 5))
        >>> real.shape, imag.shape
        (torch.Size([1, 3, 5]), torch.Size([1, 3, 5]))
    """

    complex: ClassVar[bool] = True
    """Whether spikes cause a real and an imaginary part."""

    def __init__(self, real: Part, imag: Part) -> None:
        super().__init__()
        self.real, self.imag = real, imag

    def forward(self, input: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The real and the imaginary part of the dendritic input, each as `real` and `imag` give it."""
        return self.real(input, mask), self.imag(input, mask)

    @property
    def shape(self) -> torch.Size:
        """Of the weight of either part."""
        return self.real.shape

    @property
    def weight_norm_enabled(self) -> bool:
        """Whether the weights are held as direction and length."""
        return self.real.weight_norm_enabled and self.imag.weight_norm_enabled

    def enable_weight_norm(self) -> None:
        """Hold the weights as direction and length from now on; their values stay."""
        self.real.enable_weight_norm()
        self.imag.enable_weight_norm()

    def disable_weight_norm(self) -> None:
        """Hold the weights themselves from now on; their values stay."""
        self.real.disable_weight_norm()
        self.imag.disable_weight_norm()

    @property
    def grad_norm(self) -> float:
        """The root of the sum of the squares of both parts' `grad_norm`."""
        return math.hypot(self.real.grad_norm, self.imag.grad_norm)

    @property
    def pre_hook_fx(self) -> Hook | None:
        """What is applied to the weights at every use; setting it sets it in both parts."""
        if self.real.pre_hook_fx != self.imag.pre_hook_fx:
            problem, rule = "real and imag have different pre_hook_fx", "the same in both"
            got = (self.real.pre_hook_fx, self.imag.pre_hook_fx)
            raise ArgumentError(message(type(self).__name__, problem, rule, got, "Set that of the synapse"))
        return self.real.pre_hook_fx

    @pre_hook_fx.setter
    def pre_hook_fx(self, hook: Hook | None) -> None:
        if hook is not None:
            check_callable(type(self).__name__, "pre_hook_fx", hook)
        self.real.pre_hook_fx = self.imag.pre_hook_fx = hook

    def __getattr__(self, name: str) -> Any:
        if name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            return getattr(self.real, name)
        return super().__getattr__(name)


class Dense(ComplexSynapse[layer.Dense]):
    """Connect everything to everything with complex weights; the arguments are those of `synapse.Dense`.

    Example:
        >>> real, imag = Dense(2, 3)(torch.ones(1, 2, 5))
        >>> real.shape, imag.shape
        (torch.Size([1, 3, 5]), torch.Size([1, 3, 5]))
    """

    def __init__(
        self,
        in_neurons: int | tuple[int, ...],
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        real, imag = (layer.Dense(in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx) for _ in range(2))
        super().__init__(real, imag)


class Conv(ComplexSynapse[layer.Conv]):
    """Convolve each step's image with complex weights; the arguments are those of `synapse.Conv`.

    Example:
        >>> real, imag = Conv(2, 3, kernel_size=3, padding=1)(torch.ones(1, 2, 4, 4, 5))
        >>> imag.shape
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
        features, window = (in_features, out_features), (kernel_size, stride, padding, dilation)
        real, imag = (layer.Conv(*features, *window, groups, weight_scale, weight_norm, pre_hook_fx) for _ in range(2))
        super().__init__(real, imag)


class ConvTranspose(ComplexSynapse[layer.ConvTranspose]):
    """Convolve each step's image the other way with complex weights, with `synapse.ConvTranspose`'s arguments.

    Example:
        >>> real, imag = ConvTranspose(2, 3, kernel_size=2, stride=2)(torch.ones(1, 2, 4, 4, 5))
        >>> imag.shape
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
        features, window = (in_features, out_features), (kernel_size, stride, padding, dilation)
        real, imag = (
            layer.ConvTranspose(*features, *window, groups, weight_scale, weight_norm, pre_hook_fx) for _ in range(2)
        )
        super().__init__(real, imag)


class Pool(ComplexSynapse[layer.Pool]):
    """Sum each channel over a window, times two fixed weights; the arguments are those of `synapse.Pool`.

    Example:
        >>> real, imag = Pool(2)(torch.ones(1, 3, 4, 4, 5))
        >>> imag.shape
        torch.Size([1, 3, 2, 2, 5])
    """

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
        window = kernel_size, stride, padding, dilation
        real, imag = (layer.Pool(*window, weight_scale, weight_norm, pre_hook_fx) for _ in range(2))
        super().__init__(real, imag)


class Unpool(ComplexSynapse[layer.Unpool]):
    """Spread each value over a window, times two fixed weights; the arguments are those of `synapse.Unpool`.

    Example:
        >>> real, imag = Unpool(2)(torch.ones(1, 3, 4, 4, 5))
        >>> imag.shape
        torch.Size([1, 3, 8, 8, 5])
    """

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
        window = kernel_size, stride, padding, dilation
        real, imag = (layer.Unpool(*window, weight_scale, weight_norm, pre_hook_fx) for _ in range(2))
        super().__init__(real, imag)
