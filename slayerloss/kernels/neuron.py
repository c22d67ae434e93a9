"""The neurons as differentiable functions of (N, C, ..., T), float32 or float64.

Where torch.func looks at what runs, they are compositions of torch operations, with the same values and gradients.
`keep` is 1 - decay: multiples of 1/4096 in float64, of shape (1,) or (C,). `lsb` is the number of state LSBs per unit
of the input; `caller` is the function that an error names.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels import neuron_operators as operators
from slayerloss.kernels import reference
from slayerloss.kernels.cpu.layout import is_time_first
from slayerloss.kernels.operator import differentiable_gradients, is_transformed
from slayerloss.kernels.spike import spiking

Gradients = tuple[Tensor | None, ...]


class LeakyIntegrator(torch.autograd.Function):
    """(x, keep, state, lsb, caller) -> u, as `reference.leaky_integrator`."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        x, keep, state, *_ = args
        return _smooth_filter(x, keep, state, operators.leaky_integrator(*args), math.inf)

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, state: Tensor | None, lsb: float, caller: str) -> Tensor:
        u: Tensor = operators.leaky_integrator(x, keep, state, lsb, caller)
        _save(ctx, x, keep, state, u)
        return u

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        return *_filter_gradients(ctx, grad, math.inf), None, None


class IntegrateAndFire(torch.autograd.Function):
    """(x, keep, state, threshold, lsb, caller) -> v before the reset, as `reference.integrate_and_fire`."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        x, keep, state, threshold, *others = args
        values = operators.integrate_and_fire(x, keep, threshold, state, *others)
        return _smooth_filter(x, keep, state, values, threshold)

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, keep: Tensor, state: Tensor | None, threshold: float, lsb: float, caller: str
    ) -> Tensor:
        v: Tensor = operators.integrate_and_fire(x, keep, threshold, state, lsb, caller)
        ctx.threshold = threshold
        _save(ctx, x, keep, state, v)
        return v

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        return *_filter_gradients(ctx, grad, ctx.threshold), None, None, None


def _save(ctx: Any, x: Tensor, keep: Tensor, first: Tensor | None, states: Tensor) -> None:
    """What the gradients of a filter need: x and its states only where the decay learns, whose gradient they are in."""
    learns = ctx.needs_input_grad[1]
    ctx.save_for_backward(x if learns else None, keep, first, states if learns else None)


def _filter_gradients(ctx: Any, grad: Tensor, threshold: float) -> Gradients:
    """With respect to x, keep and the first state of a filter that is reset where it is above the threshold."""
    x, keep, first, states = ctx.saved_tensors
    if torch.is_grad_enabled():
        values = torch.zeros_like(grad) if states is None else states
        inputs = [torch.zeros_like(grad, requires_grad=True) if x is None else x, keep, first, values, threshold]
        needed = [*ctx.needs_input_grad[:3], False, False]
        return tuple(differentiable_gradients(_smooth_filter, inputs, needed, grad)[:3])
    grad_x, grad_first, grad_keep = operators.leaky_adjoint(grad, keep, states, first, threshold)
    return grad_x, None if states is None else grad_keep, grad_first if ctx.needs_input_grad[2] else None


def _smooth_filter(x: Tensor, keep: Tensor, first: Tensor | None, values: Tensor, threshold: float) -> Tensor:
    channel = operators.per_channel(keep.to(x.dtype), x)
    y, _ = reference.smooth_filter(x.movedim(-1, 0), channel, first, values.movedim(-1, 0), threshold)
    return y.movedim(0, -1)


class Cuba(torch.autograd.Function):
    """The whole neuron: spikes, and current and voltage after the run.

    (x, keep_current, keep_voltage, current, voltage, (threshold, tau, scale, graded), lsb, caller); without
    `keep_current` x is the current. For the backward pass three bytes of each voltage are kept, and x.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        return composed_cuba(*args)

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        keep_current: Tensor | None,
        keep_voltage: Tensor,
        current: Tensor | None,
        voltage: Tensor | None,
        constants: tuple[float, float, float, bool],
        lsb: float,
        caller: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        threshold, _, _, graded = constants
        given = x, keep_current, keep_voltage, current, voltage
        needed = ctx.needs_input_grad
        keeps = operators.FOR_DECAYS if any(needed[1:3]) else operators.FOR_INPUT if any(needed) else operators.NOTHING
        spikes, last_current, last_voltage, voltages = operators.cuba(*given, threshold, lsb, graded, keeps, caller)
        ctx.set_materialize_grads(False)
        ctx.constants, ctx.lsb, ctx.time_first = constants, lsb, is_time_first(x)
        ctx.save_for_backward(*given, voltages)
        return spikes, last_current, last_voltage

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_current: Tensor | None, grad_voltage: Tensor | None) -> Gradients:
        *given, voltages = ctx.saved_tensors
        x, keep_current = given[:2]
        grad = torch.zeros_like(x) if grad is None else grad
        threshold, tau, scale, graded = ctx.constants
        if torch.is_grad_enabled():
            silence = torch.zeros(x.shape[:-1], dtype=x.dtype, device=x.device)
            grads = [grad, *(silence if g is None else g for g in (grad_current, grad_voltage))]
            inputs, needed = [*given, ctx.constants, ctx.lsb], [*ctx.needs_input_grad[:5], False, False]
            return *differentiable_gradients(_smooth_cuba, inputs, needed, grads), None
        learns = any(ctx.needs_input_grad[1:3])
        grad_x, grad_u, grad_v, grad_keep_u, grad_keep_v = operators.cuba_gradients(
            *(x, grad, grad_current, grad_voltage, *given[1:], voltages),
            *(threshold, ctx.lsb, tau, scale, graded, learns, ctx.time_first),
        )
        keeps = (grad_keep_u if keep_current is not None else None, grad_keep_v) if learns else (None, None)
        states = (g if need else None for g, need in zip((grad_u, grad_v), ctx.needs_input_grad[3:5], strict=True))
        return grad_x, *keeps, *states, None, None, None


def composed_cuba(
    x: Tensor,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    constants: tuple[float, float, float, bool],
    lsb: float,
    caller: str,
    through_reset: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """`Cuba` as a composition of torch operations; without `through_reset` no gradient flows back beyond a spike."""
    threshold, tau, scale, graded = constants
    v, *last = _smooth_states(x, keep_current, keep_voltage, current, voltage, threshold, lsb, through_reset)
    return spiking(v, threshold, tau, scale, graded).movedim(0, -1), last[0], last[1]


def _smooth_cuba(
    x: Tensor,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    constants: tuple[float, float, float, bool],
    lsb: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`Cuba` as a composition of torch operations that has its gradients, of any order."""
    threshold, tau, scale, graded = constants
    v, *last = _smooth_states(x, keep_current, keep_voltage, current, voltage, threshold, lsb)
    return reference.smooth_spike(v, threshold, tau, scale, graded).movedim(0, -1), last[0], last[1]


def _smooth_states(
    x: Tensor,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    threshold: float,
    lsb: float,
    through_reset: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The voltages (T, N, C, ...), and current and voltage after the run, as a composition of torch operations."""
    with torch.no_grad():
        values = operators.leaky_integrator(x, keep_current, current, lsb, "cuba") if keep_current is not None else x
        fired = operators.integrate_and_fire(values, keep_voltage, threshold, voltage, lsb, "cuba")
    u, last = x.movedim(-1, 0), x.new_zeros(x.shape[:-1])
    if keep_current is not None:
        channel = operators.per_channel(keep_current.to(x.dtype), x)
        u, last = reference.smooth_filter(u, channel, current, values.movedim(-1, 0), math.inf)
    channel = operators.per_channel(keep_voltage.to(x.dtype), x)
    v, last_voltage = reference.smooth_filter(u, channel, voltage, fired.movedim(-1, 0), threshold, through_reset)
    return v, last, last_voltage
