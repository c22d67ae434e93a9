"""The resonator: a complex state that turns by an angle and shrinks in every step, in the chip's integers.

With z = real + i imag and the turn c + i s, the cosine and sine of an angle times what a step leaves:

    real[t] = c real'[t-1] - s imag'[t-1] + x_real[t]
    imag[t] = s real'[t-1] + c imag'[t-1] + x_imag[t]

Each of the four products is cut toward zero to multiples of 1/4096, and both parts are cut off at 24 bits. z' is z
after a reset, if there is one. Backward it is the autograd of these equations with the integer states inserted; what a
reset adds to the state counts as a constant.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from slayerloss._check import (
    check_events,
    check_finite,
    check_range,
    check_same_device,
    check_same_shape,
    check_sequence,
)
from slayerloss.functional._grid import fraction, initial_state, state_lsb
from slayerloss.functional._space import by_channel
from slayerloss.functional.events import accumulation_dtype, promote
from slayerloss.kernels.reference_resonator import after_spike
from slayerloss.kernels.resonator import Resonator


class ResonatorState(NamedTuple):
    """What a resonator remembers between two runs; each of shape (N, C, ...), in units of the input."""

    real: Tensor
    imag: Tensor
    """Both after the reset."""


def resonator(
    real: Tensor,
    imag: Tensor,
    sin_decay: Tensor | float,
    cos_decay: Tensor | float,
    threshold: float | None = None,
    *,
    state: ResonatorState | None = None,
    scale: int = 64,
) -> tuple[Tensor, Tensor]:
    """Turn and shrink a complex state in every step, in the chip's integers.

    z[t] = (cos_decay + i sin_decay) z'[t-1] + x[t]; with a threshold, z' = i (threshold - 1/(64 scale)) where
    imag(z) >= threshold, the reset of Izhikevich's resonate-and-fire neuron.

    Args:
        real, imag: (N, C, ..., T), the parts of x, any real dtype.
        sin_decay, cos_decay: sine and cosine of the angle, times what a step leaves of the state: each in [0, 1], one
            number or one per channel (C,); cut to multiples of 1/4096.
        threshold: in units of x, at least 0; None for a state that is never reset.
        state: z' before the first step; None for zero.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        Real and imaginary part of z before the reset, (N, C, ..., T) each; float32 or float64. Differentiable with
        respect to x, the decays and the state. `resonator_state` gives the state after the run.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> x = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
        >>> resonator(x, torch.zeros_like(x), sin_decay=0.5, cos_decay=0.0)  # a quarter of a turn, half is left
        (tensor([[[ 1.0000,  0.0000, -0.2500,  0.0000]]]), tensor([[[ 0.0000,  0.5000,  0.0000, -0.1250]]]))

    References:
        Izhikevich, Resonate-and-fire neurons, Neural Networks 14, 2001.
    """
    name = "resonator"
    _check_parts(name, real, imag)
    dtype = torch.promote_types(accumulation_dtype(real), accumulation_dtype(imag))
    lsb = state_lsb(name, scale)
    reset = math.inf if threshold is None else _whole(name, threshold, lsb, dtype)
    turn = torch.broadcast_tensors(
        fraction(name, "sin_decay", sin_decay, real), fraction(name, "cos_decay", cos_decay, real)
    )
    real, imag = real.to(dtype), imag.to(dtype)
    before = [None, None] if state is None else check_sequence(name, "state", state, 2, "a ResonatorState")
    states = [initial_state(name, part, real) for part in before]
    re, im = by_channel(lambda a, b, *z: Resonator.apply(a, b, *turn, *z, reset, lsb, name), real, imag, *states)
    return re, im


def _check_parts(function: str, real: Tensor, imag: Tensor) -> None:
    check_events(function, real, "real", values=False)
    check_events(function, imag, "imag", values=False)
    check_same_shape(function, "real", real, "imag", imag)
    check_same_device(function, "imag", imag, "real", real)


def _whole(function: str, threshold: float, lsb: float, dtype: torch.dtype) -> float:
    """The smallest integer state that is at the threshold; the comparison rounds both to the dtype of the state."""
    check_range(function, "threshold", threshold, 0)
    rounded = float(torch.tensor(threshold, dtype=dtype))
    whole = math.ceil(rounded * lsb)
    below = float(torch.tensor((whole - 1) / lsb, dtype=dtype))
    return float(whole - 1 if below >= rounded else whole)


def resonator_state(real: Tensor, imag: Tensor, threshold: float | None = None, scale: int = 64) -> ResonatorState:
    """The state after the last step and its reset, from which the next run goes on.

    Args:
        real, imag: (N, C, ..., T), what `resonator` returned.
        threshold, scale: what it was given.

    Returns:
        (N, C, ...) each; with the gradient of the state before the reset.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> resonator_state(torch.tensor([[[1.0]]]), torch.tensor([[[2.0]]]), threshold=1.5).imag.item() * 4096
        6143.0
    """
    name = "resonator_state"
    _check_parts(name, real, imag)
    last = ResonatorState(promote(real).select(-1, -1), promote(imag).select(-1, -1))
    for part, value in zip(("real", "imag"), last, strict=True):
        check_finite(name, part, value)
    lsb = state_lsb(name, scale)
    if threshold is None:
        return last
    whole = _whole(name, threshold, lsb, last.real.dtype)
    after = after_spike(*last, whole / lsb, (whole - 1) / lsb)
    return ResonatorState(*(z - (z - reset).detach() for z, reset in zip(last, after, strict=True)))
