"""SpikeTime of order 1 as a torch operator with a gradient of its own: nothing of the trains' size is kept but them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import check_finite, check_values
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.filters import fir, low_pass, mask_steps, with_past
from slayerloss.kernels.operator import differentiable_gradients, operator

CHUNK = 1024
"""Steps whose filtered signal is computed again from one checkpoint."""
NEGLIGIBLE = 1e-20
"""Of an impulse, what is left when the filter is cut: below it, cutting changes nothing in float64."""

_common = "ppiiiiidd" + "ipip"
_kernel = Kernel("spike_time", _common + "dp")
_backward_kernel = Kernel("spike_time_backward", _common + "pp")


class SpikeTime(torch.autograd.Function):
    """(spikes, targets, lengths, time_constant, length, largest, caller) -> (N,), the sums of squares.

    spikes, targets: (N, C, ..., T), of the same float dtype; lengths: (N,) int64 or None; largest: the magnitude above
    which an error is raised in the name of `caller`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        spikes: Tensor,
        targets: Tensor,
        lengths: Tensor | None,
        time_constant: float,
        length: int | None,
        largest: float,
        caller: str,
    ) -> Tensor:
        loss, checkpoints = _forward(spikes, targets, lengths, time_constant, length, largest, caller)
        ctx.save_for_backward(spikes, targets, lengths, checkpoints)
        ctx.options = time_constant, length
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        spikes, targets, lengths, checkpoints = ctx.saved_tensors
        first, second = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            inputs = spikes, targets, lengths, *ctx.options
            grads = differentiable_gradients(_composed, inputs, [first, second, False, False, False], grad)
            return *grads, None, None
        found = _backward(spikes, targets, lengths, checkpoints, grad, *ctx.options)
        return found if first else None, -found if second else None, None, None, None, None, None


def _composed(
    spikes: Tensor, targets: Tensor, lengths: Tensor | None, time_constant: float, length: int | None
) -> Tensor:
    y = mask_steps(_filtered(spikes - targets, time_constant, length), lengths)
    return y.square().flatten(1).sum(1)


def _composed_gradient(
    spikes: Tensor, targets: Tensor, lengths: Tensor | None, grad: Tensor, time_constant: float, length: int | None
) -> Tensor:
    y = mask_steps(_filtered(spikes - targets, time_constant, length), lengths)
    y = 2 * y * grad.reshape(-1, *[1] * (y.ndim - 1))
    return _filtered(y.flip(-1), time_constant, length).flip(-1)


def _filtered(x: Tensor, time_constant: float, length: int | None) -> Tensor:
    rows = x.reshape(1, -1, x.shape[-1])
    if length is None:
        y = low_pass(rows, x.new_full((1,), time_constant), x.new_zeros(rows.shape[:-1]))
    else:
        heard = min(length, x.shape[-1])
        kernel = torch.exp(-torch.arange(heard, dtype=x.dtype, device=x.device) / time_constant)
        y = fir(with_past(rows, heard - 1), kernel[None])
    return y.reshape(x.shape)


class _Filter(NamedTuple):
    """What the kernels are told about the filter: they get the fields in this order."""

    chunk: int
    decay: float
    cut: float
    length: int

    def chunks(self, steps: int) -> int:
        return -(-steps // self.chunk)


def _filter(steps: int, time_constant: float, length: int | None) -> _Filter:
    cut = 0.0 if length is None or length >= steps else math.exp(-length / time_constant)
    heard = length if length is not None and cut > NEGLIGIBLE else 0
    return _Filter(min(steps, max(CHUNK, heard)), math.exp(-1 / time_constant), cut if heard else 0.0, heard)


def _checkpoints(spikes: Tensor, time_constant: float, length: int | None) -> Tensor:
    chunks = _filter(spikes.shape[-1], time_constant, length).chunks(spikes.shape[-1])
    return torch.empty(chunks - 1, *spikes.shape[:-1], dtype=torch.float64, device=spikes.device)


def _losses(
    spikes: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    time_constant: float,
    length: int | None,
    largest: float,
    caller: str,
) -> tuple[Tensor, Tensor]:
    checkpoints = _checkpoints(spikes, time_constant, length)
    if not runs_on_cpu_kernels(spikes, targets):
        return _composed(spikes, targets, lengths, time_constant, length), checkpoints.fill_(math.nan)
    losses = torch.empty(spikes.shape[:-1], dtype=torch.float64)
    arguments, work = _arguments(spikes, targets, lengths, checkpoints, time_constant, length)
    status = tiles.check_memory(_kernel(spikes.dtype, *arguments, largest, losses, **work))
    for name, x in (("spikes", spikes), ("targets", targets)):
        if status:
            check_finite(caller, name, x)
            check_values(caller, name, x, -largest, largest)
    return losses.flatten(1).sum(1).to(spikes.dtype), checkpoints


def _gradient(
    spikes: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    checkpoints: Tensor,
    grad: Tensor,
    time_constant: float,
    length: int | None,
) -> Tensor:
    """With respect to the spikes; that of the targets is its negative."""
    known = not checkpoints.numel() or not bool(checkpoints.reshape(-1)[0].isnan())
    if not (known and runs_on_cpu_kernels(spikes, targets)):
        composed = _composed_gradient(spikes, targets, lengths, grad, time_constant, length)
        return layout.in_order_of(spikes, composed)
    arguments, work = _arguments(spikes, targets, lengths, checkpoints, time_constant, length)
    grad_spikes = memory.empty_like(arguments[0])
    tiles.check_memory(_backward_kernel(spikes.dtype, *arguments, grad.contiguous(), grad_spikes, **work))
    return grad_spikes


def _arguments(
    spikes: Tensor,
    targets: Tensor,
    lengths: Tensor | None,
    checkpoints: Tensor,
    time_constant: float,
    length: int | None,
) -> tuple[list[Any], dict[str, int]]:
    """What both kernels get first, and how much work there is."""
    spikes = layout.dense(spikes)
    targets = tiles.dense_as(spikes, targets)
    rows = tiles.rows_of(spikes)
    filtered = _filter(rows.steps, time_constant, length)
    sample = max(1, rows.rows // max(1, spikes.shape[0]))
    lengths = None if lengths is None else lengths.contiguous()
    work = {"blocks": rows.blocks, "elements": spikes.numel()}
    return [spikes, targets, *rows, *filtered, lengths, sample, checkpoints], work


_forward = operator(
    "spike_time(Tensor spikes, Tensor targets, Tensor? lengths, float time_constant, int? length, float largest, "
    "str caller) -> (Tensor, Tensor)",
    _losses,
    lambda spikes, targets, lengths, time_constant, length, *_: (
        spikes.new_empty(spikes.shape[0]),
        _checkpoints(spikes, time_constant, length),
    ),
)
_backward = operator(
    "spike_time_gradient(Tensor spikes, Tensor targets, Tensor? lengths, Tensor checkpoints, Tensor grad, "
    "float time_constant, int? length) -> Tensor",
    _gradient,
    lambda spikes, *_: layout.empty_like(spikes),
)
