"""lava-dl's spike of a complex state; `slayerloss.functional.phase_spike` is the equation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss._check import check_flag, check_range, check_same_shape, check_signal, check_tensor
from slayerloss.kernels.phase_spike import phases, surrogate

__all__ = ["Spike"]


class Spike(torch.autograd.Function):
    """Spike where the imaginary part comes up through zero while the real part is at the threshold or above.

    s[t] = [real[t] >= threshold] [imag[t] >= 0] [imag[t-1] < 0], times real[t] / scale if graded; the derivatives are
    those of `functional.phase_spike`.

    `Spike.apply(real, imag, threshold, tau_rho, scale_rho, graded_spike, imag_last, scale)` takes

    Args:
        real, imag: (..., T), float.
        threshold: a number, or a tensor that broadcasts with the real part; without gradient.
        tau_rho: width of the surrogate, in units of the state, above 0.
        scale_rho: factor of the surrogate.
        graded_spike: whether a spike carries the real part.
        imag_last: the imaginary part before the first step, a number or a tensor that broadcasts to (...).
        scale: divides the graded spikes, above 0.

    Returns:
        The spikes, of the shape and dtype of the real part.

    Raises:
        DtypeError, ArgumentError, ShapeError: an argument of the wrong type, range or shape.

    Example:
        >>> real, imag = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([-1.0, 1.0, 2.0])
        >>> Spike.apply(real, imag, 1.5, 1.0, 1.0, False, 0, 1)
        tensor([0., 1., 0.])

    References:
        Izhikevich, Resonate-and-fire neurons, Neural Networks 14, 2001.
    """

    @staticmethod
    def forward(
        ctx: Any,
        real: Tensor,
        imag: Tensor,
        threshold: float | Tensor,
        tau_rho: float,
        scale_rho: float,
        graded_spike: bool,
        imag_last: float | Tensor,
        scale: float,
    ) -> Tensor:
        check_signal("Spike", real, "real", values=False)
        check_signal("Spike", imag, "imag", values=False)
        check_same_shape("Spike", "real", real, "imag", imag)
        for name, value in (("threshold", threshold), ("imag_last", imag_last)):
            if isinstance(value, Tensor):
                check_tensor("Spike", name, value)
            else:
                check_range("Spike", name, value)
        check_range("Spike", "tau_rho", tau_rho, 0, low_open=True)
        check_range("Spike", "scale_rho", scale_rho)
        graded = check_flag("Spike", "graded_spike", graded_spike)
        check_range("Spike", "scale", scale, 0, low_open=True)
        ctx.save_for_backward(real - threshold, imag)
        ctx.constants = 0.0, float(tau_rho), float(scale_rho), graded
        fires = phases(real, imag, threshold, torch.as_tensor(imag_last, device=imag.device))
        return real.masked_fill(~fires, 0) / scale if graded else fires.to(real.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        distance, imag = ctx.saved_tensors
        of_real, of_imag = surrogate(distance, imag, *ctx.constants)
        return of_real * grad, of_imag * grad, *[None] * 6
