"""Shifts in time."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import ShapeError, check_range, check_tensor, check_values, message

__all__ = ["shift"]

LARGEST_TIME = 1e15
"""Far beyond any run, and a whole number in float64."""
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Types of the same bits for those that torch cannot gather."""


def shift(input: Tensor, shift_val: float | Tensor, sampling_time: float = 1) -> Tensor:
    """Move everything in time, or each neuron by a time of its own, filling with zeros.

    y[t] = x[t - trunc(shift_val / sampling_time)]

    Args:
        input: (N, ..., T).
        shift_val: a time, below 0 for earlier; or a tensor with one for each neuron.
        sampling_time: the length of a step.

    Returns:
        Of the shape and dtype of the input. Differentiable with respect to it.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> shift(torch.tensor([[1.0, 2.0, 3.0]]), -1)
        tensor([[2., 3., 0.]])
        >>> shift(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), torch.tensor([1, 0]))
        tensor([[[0., 1., 2.],
                 [4., 5., 6.]]])

    Note:
        lava-dl divides the times of several neurons by `sampling_time` twice.
    """
    check_tensor("shift", "input", input, min_ndim=1, layout="(N, ..., T)")
    check_range("shift", "sampling_time", sampling_time, 0, low_open=True)
    if not isinstance(shift_val, Tensor):
        check_range("shift", "shift_val", shift_val, -LARGEST_TIME, LARGEST_TIME)
        shift_val = torch.tensor(float(shift_val), dtype=torch.float64)
    times = shift_val.detach()
    check_tensor("shift", "shift_val", times)
    check_values("shift", "shift_val", times, -LARGEST_TIME, LARGEST_TIME)
    if times.numel() == 1:
        times = times.cpu().double()  # as lava-dl divides: float32 rounds 0.6 / 0.2 up to 3
    neurons = input.shape[1:-1]
    if times.numel() not in (1, neurons.numel()):
        rule = f"one time, or one for each of {neurons.numel()} neurons"
        raise ShapeError(message("shift", "shift_val does not fit", rule, tuple(times.shape)))
    steps = (
        (times / sampling_time)
        .trunc()
        .clamp(-LARGEST_TIME, LARGEST_TIME)
        .long()
        .reshape(neurons if times.numel() > 1 else ())
        .to(input.device)
    )
    num_steps = input.shape[-1]
    source = torch.arange(num_steps, device=input.device) - steps.unsqueeze(-1)
    if input.dtype in SIGNED:
        return shift(input.view(SIGNED[input.dtype]), shift_val, sampling_time).view(input.dtype)
    moved = input.gather(-1, source.clamp(0, num_steps - 1).expand(input.shape))
    return moved.where((source >= 0) & (source < num_steps), torch.zeros((), dtype=input.dtype, device=input.device))
