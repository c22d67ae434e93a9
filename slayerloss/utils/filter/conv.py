"""Convolution and correlation in time."""

from __future__ import annotations

from torch import Tensor

from slayerloss._check import check_range, check_tensor
from slayerloss.functional import causal_conv, causal_corr

__all__ = ["conv", "corr"]


def conv(input: Tensor, filter: Tensor, sampling_time: float = 1) -> Tensor:
    """Convolve in time, looking at the past only.

    y[t] = sampling_time sum_k filter[k] input[t-k]

    Args:
        input: (..., T); (T,) is taken as (1, T).
        filter: the kernel, of any shape; it is flattened.
        sampling_time: a factor on the result, above 0.

    Returns:
        Like input, with gradients with respect to input and filter.

    Raises:
        ShapeError, DtypeError, ArgumentError: as `functional.causal_conv`.

    Example:
        >>> import torch
        >>> conv(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, 0.5]))
        tensor([[1.0000, 0.5000, 2.0000]])

    Note:
        lava-dl has no gradient with respect to the filter.
    """
    check_tensor("conv", "filter", filter)
    check_range("conv", "sampling_time", sampling_time, 0, low_open=True)
    result: Tensor = causal_conv(_two_dimensional("conv", input), filter.flatten())
    return result * sampling_time


def corr(input: Tensor, filter: Tensor, sampling_time: float = 1) -> Tensor:
    """Correlate in time, looking at the future only: the adjoint of `conv`.

    y[t] = sampling_time sum_k filter[k] input[t+k]

    Args:
        input: (..., T); (T,) is taken as (1, T).
        filter: the kernel, of any shape; it is flattened.
        sampling_time: a factor on the result, above 0.

    Returns:
        Like input, with gradients with respect to input and filter.

    Raises:
        ShapeError, DtypeError, ArgumentError: as `functional.causal_corr`.

    Example:
        >>> import torch
        >>> corr(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, 0.5]))
        tensor([[1., 1., 2.]])

    Note:
        lava-dl has no gradient with respect to the filter.
    """
    check_tensor("corr", "filter", filter)
    check_range("corr", "sampling_time", sampling_time, 0, low_open=True)
    return causal_corr(_two_dimensional("corr", input), filter.flatten()) * sampling_time


def _two_dimensional(function: str, x: Tensor) -> Tensor:
    check_tensor(function, "input", x, min_ndim=1, layout="(..., T)")
    return x[None] if x.ndim == 1 else x
