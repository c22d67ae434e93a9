"""From spike rates to decisions: confidence, prediction, and how soon the decision stands."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_choice,
    check_events,
    check_finite,
    check_flag,
    check_labels,
    check_lengths,
    check_range,
    check_tensor,
    message,
)
from slayerloss.functional.events import accumulation_dtype, promote, time_mask

CONFIDENCE_MODES = ("probability", "softmax", "logsoftmax")


def confidence(rate: Tensor, mode: str = "probability", *, temperature: float = 1.0, eps: float = 1e-6) -> Tensor:
    """Turn the rates of the classes into a confidence in each class.

    probability: r_c / (sum_k abs(r_k) + eps);  softmax: exp(r_c/temperature) / sum_k exp(r_k/temperature);
    logsoftmax: the logarithm of the softmax

    Args:
        rate: (N, C) or (N, C, ...), with the classes in dimension 1; spikes per step.
        mode: "probability", "softmax" or "logsoftmax".
        temperature: above 0, for the softmax modes. Rates lie in [0, 1], where a softmax at temperature 1 is nearly
            flat; 0.1 separates them.
        eps: above 0, for the mode "probability": without a spike, every confidence is 0.

    Returns:
        Like rate, no unit, with a gradient. Integers and bool give the default float dtype; float16 and bfloat16 are
        summed in float32.

    Raises:
        ArgumentError: an unknown mode; a temperature or eps out of range; a temperature with mode "probability"; NaN or
            infinity.
        ShapeError: rate has fewer than two dimensions.

    Example:
        >>> confidence(torch.tensor([[0.3, 0.1]]))
        tensor([[0.7500, 0.2500]])
        >>> confidence(torch.tensor([[0.3, 0.1]]), "softmax", temperature=0.1)
        tensor([[0.8808, 0.1192]])

    Note:
        lava-dl has no temperature, and returns None or raises for an unknown mode. It sums rates with their signs, so
        that negative ones can bring the sum to 0.
    """
    check_tensor("confidence", "rate", rate, min_ndim=2, layout="(N, C) or (N, C, T)")
    check_finite("confidence", "rate", rate)
    check_confidence_options("confidence", mode, temperature, eps)
    r = promote(rate).to(accumulation_dtype(rate))
    if mode == "probability":
        magnitude = torch.where(r < 0, -r, r)  # abs, with a slope at 0
        result = r / (magnitude.sum(dim=1, keepdim=True) + max(float(eps), torch.finfo(r.dtype).tiny))
    elif mode == "softmax":
        result = torch.softmax(r / temperature, dim=1)
    else:
        result = torch.log_softmax(r / temperature, dim=1)
    return result.to(promote(rate).dtype)


def check_confidence_options(function: str, mode: str, temperature: float, eps: float) -> None:
    """Raise ArgumentError unless `confidence` can work with these options."""
    check_choice(function, "mode", mode, CONFIDENCE_MODES)
    check_range(function, "temperature", temperature, 0, low_open=True)
    check_range(function, "eps", eps, 0, low_open=True)
    if mode == "probability" and temperature != 1:
        problem = "temperature has no meaning in mode 'probability'"
        raise ArgumentError(message(function, problem, "1", temperature, "Use mode='softmax'"))


def predict(rate: Tensor, *, per_step: bool = False) -> Tensor:
    """The class of the highest rate.

    p = argmax_c r_c

    Args:
        rate: (N, C, ...), or with `per_step` (N, C, ..., T), a rate or a confidence; space is flattened into the
            classes.
        per_step: predict at every step.

    Returns:
        (N,), or with `per_step` (N, T), int64, no gradient. Of equal rates the first class wins: a silent sample is
        class 0.

    Raises:
        ShapeError: rate has fewer than two dimensions, with `per_step` three, or no class.
        ArgumentError: rate holds NaN or infinity.

    Example:
        >>> predict(torch.tensor([[0.1, 0.3], [0.2, 0.0]]))
        tensor([1, 0])
    """
    check_flag("predict", "per_step", per_step)
    layout = "(N, C, ..., T)" if per_step else "(N, C, ...)"
    check_tensor("predict", "rate", rate, min_ndim=3 if per_step else 2, layout=layout)
    check_finite("predict", "rate", rate)
    flat = rate.flatten(1, -2) if per_step else rate.flatten(1)
    if flat.shape[1] == 0:
        raise ShapeError(message("predict", "rate has no class", "C of at least 1", tuple(rate.shape)))
    return promote(flat).argmax(dim=1)


def latency_to_decision(
    rate: Tensor,
    labels: Tensor | None = None,
    *,
    threshold: float | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """The first step from which the decision stands until the end.

    latency = min {t : d[u] for all u in t .. T-1},  or T where d[T-1] is false

    d[u] says that at step u one class has the highest rate, alone; that it is the right class: the label, or without
    labels the prediction of the last step; and that its rate is at least the threshold, if there is one. A tie decides
    nothing, so silence at the beginning is no early decision for class 0.

    Args:
        rate: (N, C, ..., T), for example a moving-window rate or its confidence; space is flattened into the classes.
        labels: (N,) or (N, T) integer, the true classes; None: the prediction of each sample's last step.
        threshold: the least rate of the winning class, in the unit of `rate`; None: none.
        lengths: (N,) integer, the steps of each sample; None: all T.

    Returns:
        (N,), int64, in steps, no gradient: 0 if the decision stands from the first step on, and the number of the
        sample's steps if it does not stand at the end, so that a mean over samples is a lower bound of the true mean.

    Raises:
        ShapeError: rate has fewer than three dimensions or no step; labels or lengths do not fit.
        DtypeError: labels or lengths is not of an integer type.
        ArgumentError: NaN or infinity; a length outside [1, T].

    Example:
        >>> rate = torch.tensor([[[0.0, 0.5, 0.2, 0.1, 0.0], [0.0, 0.0, 0.2, 0.3, 0.4]]])
        >>> latency_to_decision(rate)
        tensor([3])
        >>> latency_to_decision(rate, threshold=0.4)
        tensor([4])
        >>> latency_to_decision(rate, torch.tensor([0]))
        tensor([5])

    Note:
        lava-dl has no such function.
    """
    check_events("latency_to_decision", rate, "rate")
    num_samples, num_steps = rate.shape[0], rate.shape[-1]
    if threshold is not None:
        check_range("latency_to_decision", "threshold", threshold)
    if labels is not None:
        check_labels("latency_to_decision", labels, rate, windowed=True)
    if lengths is None:
        lengths = torch.full((num_samples,), num_steps, device=rate.device)
    check_lengths("latency_to_decision", lengths, rate)
    prediction = predict(rate, per_step=True)
    if labels is None:
        labels = prediction.gather(1, lengths.long()[:, None] - 1)
    else:
        labels = labels.long()
        labels = labels[:, None] if labels.ndim == 1 else labels
    flat = promote(rate).flatten(1, -2)
    highest = flat.amax(dim=1)
    decided = (prediction == labels) & ((flat == highest[:, None]).sum(dim=1) == 1)
    if threshold is not None:
        decided = decided & (highest >= threshold)
    open_steps = ~decided & time_mask(lengths, num_steps)
    return (open_steps * torch.arange(1, num_steps + 1, device=rate.device)).amax(dim=1)
