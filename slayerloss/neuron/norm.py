"""Normalisations that the chip can do without a multiplication."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_callable,
    check_events,
    check_integer,
    check_lengths,
    check_range,
    message,
)
from slayerloss._distributed import sum_over_processes
from slayerloss.functional.events import LARGEST_SIZE, accumulation_dtype, mask_steps, promote
from slayerloss.kernels.precision import kept_wide

__all__ = ["MeanOnlyBatchNorm", "WgtScaleBatchNorm"]


class ChannelMean(torch.nn.Module):
    """What the norms share: each channel's mean over batch, space and time, quantised."""

    def __init__(
        self, num_features: int | None = None, momentum: float = 0.1, pre_hook_fx: Callable[..., Tensor] | None = None
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_range(name, "momentum", momentum, 0, 1)
        if num_features is not None:
            num_features = check_integer(name, "num_features", num_features, 1, LARGEST_SIZE)
        if pre_hook_fx is not None:
            check_callable(name, "pre_hook_fx", pre_hook_fx)
        self.num_features = num_features
        self.momentum = momentum
        self.pre_hook_fx = pre_hook_fx
        self.update = True
        self.running_mean: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features or 1))

    def reset_parameters(self) -> None:
        """Forget what is running."""
        for buffer in self.buffers():
            buffer.zero_()

    def _quantized(self, mean: Tensor, **descale: bool) -> Tensor:
        return mean if self.pre_hook_fx is None else self.pre_hook_fx(mean, **descale)

    @property
    def bias(self) -> Tensor:
        """(C,), the bias of the neurons that stands for this norm, in weight LSBs where quantised."""
        return -self._quantized(self.running_mean, descale=True)

    @property
    def learns(self) -> bool:
        """Whether the mean is the batch's, and not the running one."""
        return self.training and self.update

    def mean(
        self, inp: Tensor, lengths: Tensor | None = None, total: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """What `forward` subtracts from (N, C, ..., T), (C,); where the norm learns, the running mean follows.

        `total` gives (C,), sums over all else, of what the mean is of, where that is not `inp` itself.
        """
        name = type(self).__name__
        check_events(name, inp, "inp")
        x = inp.to(accumulation_dtype(inp))
        if lengths is not None:
            check_lengths(name, lengths, x)
        if x.shape[1] == 0:
            raise ShapeError(message(name, "inp has no channels", "C of at least 1", tuple(x.shape)))
        if self.num_features is None:
            self.num_features = x.shape[1]
        if x.shape[1] != self.num_features:
            rule = f"{self.num_features} of them"
            raise ShapeError(message(name, "inp has the wrong number of channels", rule, tuple(x.shape)))
        if not self.learns:
            return self._quantized(self.running_mean)
        mean = self._batch_mean(x, lengths, total)
        if self.running_mean.shape != mean.shape:
            self.running_mean = self.running_mean.repeat(mean.shape)
        self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), self.momentum)
        return self._quantized(mean)

    def _batch_mean(self, x: Tensor, lengths: Tensor | None, total: Callable[[Tensor], Tensor] | None) -> Tensor:
        """(C,), over all processes; where there is no step, the running mean."""
        count = _count(x, lengths)
        sums = mask_steps(x, lengths).sum([0, *range(2, x.ndim)]) if total is None else total(x)
        mean = sum_over_processes(sums) / count.clamp(min=1)
        return torch.where(count > 0, mean, self.running_mean.to(mean))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ChannelMean:
        super()._apply(kept_wide(fn), recurse)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "running_mean")
        if isinstance(saved, Tensor) and self.num_features in (None, saved.numel()):
            self.num_features = saved.numel() if saved.numel() > 1 else self.num_features
            self.running_mean = self.running_mean.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def centred(self, inp: Tensor, lengths: Tensor | None) -> Tensor:
        """(N, C, ..., T) without its mean; float16 and bfloat16 become float32."""
        mean = self.mean(inp, lengths)
        return inp.to(accumulation_dtype(inp)) - mean.reshape(-1, *[1] * (inp.ndim - 2))


class MeanOnlyBatchNorm(ChannelMean):
    """Subtract each channel's mean over batch, space and time; on the chip it is the neuron's bias.

    y = x - q(mean(x)) in training, y = x - q(running_mean) in eval mode

    Args:
        num_features: C; None to take it from the first input or the state dict.
        momentum: of the running mean.
        pre_hook_fx: q, the quantisation of the mean, or None. A block sets the chip's 8 bits.

    Example:
        >>> MeanOnlyBatchNorm(1)(torch.tensor([[[1.0, 3.0]]]))
        tensor([[[-1.,  1.]]])

    Note:
        In a distributed run the mean is that of all processes' batches. A padded batch counts its `lengths` only.

    References:
        Salimans and Kingma, Weight Normalization, NeurIPS 2016.
    """

    def forward(self, inp: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise (N, C, ..., T); `lengths` (N,) are the steps of each sample that count.

        A float dtype is kept; float16 and bfloat16 are averaged in float32.
        """
        return self.centred(inp, lengths).to(promote(inp).dtype)


class WgtScaleBatchNorm(ChannelMean):
    """Subtract each channel's mean, and divide everything by one power of two near the standard deviation.

    y = (x - q(mean(x))) / 2^k,  k = ceil(log2(sqrt(var(x) + eps))) in [-weight_exp_bits, weight_exp_bits]

    The variance is that of all channels together, over batch, space and time; in eval mode both are running averages.

    Args:
        num_features: C; None to take it from the first input or the state dict.
        momentum: of the running mean and variance.
        weight_exp_bits: the largest k and -k.
        eps: added to the variance.
        pre_hook_fx: q, the quantisation of the mean, or None. A block sets the chip's 8 bits.

    Example:
        >>> WgtScaleBatchNorm(1)(torch.tensor([[[1.0, 5.0]]]))  # the deviation is 2, a little more with eps
        tensor([[[-0.5000,  0.5000]]])

    Note:
        Lava takes no scale of the weights from a network file, so that a network with this norm cannot be exported.
        As in lava-dl the running variance is that of the batch times n / (n + 1), of n values a channel, and starts at
        zero. `weight_exp` is the k of eval mode, which lava-dl leaves outside of its range.
    """

    def __init__(
        self,
        num_features: int | None = None,
        momentum: float = 0.1,
        weight_exp_bits: int = 3,
        eps: float = 1e-5,
        pre_hook_fx: Callable[..., Tensor] | None = None,
    ) -> None:
        super().__init__(num_features, momentum, pre_hook_fx)
        self.weight_exp_bits = check_integer("WgtScaleBatchNorm", "weight_exp_bits", weight_exp_bits, 0, 127)
        check_range("WgtScaleBatchNorm", "eps", eps, 0, low_open=True)
        self.eps = float(eps)
        self.running_var: Tensor
        self.register_buffer("running_var", torch.zeros(1))

    @property
    def weight_exp(self) -> Tensor:
        """(1,), k in eval mode: the weights are 2^k times what they would be without this norm."""
        return self._exponent(self.running_var)

    def std(self, var: Tensor) -> Tensor:
        """The power of two for a variance."""
        return torch.exp2(self._exponent(var))

    def _exponent(self, var: Tensor) -> Tensor:
        exponent = (var.detach() + self.eps).sqrt().log2().ceil()
        return exponent.clamp(-self.weight_exp_bits, self.weight_exp_bits)

    def forward(self, inp: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise (N, C, ..., T); `lengths` (N,) are the steps of each sample that count.

        A float dtype is kept; float16 and bfloat16 are averaged in float32.
        """
        centred = self.centred(inp, lengths)
        var = self._batch_var(inp.detach().to(centred.dtype), lengths) if self.learns else self.running_var
        return (centred / self.std(var.to(centred.dtype))).to(promote(inp).dtype)

    def _batch_var(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Over all channels and processes, while the running variance follows; that one where there is no step."""
        count = _count(x, lengths)
        number = (count * x.shape[1]).clamp(min=1)
        mean = sum_over_processes(mask_steps(x, lengths).sum()) / number
        var = sum_over_processes(mask_steps(x - mean, lengths).square().sum()) / number
        var = torch.where(count > 0, var, self.running_var.to(var))
        seen = torch.where(count > 0, var * count / (count + 1), var)
        self.running_var.lerp_(seen.to(self.running_var.dtype), self.momentum)
        return var


def _count(x: Tensor, lengths: Tensor | None) -> Tensor:
    """How many values of each channel count, over all processes."""
    steps = torch.as_tensor(x.shape[0] * x.shape[-1], device=x.device) if lengths is None else lengths.sum()
    return sum_over_processes(steps.to(x.dtype) * math.prod(x.shape[2:-1]))
