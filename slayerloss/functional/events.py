"""Event tensors: promotion of dtypes, masks for padded batches, the other libraries' axis orders."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_events,
    check_finite,
    check_tensor,
    check_type,
    check_values,
    message,
)
from slayerloss.kernels.filters import mask_steps as mask_steps

LARGEST_SPIKE = 1e9
"""In magnitude, far above any graded spike: sums of squares over a batch of these stay finite in float32."""

LARGEST_SIZE = 2**31 - 1
"""The most neurons, channels, filters or copies that something is made for."""

SMALLEST_TEMPERATURE = 1e-6
"""By which rates of `LARGEST_SPIKE` can still be divided."""


def check_spikes(function: str, value: Tensor, argument: str = "spikes") -> None:
    """Check the spikes (N, C, ..., T) of a loss: events of at most `LARGEST_SPIKE` in magnitude."""
    check_events(function, value, argument, values=False)
    try:
        check_values(function, argument, value, -LARGEST_SPIKE, LARGEST_SPIKE)
    except ArgumentError:
        check_finite(function, argument, value)  # says more of NaN and infinity
        raise


def promote(x: Tensor) -> Tensor:
    """Give bool and integer tensors the default float dtype; a float dtype is kept.

    Args:
        x: any shape, bool, integer or float.

    Returns:
        The same values as floats; `x` itself if it is one.

    Example:
        >>> promote(torch.tensor([True, False]))
        tensor([1., 0.])
    """
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def accumulation_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which sums over `x` run: float32 for float16 and bfloat16, its own otherwise.

    Example:
        >>> accumulation_dtype(torch.ones(1, dtype=torch.bfloat16))
        torch.float32
    """
    return torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else promote(x).dtype


def time_mask(lengths: Tensor, num_steps: int) -> Tensor:
    """True where a padded batch holds data.

    Args:
        lengths: (N,) integer, the steps of each sample.
        num_steps: T of the padded batch.

    Returns:
        (N, T) bool.

    Example:
        >>> time_mask(torch.tensor([1, 3]), 3).int()
        tensor([[1, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(num_steps, device=lengths.device) < lengths[:, None]


def to_time_last(x: Tensor, order: str) -> Tensor:
    """Bring a tensor of another library's axis order into this one's, (N, C, H, W, T).

    Args:
        x: one dimension per letter of `order`.
        order: the axes of `x`, of the letters N C H W T, blanks allowed: "T N C" (snnTorch, Norse), "N T C" (Sinabs).

    Returns:
        A view of `x` with the axes it has, in the order N C H W T.

    Raises:
        DtypeError: `x` is no tensor, or `order` no text.
        ArgumentError: `order` has a letter twice, an unknown letter, or no T.
        ShapeError: `x` has another number of dimensions than `order` letters.

    Example:
        >>> to_time_last(torch.zeros(100, 32, 10), "T N C").shape
        torch.Size([32, 10, 100])
    """
    axes = _axes("to_time_last", x, order)
    return x.permute([axes.index(axis) for axis in "NCHWT" if axis in axes])


def from_time_last(x: Tensor, order: str) -> Tensor:
    """The inverse of `to_time_last`: bring (N, C, H, W, T) into another library's axis order.

    Args:
        x: the axes of `order`, in the order N C H W T.
        order: the axes wanted, of the letters N C H W T.

    Returns:
        A view of `x` in that order.

    Raises:
        DtypeError, ArgumentError, ShapeError: as `to_time_last`.

    Example:
        >>> from_time_last(torch.zeros(32, 10, 100), "T N C").shape
        torch.Size([100, 32, 10])
    """
    axes = _axes("from_time_last", x, order)
    have = [axis for axis in "NCHWT" if axis in axes]
    return x.permute([have.index(axis) for axis in axes])


def _axes(function: str, x: Tensor, order: str) -> str:
    check_type(function, "order", order, str, "a text such as 'T N C'")
    axes = order.replace(" ", "").upper()
    if len(set(axes)) != len(axes) or not set(axes) <= set("NCHWT") or "T" not in axes:
        raise ArgumentError(
            message(function, "order is not an axis order", "each of N C H W T at most once, T among them", repr(order))
        )
    check_tensor(function, "x", x)
    if x.ndim != len(axes):
        raise ShapeError(
            message(function, "x does not match order", f"{len(axes)} dimensions ({axes})", tuple(x.shape))
        )
    return axes
