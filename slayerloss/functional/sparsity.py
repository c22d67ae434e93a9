"""Penalties on event rates: of a whole layer (as lava-dl's), and of every channel on its own."""

from __future__ import annotations

import math

from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_choice,
    check_range,
    message,
)
from slayerloss.functional._magnitude import counted_steps, neuron_events
from slayerloss.functional._reduce import REDUCTIONS, mean_over_processes


def sparsity(spikes: Tensor, max_rate: float = 0.01, lam: float = 1.0, *, lengths: Tensor | None = None) -> Tensor:
    r"""Penalize a layer whose mean event rate exceeds a rate.

    .. math::
        L = \lambda \max(0, r - r_\text{max})^2, \qquad r = \frac{1}{NCT} \sum_{n, c, t} |s_{nc}[t]|

    Args:
        spikes: (N, C, ..., T), any dtype, signs allowed, at most 1e9 in magnitude. Half precision is summed in float32.
        max_rate: events per neuron and step, at least 0.
        lam: weight of the penalty.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, float32, or float64 for float64 spikes. In a group of processes the rate is that of the whole batch. The
        slope of ``|s|`` at 0 is 0, as in lava-dl.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> import torch
        >>> sparsity(torch.tensor([[[0.0, 1.0, 0.0, 1.0]]]), max_rate=0.1)
        tensor(0.1600)

    Note:
        The value is lava-dl's. A busy channel hides behind silent ones: see `rate_band`.

    References:
        lava-dl 0.6.0, ``lava.lib.dl.slayer.loss.SparsityEnforcer``.
    """
    check_range("sparsity", "max_rate", max_rate, 0.0)
    check_range("sparsity", "lam", lam)
    rate = _mean_rate("sparsity", spikes, lengths, per_channel=False)
    return lam * (rate - max_rate).clamp_min(0).square()


def rate_band(
    spikes: Tensor,
    min_rate: float = 0.0,
    max_rate: float = 0.01,
    lam: float = 1.0,
    *,
    lengths: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Penalize every channel whose mean event rate leaves a band.

    .. math::
        L = \frac{\lambda}{C} \sum_c \max(0, r_\text{min} - r_c)^2 + \max(0, r_c - r_\text{max})^2, \qquad
        r_c = \frac{1}{NT} \sum_{n, t} |s_{nc}[t]|

    Args:
        spikes: (N, C, ..., T), any dtype, signs allowed, at most 1e9 in magnitude; rates are means over space, too. For
            a band per neuron pass ``spikes.flatten(1, -2)``. Half precision is summed in float32.
        min_rate: events per neuron and step, at least 0.
        max_rate: events per neuron and step, at least `min_rate`.
        lam: weight of the penalty.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.
        reduction: over the channels: "mean", so that equally busy channels cost what `sparsity` costs; "sum"; "none".

    Returns:
        0-d, or (C,) for "none"; float32, or float64 for float64 spikes. In a group of processes the rates are those of
        the whole batch. The slope of ``|s|`` at 0 is 1, so that both bounds act on silent steps, too: a silent channel
        is raised, and a busy one lowered also where it nearly spikes.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> import torch
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
        >>> rate_band(spikes, min_rate=0.1, max_rate=0.2, reduction="none")
        tensor([0.0900, 0.0100])
    """
    check_band("rate_band", min_rate, max_rate, lam)
    check_choice("rate_band", "reduction", reduction, REDUCTIONS)
    rate = _mean_rate("rate_band", spikes, lengths, per_channel=True)
    loss = lam * ((rate - max_rate).clamp_min(0).square() + (min_rate - rate).clamp_min(0).square())
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()


def check_band(function: str, min_rate: float, max_rate: float, lam: float) -> None:
    """Check the options of `rate_band`."""
    check_range(function, "min_rate", min_rate, 0.0)
    check_range(function, "max_rate", max_rate, float(min_rate), way_out="max_rate is at least min_rate")
    check_range(function, "lam", lam)


def _mean_rate(function: str, spikes: Tensor, lengths: Tensor | None, *, per_channel: bool) -> Tensor:
    """The mean of |s| over all processes: (C,), where the slope of |s| at 0 is 1, or (), where it is 0."""
    events = neuron_events(function, spikes, lengths, rises=per_channel)
    if per_channel and spikes.shape[1] == 0:
        raise ShapeError(message(function, "spikes has no channels", "C of at least 1", tuple(spikes.shape)))
    total = events.sum([dim for dim in range(events.ndim) if dim != 1]) if per_channel else events.sum()
    neurons = math.prod(events.shape[2 if per_channel else 1 :])
    return mean_over_processes(total, counted_steps(spikes, lengths) * neurons)
