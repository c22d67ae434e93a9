"""Exponential low-pass filters as a torch operator with gradients, on (N, C, ..., T) of float32 or float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels import filters
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, operator

_kernel = Kernel("low_pass", "ppiiiiipip")
_adjoint_kernel = Kernel("low_pass_adjoint", "ppiiiiipipppp")


def low_pass(x: Tensor, time_constants: Tensor, initial: Tensor, caller: str) -> Tensor:
    """The recursion y[t] = exp(-1/time_constant) y[t-1] + x[t] with y[-1] = initial.

    Args:
        x: (N, C, ..., T); with one time constant (..., T).
        time_constants: (1,) or (C,), in steps, > 0, of the dtype of x.
        initial: (N, C, ...), of the dtype of x.
        caller: whose argument `x` this is, for the error if it holds NaN or infinity; empty if it may.

    Returns:
        Like x.
    """
    if tiles.is_fused(x):
        y: Tensor = _LowPass.apply(x, time_constants, initial, caller)
        return y
    if caller:
        check_finite(caller, "x", x)
    return _composed(x, time_constants, initial)


class _LowPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, time_constants: Tensor, initial: Tensor, caller: str) -> Tensor:
        y: Tensor = _forward(x, time_constants, initial, caller)
        ctx.save_for_backward(time_constants, initial, *((x, y) if ctx.needs_input_grad[1] else (None, None)))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        time_constants, initial, x, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            x = torch.zeros_like(grad) if x is None else x  # which only the gradient of the time constants depends on
            needed = [True, *ctx.needs_input_grad[1:3]]
            inputs = [x if x.requires_grad else x.detach().requires_grad_(), time_constants, initial]
            return *differentiable_gradients(_composed, inputs, needed, grad), None
        grad_x, grad_initial, grad_time = _backward(grad, time_constants, initial, y)
        return grad_x, None if y is None else grad_time, grad_initial, None


def _composed(x: Tensor, time_constants: Tensor, initial: Tensor) -> Tensor:
    per_channel = time_constants.numel() > 1
    first = filters.to_rows(initial[..., None], per_channel).squeeze(-1)
    return filters.from_rows(filters.low_pass(filters.to_rows(x, per_channel), time_constants, first), x, per_channel)


def _decays(x: Tensor, time_constants: Tensor) -> tuple[int, Tensor, int]:
    """What the kernels are told about the channels: positions in space, a decay for each channel, how many."""
    decays = torch.exp(-1 / time_constants.detach().double()).contiguous()
    return math.prod(x.shape[2:-1]), decays, decays.numel()


def _filtered(x: Tensor, time_constants: Tensor, initial: Tensor, caller: str) -> Tensor:
    if not runs_on_cpu_kernels(x):
        return layout.in_order_of(x, _composed(x, time_constants, initial))
    x = layout.dense(x)
    y = memory.empty_like(x)
    rows = tiles.rows_of(x)
    work = {"blocks": rows.blocks, "elements": x.numel()}
    status = _kernel(x.dtype, x, y, *rows, *_decays(x, time_constants), initial.contiguous(), **work)
    if tiles.check_memory(status) and caller:
        check_finite(caller, "x", x)
    return y


def _gradients(
    grad: Tensor, time_constants: Tensor, initial: Tensor, y: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """With respect to x, the initial state and the time constants; the last is empty without y."""
    if not runs_on_cpu_kernels(grad):
        return _composed_gradients(grad, time_constants, initial, y)
    grad = layout.dense(grad)
    grad_x = memory.empty_like(grad)
    rows = tiles.rows_of(grad)
    initial = initial.contiguous()
    grad_initial = torch.empty_like(initial)
    y = None if y is None else tiles.dense_as(grad, y)
    inner, decays, channels = _decays(grad, time_constants)
    grad_decay = None if y is None else torch.empty(initial.shape, dtype=torch.float64)
    status = _adjoint_kernel(
        *(grad.dtype, grad, grad_x, *rows, inner, decays, channels, grad_initial, y, initial, grad_decay),
        blocks=rows.blocks,
        elements=grad.numel(),
    )
    tiles.check_memory(status)
    if grad_decay is None:
        return grad_x, grad_initial, _nothing(grad)
    return grad_x, grad_initial, _of_time_constants(grad_decay, time_constants)


def _composed_gradients(
    grad: Tensor, time_constants: Tensor, initial: Tensor, y: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = _composed(grad.flip(-1), time_constants, torch.zeros_like(initial)).flip(-1)
    decay = torch.exp(-1 / time_constants)
    per_row = decay.reshape(-1, *[1] * (initial.ndim - 2)) if decay.numel() > 1 else decay.reshape(())
    grad_initial = grad_x.narrow(-1, 0, 1).squeeze(-1).contiguous() * per_row
    grad_x = layout.in_order_of(grad, grad_x)
    if y is None:
        return grad_x, grad_initial, _nothing(grad)
    before = torch.cat([initial[..., None], y.narrow(-1, 0, y.shape[-1] - 1)], dim=-1)
    return grad_x, grad_initial, _of_time_constants((grad_x * before).sum(-1).double(), time_constants)


def _of_time_constants(grad_decay: Tensor, time_constants: Tensor) -> Tensor:
    """The gradient with respect to exp(-1/time_constant) of each row (N, C, ...) -> that of the time constants."""
    if time_constants.numel() > 1:
        grad_decay = grad_decay.movedim(1, 0).flatten(1)
    wide = time_constants.double()
    per_channel = grad_decay.reshape(time_constants.numel(), -1).sum(1)
    return (per_channel * torch.exp(-1 / wide) / wide.square()).to(time_constants.dtype)


def _nothing(x: Tensor) -> Tensor:
    return x.new_empty(0)


_forward = operator(
    "low_pass(Tensor x, Tensor time_constants, Tensor initial, str caller) -> Tensor",
    _filtered,
    lambda x, *_: layout.empty_like(x),
)
_backward = operator(
    "low_pass_gradients(Tensor grad, Tensor time_constants, Tensor initial, Tensor? y) -> (Tensor, Tensor, Tensor)",
    _gradients,
    lambda grad, time_constants, initial, y: (
        layout.empty_like(grad),
        torch.empty_like(initial, memory_format=torch.contiguous_format),
        _nothing(grad) if y is None else torch.empty_like(time_constants),
    ),
)
