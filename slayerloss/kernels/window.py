"""Moving windows over (..., T), float32 or float64: a torch operator on the CPU, a composition of others elsewhere."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.filters import mask_steps, sliding, with_past
from slayerloss.kernels.operator import differentiable_gradients, operator

SUM, MEAN, MEAN_OF_SEEN, LARGEST, LARGEST_OF_SEEN = range(5)
"""The reductions. Before the first step there are zeros; the last of each pair looks at the steps seen so far only."""

_kernel = Kernel("moving_window", "ppiiiiiipiii")


def reduce_windows(x: Tensor, window: int, reduction: int, lengths: Tensor | None, caller: str) -> Tensor:
    """Reduce the last `window` steps at every step.

    Args:
        x: (..., T).
        window: steps, at least 1.
        reduction: SUM, ...
        lengths: (N,) int64, after which the results are zero; None: all T.
        caller: whose argument `x` this is, for the error if it holds NaN or infinity; empty if it may.

    Returns:
        Like x.
    """
    differentiated = x.requires_grad and torch.is_grad_enabled()
    if not tiles.is_fused(x) or (differentiated and reduction >= LARGEST):  # its gradient needs the windows themselves
        if caller:
            check_finite(caller, "x", x)
        return _composed(x, window, reduction, lengths)
    if differentiated:
        y: Tensor = _Windows.apply(x, window, reduction, lengths, caller)
        return y
    return _forward(x, window, reduction, lengths, caller)


class _Windows(torch.autograd.Function):
    """Sums and means, which are linear."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: int, reduction: int, lengths: Tensor | None, caller: str) -> Tensor:
        ctx.save_for_backward(lengths)
        ctx.options = window, reduction
        y: Tensor = _forward(x, window, reduction, lengths, caller)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (lengths,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [torch.zeros_like(grad, requires_grad=True), *ctx.options, lengths]
            return *differentiable_gradients(_composed, inputs, [True, False, False, False], grad), None
        return _backward(grad, *ctx.options, lengths), None, None, None, None


def _composed(x: Tensor, window: int, reduction: int, lengths: Tensor | None) -> Tensor:
    past = min(window - 1, x.shape[-1])  # one step of silence is as good as many
    padded = with_past(x, past)
    if reduction == LARGEST_OF_SEEN:
        padded = padded.index_fill(-1, torch.arange(past, device=x.device), -math.inf)
    y = sliding(padded, past + 1, torch.maximum if reduction >= LARGEST else torch.add)
    return mask_steps(_divided(y, window, reduction), lengths)


def _composed_adjoint(grad: Tensor, window: int, reduction: int, lengths: Tensor | None) -> Tensor:
    grad = _divided(mask_steps(grad, lengths), window, reduction)
    return sliding(with_past(grad.flip(-1), window - 1), window, torch.add).flip(-1)


def _divided(y: Tensor, window: int, reduction: int) -> Tensor:
    if reduction == MEAN_OF_SEEN:
        return y / torch.arange(1, y.shape[-1] + 1, device=y.device).clamp(max=window)
    return y / window if reduction == MEAN else y


def _run(x: Tensor, window: int, reduction: int, lengths: Tensor | None, reverse: bool) -> tuple[Tensor, int]:
    x = layout.dense(x)
    y = memory.empty_like(x)
    rows = tiles.rows_of(x)
    sample = 1 if lengths is None else max(1, rows.rows // max(1, len(lengths)))
    lengths = None if lengths is None else lengths.contiguous()
    options = lengths, sample, reduction, reverse
    status = _kernel(
        x.dtype, x, y, *rows, min(window, rows.steps + 1), window, *options, blocks=rows.blocks, elements=x.numel()
    )
    return y, tiles.check_memory(status)


def _windows(x: Tensor, window: int, reduction: int, lengths: Tensor | None, caller: str) -> Tensor:
    if not runs_on_cpu_kernels(x):
        return layout.in_order_of(x, _composed(x, window, reduction, lengths))
    y, status = _run(x, window, reduction, lengths, False)
    if status & tiles.NOT_FINITE and caller:
        check_finite(caller, "x", x)
    return y


def _adjoint(grad: Tensor, window: int, reduction: int, lengths: Tensor | None) -> Tensor:
    if not runs_on_cpu_kernels(grad):
        return layout.in_order_of(grad, _composed_adjoint(grad, window, reduction, lengths))
    return _run(grad, window, reduction, lengths, True)[0]


_forward = operator(
    "moving_window(Tensor x, int window, int reduction, Tensor? lengths, str caller) -> Tensor",
    _windows,
    lambda x, *_: layout.empty_like(x),
)
_backward = operator(
    "moving_window_adjoint(Tensor grad, int window, int reduction, Tensor? lengths) -> Tensor",
    _adjoint,
    lambda grad, *_: layout.empty_like(grad),
)
