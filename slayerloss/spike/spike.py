"""The spike of lava-dl; `slayerloss.functional.spike` is the chip's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss._check import check_flag, check_range, check_tensor
from slayerloss.kernels.reference import surrogate

__all__ = ["Spike"]


class Spike(torch.autograd.Function):
    """Spike where the voltage reaches the threshold, with an exponential surrogate gradient.

    s = [v >= threshold], ds/dv = scale_rho / (2 tau_rho) exp(-|v - threshold| / tau_rho);
    graded: s = v [v >= threshold] / scale, ds/dv = scale_rho exp(min(v - threshold, 0) / tau_rho)

    `Spike.apply(voltage, threshold, tau_rho, scale_rho, graded_spike, voltage_last, scale)` takes

    Args:
        voltage: any shape, float.
        threshold: a number, or a tensor that broadcasts with the voltage; without gradient.
        tau_rho: width of the surrogate, in units of the voltage, above 0.
        scale_rho: factor of the surrogate.
        graded_spike: whether a spike carries the voltage.
        voltage_last: without effect, as in lava-dl.
        scale: divides the graded spikes, above 0.

    Returns:
        The spikes, of the shape and dtype of the voltage.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> Spike.apply(torch.tensor([1.0, 1.5, 2.0]), 1.5, 1.0, 1.0, False, 0, 1)
        tensor([0., 1., 1.])

    Note:
        At v = threshold this one spikes, and the chip's neuron does not.

    References:
        Shrestha and Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS 2018.
    """

    @staticmethod
    def forward(
        ctx: Any,
        voltage: Tensor,
        threshold: float | Tensor,
        tau_rho: float,
        scale_rho: float,
        graded_spike: bool,
        voltage_last: float | Tensor,
        scale: float,
    ) -> Tensor:
        check_tensor("Spike", "voltage", voltage)
        if isinstance(threshold, Tensor):
            check_tensor("Spike", "threshold", threshold)
        else:
            check_range("Spike", "threshold", threshold)
        check_range("Spike", "tau_rho", tau_rho, 0, low_open=True)
        check_range("Spike", "scale_rho", scale_rho)
        check_flag("Spike", "graded_spike", graded_spike)
        check_range("Spike", "scale", scale, 0, low_open=True)
        distance = voltage - threshold
        ctx.save_for_backward(distance)
        ctx.constants = 0.0, float(tau_rho), float(scale_rho), graded_spike
        reached = (distance >= 0).to(voltage.dtype)
        return reached * voltage / scale if graded_spike else reached

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (distance,) = ctx.saved_tensors
        return surrogate(distance, *ctx.constants) * grad, *[None] * 6
