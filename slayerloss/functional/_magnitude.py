"""How many events every neuron sends: what the penalties on activity are made of."""

from __future__ import annotations

from torch import Tensor

from slayerloss._check import check_events, check_lengths, values_are_checked
from slayerloss.functional.events import LARGEST_SPIKE, accumulation_dtype, check_spikes
from slayerloss.kernels.magnitude import magnitude_sum


def neuron_events(function: str, spikes: Tensor, lengths: Tensor | None, *, rises: bool = True) -> Tensor:
    """The events of each neuron in each sample, sum over t of |s[t]|, of spikes that are checked.

    Args:
        function: who asks, for errors.
        spikes: (N, C, ..., T), at most `LARGEST_SPIKE` in magnitude.
        lengths: (N,), the steps of each sample that count; None for all.
        rises: whether the slope of |s| at 0 is 1; False: it is 0.

    Returns:
        (N, C, ...), float32 or float64.

    Example:
        >>> import torch
        >>> neuron_events("here", torch.tensor([[[1, 0, -2], [0, 0, 0]]]), None)
        tensor([[3., 0.]])
    """
    check_events(function, spikes, values=False)
    if lengths is not None:
        check_lengths(function, lengths, spikes)
    events = magnitude_sum(spikes.to(accumulation_dtype(spikes)), lengths, rises=rises)
    if events.numel() and values_are_checked(events) and not events.detach().max() <= LARGEST_SPIKE:
        check_spikes(function, spikes)  # the sum is above every single one, and NaN is below nothing
    return events


def counted_steps(spikes: Tensor, lengths: Tensor | None) -> Tensor | int:
    """The steps of all samples."""
    return spikes.shape[0] * spikes.shape[-1] if lengths is None else lengths.sum()
