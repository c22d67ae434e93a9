"""SpikeMax: the negative log-likelihood of the true class, from spike rates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_choice, check_range, message
from slayerloss.functional._classes import check_window_options, class_rates, label_terms, loss_of_classes
from slayerloss.functional.events import SMALLEST_TEMPERATURE
from slayerloss.kernels.class_losses import Kind, Options, define

MODES = ("probability", "softmax")
EPSILON = 1e-6  # keeps the logarithm of the summed rates finite, as in lava-dl


def spike_max(
    spikes: Tensor,
    labels: Tensor,
    moving_window: int | None = None,
    mode: str = "probability",
    reduction: str = "sum",
    *,
    lengths: Tensor | None = None,
    ignore_index: int | None = None,
    class_weights: Tensor | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    start: str = "zero",
) -> Tensor:
    r"""The negative log-likelihood of the true class y, where spike rates r are the confidence.

    Mode "probability", with n the steps behind a rate (T, the sample's length, or the window), so that 1/n is one
    spike, and with the missing part of a spike :math:`g_y = \max(0, 1/n - r_y)`:

    .. math::
        L = \log \frac{\sum_c r_c + C n g_y^2 + 10^{-6}}{r_y + g_y} + n g_y

    With a spike of the true class (:math:`r_y \ge 1/n`) this is :math:`-\log(r_y / (\sum_c r_c + 10^{-6}))`. Below one
    spike :math:`-\log r_y` continues linearly, and the quadratic term puts a silent sample at :math:`\log C + 1`, above
    every correctly classified one. Loss and gradient are continuous in the rates.

    Mode "softmax", with temperature :math:`\tau`:

    .. math::
        L = -\log \frac{\exp(r_y / \tau)}{\sum_c \exp(r_c / \tau)}

    Args:
        spikes: (N, C, ..., T), any dtype, at most 1e9 in magnitude; space is flattened into the classes. Half precision
            is summed in float32.
        labels: (N,) int64 or int32 in [0, C), or (N, T) with a window; (N,) then holds for every step.
        moving_window: the rates are means over the last `moving_window` steps, and every step has a loss. None: one
            rate over all steps.
        mode: "probability" or "softmax".
        reduction: "sum"; "mean", over the samples (or steps) that are counted, each with its class weight; or "none".
        lengths: (N,) integer, the steps of each sample in a padded batch. Later steps are not counted.
        ignore_index: samples (or steps) with this label are not counted. None: a negative label is an error.
        class_weights: (C,), the weight of a sample (or step) by its label.
        label_smoothing: in [0, 1]; this share of the label is spread evenly over all C classes.
        temperature: at least 1e-6, of the softmax. Rates lie in [0, 1]: at 1 the softmax hardly tells them apart.
        start: the first steps of a window: "zero" divides by `moving_window`, as if zeros came before; "seen" divides
            by the steps there are.

    Returns:
        0-d for "sum" and "mean", (N,) or with a window (N, T) for "none"; float32, or float64 for float64 spikes.
        Value and gradient are always finite. In mode "probability", for rates that are whole numbers of spikes, the
        derivative by a rate is at most 3n in magnitude, and by the rate of a silent true class at most -n: it is
        raised. (Between no spike and one the bound is :math:`n (1 + 2C / \sqrt{4C - 1})`, above 3n for C > 3; a loss
        that falls from :math:`\log C + 1` to 0 on that way must be steeper than 3n somewhere for C > 7.)

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit.

    Example:
        >>> import torch
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]])
        >>> spike_max(spikes, torch.tensor([0]))
        tensor(0.4055)
        >>> spike_max(torch.zeros(1, 2, 4), torch.tensor([0]))
        tensor(1.6931)

    Note:
        lava-dl returns infinity, and NaN as the gradient, where the true class is silent; elsewhere the values are the
        same. With all labels counted and no weights "mean" is lava-dl's.

    References:
        Shrestha, Orchard, "SLAYER: Spike Layer Error Reassignment in Time", NeurIPS 2018; lava-dl 0.6.0,
        ``lava.lib.dl.slayer.loss.SpikeMax``.
    """
    check_options(moving_window, mode, reduction, label_smoothing, temperature, start, ignore_index)
    kind = Kind.PROBABILITY if mode == "probability" else Kind.SOFTMAX
    options = Options(kind, moving_window, start == "seen", ignore_index, temperature, smoothing=label_smoothing)
    return loss_of_classes("spike_max", _terms, spikes, labels, lengths, class_weights, options, reduction)


def check_options(
    moving_window: int | None,
    mode: str,
    reduction: str,
    label_smoothing: float,
    temperature: float,
    start: str,
    ignore_index: int | None,
) -> None:
    """Check the options of `spike_max`."""
    check_window_options("spike_max", moving_window, reduction, start, ignore_index)
    check_choice("spike_max", "mode", mode, MODES)
    check_range("spike_max", "label_smoothing", label_smoothing, 0.0, 1.0)
    check_range("spike_max", "temperature", temperature, SMALLEST_TEMPERATURE)
    if mode != "softmax" and temperature != 1.0:
        raise ArgumentError(
            message("spike_max", "temperature has no effect", "1 for mode 'probability'", temperature, "mode='softmax'")
        )


def _terms(
    spikes: Tensor,
    labels: Tensor,
    lengths: Tensor | None,
    class_weights: Tensor | Sequence[float] | None,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """The loss of each sample or step, and what it counts as."""
    given = class_rates("spike_max", spikes, lengths, class_weights, options)
    terms = label_terms("spike_max", spikes, labels, given, options.ignore_index)
    label, smoothing = terms.label.unsqueeze(1), options.smoothing
    asked = given.rates if smoothing else given.rates.gather(1, label)  # of all classes, or of the true one
    if options.kind == Kind.PROBABILITY:
        surprise = _surprise_probability(given.rates, asked, given.num_steps)
    else:
        surprise = _surprise_softmax(given.rates, asked, options.temperature)
    if not smoothing:
        return terms.weight * surprise.squeeze(1), terms.weight
    true = terms.weight * surprise.gather(1, label).squeeze(1)
    every = terms.counted * (given.class_weight * surprise).mean(1)
    return (1 - smoothing) * true + smoothing * every, terms.weight


define(Kind.PROBABILITY, _terms)
define(Kind.SOFTMAX, _terms)


def _surprise_probability(rates: Tensor, asked: Tensor, num_steps: Tensor) -> Tensor:
    """The equation of `spike_max` for each rate in `asked`, a part of `rates`, as that of the true class."""
    spike = 1 / num_steps
    missing = (spike - asked).clamp_min(0)
    total = rates.sum(1, keepdim=True) + rates.shape[1] * num_steps * missing.square() + EPSILON
    at_least_one = torch.where(asked > spike, asked, spike)  # r + g, also where the sum would round to 0
    return _log(total / at_least_one) + num_steps * missing


def _log(ratio: Tensor, floor: float = 0.5) -> Tensor:
    """The logarithm, continued linearly below `floor`, where only negative rates lead: the ratio is 3/4 otherwise."""
    below = (floor - ratio).clamp_min(0)
    return torch.where(ratio > floor, ratio, floor).log() - below / floor


def _surprise_softmax(rates: Tensor, asked: Tensor, temperature: float) -> Tensor:
    peak = rates.detach().amax(1, keepdim=True)
    return ((rates - peak) / temperature).logsumexp(1, keepdim=True) - (asked - peak) / temperature
