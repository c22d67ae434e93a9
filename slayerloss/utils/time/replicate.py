"""Copies in time."""

from __future__ import annotations

from torch import Tensor

from slayerloss._check import check_integer, check_tensor
from slayerloss.functional.events import LARGEST_SIZE

__all__ = ["replicate"]


def replicate(input: Tensor, num_steps: int) -> Tensor:
    """Repeat a tensor in a new time dimension at the end.

    y[..., t] = x[...]

    Args:
        input: any shape, any dtype.
        num_steps: T, at least 1.

    Returns:
        (..., T), of the dtype of the input. Differentiable.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> import torch
        >>> replicate(torch.tensor([1, 2]), 3)
        tensor([[1, 1, 1],
                [2, 2, 2]])

    Note:
        lava-dl takes floats of 2 to 4 dimensions only.
    """
    check_tensor("replicate", "input", input)
    num_steps = check_integer("replicate", "num_steps", num_steps, 1, LARGEST_SIZE)
    return input.unsqueeze(-1).repeat(*[1] * input.ndim, num_steps)
