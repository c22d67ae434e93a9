"""Neurons of the chip as functions of event tensors: the integrators, the spike, and the CUBA neuron made of them.

Forward everything is the chip's integer arithmetic: states are multiples of 1/4096 (state LSB), decays of 1/4096, and
every product is cut toward zero. Backward everything is the autograd, in the dtype of the input, of

    u[t] = (1 - a) u[t-1] + x[t]
    v[t] = (1 - b) v'[t-1] + u[t]
    s[t] = v[t] > threshold
    v'[t] = v[t] - stop_gradient(v[t] s[t])

with the integer states inserted and an exponential surrogate for ds/dv.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_events,
    check_finite,
    check_flag,
    check_range,
    check_same_device,
    check_sequence,
    check_shape,
    check_tensor,
    message,
)
from slayerloss.functional._grid import initial_state, kept_fraction, state_lsb
from slayerloss.functional._space import by_channel
from slayerloss.functional.events import accumulation_dtype
from slayerloss.functional.spike import check_surrogate
from slayerloss.functional.spike import spike as spike
from slayerloss.kernels import neuron as kernels
from slayerloss.kernels.recurrent import RecurrentCuba


class CubaState(NamedTuple):
    """What a CUBA population remembers between two runs; each of shape (N, C, ...), in units of the input."""

    current: Tensor
    voltage: Tensor
    """After the reset."""


def leaky_integrator(x: Tensor, decay: Tensor | float, *, state: Tensor | None = None, scale: int = 64) -> Tensor:
    """Integrate the input with a leak, in the chip's integers.

    u[t] = wrap(trunc((1 - decay) u[t-1]) + trunc(x[t])), in units of 1/(64 scale); u wraps at 24 bits.

    Args:
        x: (N, C, ..., T), any real dtype; float16 and bfloat16 are integrated in float32.
        decay: the fraction lost per step in [0, 1], one number or one per channel (C,); cut to multiples of 1/4096.
        state: (N, C, ...), u before the first step; None for zero.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        (N, C, ..., T), u; float32 or float64. Differentiable with respect to x, decay and state. The state after the
        run is `u[..., -1]`.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> leaky_integrator(torch.tensor([[[1.0, 0.0, 0.0]]]), 0.5)
        tensor([[[1.0000, 0.5000, 0.2500]]])

    Note:
        lava-dl's gradient with respect to the decay has the wrong sign; this one is that of finite differences.
    """
    check_events("leaky_integrator", x, "x", values=False)
    x = x.to(accumulation_dtype(x))
    keep = kept_fraction("leaky_integrator", "decay", decay, x)
    state = initial_state("leaky_integrator", state, x)
    constants = state_lsb("leaky_integrator", scale), "leaky_integrator"
    u: Tensor = by_channel(lambda *xs: kernels.LeakyIntegrator.apply(xs[0], keep, xs[1], *constants), x, state)
    return u


def integrate_and_fire(
    x: Tensor,
    decay: Tensor | float,
    threshold: float,
    *,
    state: Tensor | None = None,
    scale: int = 64,
) -> Tensor:
    """Integrate the current with a leak and a reset to zero after v > threshold, in the chip's integers.

    v[t] = saturate(trunc((1 - decay) v'[t-1]) + trunc(x[t])), v' = 0 where v > threshold, else v.

    Args:
        x: (N, C, ..., T), the current, any real dtype.
        decay: the fraction lost per step in [0, 1], one number or one per channel (C,); cut to multiples of 1/4096.
        threshold: in units of x; `math.inf` for a population that is never reset.
        state: (N, C, ...), v' before the first step; None for zero.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        (N, C, ..., T), v before the reset: the neuron spikes where v > threshold. float32 or float64. Differentiable
        with respect to x, decay and state, the reset counting as a constant. `after_reset` gives the state after it.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> integrate_and_fire(torch.ones(1, 1, 4), 0.0, threshold=1.5)
        tensor([[[1., 2., 1., 2.]]])
    """
    check_events("integrate_and_fire", x, "x", values=False)
    x = x.to(accumulation_dtype(x))
    check_range("integrate_and_fire", "threshold", threshold, 0, infinite=True)
    lsb = state_lsb("integrate_and_fire", scale)
    keep = kept_fraction("integrate_and_fire", "decay", decay, x)
    state = initial_state("integrate_and_fire", state, x)
    constants = float(threshold), lsb, "integrate_and_fire"
    v: Tensor = by_channel(lambda *xs: kernels.IntegrateAndFire.apply(xs[0], keep, xs[1], *constants), x, state)
    return v


def _pair(function: str, state: CubaState) -> list[Tensor]:
    return check_sequence(function, "state", state, 2, "a CubaState")


def after_reset(voltage: Tensor, threshold: float) -> Tensor:
    """The voltage after the last step's reset, the state from which the next run goes on.

    v' = v - stop_gradient(v s)

    Args:
        voltage: (N, C, ..., T), before the reset.
        threshold: in units of the voltage.

    Returns:
        (N, C, ...).

    Example:
        >>> after_reset(torch.tensor([[[1.0, 2.0]]]), 1.5)
        tensor([[0.]])
    """
    last = voltage.select(-1, -1)
    return last - torch.where(last > threshold, last, torch.zeros_like(last)).detach()


def recurrent_cuba(
    x: Tensor,
    feedback: Tensor,
    current_decay: Tensor | float,
    voltage_decay: Tensor | float,
    threshold: float,
    *,
    tau: float,
    grad_scale: float = 1.0,
    graded: bool = False,
    state: tuple[CubaState, Tensor] | None = None,
    scale: int = 64,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A CUBA population whose spikes come back to it one step later.

    u[t] = (1 - a) u[t-1] + x[t] + R s[t-1];  v[t] = (1 - b) v[t-1] (1 - s[t-1]) + u[t] + bias;  s[t] = v[t] > threshold

    Args:
        x: (N, C, T), the weighted input.
        feedback: (C, C), R.
        current_decay, voltage_decay: the fraction lost per step in [0, 1], one number or one per channel (C,).
        threshold: in units of x.
        tau, grad_scale, graded: of the surrogate, see `spike`.
        state: `CubaState` and the spikes (N, C) of the step before; None for a silent start.
        scale: weight LSBs per unit of x, 64 in lava-dl.
        bias: (C,), in units of x; None for none. u does not hold it.

    Returns:
        current, voltage before the reset, and spikes, each (N, C, T). Differentiable with respect to x, feedback, the
        decays, the state and the bias.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> x = torch.tensor([[[2.0, 0.0, 0.0]]])
        >>> recurrent_cuba(x, torch.tensor([[2.0]]), 1.0, 1.0, 1.0, tau=1.0)[2]
        tensor([[[1., 1., 1.]]])
    """
    name = "recurrent_cuba"
    check_events(name, x, "x")
    check_range(name, "threshold", threshold, 0)
    check_surrogate(name, tau, grad_scale, graded)
    if x.ndim != 3:
        raise ShapeError(message(name, "x has space dimensions", "(N, C, T)", tuple(x.shape), "Flatten the space"))
    x = x.to(accumulation_dtype(x))
    check_tensor(name, "feedback", feedback)
    check_shape(name, "feedback", feedback, (x.shape[1], x.shape[1]))
    check_same_device(name, "feedback", feedback, "x", x)
    check_finite(name, "feedback", feedback)
    keeps = [
        kept_fraction(name, "current_decay", current_decay, x),
        kept_fraction(name, "voltage_decay", voltage_decay, x),
    ]
    parts: list[Tensor | None] = [None, None, None]
    if state is not None:
        neuron, heard = check_sequence(name, "state", state, 2, "(CubaState, spikes)")
        parts = [*_pair(name, neuron), heard]
    states = [x.new_zeros(x.shape[:-1]) if part is None else initial_state(name, part, x) for part in parts]
    if bias is not None:
        check_tensor(name, "bias", bias)
        check_shape(name, "bias", bias, (x.shape[1],))
        check_same_device(name, "bias", bias, "x", x)
        check_finite(name, "bias", bias)
        bias = bias.to(x.dtype)
    constants = (float(threshold), float(tau), float(grad_scale), bool(graded))
    u, v, s = RecurrentCuba.apply(
        x.movedim(-1, 0).contiguous(), feedback.to(x.dtype), *keeps, *states, bias, constants, state_lsb(name, scale)
    )
    return u.movedim(0, -1), v.movedim(0, -1), s.movedim(0, -1)


def cuba(
    x: Tensor,
    current_decay: Tensor | float,
    voltage_decay: Tensor | float,
    threshold: float,
    *,
    tau: float = 1.0,
    grad_scale: float = 1.0,
    graded: bool = False,
    state: CubaState | None = None,
    scale: int = 64,
    through_reset: bool = True,
) -> tuple[Tensor, CubaState]:
    """The current-based leaky integrate-and-fire neuron, spike by spike as the chip computes it.

    u[t] = (1 - a) u[t-1] + x[t];  v[t] = (1 - b) v[t-1] (1 - s[t-1]) + u[t];  s[t] = v[t] > threshold

    Args:
        x: (N, C, ..., T), the weighted input, any real dtype.
        current_decay, voltage_decay: a and b, the fraction lost per step in [0, 1], one number or one per channel (C,).
        threshold: in units of x.
        tau, grad_scale, graded: of the surrogate, see `spike`.
        state: the state after the run before; None for zero.
        scale: weight LSBs per unit of x, 64 in lava-dl.
        through_reset: True: a reset subtracts a constant, so that gradients flow back through it as in lava-dl. False:
            it multiplies by zero, and none does; this is slower, without the kernels.

    Returns:
        The spikes, (N, C, ..., T), in the dtype of x (integers give the default float dtype), and the state after the
        run. Differentiable with respect to x, the decays and the state.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> spikes, state = cuba(torch.ones(1, 1, 6), 1.0, 0.0, threshold=1.5)
        >>> spikes
        tensor([[[0., 1., 0., 1., 0., 1.]]])

    References:
        Davies et al., Loihi: A Neuromorphic Manycore Processor with On-Chip Learning, IEEE Micro 2018.
    """
    before = (None, None) if state is None else _pair("cuba", state)
    decays = current_decay, voltage_decay
    constants = threshold, tau, grad_scale, graded
    s, current, voltage = _run("cuba", x, decays, *constants, (before[0], before[1]), scale, through_reset)
    return s, CubaState(current, voltage)


def fire(
    current: Tensor,
    voltage_decay: Tensor | float,
    threshold: float,
    *,
    tau: float = 1.0,
    grad_scale: float = 1.0,
    graded: bool = False,
    state: Tensor | None = None,
    scale: int = 64,
    through_reset: bool = True,
) -> tuple[Tensor, Tensor]:
    """The part of `cuba` after the current: integrate and fire, and the spikes of that.

    v[t] = (1 - b) v[t-1] (1 - s[t-1]) + current[t];  s[t] = v[t] > threshold

    Args:
        current: (N, C, ..., T), any real dtype.
        voltage_decay: b, the fraction lost per step in [0, 1], one number or one per channel (C,).
        threshold: in units of the current.
        tau, grad_scale, graded: of the surrogate, see `spike`.
        state: (N, C, ...), the voltage after the reset of the run before; None for zero.
        scale: weight LSBs per unit of the current, 64 in lava-dl.
        through_reset: whether gradients flow back through resets, see `cuba`.

    Returns:
        The spikes, (N, C, ..., T), in the dtype of the current (integers give the default float dtype), and the voltage
        after the run. Differentiable with respect to the current, the decay and the state.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> spikes, voltage = fire(torch.ones(1, 1, 5), 0.0, threshold=1.5)
        >>> spikes, voltage
        (tensor([[[0., 1., 0., 1., 0.]]]), tensor([[1.]]))
    """
    constants = threshold, tau, grad_scale, graded
    s, _, voltage = _run("fire", current, [voltage_decay], *constants, (None, state), scale, through_reset)
    return s, voltage


def _run(
    function: str,
    x: Tensor,
    decays: Sequence[Tensor | float],
    threshold: float,
    tau: float,
    grad_scale: float,
    graded: bool,
    state: tuple[Tensor | None, Tensor | None],
    scale: int,
    through_reset: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes in the dtype of x, and current and voltage after the run."""
    check_events(function, x, "x", values=False)
    check_range(function, "threshold", threshold, 0)
    check_surrogate(function, tau, grad_scale, graded)
    wide = x.to(accumulation_dtype(x))
    names = ("current_decay", "voltage_decay")[-len(decays) :]
    given = [kept_fraction(function, name, decay, x) for name, decay in zip(names, decays, strict=True)]
    keeps = [None] * (2 - len(given)) + given  # without a decay of the current, x is the current
    states = [initial_state(function, part, wide) for part in state]
    constants = (float(threshold), float(tau), float(grad_scale), bool(graded)), state_lsb(function, scale), function
    run = kernels.Cuba.apply
    if not check_flag(function, "through_reset", through_reset):
        run = functools.partial(kernels.composed_cuba, through_reset=False)
    s, current, voltage = by_channel(lambda *xs: run(xs[0], *keeps, *xs[1:], *constants), wide, *states)
    return s.to(x.dtype if x.is_floating_point() else torch.get_default_dtype()), current, voltage
