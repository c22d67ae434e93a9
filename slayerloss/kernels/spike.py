"""The spikes as differentiable functions, of any shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels import reference
from slayerloss.kernels.operator import differentiable_gradients, is_transformed

Gradients = tuple[Tensor | None, ...]


class Spike(torch.autograd.Function):
    """(voltage, threshold, tau, scale, graded, inclusive) -> spikes; the threshold is a number, or broadcasts."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        return spiking(*args) if is_transformed() else super().apply(*args)

    @staticmethod
    def forward(
        ctx: Any, voltage: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool, inclusive: bool
    ) -> Tensor:
        varies = isinstance(threshold, Tensor)
        ctx.save_for_backward(voltage, threshold if varies else None)
        ctx.threshold = None if varies else threshold
        ctx.constants = tau, scale, graded
        return reference.fired(voltage, threshold, graded, inclusive)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        voltage, threshold = ctx.saved_tensors
        threshold = ctx.threshold if threshold is None else threshold
        learns = ctx.needs_input_grad[1]
        if torch.is_grad_enabled():
            inputs, needed = [voltage, threshold, *ctx.constants], [True, learns, False, False, False]
            return *differentiable_gradients(reference.smooth_spike, inputs, needed, grad), None
        slope = reference.surrogate(voltage, threshold, *ctx.constants).mul_(grad)
        return slope, -slope.sum_to_size(threshold.shape) if learns else None, None, None, None, None


def spiking(
    voltage: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool, inclusive: bool = False
) -> Tensor:
    """`Spike` as a composition of torch operations, for torch.func."""
    smooth = reference.smooth_spike(voltage, threshold, tau, scale, graded)
    return reference.fired(voltage.detach(), threshold, graded, inclusive) + (smooth - smooth.detach())
