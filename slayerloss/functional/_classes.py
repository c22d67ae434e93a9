"""What the losses over classes share: the rates that they compare, and the label, mask and weight of each term."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_choice,
    check_events,
    check_finite,
    check_integer,
    check_labels,
    check_lengths,
    check_range,
    check_sequence,
    check_shape,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional._reduce import REDUCTIONS, reduce_loss
from slayerloss.functional.events import accumulation_dtype, check_spikes, time_mask
from slayerloss.functional.rate import rate
from slayerloss.functional.window import moving_window as window_mean
from slayerloss.kernels import class_losses
from slayerloss.kernels.class_losses import Definition, Options


class ClassRates(NamedTuple):
    """The rates that a loss compares, and what belongs to them; floats are float32 or float64."""

    rates: Tensor
    """(N, C), or (N, C, T) with a window."""
    num_steps: Tensor
    """The steps behind each rate, broadcastable to `rates`."""
    class_weight: Tensor
    """(C,), or (C, 1) with a window."""
    counted: Tensor
    """(N,), or (N, T) with a window, bool: where there is data."""


class Terms(NamedTuple):
    """What belongs to each term of a loss; each (N,), or (N, T) with a window."""

    label: Tensor
    """int64, a valid class everywhere, also where nothing is counted."""
    counted: Tensor
    """bool: where there is data and the label is not the ignored one."""
    weight: Tensor
    """The weight of the label's class; 0 where nothing is counted."""


def check_window_options(
    function: str, moving_window: int | None, reduction: str, start: str, ignore_index: int | None = None
) -> None:
    """Check the options that all losses over classes have."""
    if moving_window is not None:
        check_integer(function, "moving_window", moving_window, low=1)
    if ignore_index is not None:
        check_integer(function, "ignore_index", ignore_index)
    check_choice(function, "reduction", reduction, REDUCTIONS)
    check_choice(function, "start", start, ("zero", "seen"))


def loss_of_classes(
    function: str,
    definition: Definition,
    spikes: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    class_weights: Tensor | Sequence[float] | None,
    options: Options,
    reduction: str,
    as_wanted: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """The loss, by the fast kernels where they can.

    Args:
        function: that an error names.
        definition: the losses and counts in plain torch, from `spikes` on.
        spikes, wanted, lengths, class_weights: as the loss is given them.
        options: of the loss.
        reduction: of the losses.
        as_wanted: checks `wanted` and makes it what the kernels take, from it and the spikes; None: labels.
    """
    if class_losses.takes(options):
        check_events(function, spikes, values=False)
        dtype = accumulation_dtype(spikes)
        if not spikes.is_floating_point():
            check_spikes(function, spikes)  # before it is rounded
        _check_sizes(function, spikes, lengths)
        x = spikes.flatten(1, -2).to(dtype)
        weights = None if class_weights is None else _weights(function, class_weights, x).contiguous()
        if as_wanted is None:
            check_labels(function, wanted, spikes, windowed=True)
            given = wanted.long()
        else:
            given = as_wanted(spikes, wanted)
        if class_losses.can_run(x, given, weights):
            steps = None if lengths is None else lengths.long().contiguous()
            loss, count = class_losses.class_loss(x, given, steps, weights, options, reduction == "none")
            return reduce_loss(loss, count, reduction)
    loss, count = definition(spikes, wanted, lengths, class_weights, options)
    return reduce_loss(loss, count, reduction)


def _check_sizes(function: str, spikes: Tensor, lengths: Tensor | None) -> None:
    if 0 in spikes.shape[1:]:
        raise ShapeError(message(function, "spikes has no channels", "C of at least 1", tuple(spikes.shape)))
    if lengths is not None:
        check_lengths(function, lengths, spikes)


def _weights(function: str, class_weights: Tensor | Sequence[float], spikes: Tensor) -> Tensor:
    """Class weights that fit the flattened spikes, in their dtype."""
    weight = as_class_weights(function, class_weights).to(spikes)
    check_shape(function, "class_weights", weight, (spikes.shape[1],))
    return weight


def class_rates(
    function: str,
    spikes: Tensor,
    lengths: Tensor | None,
    class_weights: Tensor | Sequence[float] | None,
    options: Options,
) -> ClassRates:
    """Check the arguments, flatten space into the classes, and take the rates."""
    check_spikes(function, spikes)
    _check_sizes(function, spikes, lengths)
    dtype, spikes = accumulation_dtype(spikes), spikes.flatten(1, -2)
    if spikes.is_floating_point():
        spikes = spikes.to(dtype)
    num_samples, num_classes, num_steps = spikes.shape
    weight = torch.ones(num_classes, dtype=dtype, device=spikes.device)
    if class_weights is not None:
        weight = _weights(function, class_weights, weight[None])
    ends = torch.full((num_samples,), num_steps, device=spikes.device) if lengths is None else lengths
    if options.window is None:
        return ClassRates(rate(spikes, lengths=lengths), ends.to(dtype)[:, None], weight, ends > 0)
    behind = torch.full((num_steps,), options.window, dtype=dtype, device=spikes.device)
    if options.seen:
        behind = torch.minimum(behind, torch.arange(1, num_steps + 1, device=spikes.device))
    start = "seen" if options.seen else "zero"
    rates = cast(Tensor, window_mean(spikes, options.window, start=start, lengths=lengths))
    return ClassRates(rates, behind, weight[:, None], time_mask(ends, num_steps))


def label_terms(function: str, spikes: Tensor, labels: Tensor, given: ClassRates, ignore_index: int | None) -> Terms:
    """Check `labels` and align them with the rates; (N,) labels hold for every step of a window."""
    windowed = given.rates.ndim == 3
    check_labels(function, labels, spikes, windowed=windowed)
    label, counted, way_out = labels.long(), given.counted, "ignore_index=K masks the labels that are K"
    if windowed and label.ndim == 1:
        label = label[:, None]
    if ignore_index is not None:
        counted, way_out = counted & (label != ignore_index), ""
    label = torch.where(counted, label, 0)
    check_values(function, "labels", label, 0, given.rates.shape[1] - 1, way_out)
    return Terms(label, counted, given.class_weight.flatten()[label] * counted)


def as_class_weights(function: str, class_weights: Tensor | Sequence[float]) -> Tensor:
    """Make a tensor of class weights and check that they are finite and not negative."""
    if not isinstance(class_weights, Tensor):
        each = check_sequence(function, "class_weights", class_weights)
        for weight in each:
            check_range(function, "class_weights", weight, 0)
        class_weights = torch.tensor([float(weight) for weight in each], dtype=torch.get_default_dtype())
    check_tensor(function, "class_weights", class_weights, min_ndim=1, layout="(C,)")
    check_finite(function, "class_weights", class_weights)
    check_values(function, "class_weights", class_weights, 0.0, math.inf)
    return class_weights
