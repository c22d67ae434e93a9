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

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss._check import ShapeError, check_events, check_range, check_shape, message, values_are_checked
from slayerloss.functional.events import accumulation_dtype
from slayerloss.functional.quantize import quantize
from slayerloss.kernels import reference

DECAY_SCALE = 4096
"""Decay LSBs per unit: a decay is a multiple of 1/4096."""


class CubaState(NamedTuple):
    """What a CUBA population remembers between two runs; each of shape (N, C, ...), in units of the input."""

    current: Tensor
    voltage: Tensor
    """After the reset."""


def _time_first(x: Tensor) -> Tensor:
    """(N, C, ..., T) -> contiguous (T, N, C, ...); no copy where the memory is in this order already."""
    return x.movedim(-1, 0).contiguous()


def _check_decay(function: str, name: str, decay: Tensor | float, x: Tensor) -> Tensor:
    """A decay as a tensor on the device of `x`: one number, or one per channel."""
    if not isinstance(decay, Tensor):
        check_range(function, name, decay, 0, 1)
        return torch.tensor([float(decay)], device=x.device)
    if decay.numel() != 1 and tuple(decay.shape) != (x.shape[1],):
        rule = f"one number, or one per channel ({x.shape[1]},)"
        raise ShapeError(message(function, f"{name} does not fit the channels", rule, tuple(decay.shape)))
    if values_are_checked(decay):
        check_range(function, name, float(decay.detach().min()), 0, 1)
        check_range(function, name, float(decay.detach().max()), 0, 1)
    return decay


def _keep(decay: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """1 - decay on the chip's grid, shaped to broadcast over one step (N, C, ...)."""
    keep = 1 - (decay.detach().double() * DECAY_SCALE).round() / DECAY_SCALE
    return keep.to(dtype).reshape(-1, *[1] * (x.ndim - 3))


def _check_state(function: str, state: Tensor | None, x: Tensor) -> Tensor:
    if state is None:
        return torch.zeros(x.shape[:-1], dtype=x.dtype, device=x.device)
    check_shape(function, "state", state, x.shape[:-1], "Reset the state before another batch")
    return state.to(x)


def _sum_to(product: Tensor, like: Tensor) -> Tensor:
    """Sum (T, N, C, ...) down to one number, or to one per channel, as `like` has it."""
    if like.numel() == 1:
        return product.sum().reshape(like.shape).to(like.dtype)
    return product.sum(dim=[0, 1, *range(3, product.ndim)]).to(like.dtype)


def _before(first: Tensor, later: Tensor) -> Tensor:
    """The sequence one step earlier: `first`, then all but the last of `later`, (T, N, C, ...)."""
    return torch.cat([first[None], later[:-1]])


class _LeakyIntegrator(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor, state_scale: float) -> Tensor:
        u = reference.leaky_integrator(_time_first(x), _keep(decay, x, torch.float64), state, state_scale)
        ctx.save_for_backward(decay, *((state, u) if decay.requires_grad else ()))
        return u.movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, *states = ctx.saved_tensors
        keep = _keep(decay, grad, grad.dtype)
        g = reference.leaky_adjoint(_time_first(grad), keep)
        grad_decay = -_sum_to(g * _before(*states), decay) if states else None
        return g.movedim(0, -1), grad_decay, g[0] * keep, None


class _IntegrateAndFire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor, threshold: float, state_scale: float) -> Tensor:
        keep = _keep(decay, x, torch.float64)
        v = reference.integrate_and_fire(_time_first(x), keep, threshold, state, state_scale)
        ctx.threshold = threshold
        ctx.save_for_backward(decay, *((state, v) if decay.requires_grad else ()))
        return v.movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, *states = ctx.saved_tensors
        keep = _keep(decay, grad, grad.dtype)
        g = reference.leaky_adjoint(_time_first(grad), keep)
        grad_decay = None
        if states:
            state, v = states
            grad_decay = -_sum_to(g * _before(state, v.masked_fill(v > ctx.threshold, 0)), decay)
        return g.movedim(0, -1), grad_decay, g[0] * keep, None, None


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, voltage: Tensor, threshold: float, tau: float, scale: float, graded: bool) -> Tensor:
        ctx.save_for_backward(voltage)
        ctx.constants = threshold, tau, scale, graded
        return reference.fired(voltage, threshold, graded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (voltage,) = ctx.saved_tensors
        return reference.surrogate(voltage, *ctx.constants).mul_(grad), None, None, None, None


class _RecurrentCuba(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        feedback: Tensor,
        decays: Tensor,
        states: Tensor,
        constants: tuple[float, float, float, bool],
        state_scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        threshold, _, _, graded = constants
        keep = (_keep(decays[0], x, torch.float64), _keep(decays[1], x, torch.float64))
        state = (states[0], states[1], states[2])
        u, v, s = reference.recurrent_cuba(_time_first(x), feedback, keep, threshold, state, state_scale, graded)
        ctx.save_for_backward(feedback, decays, states, u, v, s)
        ctx.constants = constants
        return u.movedim(0, -1), v.movedim(0, -1), s.movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        feedback, decays, states, u, v, s = ctx.saved_tensors
        keep = (_keep(decays[0], grads[0], u.dtype), _keep(decays[1], grads[0], u.dtype))
        slope = reference.surrogate(v, *ctx.constants)
        in_time = (_time_first(grads[0]), _time_first(grads[1]), _time_first(grads[2]))
        g_u, g_v = reference.recurrent_cuba_adjoint(in_time, slope, feedback, keep)
        reset = v.masked_fill(v > ctx.constants[0], 0)
        grad_decays = torch.stack(
            [
                -_sum_to(g_u * _before(states[0], u), decays[0]),
                -_sum_to(g_v * _before(states[1], reset), decays[1]),
            ]
        )
        grad_feedback = torch.einsum("tni,tnj->ij", g_u, _before(states[2], s))
        grad_states = torch.stack([g_u[0] * keep[0], g_v[0] * keep[1], g_u[0] @ feedback])
        return g_u.movedim(0, -1), grad_feedback, grad_decays, grad_states, None, None


@torch.compiler.disable
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
    check_events("leaky_integrator", x, "x")
    x = x.to(accumulation_dtype(x))
    decay = quantize(_check_decay("leaky_integrator", "decay", decay, x), 1 / DECAY_SCALE)
    state = _check_state("leaky_integrator", state, x)
    u: Tensor = _LeakyIntegrator.apply(x, decay, state, 64.0 * scale)
    return u


@torch.compiler.disable
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
        with respect to x, decay and state, the reset counting as a constant. `after_reset` gives the state after the run.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> integrate_and_fire(torch.ones(1, 1, 4), 0.0, threshold=1.5)
        tensor([[[1., 2., 1., 2.]]])
    """
    check_events("integrate_and_fire", x, "x")
    x = x.to(accumulation_dtype(x))
    decay = quantize(_check_decay("integrate_and_fire", "decay", decay, x), 1 / DECAY_SCALE)
    state = _check_state("integrate_and_fire", state, x)
    v: Tensor = _IntegrateAndFire.apply(x, decay, state, float(threshold), 64.0 * scale)
    return v


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


def spike(voltage: Tensor, threshold: float, *, tau: float, scale: float = 1.0, graded: bool = False) -> Tensor:
    """Spike where the voltage is above the threshold, with an exponential surrogate gradient.

    s = [v > threshold], ds/dv = scale / (2 tau) exp(-|v - threshold| / tau); graded: s = v [v > threshold],
    ds/dv = scale exp(min(v - threshold, 0) / tau).

    Args:
        voltage: any shape, float.
        threshold: in units of the voltage.
        tau: width of the surrogate, in units of the voltage, above 0.
        scale: factor of the surrogate.
        graded: whether the spike carries the voltage.

    Returns:
        Of the shape and dtype of the voltage.

    Raises:
        ArgumentError: tau is not positive.

    Example:
        >>> spike(torch.tensor([1.0, 1.5, 2.0]), 1.5, tau=1.0)
        tensor([0., 0., 1.])

    References:
        Shrestha and Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS 2018.
    """
    check_range("spike", "tau", tau, 0, low_open=True)
    s: Tensor = _Spike.apply(voltage, float(threshold), float(tau), float(scale), graded)
    return s


@torch.compiler.disable
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
) -> tuple[Tensor, Tensor, Tensor]:
    """A CUBA population whose spikes come back to it one step later.

    u[t] = (1 - a) u[t-1] + x[t] + R s[t-1], then as `cuba`.

    Args:
        x: (N, C, T), the weighted input.
        feedback: (C, C), R.
        current_decay, voltage_decay: the fraction lost per step in [0, 1], one number or one per channel (C,).
        threshold: in units of x.
        tau, grad_scale, graded: of the surrogate, see `spike`.
        state: `CubaState` and the spikes (N, C) of the step before; None for a silent start.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        current, voltage before the reset, and spikes, each (N, C, T). Differentiable with respect to x, feedback, the
        decays and the state.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> x = torch.tensor([[[2.0, 0.0, 0.0]]])
        >>> recurrent_cuba(x, torch.tensor([[2.0]]), 1.0, 1.0, 1.0, tau=1.0)[2]
        tensor([[[1., 1., 1.]]])
    """
    name = "recurrent_cuba"
    check_events(name, x, "x")
    check_range(name, "tau", tau, 0, low_open=True)
    if x.ndim != 3:
        raise ShapeError(message(name, "x has space dimensions", "(N, C, T)", tuple(x.shape), "Flatten the space"))
    x = x.to(accumulation_dtype(x))
    check_shape(name, "feedback", feedback, (x.shape[1], x.shape[1]))
    decays = torch.stack(
        [
            quantize(_check_decay(name, what, decay, x), 1 / DECAY_SCALE).expand(x.shape[1])
            for what, decay in (("current_decay", current_decay), ("voltage_decay", voltage_decay))
        ]
    )
    parts = (None, None, None) if state is None else (*state[0], state[1])
    states = torch.stack([_check_state(name, part, x) for part in parts])
    constants = (float(threshold), float(tau), float(grad_scale), graded)
    run: tuple[Tensor, Tensor, Tensor] = _RecurrentCuba.apply(
        x, feedback.to(x.dtype), decays, states, constants, 64.0 * scale
    )
    return run


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
    previous = (None, None) if state is None else state
    u = leaky_integrator(x, current_decay, state=previous[0], scale=scale)
    v = integrate_and_fire(u, voltage_decay, threshold, state=previous[1], scale=scale)
    s = spike(v, threshold, tau=tau, scale=grad_scale, graded=graded)
    out_dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    return s.to(out_dtype), CubaState(u.select(-1, -1), after_reset(v, threshold))


NEVER = math.inf
"""The threshold of a neuron that never spikes."""
