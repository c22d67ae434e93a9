"""Penalties on what a layer of neurons does: its events, what they cost, its voltages, its changes.

`rate_band`, of each channel's rate, is in `sparsity.py`. In a group of processes each mean is over all their samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_lengths,
    check_range,
    check_same_device,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional._magnitude import counted_steps, neuron_events
from slayerloss.functional._reduce import mean_over_processes
from slayerloss.functional.events import LARGEST_SPIKE, accumulation_dtype, check_spikes, mask_steps
from slayerloss.functional.filters import exponential_filter

Bound = float | Tensor | None


def total_events(spikes: Tensor, allowance: float = 0.0, *, lengths: Tensor | None = None) -> Tensor:
    r"""Penalize the events that a layer sends in a sample.

    .. math::
        L = \max\Big(0, \frac{1}{N} \sum_{n, c, t} |s_{nc}[t]| - a\Big)

    Args:
        spikes: (N, C, ..., T), any dtype, signs allowed, at most 1e9 in magnitude. Half precision is summed in float32.
        allowance: a, events per sample that cost nothing, at least 0.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, events per sample; float32, or float64 for float64 spikes. The slope of ``|s|`` at 0 is 1, and the gradient
        takes no memory where nothing is negative.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> total_events(torch.tensor([[[0.0, 1.0, 0.0, 1.0]], [[1.0, 1.0, 1.0, 1.0]]]))
        tensor(3.)
    """
    check_range("total_events", "allowance", allowance, 0)
    events = neuron_events("total_events", spikes, lengths)
    return _above(mean_over_processes(events.sum(), len(events)), allowance)


def synaptic_operations(
    spikes: Tensor, fan_out: Tensor | float, allowance: float = 0.0, *, lengths: Tensor | None = None
) -> Tensor:
    r"""Penalize the synaptic operations that events cause: each counts as often as its neuron has synapses.

    .. math::
        L = \max\Big(0, \frac{1}{N} \sum_{n, c} f_c \sum_t |s_{nc}[t]| - a\Big)

    Args:
        spikes: (N, C, ..., T), any dtype, signs allowed, at most 1e9 in magnitude. Half precision is summed in float32.
        fan_out: f, at least 0; a number, or a tensor that broadcasts over (C, ...). A block's `fan_out` counts it.
        allowance: a, operations per sample that cost nothing, at least 0.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, operations per sample; dtype and gradient as `total_events`.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]])
        >>> synaptic_operations(spikes, torch.tensor([10, 3]))
        tensor(23.)

    Note:
        `netx.operations` counts a graded spike as one event, here it counts as its magnitude.
    """
    name = "synaptic_operations"
    check_range(name, "allowance", allowance, 0)
    events = neuron_events(name, spikes, lengths)
    total = (events * _over_neurons(name, "fan_out", fan_out, spikes, (0, LARGEST_SPIKE))).sum()
    return _above(mean_over_processes(total, len(events)), allowance)


def membrane_excursion(
    voltage: Tensor, lower: Bound = None, upper: Bound = None, *, lengths: Tensor | None = None
) -> Tensor:
    r"""Penalize voltages outside of a band.

    .. math::
        L = \frac{1}{NCT} \sum_{n, c, t} \max(0, l - v_{nc}[t])^2 + \max(0, v_{nc}[t] - u)^2

    Args:
        voltage: (N, C, ..., T), at most 1e9 in magnitude, such as `regularizer.ActivityCollector` gives with
            ``voltage=True``. Half precision is summed in float32.
        lower: l, a number, or a tensor that broadcasts over (C, ...); None for no bound.
        upper: u, likewise, nowhere below `lower`.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, the unit of the voltage squared; float32, or float64 for float64 voltages, with a gradient.

    Raises:
        ArgumentError: there is no bound, or `lower` is above `upper`.
        DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> membrane_excursion(torch.tensor([[[-1.0, 0.5, 3.0, 0.0]]]), lower=0.0, upper=1.0)
        tensor(1.2500)
    """
    name = "membrane_excursion"
    check_bounds(name, lower, upper)
    check_spikes(name, voltage, "voltage")
    if lengths is not None:
        check_lengths(name, lengths, voltage)
    v = voltage.to(accumulation_dtype(voltage))
    bounds = {"lower": lower, "upper": upper}
    known = {key: _over_neurons(name, key, bound, v)[..., None] for key, bound in bounds.items() if bound is not None}
    if len(known) == 2:
        check_values(name, "upper - lower", known["upper"] - known["lower"], 0, math.inf)
    outside = v - v.clamp(known.get("lower"), known.get("upper"))
    total = mask_steps(outside, lengths).square().sum()
    return mean_over_processes(total, counted_steps(v, lengths) * math.prod(v.shape[1:-1]))


def temporal_smoothness(
    spikes: Tensor, time_constant: float | Tensor | None = None, *, lengths: Tensor | None = None
) -> Tensor:
    r"""Penalize changes of the activity from step to step.

    .. math::
        L = \frac{1}{NC(T-1)} \sum_{n, c} \sum_{t > 0} (y_{nc}[t] - y_{nc}[t-1])^2

    where y are the spikes after an exponential low-pass filter whose response has the sum 1, so that y is a rate.

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude. Half precision is computed in float32.
        time_constant: of the filter, in steps, or one for each channel, (C,); None or 0 for the spikes as they are.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d, events per step squared, 0 for samples of one step; float32, or float64 for float64 spikes, with a gradient
        for spikes and time constants.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> regular, burst = torch.tensor([[[1.0, 0, 1, 0, 1, 0]]]), torch.tensor([[[1.0, 1, 1, 0, 0, 0]]])
        >>> temporal_smoothness(regular), temporal_smoothness(burst)
        (tensor(1.), tensor(0.2000))
    """
    name = "temporal_smoothness"
    check_spikes(name, spikes)
    if lengths is not None:
        check_lengths(name, lengths, spikes)
    y = spikes.to(accumulation_dtype(spikes))
    constant = 0.0 if time_constant is None else time_constant
    if not isinstance(constant, (int, float)) or constant != 0:
        y = exponential_filter(y, constant, normalize="area")
    change = mask_steps(y.diff(dim=-1), None if lengths is None else lengths - 1)
    num_changes = counted_steps(y, lengths) - len(y)
    return mean_over_processes(change.square().sum(), num_changes * math.prod(y.shape[1:-1]))


def _above(value: Tensor, allowance: float) -> Tensor:
    return (value - allowance).clamp_min(0)


def check_bounds(function: str, lower: Bound, upper: Bound) -> None:
    """Check the bounds of `membrane_excursion`, as far as that goes without a voltage."""
    if lower is None and upper is None:
        raise ArgumentError(message(function, "there is no bound", "lower, upper or both", "None and None"))
    for name, bound in (("lower", lower), ("upper", upper)):
        if isinstance(bound, Tensor):
            check_tensor(function, name, bound)
            check_values(function, name, bound, -math.inf, math.inf)
        elif bound is not None:
            check_range(function, name, bound, infinite=True)


def _over_neurons(
    function: str,
    argument: str,
    value: Tensor | float,
    spikes: Tensor,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Tensor:
    """A number, or a tensor that broadcasts over the neurons (C, ...), in the dtype of sums over spikes."""
    dtype = accumulation_dtype(spikes)
    if not isinstance(value, Tensor):
        number = check_range(function, argument, value, *span, infinite=True)
        return torch.tensor(number, dtype=dtype, device=spikes.device)
    check_tensor(function, argument, value)
    check_same_device(function, argument, value, "the input", spikes)
    neurons = tuple(spikes.shape[1:-1])
    sizes = zip(value.shape[::-1], neurons[::-1], strict=False)
    if value.ndim > len(neurons) or any(size not in (1, known) for size, known in sizes):
        problem = f"{argument} does not broadcast over the neurons"
        raise ShapeError(message(function, problem, str(neurons), tuple(value.shape)))
    check_values(function, argument, value, *span)
    return value.to(dtype)
