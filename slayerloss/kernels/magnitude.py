"""The events of every neuron, sum over t of |s[t]|, in one look at the spikes, and a gradient that takes no memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.filters import mask_steps
from slayerloss.kernels.operator import goes_back_last, is_transformed

_kernel = Kernel("magnitude_sum", "ppiiipi")
WIDTH = 512
"""Rows of a block; as in src/magnitude.cpp."""
NEGATIVE = 8


def magnitude_sum(x: Tensor, lengths: Tensor | None = None, *, rises: bool = True) -> Tensor:
    """Sum the magnitudes of a signal over time.

    y = sum over t of |x[t]|

    Args:
        x: (N, C, ..., T), float32 or float64.
        lengths: (N,) integer, the steps of each sample that count; None for all.
        rises: whether the slope of |x| at 0 is 1, as if nothing were negative; False: it is 0.

    Returns:
        (N, C, ...). Where nothing is negative, its gradient is a view, which takes no memory.

    Example:
        >>> magnitude_sum(torch.tensor([[[1.0, 0.0, -2.0]]]))
        tensor([[3.]])
    """
    looked_at = torch.compiler.is_compiling() or is_transformed() or _get_current_dispatch_mode() is not None
    if looked_at or not x.numel() or not runs_on_cpu_kernels(x):
        return mask_steps(_magnitude(x, rises), lengths).sum(-1)
    y: Tensor = _MagnitudeSum.apply(x, lengths, rises)
    goes_back_last(y, x)
    return y


def _magnitude(x: Tensor, rises: bool) -> Tensor:
    return torch.where(x < 0, -x, x) if rises else x.abs()


class _MagnitudeSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor | None, rises: bool) -> Tensor:
        ctx.shape, ctx.rises = x.shape, rises
        x = layout.dense(x)
        y = torch.empty(x.shape[:-1], dtype=x.dtype, device=x.device)
        signal = layout.signal(x)
        steps = None if lengths is None else lengths.to(torch.int64).contiguous()
        rows = signal.rows, signal.steps, signal.time_first
        sample = math.prod(x.shape[1:-1])
        blocks = -(-signal.rows // WIDTH)
        found = _kernel(x.dtype, x, y, *rows, steps, sample, blocks=blocks, elements=x.numel())
        ctx.save_for_backward(x if found & NEGATIVE or not rises else None, lengths)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths = ctx.saved_tensors
        each = grad[..., None].expand(ctx.shape)
        if x is not None:
            each = torch.where(x < 0, -each, each) if ctx.rises else x.sign().mul_(each)
        return mask_steps(each, lengths), None, None
