"""The reference kernels of the resonator: a complex state that turns and shrinks, as plain loops over time.

As in `reference`, time is the first axis, (T, N, C, ...), and states are integers held in float64, in 1/`state_scale`
of the units outside. `sin` and `cos`, multiples of 1/4096 in float64, broadcast over (N, C, ...).
"""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss.kernels.reference import STATE_LIMIT, one_step_before, truncate_

LIMIT = STATE_LIMIT - 1


def whole_state(state: Tensor, state_scale: float) -> Tensor:
    """A state in units -> in integers."""
    return truncate_(state.double() * state_scale).clamp_(-LIMIT, LIMIT)


def after_spike(real: Tensor, imag: Tensor, threshold: float, reset: float) -> tuple[Tensor, Tensor]:
    """The state after the reset: real is 0 and imag is `reset` where imag reached the threshold."""
    fired = imag >= threshold
    return real.masked_fill(fired, 0), imag.masked_fill(fired, reset)


def resonator(
    x_real: Tensor,
    x_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    real: Tensor,
    imag: Tensor,
    threshold: float,
    state_scale: float,
) -> tuple[Tensor, Tensor]:
    """The integers z[t] = trunc(turn z'[t-1]) + trunc(x[t]), each product cut toward zero, z cut at 24 bits.

    Args:
        x_real, x_imag: (T, N, C, ...) float.
        sin, cos: of the turn.
        real, imag: (N, C, ...), the state before the first step.
        threshold: of the imaginary part in state LSBs, a whole number; infinity for a state that is never reset.
        state_scale: state LSBs per unit.

    Returns:
        Real and imaginary part before the reset, of the shape and dtype of x.
    """
    drives = (truncate_(x * state_scale).unbind() for x in (x_real, x_imag))
    results = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (x_real, x_imag)]
    real, imag = whole_state(real, state_scale), whole_state(imag, state_scale)
    for to_real, to_imag, real_t, imag_t in zip(*drives, *(y.unbind() for y in results), strict=True):
        real, imag = (
            truncate_(cos * real).sub_(truncate_(sin * imag)).add_(to_real).clamp_(-LIMIT, LIMIT),
            truncate_(sin * real).add_(truncate_(cos * imag)).add_(to_imag).clamp_(-LIMIT, LIMIT),
        )
        torch.div(real, state_scale, out=real_t)
        torch.div(imag, state_scale, out=imag_t)
        real, imag = after_spike(real, imag, threshold, threshold - 1)
    return results[0], results[1]


def resonator_adjoint(grad_real: Tensor, grad_imag: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients with respect to x: g[t] = grad[t] + (the turn backward) g[t+1].

    Args:
        grad_real, grad_imag: (T, N, C, ...), with respect to the states.
        sin, cos: of the dtype of the gradients.
    """
    results = [torch.empty_like(grad, memory_format=torch.contiguous_format) for grad in (grad_real, grad_imag)]
    rows = [reversed(rows.unbind()) for rows in (grad_real, grad_imag, *results)]
    later_real = later_imag = torch.zeros_like(grad_real[0])
    for real, imag, to_real, to_imag in zip(*rows, strict=True):
        turned = turned_back(later_real, later_imag, sin, cos)
        later_real, later_imag = to_real.copy_(real + turned[0]), to_imag.copy_(imag + turned[1])
    return results[0], results[1]


def turned_back(real: Tensor, imag: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """What gradients of a step are to the state before it."""
    return cos * real + sin * imag, cos * imag - sin * real


def gradients_of_turn(
    real: Tensor, imag: Tensor, before_real: tuple[Tensor, Tensor], before_imag: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Of sin and cos, for each neuron (N, C, ...), from those of x and the states (first, later) after the reset."""
    re, im = one_step_before(*before_real), one_step_before(*before_imag)
    return (imag * re - real * im).sum(0, dtype=torch.float64), (real * re + imag * im).sum(0, dtype=torch.float64)


def smooth_resonator(
    x_real: Tensor,
    x_imag: Tensor,
    value_real: Tensor,
    value_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    real: Tensor,
    imag: Tensor,
    threshold: float,
    reset: float,
) -> tuple[Tensor, Tensor]:
    """Known integer states, with the gradients of any order of z[t] = turn z'[t-1] + x[t].

    Args:
        x_real, x_imag: (T, N, C, ...).
        value_real, value_imag: z, (T, N, C, ...).
        sin, cos: of the turn.
        real, imag: (N, C, ...), z' before the first step.
        threshold, reset: in units of x; what the reset adds to z counts as a constant.
    """
    steps: tuple[list[Tensor], list[Tensor]] = [], []
    for to_real, to_imag, *values in zip(x_real, x_imag, value_real, value_imag, strict=True):
        turned = cos * real - sin * imag + to_real, sin * real + cos * imag + to_imag
        state = [smooth + (value - smooth).detach() for smooth, value in zip(turned, values, strict=True)]
        for kept, part in zip(steps, state, strict=True):
            kept.append(part)
        reached = after_spike(values[0], values[1], threshold, reset)
        real, imag = (part + (after - part).detach() for part, after in zip(state, reached, strict=True))
    return torch.stack(steps[0]), torch.stack(steps[1])
