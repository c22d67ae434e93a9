"""Causal convolution in time and its adjoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ShapeError, check_flag, check_same_device, check_signal, check_state, message
from slayerloss.functional.events import accumulation_dtype, promote
from slayerloss.kernels.filters import fir, from_rows, to_rows, with_past


def causal_conv(x: Tensor, kernel: Tensor, *, state: Tensor | None = None, return_state: bool = False) -> Any:
    """Convolve a signal with a kernel in time, looking at the past only.

    y[t] = sum_k kernel[k] x[t-k]

    Args:
        x: (N, C, ..., T), any real dtype; with one kernel any (..., T).
        kernel: (L,), or (C, L), one for each channel; kernel[0] is the response in the same step.
        state: (N, C, ..., L-1), the inputs before x; None: silence.
        return_state: also return the last L-1 inputs.

    Returns:
        Like x. Integers and bool give the default float dtype; float16 and bfloat16 are summed in float32, in which the
        state is kept. Gradients run through x, kernel and the state.

    Raises:
        ShapeError: x has no time step; kernel or state has the wrong shape.
        DtypeError: x or kernel is not a real tensor.
        ArgumentError: x or kernel holds NaN or infinity.

    Example:
        >>> causal_conv(torch.tensor([[[1.0, 0.0, 2.0]]]), torch.tensor([1.0, 0.5]))
        tensor([[[1.0000, 0.5000, 2.0000]]])

    Note:
        lava-dl: `utils.filter.conv`, which has no gradient with respect to the kernel.
    """
    check_signal("causal_conv", x)
    _check_kernel("causal_conv", kernel, x)
    check_flag("causal_conv", "return_state", return_state)
    if state is None and not return_state:
        kernel = _heard(kernel, x)
    past = kernel.shape[-1] - 1
    if state is not None:
        check_state("causal_conv", "state", state, (*x.shape[:-1], past), x)
    values = promote(x).to(accumulation_dtype(x))
    padded = with_past(values, past, state)
    y = _convolve(padded, kernel, x)
    return (y, padded.narrow(-1, x.shape[-1], past)) if return_state else y


def causal_corr(x: Tensor, kernel: Tensor) -> Tensor:
    """Correlate a signal with a kernel in time, looking at the future only: the adjoint of `causal_conv`.

    y[t] = sum_k kernel[k] x[t+k], so that sum_t conv(a)[t] b[t] = sum_t a[t] corr(b)[t]

    Args:
        x: (N, C, ..., T), any real dtype; with one kernel any (..., T).
        kernel: (L,), or (C, L), one for each channel.

    Returns:
        Like x, with dtypes and gradients as in `causal_conv`.

    Raises:
        ShapeError, DtypeError, ArgumentError: as `causal_conv`.

    Example:
        >>> causal_corr(torch.tensor([[[1.0, 0.0, 2.0]]]), torch.tensor([1.0, 0.5]))
        tensor([[[1., 1., 2.]]])

    Note:
        lava-dl: `utils.filter.corr`.
    """
    check_signal("causal_corr", x)
    _check_kernel("causal_corr", kernel, x)
    kernel = _heard(kernel, x)
    values = promote(x).to(accumulation_dtype(x))
    padded = torch.nn.functional.pad(values, (0, kernel.shape[-1] - 1))
    return _convolve(padded, promote(kernel).flip(-1), x)


def _convolve(padded: Tensor, kernel: Tensor, like: Tensor) -> Tensor:
    per_channel = kernel.ndim > 1
    y = fir(to_rows(padded, per_channel), kernel.reshape(-1, kernel.shape[-1]).to(padded))
    return from_rows(y, like, per_channel).to(promote(like).dtype)


def _heard(kernel: Tensor, x: Tensor) -> Tensor:
    """The part of a kernel that a signal of T steps, with silence around it, can meet."""
    return kernel.narrow(-1, 0, min(kernel.shape[-1], x.shape[-1]))


def _check_kernel(function: str, kernel: Tensor, x: Tensor) -> None:
    check_signal(function, kernel, "kernel")
    check_same_device(function, "kernel", kernel, "x", x)
    if kernel.ndim > 1 and (x.ndim < 3 or tuple(kernel.shape[:-1]) != (x.shape[1],)):
        rule = f"(L,) or ({x.shape[1]}, L)" if x.ndim > 2 else "(L,)"
        raise ShapeError(message(function, "kernel has the wrong shape", rule, tuple(kernel.shape)))
