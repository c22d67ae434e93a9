"""SpikeMoid: binary cross-entropy of every class on its own, from spike rates through a sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_labels,
    check_range,
    check_same_device,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional._classes import (
    ClassRates,
    check_window_options,
    class_rates,
    label_terms,
    loss_of_classes,
)
from slayerloss.functional.events import SMALLEST_TEMPERATURE, accumulation_dtype
from slayerloss.kernels.class_losses import Kind, Options, define


def spike_moid(
    spikes: Tensor,
    targets: Tensor,
    moving_window: int | None = None,
    reduction: str = "sum",
    alpha: float = 1.0,
    theta: float = 0.0,
    *,
    lengths: Tensor | None = None,
    ignore_index: int | None = None,
    class_weights: Tensor | Sequence[float] | None = None,
    start: str = "zero",
) -> Tensor:
    r"""The binary cross-entropy between targets y and the spike rates r through a sigmoid, for several true classes.

    .. math::
        L = -\sum_c \left( y_c \log p_c + (1 - y_c) \log(1 - p_c) \right), \qquad
        p_c = \frac{1}{1 + \exp(-(r_c - \theta) / \alpha)}

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude; space is flattened into the classes. Half precision
            is summed in float32.
        targets: in [0, 1], any real dtype: (N, C, ...), and with a window (N, C, ..., T) for a target for every step;
            space may be flattened. Or class labels of an integer type: (N,), and with a window (N, T).
        moving_window: the rates are means over the last `moving_window` steps, and every step has a loss. None: one
            rate over all steps.
        reduction: "sum"; "mean", over the targets that are counted (C per sample or step), each with its class weight;
            or "none".
        alpha: spikes per step, at least 1e-6; the temperature of the sigmoid.
        theta: spikes per step; the rate at which p is 1/2.
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.
        ignore_index: targets of this value, or samples (or steps) with this label, are not counted. None: a negative
            one is an error.
        class_weights: (C,), the weight of each class's term.
        start: the first steps of a window: "zero" divides by `moving_window`, as if zeros came before; "seen" divides
            by the steps there are.

    Returns:
        0-d for "sum" and "mean", (N,) or with a window (N, T) for "none", which is summed over C; float32, or float64
        for float64 spikes. It works from the logits: however far the sigmoid saturates, value and gradient are right.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit. With a window and C = T, integers of shape
            (N, C) are refused: they may be targets or labels.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]])
        >>> spike_moid(spikes, torch.tensor([[1.0, 0.0]]), alpha=0.1, theta=0.3)
        tensor(0.6010)
        >>> spike_moid(spikes, torch.tensor([0]), alpha=0.1, theta=0.3)
        tensor(0.6010)

    Note:
        lava-dl takes the logarithm of the sigmoid: saturated terms stay at 100 and have no gradient. Its documentation
        says that theta is 1 by default; it is 0.

    References:
        lava-dl 0.6.0, ``lava.lib.dl.slayer.loss.SpikeMoid``.
    """
    check_options(moving_window, reduction, alpha, theta, start, ignore_index)
    options = Options(Kind.SIGMOID, moving_window, start == "seen", ignore_index, temperature=alpha, low=theta)
    return loss_of_classes(
        "spike_moid", _terms, spikes, targets, lengths, class_weights, options, reduction, _labels_or_targets
    )


def _terms(
    spikes: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    class_weights: Tensor | Sequence[float] | None,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """The loss of each sample or step, and what it counts as."""
    given = class_rates("spike_moid", spikes, lengths, class_weights, options)
    target, counted = _targets(spikes, targets, given, options.ignore_index)
    weight = counted * given.class_weight
    logits = (given.rates - options.low) / options.temperature
    loss = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none")
    return loss.sum(1), weight.sum(1)


define(Kind.SIGMOID, _terms)


def check_options(
    moving_window: int | None, reduction: str, alpha: float, theta: float, start: str, ignore_index: int | None
) -> None:
    """Check the options of `spike_moid`."""
    check_window_options("spike_moid", moving_window, reduction, start, ignore_index)
    check_range("spike_moid", "alpha", alpha, SMALLEST_TEMPERATURE)
    check_range("spike_moid", "theta", theta)


def _targets(spikes: Tensor, targets: Tensor, given: ClassRates, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Check the targets; return them, and where they are counted, both in the shape of the rates."""
    rates, counted = given.rates, given.counted.unsqueeze(1)
    if _are_labels(spikes, targets, rates.shape):
        terms = label_terms("spike_moid", spikes, targets, given, ignore_index)
        one_hot = torch.zeros_like(rates).scatter(1, terms.label.unsqueeze(1), 1.0)
        return one_hot, terms.counted.unsqueeze(1).expand_as(rates)
    check_same_device("spike_moid", "targets", targets, "spikes", spikes)
    one_each = targets.numel() == rates.numel()  # else (N, C) targets hold for every step
    target = targets.to(rates).reshape(rates.shape if one_each else (*rates.shape[:2], 1))
    if ignore_index is not None:
        counted = counted & (target != ignore_index)
    target = torch.where(counted, target, 0.0)
    check_values("spike_moid", "targets", target, 0.0, 1.0)
    return target.expand_as(rates), counted.expand_as(rates)


def _labels_or_targets(spikes: Tensor, targets: Tensor) -> Tensor:
    """What the kernel of a window takes: labels, int64, or floating targets (N, C) or (N, C, T)."""
    shape = spikes.flatten(1, -2).shape
    if _are_labels(spikes, targets, shape):
        check_labels("spike_moid", targets, spikes, windowed=True)
        return targets.long()
    check_same_device("spike_moid", "targets", targets, "spikes", spikes)
    one_each = targets.numel() == shape.numel()  # else (N, C) targets hold for every step
    return targets.to(accumulation_dtype(spikes)).reshape(shape if one_each else shape[:2])


def _are_labels(spikes: Tensor, targets: Tensor, of_rates: torch.Size) -> bool:
    """Whether `targets` holds class labels; raise ShapeError if it has neither the labels' shape nor the targets'."""
    check_tensor("spike_moid", "targets", targets)
    num_samples, num_classes, *steps = of_rates
    of_labels = [(num_samples,)] + [(num_samples, num_steps) for num_steps in steps]
    of_targets = [(num_samples, num_classes), tuple(spikes.shape[:-1])]
    if steps:
        of_targets += [tuple(of_rates), tuple(spikes.shape)]
    shape, integer = tuple(targets.shape), not (targets.is_floating_point() or targets.dtype == torch.bool)
    if integer and shape in of_labels and shape in of_targets:
        rule, way_out = "C and T that differ", "Use targets.float() for (N, C), a one-hot (N, C, T) for (N, T)"
        raise ShapeError(message("spike_moid", "targets of integers may be (N, C) or (N, T)", rule, shape, way_out))
    if shape not in (of_labels if integer else []) + of_targets:
        expected = " or ".join(str(shape) for shape in dict.fromkeys(of_targets))
        expected += ", or integer labels " + " or ".join(str(shape) for shape in of_labels)
        raise ShapeError(message("spike_moid", "targets has the wrong shape", expected, shape))
    return integer and shape in of_labels
