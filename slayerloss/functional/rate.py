"""Spike count and spike rate over the whole recording."""

from __future__ import annotations

from torch import Tensor

from slayerloss._check import check_events, check_lengths
from slayerloss.functional.events import accumulation_dtype, mask_steps, promote


def count(spikes: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Sum the spikes of every neuron over time.

    n = sum_t s[t]

    Args:
        spikes: (N, C, ..., T), 0/1 or graded, any real dtype.
        lengths: (N,) integer, the steps of each sample; None: all T.

    Returns:
        (N, C, ...), spikes, with a gradient. Integers and bool give the default float dtype, float16 and bfloat16 give
        float32, since half precision cannot count far.

    Raises:
        ShapeError: spikes has fewer than three dimensions or no time step; lengths is not (N,).
        DtypeError: spikes is not a real tensor; lengths is not an integer tensor.
        ArgumentError: spikes holds NaN or infinity; a length lies outside [1, T].

    Example:
        >>> import torch
        >>> count(torch.tensor([[[1, 0, 1, 1], [0, 0, 0, 1]]]))
        tensor([[3., 1.]])
    """
    return _sum("count", spikes, lengths)


def rate(spikes: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Average the spikes of every neuron over time.

    r = 1/T sum_t s[t]

    Args:
        spikes: (N, C, ..., T), 0/1 or graded, any real dtype.
        lengths: (N,) integer, the steps of each sample, by which its sum is divided; None: all T.

    Returns:
        (N, C, ...), spikes per step, in [0, 1] for binary spikes, with a gradient. Integers and bool give the
        default float dtype; float16 and bfloat16 are kept, and summed in float32.

    Raises:
        ShapeError, DtypeError, ArgumentError: as `count`.

    Example:
        >>> import torch
        >>> rate(torch.tensor([[[1, 0, 1, 1], [0, 0, 0, 1]]]))
        tensor([[0.7500, 0.2500]])

    Note:
        lava-dl: `classifier.Rate.rate`, which takes float32 only.
    """
    total = _sum("rate", spikes, lengths)
    if lengths is None:
        return (total / spikes.shape[-1]).to(promote(spikes).dtype)
    steps = lengths.to(total.dtype).reshape(-1, *[1] * (total.ndim - 1))
    return (total / steps).to(promote(spikes).dtype)


def event_rate(x: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """The fraction of neuron-steps that carry an event, over the whole batch.

    r = mean over n, c, t >= 1 of [x[n, c, t] != 0]

    The first step is left out, unless it is the only one: sigma-delta layers send their initial values in it.

    Args:
        x: (N, C, ..., T), any real dtype.
        lengths: (N,) integer, the steps of each sample; None: all T.

    Returns:
        A scalar tensor in [0, 1], events per neuron and step. 0 for an empty batch. It has no gradient.

    Raises:
        ShapeError, DtypeError, ArgumentError: as `count`.

    Example:
        >>> import torch
        >>> event_rate(torch.tensor([[[1.0, 0.0, -0.5, 2.0, 0.0]]]))
        tensor(0.5000)

    Note:
        lava-dl's `utils.event_rate` returns a Python float, which waits for a GPU. With lengths, a sample of one step
        counts nothing.
    """
    check_events("event_rate", x, "x")
    steps = x.shape[-1]
    skipped = 1 if steps > 1 else 0
    events = (x != 0).narrow(-1, skipped, steps - skipped)
    if lengths is None:
        return promote(events).sum() / max(events.numel(), 1)
    check_lengths("event_rate", lengths, x)
    counted = (lengths - skipped).sum() * events.shape[1:-1].numel()
    return promote(mask_steps(events, lengths - skipped).sum()) / counted.clamp(min=1)


def _sum(function: str, spikes: Tensor, lengths: Tensor | None) -> Tensor:
    check_events(function, spikes)
    if lengths is not None:
        check_lengths(function, lengths, spikes)
    return mask_steps(spikes, lengths).sum(dim=-1, dtype=accumulation_dtype(spikes))
