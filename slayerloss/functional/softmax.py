"""Softmax and its logarithm, over all of a tensor or along one dimension, at any temperature."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import check_finite, check_integer, check_range
from slayerloss.functional._penalty import in_floats
from slayerloss.functional.events import SMALLEST_TEMPERATURE


def softmax(x: Tensor, temperature: float = 1.0, *, dim: int | None = None) -> Tensor:
    r"""The softmax of a tensor, over all of it or along one dimension.

    .. math::
        y_i = \frac{\exp(x_i / \theta)}{\sum_j \exp(x_j / \theta)}

    Args:
        x: any shape and dtype. Half precision is computed in float32.
        temperature: theta, at least 1e-6, or 0 for the hard maximum: 1 where `x` is largest, shared between equals, and
            without a gradient.
        dim: along which the sum runs; None for the sum over all of `x`.

    Returns:
        Like `x`, float32, or float64 for float64.

    Raises:
        ArgumentError, DtypeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> softmax(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), temperature=0)
        tensor([[0.0000, 0.5000],
                [0.5000, 0.0000]])
        >>> softmax(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), dim=1)
        tensor([[0.1192, 0.8808],
                [0.8808, 0.1192]])

    Note:
        rockpool's is over all of the array, so that the rows of a batch do not sum to 1, and NaN at temperature 0.

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.softmax``.
    """
    if check_range("softmax", "temperature", temperature, 0.0) > 0:
        scaled, along = _scaled("softmax", x, temperature, dim)
        return torch.softmax(scaled, along).reshape(x.shape)
    below, along = _scaled("softmax", x, 1.0, dim)
    hard = (below == 0).to(below.dtype)
    return (hard / hard.sum(along, keepdim=True).clamp_min(1) + 0 * below).reshape(x.shape)


def logsoftmax(x: Tensor, temperature: float = 1.0, *, dim: int | None = None) -> Tensor:
    r"""The logarithm of the softmax of a tensor, over all of it or along one dimension.

    .. math::
        y_i = x_i / \theta - \log \sum_j \exp(x_j / \theta)

    Args:
        x: any shape and dtype. Half precision is computed in float32.
        temperature: theta, at least 1e-6. At 0 the logarithm of all but the largest would be infinite.
        dim: along which the sum runs; None for the sum over all of `x`.

    Returns:
        Like `x`, float32, or float64 for float64; at most 0, finite.

    Raises:
        ArgumentError, DtypeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> logsoftmax(torch.tensor([1.0, 1.0]), temperature=0.5)
        tensor([-0.6931, -0.6931])

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.logsoftmax``.
    """
    way_out = "softmax has a hard maximum at temperature 0"
    check_range("logsoftmax", "temperature", temperature, 0.0, low_open=True, way_out=way_out)
    scaled, along = _scaled("logsoftmax", x, temperature, dim)
    return torch.log_softmax(scaled, along).reshape(x.shape)


def _scaled(function: str, x: Tensor, temperature: float, dim: int | None) -> tuple[Tensor, int]:
    """(x - largest) / temperature, all in a row for dim=None, and the dimension along which to go."""
    temperature = check_range(function, "temperature", temperature, SMALLEST_TEMPERATURE)
    values = in_floats(function, "x", x)
    check_finite(function, "x", values)
    if dim is None:
        values, dim = values.reshape(-1), 0
    dim = check_integer(function, "dim", dim, -max(values.ndim, 1), max(values.ndim, 1) - 1)
    if values.numel():
        values = values - values.detach().amax(dim, keepdim=True)
    return (values / temperature).clamp_min(torch.finfo(values.dtype).min), dim
