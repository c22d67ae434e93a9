"""How many neurons of a layer share its activity: sparsity of a population, as measures and as penalties.

In a group of processes each mean is over all their samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import ShapeError, message
from slayerloss.functional._magnitude import neuron_events
from slayerloss.functional._reduce import mean_over_processes


def hoyer(spikes: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    r"""How few of a layer's neurons share its activity, from 0, all alike, to 1, one alone.

    .. math::
        H = \frac{\sqrt{n} - \|r\|_1 / \|r\|_2}{\sqrt{n} - 1}

    of the rates r of the n neurons in a sample; the mean over the samples that have an event.

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude; n = C ... of at least 2. Rates are of magnitudes.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, in [0, 1], 0 if all samples are silent; float32, or float64 for float64 spikes, with a gradient.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> alike, alone = torch.ones(1, 4, 3), torch.tensor([[[1.0], [0.0], [0.0], [0.0]]])
        >>> hoyer(alike), hoyer(alone)
        (tensor(0.), tensor(1.))

    References:
        Hoyer, Non-negative Matrix Factorization with Sparseness Constraints, JMLR 5, 2004.
    """
    return _mean(*_hoyer("hoyer", spikes, lengths))


def hoyer_penalty(spikes: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Penalize activity that many neurons of a layer share: it falls to 0 as the activity gets sparser.

    L = 1 - `hoyer`, of the samples that have an event

    Args:
        spikes, lengths: as `hoyer`.

    Returns:
        0-d, in [0, 1], 0 if all samples are silent; dtype and gradient as `hoyer`.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> hoyer_penalty(torch.ones(1, 4, 3)), hoyer_penalty(torch.zeros(1, 4, 3))
        (tensor(1.), tensor(0.))
    """
    measure, active = _hoyer("hoyer_penalty", spikes, lengths)
    return _mean(1 - measure, active)


def treves_rolls(spikes: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    r"""The share of a layer's neurons that are active, from 1, all alike, to 1/n, one alone.

    .. math::
        a = \frac{(\frac{1}{n} \sum_i r_i)^2}{\frac{1}{n} \sum_i r_i^2}

    of the rates r of the n neurons in a sample; the mean over the samples that have an event. It falls as the activity
    gets sparser, so that it is a penalty as it stands.

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude. Rates are of magnitudes.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, in [1/n, 1], 0 if all samples are silent; float32, or float64 for float64 spikes, with a gradient.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> treves_rolls(torch.tensor([[[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]))
        tensor(0.5000)

    References:
        Treves and Rolls, What Determines the Capacity of Autoassociative Memories in the Brain?, Network 2, 1991.
    """
    first, second, neurons, active = _powers("treves_rolls", spikes, lengths)
    return _mean(_within(first.square() / (neurons * second), 1 / neurons), active)


def _hoyer(function: str, spikes: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of each sample, and whether it has an event."""
    first, second, neurons, active = _powers(function, spikes, lengths)
    if neurons < 2:
        raise ShapeError(message(function, "there is one neuron", "C ... of at least 2", tuple(spikes.shape)))
    root = math.sqrt(neurons)
    return _within((root - first / second.sqrt()) / (root - 1), 0.0), active


def _powers(function: str, spikes: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, int, Tensor]:
    """Of each sample the sum of the neurons' events and of their squares, or 1; n; and whether it has an event.

    Sums stand for rates: both measures stay the same if all rates are multiplied.
    """
    events = neuron_events(function, spikes, lengths).flatten(1)
    second = events.square().sum(1)
    active = second > 0
    return events.sum(1), torch.where(active, second, torch.ones_like(second)), max(events.shape[1], 1), active


def _within(measure: Tensor, least: float) -> Tensor:
    """A measure that rounding cannot bring out of [least, 1]; its gradient stays."""
    return measure + (measure.clamp(least, 1.0) - measure).detach()


def _mean(each: Tensor, active: Tensor) -> Tensor:
    """The mean over the active samples of all processes."""
    return mean_over_processes(each.where(active, torch.zeros_like(each)).sum(), active.sum())
