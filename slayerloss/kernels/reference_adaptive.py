"""The adaptive threshold as plain loops over time, on any device that has float64: what a faster kernel has to equal.

Time is the first axis, (T, N, C, ...). States are integers held in float64, as in `kernels.reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss.kernels.reference import truncate_


def adaptive_threshold(
    x: Tensor,
    keeps: tuple[Tensor, Tensor],
    states: tuple[Tensor, Tensor],
    base: float,
    step: float,
    state_scale: float,
) -> tuple[Tensor, Tensor]:
    """theta[t] = trunc(k (theta'[t-1] - base)) + base, r[t] = trunc(l r'[t-1]); after x >= theta + r both rise.

    Args:
        x: (T, N, C, ...) float, what is compared.
        keeps: k and l, 1 - decay of threshold and refractory state, float64, broadcast over (N, C, ...).
        states: theta' and r' of the step before, (N, C, ...) float, in units of x.
        base, step: what theta relaxes to, and what a spike adds to it, in units of x; multiples of 1/state_scale.
        state_scale: state LSBs per unit.

    Returns:
        theta and r as the spike meets them, of the shape and dtype of x.
    """
    theta, refractory = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(2))
    base, step = float(round(base * state_scale)), float(round(step * state_scale))
    height, rest = (truncate_((state * state_scale).double()) for state in states)
    height.sub_(base)
    for x_t, theta_t, r_t in zip(truncate_(x * state_scale).unbind(), theta.unbind(), refractory.unbind(), strict=True):
        height, rest = truncate_(height * keeps[0]), truncate_(rest * keeps[1])
        torch.div(height + base, state_scale, out=theta_t)
        torch.div(rest, state_scale, out=r_t)
        fires = (x_t >= height + base + rest).double()
        rest.addcmul_(fires, height + base, value=2)
        height.add_(fires, alpha=step)
    return theta, refractory


def adaptive_adjoint(
    fires: Tensor,
    states: tuple[Tensor, Tensor],
    grads: tuple[Tensor, Tensor],
    keeps: tuple[Tensor, Tensor],
    first: tuple[Tensor, Tensor],
    base: float,
    step: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The adjoint of `adaptive_threshold`, in which spikes are constants.

    Args:
        fires: (T, N, C, ...) of 0 and 1, x >= theta + r.
        states: theta and r, (T, N, C, ...).
        grads: the gradients with respect to both.
        keeps: of the dtype of the gradients, broadcast over (N, C, ...).
        first: theta' and r' before the run, (N, C, ...).
        base, step: as there.

    Returns:
        The gradients with respect to theta' and r' before the run, and to each row's keeps in float64; (N, C, ...).
    """
    later = [torch.zeros_like(first[0]), torch.zeros_like(first[0])]  # with respect to theta' and r'
    sums = [torch.zeros_like(first[0], dtype=torch.float64) for _ in range(2)]
    theta, refractory = states
    risen = theta + step * fires, refractory + 2 * theta * fires
    for t in range(fires.shape[0] - 1, -1, -1):
        now = grads[0][t] + later[0] + 2 * fires[t] * later[1], grads[1][t] + later[1]
        before = (risen[0][t - 1], risen[1][t - 1]) if t else first
        for total, grad, state in zip(sums, now, (before[0] - base, before[1]), strict=True):
            total.addcmul_(grad.double(), state.double())
        later = [grad * keep for grad, keep in zip(now, keeps, strict=True)]
    return later[0], later[1], sums[0], sums[1]


def smooth_adaptive_threshold(
    fires: Tensor,
    keeps: tuple[Tensor, Tensor],
    first: tuple[Tensor, Tensor],
    values: tuple[Tensor, Tensor],
    base: float,
    step: float,
) -> tuple[Tensor, Tensor]:
    """Known integer states, with the gradients of any order of the recursion.

    Args:
        fires, values: (T, N, C, ...); the values are theta and r.
        keeps: broadcast over (N, C, ...).
        first: theta' and r' before the run, (N, C, ...).
        base, step: as in `adaptive_threshold`.

    Returns:
        theta and r.
    """
    height, rest = first
    steps: tuple[list[Tensor], list[Tensor]] = ([], [])
    for fires_t, *now in zip(fires.unbind(), *(value.unbind() for value in values), strict=True):
        smooth = keeps[0] * (height - base) + base, keeps[1] * rest
        theta, r = (y + (value - y).detach() for y, value in zip(smooth, now, strict=True))
        height, rest = theta + step * fires_t, r + 2 * theta * fires_t
        steps[0].append(theta)
        steps[1].append(r)
    return torch.stack(steps[0]), torch.stack(steps[1])
