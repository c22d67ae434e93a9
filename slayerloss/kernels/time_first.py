"""The memory order in which a step is contiguous, as products over batch and time want it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import memory, threads, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import operator

ROWS = 64
"""Of a block; as in src/time_first.cpp."""

_kernel = Kernel("time_first", "ppii")


class _TimeFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y: Tensor = _operator(x)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.movedim(0, -1)


def time_first(x: Tensor) -> Tensor:
    """(..., T) -> (T, ...), contiguous; x itself, seen so, where its memory is in this order already.

    Example:
        >>> time_first(torch.tensor([[1, 2, 3], [4, 5, 6]]))
        tensor([[1, 4],
                [2, 5],
                [3, 6]])
    """
    steps = x.movedim(-1, 0)
    if steps.is_contiguous() or not x.is_contiguous() or not tiles.is_fused(x):
        return steps.contiguous()
    y: Tensor = _TimeFirst.apply(x)
    return y


def _copy(x: Tensor) -> Tensor:
    if not runs_on_cpu_kernels(x) or not x.is_contiguous():
        return x.movedim(-1, 0).clone(memory_format=torch.contiguous_format)
    steps = x.shape[-1]
    rows = x.numel() // steps
    y = memory.empty((steps, *x.shape[:-1]), x.dtype, x.device)
    _kernel(x.dtype, x, y, rows, steps, blocks=-(-rows // ROWS), elements=x.numel() // threads.LIGHT)
    return y


_operator = operator("time_first(Tensor x) -> Tensor", _copy, lambda x: x.new_empty((x.shape[-1], *x.shape[:-1])))
