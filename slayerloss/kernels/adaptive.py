"""The adaptive threshold as torch operators with gradients, on (N, C, ..., T) of float32 or float64.

`keep` is 1 - decay: multiples of 1/4096 in float64, of shape (1,) or (C,). `lsb` is the number of state LSBs per unit
of the input; `base` and `step` are multiples of 1/lsb.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels import reference_adaptive as reference
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.neuron_operators import per_channel
from slayerloss.kernels.operator import differentiable_gradients, is_transformed, operator
from slayerloss.kernels.reference import STATE_LIMIT

_forward = Kernel("adaptive_threshold", "pppiiiiipipippddd")
_backward = Kernel("adaptive_adjoint", "pppppiiiiipipippppppddd")


class AdaptiveThreshold(torch.autograd.Function):
    """(x, keep_threshold, keep_refractory, threshold, refractory, base, step, lsb, caller) -> theta, r.

    As `reference_adaptive.adaptive_threshold`. The spikes are constants, so that x has no gradient.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        x, *given, base, step, lsb, _ = args
        inputs = [*given, x, *adaptive_threshold(*args), base, step, lsb]
        return _smooth(*inputs)

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        keep_threshold: Tensor,
        keep_refractory: Tensor,
        threshold: Tensor,
        refractory: Tensor,
        base: float,
        step: float,
        lsb: float,
        caller: str,
    ) -> tuple[Tensor, Tensor]:
        given = x, keep_threshold, keep_refractory, threshold, refractory
        theta, r = adaptive_threshold(*given, base, step, lsb, caller)
        ctx.save_for_backward(*given, theta, r)
        ctx.constants = base, step, lsb
        return theta, r

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *given, theta, r = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:5]
        if torch.is_grad_enabled():
            inputs = [*given, x, theta, r, *ctx.constants]
            return None, *differentiable_gradients(_smooth, inputs, [*needed, *[False] * 6], grads)[:4], *[None] * 4
        found = adaptive_gradients(x, theta, r, *grads, *given, *ctx.constants)
        return None, *(grad if need else None for grad, need in zip(found, needed, strict=True)), *[None] * 4


def _fires(x: Tensor, theta: Tensor, r: Tensor, lsb: float) -> Tensor:
    return ((x * lsb).trunc() >= (theta + r) * lsb).to(x.dtype)


def _smooth(
    keep_threshold: Tensor,
    keep_refractory: Tensor,
    threshold: Tensor,
    refractory: Tensor,
    x: Tensor,
    theta: Tensor,
    r: Tensor,
    base: float,
    step: float,
    lsb: float,
) -> tuple[Tensor, Tensor]:
    keeps = (per_channel(keep_threshold.to(x.dtype), x), per_channel(keep_refractory.to(x.dtype), x))
    steps = [part.movedim(-1, 0) for part in (_fires(x, theta, r, lsb), theta, r)]
    found = reference.smooth_adaptive_threshold(
        steps[0], keeps, (threshold, refractory), (steps[1], steps[2]), base, step
    )
    return found[0].movedim(0, -1), found[1].movedim(0, -1)


def _serves(x: Tensor, base: float, step: float, lsb: float, *others: Tensor) -> bool:
    """Whether the C++ kernels take these values: their integers have 32 bits, and they multiply where it is exact."""
    return (
        runs_on_cpu_kernels(x, *others) and math.frexp(lsb)[0] == 0.5 and max(base, step) * lsb <= STATE_LIMIT
    ) and x.numel() > 0


def _keeps(*keeps: Tensor) -> list[Any]:
    return [part for keep in keeps for part in (keep.contiguous(), keep.numel())]


def _computed(
    x: Tensor,
    keep_threshold: Tensor,
    keep_refractory: Tensor,
    threshold: Tensor,
    refractory: Tensor,
    base: float,
    step: float,
    lsb: float,
    caller: str,
) -> tuple[Tensor, Tensor]:
    keeps, states = (keep_threshold, keep_refractory), (threshold.contiguous(), refractory.contiguous())
    if _serves(x, base, step, lsb, *states):
        x = layout.dense(x)
        theta, r, rows = memory.empty_like(x), memory.empty_like(x), tiles.rows_of(x)
        status = _forward(
            *(x.dtype, x, theta, r, *rows, math.prod(x.shape[2:-1]), *_keeps(*keeps), *states, base, step, lsb),
            blocks=rows.blocks,
            elements=2 * x.numel(),
        )
        if not tiles.check_memory(status):
            return theta, r
    check_finite(caller, "x", x)
    channels = per_channel(keep_threshold, x), per_channel(keep_refractory, x)
    found = reference.adaptive_threshold(x.movedim(-1, 0), channels, states, base, step, lsb)
    return layout.in_order_of(x, found[0].movedim(0, -1)), layout.in_order_of(x, found[1].movedim(0, -1))


def _gradients(
    x: Tensor,
    theta: Tensor,
    r: Tensor,
    grad_theta: Tensor,
    grad_r: Tensor,
    keep_threshold: Tensor,
    keep_refractory: Tensor,
    threshold: Tensor,
    refractory: Tensor,
    base: float,
    step: float,
    lsb: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With respect to the keeps, (1,) or (C,) in float64, and to the states before the run."""
    keeps, states = (keep_threshold, keep_refractory), (threshold.contiguous(), refractory.contiguous())
    if _serves(x, base, step, lsb, *states, grad_theta, grad_r):
        x = layout.dense(x)
        sources = [x, *(tiles.dense_as(x, part) for part in (theta, r, grad_theta, grad_r))]
        grads = [torch.empty_like(state) for state in states]
        sums = [torch.empty(state.shape, dtype=torch.float64) for state in states]
        rows = tiles.rows_of(x)
        status = _backward(
            *(x.dtype, *sources, *rows, math.prod(x.shape[2:-1]), *_keeps(*keeps), *states, *grads, *sums),
            *(base, step, lsb),
            blocks=rows.blocks,
            elements=2 * x.numel(),
        )
        tiles.check_memory(status)
    else:
        steps = [part.movedim(-1, 0) for part in (_fires(x, theta, r, lsb), theta, r, grad_theta, grad_r)]
        channels = per_channel(keep_threshold, x).to(x.dtype), per_channel(keep_refractory, x).to(x.dtype)
        *grads, a, b = reference.adaptive_adjoint(
            steps[0], (steps[1], steps[2]), (steps[3], steps[4]), channels, states, base, step
        )
        sums = [a, b]
    of_keeps = [
        total.sum().reshape(1) if keep.numel() == 1 else total.movedim(1, 0).flatten(1).sum(1)
        for keep, total in zip(keeps, sums, strict=True)
    ]
    return of_keeps[0], of_keeps[1], grads[0], grads[1]


adaptive_threshold = operator(
    "adaptive_threshold(Tensor x, Tensor keep_threshold, Tensor keep_refractory, Tensor threshold, Tensor refractory, "
    "float base, float step, float lsb, str caller) -> (Tensor, Tensor)",
    _computed,
    lambda x, *_: (layout.empty_like(x), layout.empty_like(x)),
)
adaptive_gradients = operator(
    "adaptive_gradients(Tensor x, Tensor theta, Tensor r, Tensor grad_theta, Tensor grad_r, Tensor keep_threshold, "
    "Tensor keep_refractory, Tensor threshold, Tensor refractory, float base, float step, float lsb) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    lambda x, theta, r, grad_theta, grad_r, keep_threshold, keep_refractory, threshold, refractory, *_: (
        torch.empty_like(keep_threshold, memory_format=torch.contiguous_format),
        torch.empty_like(keep_refractory, memory_format=torch.contiguous_format),
        torch.empty_like(threshold, memory_format=torch.contiguous_format),
        torch.empty_like(refractory, memory_format=torch.contiguous_format),
    ),
)
