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


class _RowsOfSteps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        steps = x.movedim(-1, 0)
        return (steps if steps.is_contiguous() else _operator(x)).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        samples, channels, steps = ctx.shape
        in_memory = torch._C._has_storage(grad) and grad.is_contiguous()  # one of many at once, by vmap, is not
        if torch.is_grad_enabled() or not in_memory:
            return grad.reshape(steps, samples, channels).movedim(0, -1)
        # The same memory, and no view of it: autograd adds other gradients of x to it in place.
        own = torch.empty(0, dtype=grad.dtype).set_(grad)  # type: ignore[call-overload]
        return own.as_strided_(ctx.shape, (channels, 1, samples * channels))


def rows_of_steps(x: Tensor) -> Tensor:
    """(N, C, T) -> (T N, C), contiguous; x itself, seen so, where its memory is in this order already.

    Example:
        >>> rows_of_steps(torch.tensor([[[1, 2, 3], [4, 5, 6]]]))
        tensor([[1, 4],
                [2, 5],
                [3, 6]])
    """
    in_order = x.is_contiguous() or x.movedim(-1, 0).is_contiguous()
    if torch.compiler.is_compiling() or not in_order or not tiles.is_fused(x):
        return x.movedim(-1, 0).contiguous().flatten(0, 1)
    y: Tensor = _RowsOfSteps.apply(x)
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
