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

__all__ = ["MeanOnlyBatchNorm"]


class MeanOnlyBatchNorm(torch.nn.Module):
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

    def __init__(
        self, num_features: int | None = None, momentum: float = 0.1, pre_hook_fx: Callable[..., Tensor] | None = None
    ) -> None:
        super().__init__()
        check_range("MeanOnlyBatchNorm", "momentum", momentum, 0, 1)
        if num_features is not None:
            num_features = check_integer("MeanOnlyBatchNorm", "num_features", num_features, 1, LARGEST_SIZE)
        if pre_hook_fx is not None:
            check_callable("MeanOnlyBatchNorm", "pre_hook_fx", pre_hook_fx)
        self.num_features = num_features
        self.momentum = momentum
        self.pre_hook_fx = pre_hook_fx
        self.update = True
        self.running_mean: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features or 1))

    def reset_parameters(self) -> None:
        """Forget the running mean."""
        self.running_mean.zero_()

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

    def forward(self, inp: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Normalise (N, C, ..., T); `lengths` (N,) are the steps of each sample that count.

        A float dtype is kept; float16 and bfloat16 are averaged in float32.
        """
        mean = self.mean(inp, lengths).reshape(-1, *[1] * (inp.ndim - 2))
        return (inp.to(accumulation_dtype(inp)) - mean).to(promote(inp).dtype)

    def mean(self, inp: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What `forward` subtracts from (N, C, ..., T), (C,); where the norm learns, the running mean follows."""
        check_events("MeanOnlyBatchNorm", inp, "inp")
        x = inp.to(accumulation_dtype(inp))
        if lengths is not None:
            check_lengths("MeanOnlyBatchNorm", lengths, x)
        if x.shape[1] == 0:
            raise ShapeError(message("MeanOnlyBatchNorm", "inp has no channels", "C of at least 1", tuple(x.shape)))
        if self.num_features is None:
            self.num_features = x.shape[1]
        if x.shape[1] != self.num_features:
            rule = f"{self.num_features} of them"
            raise ShapeError(message("MeanOnlyBatchNorm", "inp has the wrong number of channels", rule, tuple(x.shape)))
        if not self.learns:
            return self._quantized(self.running_mean)
        mean = self._batch_mean(x, lengths)
        if self.running_mean.shape != mean.shape:
            self.running_mean = self.running_mean.repeat(mean.shape)
        self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), self.momentum)
        return self._quantized(mean)

    def _batch_mean(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(C,), over all processes; where there is no step, the running mean."""
        others = [0, *range(2, x.ndim)]
        steps = torch.as_tensor(x.shape[0] * x.shape[-1], device=x.device) if lengths is None else lengths.sum()
        count = sum_over_processes(steps.to(x.dtype) * math.prod(x.shape[2:-1]))
        mean = sum_over_processes(mask_steps(x, lengths).sum(others)) / count.clamp(min=1)
        return torch.where(count > 0, mean, self.running_mean.to(mean))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MeanOnlyBatchNorm:
        super()._apply(kept_wide(fn), recurse)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "running_mean")
        if isinstance(saved, Tensor) and self.num_features in (None, saved.numel()):
            self.num_features = saved.numel() if saved.numel() > 1 else self.num_features
            self.running_mean = self.running_mean.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
