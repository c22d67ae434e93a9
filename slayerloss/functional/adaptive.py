"""The threshold that rises with every spike, of the neurons ALIF, ADRF and ADRF_IZ.

Forward it is the chip's integer arithmetic; backward the autograd, in the dtype of the input, of

    theta[t] = (1 - c) (theta'[t-1] - theta0) + theta0
    r[t] = (1 - d) r'[t-1]
    s[t] = x[t] >= theta[t] + r[t]
    theta'[t] = theta[t] + step stop_gradient(s[t])
    r'[t] = r[t] + 2 theta[t] stop_gradient(s[t])

with the integer states inserted. A neuron lets its spikes have a gradient with respect to theta + r, through `spike`.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from slayerloss._check import (
    check_events,
    check_range,
    check_same_device,
    check_same_shape,
    check_sequence,
    check_tensor,
)
from slayerloss.functional._grid import initial_state, kept_fraction, state_lsb
from slayerloss.functional._space import by_channel
from slayerloss.functional.events import accumulation_dtype
from slayerloss.kernels import adaptive as kernels
from slayerloss.kernels.reference import STATE_LIMIT


class AdaptiveState(NamedTuple):
    """What a threshold remembers between two runs; each of shape (N, C, ...), in units of the input."""

    threshold: Tensor
    """After the last spike has raised it."""
    refractory: Tensor
    """Likewise."""


def adaptive_threshold(
    x: Tensor,
    threshold_decay: Tensor | float,
    refractory_decay: Tensor | float,
    threshold: float,
    step: float,
    *,
    allowed: Tensor | None = None,
    state: AdaptiveState | None = None,
    scale: int = 64,
) -> tuple[Tensor, Tensor]:
    """The threshold and the refractory state that each spike x >= theta + r raises, in the chip's integers.

    theta[t] = (1 - threshold_decay) (theta'[t-1] - threshold) + threshold;  r[t] = (1 - refractory_decay) r'[t-1];
    s[t] = x[t] >= theta[t] + r[t];  theta'[t] = theta[t] + step s[t];  r'[t] = r[t] + 2 theta[t] s[t]

    Args:
        x: (N, C, ..., T), what is compared, such as the voltage; any real dtype.
        threshold_decay, refractory_decay: the fraction lost per step in [0, 1], one number or one per channel (C,); cut
            to multiples of 1/4096.
        threshold: what theta starts from and relaxes to, in units of x, from 0; cut to the chip's grid.
        step: what a spike adds to theta, in units of x, from 0; cut to the chip's grid.
        allowed: (N, C, ..., T) bool, where there can be a spike; None for everywhere.
        state: theta' and r' before the first step; None for a threshold at rest.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        theta and r, (N, C, ..., T) each, as the spike of the step meets them: `spike(x, theta + r, inclusive=True)`
        where it is allowed. float32 or float64. Differentiable with respect to the decays and the state; the spikes
        count as constants, so that x has no gradient. `adapted` gives the state after the run.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> theta, r = adaptive_threshold(torch.tensor([[[1.0, 2.5, 2.5, 2.5]]]), 0.5, 0.5, threshold=1.0, step=0.5)
        >>> theta, r
        (tensor([[[1.0000, 1.2500, 1.3750, 1.1875]]]), tensor([[[0.0000, 1.0000, 1.7500, 0.8750]]]))

    Note:
        lava-dl returns no gradients.
    """
    name = "adaptive_threshold"
    check_events(name, x, "x", values=False)
    x = x.detach().to(accumulation_dtype(x))
    keeps = (
        kept_fraction(name, "threshold_decay", threshold_decay, x),
        kept_fraction(name, "refractory_decay", refractory_decay, x),
    )
    lsb = state_lsb(name, scale)
    base, rise = (
        int(check_range(name, argument, value, 0, STATE_LIMIT) * lsb) / lsb
        for argument, value in (("threshold", threshold), ("step", step))
    )
    if allowed is not None:
        check_tensor(name, "allowed", allowed)
        check_same_shape(name, "allowed", allowed, "x", x)
        check_same_device(name, "allowed", allowed, "x", x)
        x = x.masked_fill(allowed == 0, -STATE_LIMIT / lsb)  # below every threshold
    states: list[Tensor | None]
    if state is None:
        rest = x.new_zeros(x.shape[:-1])
        states = [rest + base, rest]
    else:
        states = [initial_state(name, part, x) for part in check_sequence(name, "state", state, 2, "an AdaptiveState")]
    constants = base, rise, lsb, name
    theta, r = by_channel(
        lambda *xs: kernels.AdaptiveThreshold.apply(xs[0], *keeps, *xs[1:], *constants),
        x,
        *states,
    )
    return theta, r


def adapted(threshold: Tensor, refractory: Tensor, spikes: Tensor, step: float) -> AdaptiveState:
    """The state after the last step's spike, from which the next run goes on.

    theta' = theta + step s;  r' = r + 2 theta s

    Args:
        threshold, refractory: (N, C, ..., T), what `adaptive_threshold` returned.
        spikes: (N, C, ..., T), not zero where there is a spike.
        step: as there, in units of the threshold.

    Returns:
        (N, C, ...) each; the spikes count as constants.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> import torch
        >>> theta, r = torch.tensor([[[1.0]]]), torch.tensor([[[0.5]]])
        >>> adapted(theta, r, torch.ones(1, 1, 1), step=0.25)
        AdaptiveState(threshold=tensor([[1.2500]]), refractory=tensor([[2.5000]]))
    """
    for argument, value in (("threshold", threshold), ("refractory", refractory), ("spikes", spikes)):
        check_events("adapted", value, argument)
        check_same_shape("adapted", argument, value, "threshold", threshold)
        check_same_device("adapted", argument, value, "threshold", threshold)
    check_range("adapted", "step", step, 0, STATE_LIMIT)
    theta = threshold.select(-1, -1)
    fires = (spikes.detach().select(-1, -1) != 0).to(theta.dtype)
    return AdaptiveState(theta + step * fires, refractory.select(-1, -1) + 2 * theta * fires)
