"""When a neuron spikes, and the surrogates that stand for the derivatives of that."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_events,
    check_finite,
    check_flag,
    check_range,
    check_same_device,
    check_same_shape,
    check_state,
    check_tensor,
    message,
)
from slayerloss.functional.events import promote
from slayerloss.kernels import spike as kernels
from slayerloss.kernels.phase_spike import PhaseSpike


def check_surrogate(function: str, tau: float, scale: float, graded: bool) -> None:
    """Check what every spike has."""
    check_range(function, "tau", tau, 0, low_open=True)
    check_range(function, "grad_scale", scale)
    check_flag(function, "graded", graded)


def _threshold(function: str, threshold: float | Tensor, like: Tensor) -> float | Tensor:
    """A number, or a tensor of the dtype of `like` that broadcasts to its shape."""
    if not isinstance(threshold, Tensor):
        return check_range(function, "threshold", threshold)
    check_tensor(function, "threshold", threshold)
    check_same_device(function, "threshold", threshold, "the state", like)
    check_finite(function, "threshold", threshold)
    sizes = zip(reversed(threshold.shape), reversed(like.shape), strict=False)
    if threshold.ndim > like.ndim or any(size not in (1, whole) for size, whole in sizes):
        rule = f"one that broadcasts to {tuple(like.shape)}"
        raise ShapeError(message(function, "threshold has the wrong shape", rule, tuple(threshold.shape)))
    return threshold.to(like.dtype)


def spike(
    voltage: Tensor,
    threshold: float | Tensor,
    *,
    tau: float,
    scale: float = 1.0,
    graded: bool = False,
    inclusive: bool = False,
) -> Tensor:
    """Spike where the voltage is above the threshold, with an exponential surrogate gradient.

    s = [v > threshold], ds/dv = scale / (2 tau) exp(-abs(v - threshold) / tau); graded: s = v [v > threshold],
    ds/dv = scale exp(min(v - threshold, 0) / tau). ds/dthreshold = -ds/dv.

    Args:
        voltage: any shape, any real dtype.
        threshold: in units of the voltage, a number or a tensor that broadcasts to the shape of the voltage.
        tau: width of the surrogate, in units of the voltage, above 0.
        scale: factor of the surrogate.
        graded: whether the spike carries the voltage.
        inclusive: whether v = threshold spikes, too, as it does in RF_IZ, ADRF_IZ and ALIF neurons.

    Returns:
        Of the shape of the voltage, and of its dtype if that is a float. Differentiable with respect to the voltage and
        a threshold that is a tensor.

    Raises:
        ArgumentError: tau is not positive, or a number is NaN or infinite.
        ShapeError: the threshold does not broadcast.
        DtypeError: an argument of the wrong type.

    Example:
        >>> voltage = torch.tensor([1.0, 1.5, 2.0])
        >>> spike(voltage, 1.5, tau=1.0), spike(voltage, 1.5, tau=1.0, inclusive=True)
        (tensor([0., 0., 1.]), tensor([0., 1., 1.]))

    References:
        Shrestha and Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS 2018.
    """
    check_tensor("spike", "voltage", voltage)
    check_finite("spike", "voltage", voltage)
    check_surrogate("spike", tau, scale, graded)
    check_flag("spike", "inclusive", inclusive)
    voltage = promote(voltage)
    options = float(tau), float(scale), bool(graded), bool(inclusive)
    s: Tensor = kernels.Spike.apply(voltage, _threshold("spike", threshold, voltage), *options)
    return s


def phase_spike(
    real: Tensor,
    imag: Tensor,
    threshold: float | Tensor,
    *,
    tau: float,
    scale: float = 1.0,
    graded: bool = False,
    before: Tensor | None = None,
) -> Tensor:
    """Spike where the imaginary part comes up through zero while the real part is at the threshold or above.

    s[t] = [real[t] >= threshold] [imag[t] >= 0] [imag[t-1] < 0], times real[t] if graded.

    With d(x) = exp(-abs(x) / tau) / (2 tau) and its integral h: ds/dreal = scale d(real - threshold) d(imag),
    ds/dimag = -scale / tau sign(imag) d(imag) h(real - threshold), ds/dthreshold = -ds/dreal.

    Args:
        real, imag: (N, C, ..., T), any real dtype.
        threshold: of the real part, a number or a tensor that broadcasts to its shape.
        tau: width of the surrogate, in units of the state, above 0.
        scale: factor of the surrogate.
        graded: whether the spike carries the real part; d(real - threshold) is then
            exp(min(real - threshold, 0) / tau).
        before: (N, C, ...), the imaginary part before the first step; None for zero, so that no spike comes first.

    Returns:
        Of the shape of the state, and of its dtype if that is a float. Differentiable with respect to both parts and
        a threshold that is a tensor.

    Raises:
        ArgumentError: tau is not positive, or a number is NaN or infinite.
        ShapeError: the parts, the threshold or `before` do not fit.
        DtypeError: an argument of the wrong type.

    Example:
        >>> real, imag = torch.tensor([[[1.0, 2.0, 2.0]]]), torch.tensor([[[-1.0, 1.0, 2.0]]])
        >>> phase_spike(real, imag, 1.5, tau=1.0)
        tensor([[[0., 1., 0.]]])

    References:
        Izhikevich, Resonate-and-fire neurons, Neural Networks 14, 2001; lava-dl 0.6.0,
        ``lava.lib.dl.slayer.spike.complex.Spike``.
    """
    name = "phase_spike"
    check_events(name, real, "real")
    check_events(name, imag, "imag")
    check_same_shape(name, "real", real, "imag", imag)
    check_same_device(name, "imag", imag, "real", real)
    check_surrogate(name, tau, scale, graded)
    dtype = torch.promote_types(promote(real).dtype, promote(imag).dtype)
    real, imag = real.to(dtype), imag.to(dtype)
    if before is not None:
        check_state(name, "before", before, imag.shape[:-1], imag)
    options = float(tau), float(scale), bool(graded)
    s: Tensor = PhaseSpike.apply(real, imag, _threshold(name, threshold, real), before, *options)
    return s
