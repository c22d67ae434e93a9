"""The spike at a phase as a differentiable function of (..., T), float32 or float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import is_transformed, operator
from slayerloss.kernels.reference import one_step_before

SPAN = 1 << 14
"""Elements of a block; as in src/phase_spike.cpp."""

_kernel = Kernel("phase_spike", "ppppiiidi")
_adjoint_kernel = Kernel("phase_spike_adjoint", "pppppidddi")


class PhaseSpike(torch.autograd.Function):
    """(real, imag, threshold, before, tau, scale, graded) -> spikes; `threshold` is a number, or broadcasts.

    `before` (...) is the imaginary part before the first step, or None for zero. Where torch.func looks at what runs,
    and with a threshold that broadcasts, it is a composition of torch operations.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        return _composed(*args) if is_transformed() else super().apply(*args)

    @staticmethod
    def forward(
        ctx: Any,
        real: Tensor,
        imag: Tensor,
        threshold: float | Tensor,
        before: Tensor | None,
        tau: float,
        scale: float,
        graded: bool,
    ) -> Tensor:
        varies = isinstance(threshold, Tensor)
        ctx.save_for_backward(real, imag, threshold if varies else None)
        ctx.threshold = None if varies else threshold
        ctx.constants = tau, scale, graded
        spikes: Tensor = (_fired if varies else _forward)(real, imag, before, threshold, graded)
        return spikes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        real, imag, threshold = ctx.saved_tensors
        if threshold is None and not torch.is_grad_enabled():
            return *_gradients(grad, real, imag, ctx.threshold, *ctx.constants), *[None] * 5
        threshold = ctx.threshold if threshold is None else threshold
        of_real, of_imag = (slope * grad for slope in surrogate(real, imag, threshold, *ctx.constants))
        of_threshold = -of_real.sum_to_size(threshold.shape) if ctx.needs_input_grad[2] else None
        return of_real, of_imag, of_threshold, *[None] * 4


def _composed(
    real: Tensor,
    imag: Tensor,
    threshold: float | Tensor,
    before: Tensor | None,
    tau: float,
    scale: float,
    graded: bool,
) -> Tensor:
    """`PhaseSpike` with its first derivatives, for torch.func."""
    of_real, of_imag = (slope.detach() for slope in surrogate(real, imag, threshold, tau, scale, graded))
    smooth = of_real * (real - threshold) + of_imag * imag
    return _fired(real, imag, before, threshold, graded).detach() + (smooth - smooth.detach())


def phases(real: Tensor, imag: Tensor, threshold: float | Tensor, before: Tensor | None) -> Tensor:
    """Where the imaginary part comes up through zero while the real part is at the threshold or above.

    In the memory order of the state; `before` is the imaginary part before the first step, which broadcasts, or None.
    """
    below = (imag < 0).movedim(-1, 0)
    first = torch.zeros_like(below[0]) if before is None else (before < 0).expand(below.shape[1:])
    return (imag >= 0) & (real >= threshold) & one_step_before(first, below).movedim(0, -1)


def surrogate(
    real: Tensor, imag: Tensor, threshold: float | Tensor, tau: float, scale: float, graded: bool
) -> tuple[Tensor, Tensor]:
    """The derivatives that stand for those of step(real - threshold) delta(imag), both made smooth over tau.

    They are differentiable themselves.
    """
    distance = real - threshold
    near_real = (distance.clamp(max=0) / tau).exp() if graded else (distance.abs() / -tau).exp() / (2 * tau)
    near_imag = (imag.abs() / -tau).exp() * (scale / (2 * tau))
    step = (1 + distance.sign() * (1 - 2 * tau * near_real)) / 2
    return near_real * near_imag, -imag.sign() * near_imag * step / tau


def _fired(real: Tensor, imag: Tensor, before: Tensor | None, threshold: float | Tensor, graded: bool) -> Tensor:
    fires = phases(real, imag, threshold, before)
    return real.masked_fill(~fires, 0) if graded else fires.to(real.dtype)


def _spikes(real: Tensor, imag: Tensor, before: Tensor | None, threshold: float, graded: bool) -> Tensor:
    if not runs_on_cpu_kernels(real, imag) or not real.numel():
        return layout.in_order_of(real, _fired(real, imag, before, threshold, graded))
    real = layout.dense(real)
    signal, y = layout.signal(real), memory.empty_like(real)
    _kernel(
        real.dtype,
        *(real, layout.in_order_of(real, imag), None if before is None else before.to(real.dtype).contiguous(), y),
        *(signal.rows, signal.steps, signal.time_first, threshold, graded),
        blocks=-(-real.numel() // SPAN),
        elements=real.numel(),
    )
    return y


def _slopes(
    grad: Tensor, real: Tensor, imag: Tensor, threshold: float, tau: float, scale: float, graded: bool
) -> tuple[Tensor, Tensor]:
    """The gradients with respect to both parts."""
    if not runs_on_cpu_kernels(grad, real, imag):
        of_real, of_imag = (slope * grad for slope in surrogate(real, imag, threshold, tau, scale, graded))
        return layout.in_order_of(real, of_real), layout.in_order_of(real, of_imag)
    real = layout.dense(real)
    results = memory.empty_like(real), memory.empty_like(real)
    _adjoint_kernel(
        real.dtype,
        *(layout.in_order_of(real, grad), real, layout.in_order_of(real, imag), *results),
        *(real.numel(), threshold, tau, scale, graded),
        blocks=-(-real.numel() // SPAN),
        elements=2 * real.numel(),
    )
    return results


_forward = operator(
    "phase_spike(Tensor real, Tensor imag, Tensor? before, float threshold, bool graded) -> Tensor",
    _spikes,
    lambda real, *_: layout.empty_like(real),
)
_gradients = operator(
    "phase_spike_gradients(Tensor grad, Tensor real, Tensor imag, float threshold, float tau, float scale, "
    "bool graded) -> (Tensor, Tensor)",
    _slopes,
    lambda _, real, *__: (layout.empty_like(real), layout.empty_like(real)),
)
