"""Distances between spike trains."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import check_flag, check_lengths, check_same_device, check_same_shape, check_tensor
from slayerloss.functional.events import accumulation_dtype, check_spikes, mask_steps
from slayerloss.functional.filters import as_time_constant, exponential_filter


def van_rossum_distance(
    spikes: Tensor,
    targets: Tensor,
    time_constant: float | Tensor,
    *,
    squared: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """The van Rossum distance between two sets of spike trains, summed over neurons.

    D^2 = (1 - exp(-2/time_constant)) / 2  sum_c sum_t e_c[t]^2,  e_c[t] = sum_k exp(-k/time_constant) (s - s')_c[t-k]

    The sum over t has no end: after the last step e decays by itself, which is summed in closed form. So one spike too
    many costs exactly D^2 = 1/2, wherever it lies, and two spikes that are far apart cost 1.

    Args:
        spikes: (N, C, ..., T), any real dtype, at most 1e9 in magnitude.
        targets: the same shape.
        time_constant: steps, above 0; a number, or a tensor () or (C,), one for each channel. Short ones count spikes
            that do not coincide; long ones compare spike counts.
        squared: return D^2, which is the better loss: smooth where the trains agree.
        lengths: (N,) integer, the steps of each sample; None: all T.

    Returns:
        (N,), no unit. The gradient runs through spikes, targets and time_constant; that of D at D = 0 is taken as zero.
        Integers and bool give the default float dtype, float16 and bfloat16 give float32.

    Raises:
        ShapeError: the shapes differ, or have fewer than three dimensions or no time step.
        ArgumentError: a time constant or length out of range; NaN or infinity.
        DtypeError: an argument is not a real tensor.

    Example:
        >>> one, none = torch.zeros(1, 1, 9), torch.zeros(1, 1, 9)
        >>> one[..., 4] = 1
        >>> van_rossum_distance(one, none, 5.0, squared=True)
        tensor([0.5000])

    Note:
        lava-dl has no such function; `loss.SpikeTime` is the same sum with another factor and a filter cut at `length`.

    References:
        M. C. W. van Rossum, A Novel Spike Distance, Neural Computation 13 (2001), 751-763.
    """
    check_flag("van_rossum_distance", "squared", squared)
    check_spikes("van_rossum_distance", spikes)
    check_tensor("van_rossum_distance", "targets", targets)
    check_same_shape("van_rossum_distance", "spikes", spikes, "targets", targets)
    check_same_device("van_rossum_distance", "targets", targets, "spikes", spikes)
    check_spikes("van_rossum_distance", targets, "targets")
    if lengths is not None:
        check_lengths("van_rossum_distance", lengths, spikes)
    spikes, targets = (x.to(accumulation_dtype(x)) for x in (spikes, targets))
    error = mask_steps(spikes - targets, lengths)
    time_constant = as_time_constant("van_rossum_distance", time_constant, error)
    error = exponential_filter(error, time_constant)
    # sum_{t >= T} e[t]^2 = e[T-1]^2 (d^2 + d^4 + ...), d = exp(-1/time_constant), is e[T-1]^2 d^2 / (1 - d^2).
    rate = 2 / time_constant.reshape(-1, *[1] * (error.ndim - 3))
    last = error.narrow(-1, error.shape[-1] - 1, 1).squeeze(-1)
    terms = -torch.expm1(-rate) / 2 * error.square().sum(dim=-1) + torch.exp(-rate) / 2 * last.square()
    total = terms.flatten(1).sum(dim=1)
    if not squared:
        total = torch.where(total > 0, total, 1).sqrt() * (total > 0)
    return total
