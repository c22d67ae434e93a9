"""SpikeTime: the squared distance of low-pass filtered spike trains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import (
    check_choice,
    check_events,
    check_integer,
    check_lengths,
    check_range,
    check_same_device,
    check_same_shape,
)
from slayerloss.functional._reduce import REDUCTIONS, reduce_loss
from slayerloss.functional.events import LARGEST_SPIKE, accumulation_dtype, check_spikes, mask_steps
from slayerloss.functional.filters import (
    HIGHEST_ORDER,
    LONGEST_TIME_CONSTANT,
    SHORTEST_TIME_CONSTANT,
    exponential_filter,
)
from slayerloss.kernels.cpu.tiles import is_fused
from slayerloss.kernels.filters import LONGEST_FILTER
from slayerloss.kernels.spike_time import SpikeTime


def spike_time(
    spikes: Tensor,
    targets: Tensor,
    time_constant: float = 5.0,
    length: int | None = 100,
    filter_order: int = 1,
    reduction: str = "sum",
    *,
    normalize: str | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    r"""The squared distance of spike trains s from target spike trains, both filtered with h.

    .. math::
        L = \sum_c \sum_t \big( (h * s_c)[t] - (h * \hat s_c)[t] \big)^2

    where h is the exponential filter of `exponential_filter`.

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude. Half precision is filtered in float32.
        targets: the same shape, any dtype.
        time_constant: steps, above 0.
        length: steps after which h is cut, as lava-dl does, in [1, 2^24]; None: never.
        filter_order: at least 1; h is the exponential convolved with itself so many times.
        reduction: "sum"; "mean", over the neurons and steps that are counted; or "none".
        normalize: of h. None: h[0] = 1, so that h grows with its order; "peak": its largest value is 1; "area": its
            sum is 1.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.

    Returns:
        0-d for "sum" and "mean", (N,) for "none", which is summed over neurons and time; float32, or float64 for
        float64 spikes. With gradient for both `spikes` and `targets`.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
        >>> spike_time(spikes, spikes.roll(1, dims=-1))
        tensor(1.0549)

    Note:
        lava-dl's documentation has the square at another place; this is what its code computes.

    References:
        van Rossum, "A Novel Spike Distance", Neural Computation 13, 2001; lava-dl 0.6.0,
        ``lava.lib.dl.slayer.loss.SpikeTime``.
    """
    check_options(time_constant, length, filter_order, reduction, normalize)
    name = "spike_time"
    check_events(name, spikes, values=False)
    check_events(name, targets, "targets", values=False)
    check_same_shape(name, "spikes", spikes, "targets", targets)
    check_same_device(name, "targets", targets, "spikes", spikes)
    if lengths is not None:
        check_lengths(name, lengths, spikes)
        lengths = lengths.long()
    dtype = accumulation_dtype(spikes)
    spikes, targets = spikes.to(dtype), targets.to(dtype)
    if filter_order == 1 and is_fused(spikes, targets):
        options = max(time_constant, SHORTEST_TIME_CONSTANT), length, LARGEST_SPIKE, name
        loss: Tensor = SpikeTime.apply(spikes, targets, lengths, *options)
        loss = loss * _gain(time_constant, length, normalize) ** 2
    else:
        check_spikes(name, spikes)
        check_spikes(name, targets, "targets")
        difference = exponential_filter(
            spikes - targets, time_constant, filter_order, normalize=normalize, length=length
        )  # the filter is linear: of the difference it is the difference of the filtered
        loss = mask_steps(difference, lengths).square().flatten(1).sum(1)
    steps = torch.full_like(loss, spikes.shape[-1]) if lengths is None else lengths.to(loss)
    return reduce_loss(loss, steps * math.prod(spikes.shape[1:-1]), reduction)


def _gain(time_constant: float, length: int | None, normalize: str | None) -> float:
    """What a filter of order 1 is multiplied with; its peak is 1."""
    if normalize != "area":
        return 1.0
    time_constant = max(time_constant, SHORTEST_TIME_CONSTANT)
    whole = -1.0 if length is None else math.expm1(-length / time_constant)
    return math.expm1(-1 / time_constant) / whole


def check_options(
    time_constant: float, length: int | None, filter_order: int, reduction: str, normalize: str | None
) -> None:
    """Check the options of `spike_time`."""
    check_range("spike_time", "time_constant", time_constant, 0.0, LONGEST_TIME_CONSTANT, low_open=True)
    if length is not None:
        check_integer("spike_time", "length", length, 1, LONGEST_FILTER)
    check_integer("spike_time", "filter_order", filter_order, 1, HIGHEST_ORDER)
    check_choice("spike_time", "reduction", reduction, REDUCTIONS)
    if normalize is not None:
        check_choice("spike_time", "normalize", normalize, ("peak", "area"))
