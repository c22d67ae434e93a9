"""The reference kernels: the chip's neuron as plain loops over time, on any device that has float64.

They are the definition that every faster kernel has to equal, bit for bit forward. Time is the FIRST axis here,
(T, N, C, ...), so that a step is one contiguous block; `slayerloss.functional` brings (N, C, ..., T) into this order.

States are integers held in float64, where state * decay < 2^36 is exact. Their unit is 1/4096 of the units outside
(state LSB); `keep` is 1 - decay, a multiple of 1/4096, which broadcasts over (N, C, ...).
"""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss.kernels.filters import from_rows, low_pass, to_rows
from slayerloss.kernels.precision import full_precision

DECAY_SCALE = 4096
"""Decay LSBs per unit: a decay is a multiple of 1/4096."""

STATE_LIMIT = 2**23
"""The current lives in (-2^23, 2^23] and wraps, the voltage in [-(2^23 - 1), 2^23 - 1] and saturates."""


def leaky_integrator(x: Tensor, keep: Tensor, state: Tensor, state_scale: float) -> Tensor:
    """u[t] = wrap(trunc(keep * u[t-1]) + trunc(state_scale * x[t])), in units of x.

    Args:
        x: (T, N, C, ...) float, the input in units of the threshold.
        keep: 1 - decay, float64, broadcasts over (N, C, ...).
        state: (N, C, ...) float, u before the first step, in units of x.
        state_scale: state LSBs per unit, 4096 on the chip.

    Returns:
        u, of the shape and dtype of x.
    """
    u = _integrate(x, keep, state, state_scale, wrap=False)
    if u.numel() and not u.is_meta:  # what has to wrap is rare, and left its range somewhere
        low, high = u.aminmax()
        if high * state_scale > STATE_LIMIT or low * state_scale <= -STATE_LIMIT:
            u = _integrate(x, keep, state, state_scale, wrap=True)
    return u


def _integrate(x: Tensor, keep: Tensor, state: Tensor, state_scale: float, wrap: bool) -> Tensor:
    u = torch.empty_like(x, memory_format=torch.contiguous_format)
    now = state.double() * state_scale
    for x_t, u_t in zip(truncate_(x * state_scale).unbind(), u.unbind(), strict=True):
        now = truncate_(now.mul_(keep)).add_(x_t)
        if wrap:
            now = wrapped(now)
        torch.div(now, state_scale, out=u_t)
    return u


def truncate_(x: Tensor) -> Tensor:
    """Cut toward zero, in place; several times as fast on a CPU as trunc_, which is not vectorised there."""
    return x.sub_(x.frac())


def wrapped(state: Tensor) -> Tensor:
    """Lava's single wrap of an integer current into (-2^23, 2^23]."""
    period = 2.0 * STATE_LIMIT
    return state - period * (state > STATE_LIMIT).double() + period * (state <= -STATE_LIMIT).double()


def integrate_and_fire(x: Tensor, keep: Tensor, threshold: float, state: Tensor, state_scale: float) -> Tensor:
    """v[t] = saturate(trunc(keep * v'[t-1]) + trunc(state_scale * x[t])), where v' is 0 after v > threshold.

    Args:
        x: (T, N, C, ...) float, the current.
        keep: 1 - decay, float64, broadcasts over (N, C, ...).
        threshold: in units of x; infinity for a neuron that is never reset.
        state: (N, C, ...) float, the voltage AFTER the reset of the step before.
        state_scale: state LSBs per unit.

    Returns:
        v BEFORE the reset, of the shape and dtype of x: the neuron spikes where v > threshold.
    """
    v = torch.empty_like(x, memory_format=torch.contiguous_format)
    now = state.double() * state_scale
    stays = torch.empty_like(now)  # 1 where there is no spike: a product is faster than a mask
    limit = STATE_LIMIT - 1
    for x_t, v_t in zip(truncate_(x * state_scale).unbind(), v.unbind(), strict=True):
        now = truncate_(now.mul_(keep)).add_(x_t).clamp_(-limit, limit)
        torch.div(now, state_scale, out=v_t)
        now.mul_(torch.le(v_t, threshold, out=stays))
    return v


def leaky_adjoint(grad: Tensor, keep: Tensor) -> Tensor:
    """g[t] = grad[t] + keep * g[t+1], the adjoint of y[t] = keep * y[t-1] + x[t].

    Args:
        grad: (T, N, C, ...), the gradient with respect to y.
        keep: of the dtype of `grad`, one number or one for each channel, in a shape that broadcasts over (N, C, ...).

    Returns:
        The gradient with respect to x, of the shape of grad.
    """
    per_channel = keep.numel() > 1
    rows = to_rows(grad.flip(0).movedim(0, -1), per_channel)
    time_constant = -1 / keep.reshape(-1).clamp(min=torch.finfo(keep.dtype).tiny).log()  # infinite where keep is 1
    g = low_pass(rows, time_constant, rows.new_zeros(keep.numel(), rows.shape[1]))
    return from_rows(g, grad.movedim(0, -1), per_channel).movedim(-1, 0).flip(0).contiguous()


def one_step_before(first: Tensor, later: Tensor) -> Tensor:
    """The sequence one step earlier: `first`, then all but the last of `later`, (T, N, C, ...)."""
    return torch.cat([first[None], later[:-1]])


def fired(v: Tensor, threshold: float | Tensor, graded: bool, inclusive: bool = False) -> Tensor:
    """The spikes of a voltage: 1 where v > threshold, or >= if inclusive; v itself there if graded."""
    if not graded:
        return v.clone().ge_(threshold) if inclusive else v.clone().gt_(threshold)
    if not inclusive and not isinstance(threshold, Tensor):
        return torch.threshold(v, threshold, 0)
    return v.masked_fill(v < threshold if inclusive else v <= threshold, 0)


def surrogate(v: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool) -> Tensor:
    """The derivative that stands for that of the spike: an exponential around the threshold."""
    if graded:
        return (v - threshold).clamp_(max=0).div_(tau).exp_().mul_(scale)
    return (v - threshold).abs_().div_(-tau).exp_().mul_(scale / (2 * tau))


def smooth_spike(v: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool) -> Tensor:
    """A function whose derivative is `surrogate`, for derivatives of it."""
    distance = v - threshold
    decay = (torch.where(distance > 0, -distance, distance) / tau).exp()
    if graded:
        return scale * torch.where(distance > 0, tau + distance, tau * decay)
    return scale / 2 * torch.where(distance > 0, 2 - decay, decay)


def smooth_filter(
    x: Tensor, keep: Tensor, state: Tensor | None, values: Tensor, threshold: float, through_reset: bool = True
) -> tuple[Tensor, Tensor]:
    """Known integer states, with the gradients of any order of y[t] = keep y'[t-1] + x[t].

    Args:
        x, values: (T, N, C, ...); the values are y.
        keep: broadcasts over (N, C, ...).
        state: (N, C, ...), y' before the first step; None for zero.
        threshold: y' is 0 where y is above it.
        through_reset: whether the step from y to 0 counts as a constant; False: it is a product with 0.

    Returns:
        y and the last y'.
    """
    steps = []
    state = torch.zeros_like(x[0]) if state is None else state
    for x_t, value in zip(x.unbind(), values.unbind(), strict=True):
        smooth = keep * state + x_t
        y = smooth + (value - smooth).detach()
        steps.append(y)
        fired = value > threshold
        state = y - (y * fired).detach() if through_reset else y.masked_fill(fired, 0)
    return torch.stack(steps), state


def recurrent_cuba(
    x: Tensor,
    feedback: Tensor,
    keep_current: Tensor,
    keep_voltage: Tensor,
    current: Tensor,
    voltage: Tensor,
    spikes: Tensor,
    bias: Tensor | None,
    threshold: float,
    state_scale: float,
    graded: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """A CUBA population that hears itself: its input is x[t] + feedback @ s[t-1].

    Args:
        x: (T, N, C) float.
        feedback: (C, C), row i holds what neuron i hears.
        keep_current, keep_voltage: 1 - decay, float64, broadcast over (N, C).
        current, voltage, spikes: (N, C), the state: of the step before, the voltage after its reset.
        bias: (C,) float, added to the current where it enters the voltage; None for none.
        threshold: in units of x.
        state_scale: state LSBs per unit.
        graded: whether a spike carries the voltage.

    Returns:
        current, voltage before reset, spikes, each (T, N, C).
    """
    u, v, s = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(3))
    current, voltage = current.double() * state_scale, voltage.double() * state_scale
    limit = STATE_LIMIT - 1
    constant = None if bias is None else bias.double() * state_scale
    with full_precision(x):
        for x_t, u_t, v_t, s_t in zip(x.unbind(), u.unbind(), v.unbind(), s.unbind(), strict=True):
            heard = torch.addmm(x_t, spikes, feedback.T)
            current = wrapped(truncate_(current.mul_(keep_current)).add_(truncate_(heard.mul_(state_scale))))
            drive = current if constant is None else truncate_(current + constant)
            voltage = truncate_(voltage.mul_(keep_voltage)).add_(drive).clamp_(-limit, limit)
            torch.div(current, state_scale, out=u_t)
            torch.div(voltage, state_scale, out=v_t)
            spikes = s_t.copy_(fired(v_t, threshold, graded))
            voltage.masked_fill_(v_t > threshold, 0)
    return u, v, s


def recurrent_cuba_adjoint(
    grad_current: Tensor,
    grad_voltage: Tensor,
    grad_spikes: Tensor,
    slope: Tensor,
    feedback: Tensor,
    keep_current: Tensor,
    keep_voltage: Tensor,
) -> tuple[Tensor, Tensor]:
    """The adjoint of `recurrent_cuba`, the reset ignored.

    Args:
        grad_current, grad_voltage, grad_spikes: (T, N, C), the gradients with respect to its results.
        slope: (T, N, C), the surrogate ds/dv.
        feedback: (C, C).
        keep_current, keep_voltage: of the dtype of the gradients.

    Returns:
        The gradients with respect to u[t], which is that of x[t], and with respect to v[t], each (T, N, C).
    """
    g_u, g_v = (torch.empty_like(slope, memory_format=torch.contiguous_format) for _ in range(2))
    u_later = v_later = torch.zeros_like(slope[0])
    rows = [reversed(rows.unbind()) for rows in (grad_current, grad_voltage, grad_spikes, slope, g_u, g_v)]
    with full_precision(slope):
        for u_grad, v_grad, s_grad, slope_t, u_t, v_t in zip(*rows, strict=True):
            s_grad = torch.addmm(s_grad, u_later, feedback)
            v_later = torch.addcmul(v_grad + slope_t * s_grad, v_later, keep_voltage, out=v_t)
            u_later = torch.addcmul(u_grad + v_later, u_later, keep_current, out=u_t)
    return g_u, g_v
