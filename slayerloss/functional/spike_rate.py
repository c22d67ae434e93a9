"""SpikeRate: the squared distance of spike rates from a high rate for the true class and a low one for the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss._check import check_range
from slayerloss.functional._classes import check_window_options, class_rates, label_terms, loss_of_classes
from slayerloss.kernels.class_losses import Kind, Options, define


def spike_rate(
    spikes: Tensor,
    labels: Tensor,
    true_rate: float,
    false_rate: float,
    moving_window: int | None = None,
    reduction: str = "sum",
    *,
    lengths: Tensor | None = None,
    ignore_index: int | None = None,
    class_weights: Tensor | Sequence[float] | None = None,
    start: str = "zero",
) -> Tensor:
    r"""The squared distance of the spike rates r from their targets, for true class y.

    .. math::
        L = \sum_c (r_c - \hat r_c)^2, \qquad
        \hat r_c = r_\text{true} \text{ for } c = y, \; r_\text{false} \text{ otherwise}

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude; space is flattened into the classes. Half precision
            is summed in float32.
        labels: (N,) int64 or int32 in [0, C), or (N, T) with a window; (N,) then holds for every step.
        true_rate: spikes per step of the true class, in [0, 1].
        false_rate: spikes per step of the other classes, in [0, 1].
        moving_window: the rates are means over the last `moving_window` steps, and every step has a loss. None: one
            rate over all steps.
        reduction: "sum"; "mean", over the rates that are counted (C per sample or step), each with its class weight; or
            "none".
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.
        ignore_index: samples (or steps) with this label are not counted. None: a negative label is an error.
        class_weights: (C,), the weight of a sample (or step) by its label.
        start: the first steps of a window: "zero" divides by `moving_window`, as if zeros came before; "seen" divides
            by the steps there are.

    Returns:
        0-d for "sum" and "mean", (N,) or with a window (N, T) for "none", which is summed over C; float32, or float64
        for float64 spikes.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]])
        >>> spike_rate(spikes, torch.tensor([0]), true_rate=0.7, false_rate=0.05)
        tensor(0.0800)

    Note:
        As in lava-dl the sum runs over N, C and, with a window, T, and has no factor 1/2 (its documentation has one).
        There (N,) labels with a window raise an error.

    References:
        Shrestha, Orchard, "SLAYER: Spike Layer Error Reassignment in Time", NeurIPS 2018; lava-dl 0.6.0,
        ``lava.lib.dl.slayer.loss.SpikeRate``.
    """
    check_options(true_rate, false_rate, moving_window, reduction, start, ignore_index)
    seen = start == "seen"
    options = Options(Kind.RATES, moving_window, seen, ignore_index, low=false_rate, high=true_rate)
    return loss_of_classes("spike_rate", _terms, spikes, labels, lengths, class_weights, options, reduction)


def _terms(
    spikes: Tensor,
    labels: Tensor,
    lengths: Tensor | None,
    class_weights: Tensor | Sequence[float] | None,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """The loss of each sample or step, and what it counts as."""
    given = class_rates("spike_rate", spikes, lengths, class_weights, options)
    terms = label_terms("spike_rate", spikes, labels, given, options.ignore_index)
    target = torch.full_like(given.rates, options.low).scatter(1, terms.label.unsqueeze(1), options.high)
    distance = (given.rates - target).square().sum(1)
    return terms.weight * distance, terms.weight * target.shape[1]


define(Kind.RATES, _terms)


def check_options(
    true_rate: float,
    false_rate: float,
    moving_window: int | None,
    reduction: str,
    start: str,
    ignore_index: int | None,
) -> None:
    """Check the options of `spike_rate`."""
    check_range("spike_rate", "true_rate", true_rate, 0.0, 1.0)
    check_range("spike_rate", "false_rate", false_rate, 0.0, 1.0)
    check_window_options("spike_rate", moving_window, reduction, start, ignore_index)
