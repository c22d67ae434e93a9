"""Synapses as matrix products and 2-D convolutions over batch x time, in the memory order that needs no copy.

Quantised weights times spikes are multiples of 1/32 below 2^19: sums over them are exact in float32, in any order.
Under autocast they stay in float32, since the chip's integers do not fit into less.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_finite,
    check_integer,
    check_same_device,
    check_sequence,
    check_tensor,
    message,
)
from slayerloss.functional import sparse
from slayerloss.functional._space import flat, images, kernel
from slayerloss.kernels.precision import full_precision
from slayerloss.kernels.spike_product import spike_product
from slayerloss.kernels.time_first import rows_of_steps


def _dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    own = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    dtype = torch.promote_types(own, weight.dtype)
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _check_weight(function: str, weight: Tensor, x: Tensor) -> None:
    check_tensor(function, "weight", weight)
    check_same_device(function, "weight", weight, "x", x)
    check_finite(function, "weight", weight)


def _pair(function: str, name: str, value: tuple[int, int], low: int) -> tuple[int, int]:
    height, width = check_sequence(function, name, value, 2, "(height, width)")
    return check_integer(function, name, height, low), check_integer(function, name, width, low)


def _geometry(
    function: str, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (
        _pair(function, "stride", stride, 1),
        _pair(function, "padding", padding, 0),
        _pair(function, "dilation", dilation, 1),
    )


def dense(x: Tensor, weight: Tensor) -> Tensor:
    """Connect everything to everything.

    y[o, t] = sum_c weight[o, c] x[c, t]

    Args:
        x: (N, C, T), or (N, C, H, W, T), which is flattened in this order; dense, or sparse, where the cost follows
            the number of events.
        weight: (O, C), or (O, C H W).

    Returns:
        (N, O, T), float32 or float64.

    Raises:
        ShapeError: the weight does not fit the channels.
        DtypeError, ArgumentError: an argument of the wrong type, or with NaN or infinity.

    Example:
        >>> dense(torch.ones(1, 2, 3), torch.tensor([[1.0, 2.0]]))
        tensor([[[3., 3., 3.]]])
    """
    sparse.check_input("dense", x)
    _check_weight("dense", weight, x)
    if weight.ndim != 2:
        raise ShapeError(message("dense", "weight has the wrong shape", "(O, C)", tuple(weight.shape)))
    if math.prod(x.shape[1:-1]) != weight.shape[1]:
        raise ShapeError(
            message("dense", "x has the wrong number of channels", f"{weight.shape[1]} of them", tuple(x.shape))
        )
    dtype = _dtype(x, weight)
    if sparse.is_sparse(x):
        return sparse.dense(x, weight, dtype)
    with full_precision(x):
        y = spike_product(rows_of_steps(flat(x.to(dtype))), weight.to(dtype))
    return y.unflatten(0, (x.shape[-1], len(x))).permute(1, 2, 0)


def conv(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve each step's image.

    Args:
        x: (N, C, H, W, T), dense or sparse, as `dense` takes it.
        weight: (O, C / groups, kernel height, kernel width).
        stride, padding, dilation: (height, width).
        groups: of channels.

    Returns:
        (N, O, H', W', T), float32 or float64.

    Raises:
        ShapeError: x is no sequence of images, or the weight does not fit.
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> conv(torch.ones(1, 1, 3, 3, 2), torch.ones(1, 1, 3, 3)).shape
        torch.Size([1, 1, 1, 1, 2])
    """
    sparse.check_input("conv", x)
    _check_weight("conv", weight, x)
    stride, padding, dilation = _geometry("conv", stride, padding, dilation)
    if weight.ndim != 4:
        rule = "(O, C / groups, kernel height, kernel width)"
        raise ShapeError(message("conv", "weight has the wrong shape", rule, tuple(weight.shape)))
    if weight.shape[0] % check_integer("conv", "groups", groups, 1):
        rule = f"a divisor of {weight.shape[0]} outputs"
        raise ArgumentError(message("conv", "groups does not divide the outputs", rule, groups))
    if x.ndim != 5 or x.shape[1] != weight.shape[1] * groups:
        rule = f"(N, {weight.shape[1] * groups}, H, W, T)"
        raise ShapeError(message("conv", "x does not fit the kernel", rule, tuple(x.shape)))
    covered = [dilation[i] * (weight.shape[2 + i] - 1) + 1 for i in range(2)]
    if any(x.shape[2 + i] + 2 * padding[i] < covered[i] for i in range(2)):
        rule = f"at least {tuple(covered)} with padding {padding}"
        raise ShapeError(message("conv", "the image is smaller than the kernel", rule, tuple(x.shape[2:4])))
    dtype = _dtype(x, weight)
    if sparse.is_sparse(x):
        return sparse.conv(x, weight, stride, padding, dilation, groups, dtype)
    with full_precision(x):
        y = F.conv2d(images(x.to(dtype)), kernel(weight.to(dtype)), None, stride, padding, dilation, groups)
    return _of_images(y, x)


def _of_images(y: Tensor, x: Tensor) -> Tensor:
    """(T N, C, H, W) -> (N, C, H, W, T), with N and T of x."""
    return y.unflatten(0, (x.shape[-1], x.shape[0])).permute(1, 2, 3, 4, 0)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Convolve each step's image the other way: the adjoint of `conv`, which makes images larger.

    y[o, stride i + dilation k - padding] = sum over c, i and k of weight[c, o, k] x[c, i], with places i and k

    Args:
        x: (N, C, H, W, T), dense or sparse, as `dense` takes it.
        weight: (C, O / groups, kernel height, kernel width).
        stride, padding, dilation: (height, width).
        groups: of channels.

    Returns:
        (N, O, H', W', T), float32 or float64, with H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + 1.

    Raises:
        ShapeError: x is no sequence of images, the weight does not fit, or nothing is left of the image.
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> conv_transpose(torch.ones(1, 1, 3, 3, 2), torch.ones(1, 1, 2, 2), stride=(2, 2)).shape
        torch.Size([1, 1, 6, 6, 2])
    """
    sparse.check_input("conv_transpose", x)
    _check_weight("conv_transpose", weight, x)
    stride, padding, dilation = _geometry("conv_transpose", stride, padding, dilation)
    if weight.ndim != 4:
        rule = "(C, O / groups, kernel height, kernel width)"
        raise ShapeError(message("conv_transpose", "weight has the wrong shape", rule, tuple(weight.shape)))
    if weight.shape[0] % check_integer("conv_transpose", "groups", groups, 1):
        rule = f"a divisor of {weight.shape[0]} channels"
        raise ArgumentError(message("conv_transpose", "groups does not divide the channels", rule, groups))
    if x.ndim != 5 or x.shape[1] != weight.shape[0]:
        rule = f"(N, {weight.shape[0]}, H, W, T)"
        raise ShapeError(message("conv_transpose", "x does not fit the kernel", rule, tuple(x.shape)))
    reach = [dilation[i] * (weight.shape[2 + i] - 1) for i in range(2)]
    sizes = tuple((x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + reach[i] + 1 for i in range(2))
    if min(x.shape[2:4]) < 1 or min(sizes) < 1:
        rule = "less padding than there is image"
        raise ShapeError(message("conv_transpose", "nothing is left of the image", rule, sizes))
    dtype = _dtype(x, weight)
    if sparse.is_sparse(x):
        return sparse.conv_transpose(x, weight, stride, padding, dilation, groups, dtype)
    with full_precision(x):
        steps, weight = images(x.to(dtype)), kernel(weight.to(dtype))
        y = F.conv_transpose2d(steps, weight, None, stride, padding, 0, groups, dilation)
    return _of_images(y, x)
