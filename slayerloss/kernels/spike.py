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


class PhaseSpike(torch.autograd.Function):
    """(real, imag, threshold, before, tau, scale, graded) -> spikes of (..., T); `before` may be None for zero."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        return phase_spiking(*args) if is_transformed() else super().apply(*args)

    @staticmethod
    def forward(
        ctx: Any,
        real: Tensor,
        imag: Tensor,
        threshold: float | Tensor,
        before: Tensor | None,
        tau: float,
        scale: float,
        graded: bool,
    ) -> Tensor:
        varies = isinstance(threshold, Tensor)
        ctx.save_for_backward(real, imag, threshold if varies else None)
        ctx.threshold = None if varies else threshold
        ctx.constants = tau, scale, graded
        fires = phases(real, imag, threshold, before)
        return real.masked_fill(~fires, 0) if graded else fires.to(real.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        real, imag, threshold = ctx.saved_tensors
        threshold = ctx.threshold if threshold is None else threshold
        slopes = phase_surrogate(real, imag, threshold, *ctx.constants)
        of_real, of_imag = (slope * grad for slope in slopes)
        of_threshold = -of_real.sum_to_size(threshold.shape) if ctx.needs_input_grad[2] else None
        return of_real, of_imag, of_threshold, None, None, None, None


def phase_spiking(
    real: Tensor,
    imag: Tensor,
    threshold: float | Tensor,
    before: Tensor | None,
    tau: float,
    scale: float,
    graded: bool,
) -> Tensor:
    """`PhaseSpike` as a composition of torch operations that has its first derivatives, for torch.func."""
    fires = phases(real, imag, threshold, before)
    of_real, of_imag = (slope.detach() for slope in phase_surrogate(real, imag, threshold, tau, scale, graded))
    smooth = of_real * (real - threshold) + of_imag * imag
    value = real.masked_fill(~fires, 0).detach() if graded else fires.to(real.dtype)
    return value + (smooth - smooth.detach())


def phases(real: Tensor, imag: Tensor, threshold: float | Tensor, before: Tensor | None) -> Tensor:
    """Where the imaginary part comes up through zero while the real part is at the threshold or above.

    In the memory order of the state; `before` is the imaginary part before the first step, which broadcasts, or None.
    """
    below = (imag < 0).movedim(-1, 0)
    first = torch.zeros_like(below[0]) if before is None else (before < 0).expand(below.shape[1:])
    return (imag >= 0) & (real >= threshold) & reference.one_step_before(first, below).movedim(0, -1)


def phase_surrogate(
    real: Tensor, imag: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool
) -> tuple[Tensor, Tensor]:
    """The derivatives that stand for those of step(real - threshold) delta(imag), both made smooth over tau.

    They are differentiable themselves.
    """
    distance = real - threshold
    near_real = (distance.clamp(max=0) / tau).exp() if graded else (distance.abs() / -tau).exp() / (2 * tau)
    near_imag = (imag.abs() / -tau).exp() * (scale / (2 * tau))
    step = (1 + distance.sign() * (1 - 2 * tau * near_real)) / 2
    return near_real * near_imag, -imag.sign() * near_imag * step / tau
