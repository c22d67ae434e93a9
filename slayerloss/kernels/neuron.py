"""The neuron kernels as torch operators with gradients, on (T, N, C, ...).

To torch.compile and torch.export each operator is one node: they do not look into its loop over time. The operators are
registered through torch.library.Library, which does not import dynamo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss.kernels import reference
from slayerloss.kernels.precision import full_precision

_library = torch.library.Library("slayerloss", "DEF")


def _operator(signature: str, kernel: Callable[..., Any], results: int) -> Callable[..., Any]:
    """Register `kernel`, whose results look like its first argument, and return the operator."""
    if not hasattr(torch.library, "register_fake"):  # torch 2.3
        return kernel

    def fake(x: Tensor, *_: Any) -> Any:
        like_x = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(results))
        return like_x if results > 1 else like_x[0]

    name = kernel.__name__
    returned = ", ".join(["Tensor"] * results)
    _library.define(f"{name}({signature}) -> " + (f"({returned})" if results > 1 else returned))
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"slayerloss::{name}", fake, lib=_library)
    operator: Callable[..., Any] = getattr(torch.ops.slayerloss, name)
    return operator


_leaky_integrator = _operator("Tensor x, Tensor keep, Tensor state, float scale", reference.leaky_integrator, 1)
_integrate_and_fire = _operator(
    "Tensor x, Tensor keep, float threshold, Tensor state, float scale", reference.integrate_and_fire, 1
)
_leaky_adjoint = _operator("Tensor grad, Tensor keep", reference.leaky_adjoint, 1)
_recurrent_cuba = _operator(
    "Tensor x, Tensor feedback, Tensor keep_u, Tensor keep_v, Tensor u, Tensor v, Tensor s, "
    "Tensor? bias, float threshold, float scale, bool graded",
    reference.recurrent_cuba,
    3,
)
_recurrent_cuba_adjoint = _operator(
    "Tensor grad_u, Tensor grad_v, Tensor grad_s, Tensor slope, Tensor feedback, Tensor keep_u, Tensor keep_v",
    reference.recurrent_cuba_adjoint,
    2,
)


def _before(first: Tensor, later: Tensor) -> Tensor:
    """The sequence one step earlier: `first`, then all but the last of `later`, (T, N, C, ...)."""
    return torch.cat([first[None], later[:-1]])


def _after_reset(v: Tensor, threshold: float) -> Tensor:
    return v.masked_fill(v > threshold, 0)


class LeakyIntegrator(torch.autograd.Function):
    """(x, keep, state, state_scale) -> u, as `reference.leaky_integrator`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, state: Tensor, state_scale: float) -> Tensor:
        u: Tensor = _leaky_integrator(x, keep, state, state_scale)
        ctx.save_for_backward(keep, *((state, u) if ctx.needs_input_grad[1] else ()))
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        keep, *states = ctx.saved_tensors
        g = _leaky_adjoint(grad, keep.to(grad.dtype))
        grad_keep = (g * _before(*states)).sum_to_size(keep.shape) if states else None
        return g, grad_keep, g[0] * keep, None


class IntegrateAndFire(torch.autograd.Function):
    """(x, keep, threshold, state, state_scale) -> v before the reset, as `reference.integrate_and_fire`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, threshold: float, state: Tensor, state_scale: float) -> Tensor:
        v: Tensor = _integrate_and_fire(x, keep, threshold, state, state_scale)
        ctx.threshold = threshold
        ctx.save_for_backward(keep, *((state, v) if ctx.needs_input_grad[1] else ()))
        return v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        keep, *states = ctx.saved_tensors
        g = _leaky_adjoint(grad, keep.to(grad.dtype))
        grad_keep = None
        if states:
            state, v = states
            grad_keep = (g * _before(state, _after_reset(v, ctx.threshold))).sum_to_size(keep.shape)
        return g, grad_keep, None, g[0] * keep, None


class Spike(torch.autograd.Function):
    """(voltage, threshold, tau, scale, graded) -> spikes; any shape."""

    @staticmethod
    def forward(ctx: Any, voltage: Tensor, threshold: float, tau: float, scale: float, graded: bool) -> Tensor:
        ctx.save_for_backward(voltage)
        ctx.constants = threshold, tau, scale, graded
        return reference.fired(voltage, threshold, graded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (voltage,) = ctx.saved_tensors
        return reference.surrogate(voltage, *ctx.constants).mul_(grad), None, None, None, None


class RecurrentCuba(torch.autograd.Function):
    """(x, feedback, ..., bias, (threshold, tau, scale, graded), state_scale) -> u, v, s, as in the reference."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        feedback: Tensor,
        keep_u: Tensor,
        keep_v: Tensor,
        u0: Tensor,
        v0: Tensor,
        s0: Tensor,
        bias: Tensor | None,
        constants: tuple[float, float, float, bool],
        state_scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        threshold, _, _, graded = constants
        run = _recurrent_cuba(x, feedback, keep_u, keep_v, u0, v0, s0, bias, threshold, state_scale, graded)
        ctx.save_for_backward(feedback, keep_u, keep_v, u0, v0, s0, *run)
        ctx.constants = constants
        u, v, s = run
        return u, v, s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        feedback, keep_u, keep_v, u0, v0, s0, u, v, s = ctx.saved_tensors
        slope = reference.surrogate(v, *ctx.constants)
        keeps = keep_u.to(v.dtype), keep_v.to(v.dtype)
        g_u, g_v = _recurrent_cuba_adjoint(*grads, slope, feedback, *keeps)
        with full_precision(g_u):
            grad_feedback = g_u.flatten(0, 1).T @ _before(s0, s).flatten(0, 1)
            grad_s0 = g_u[0] @ feedback
        grad_keep_u = (g_u * _before(u0, u)).sum_to_size(keep_u.shape)
        grad_keep_v = (g_v * _before(v0, _after_reset(v, ctx.constants[0]))).sum_to_size(keep_v.shape)
        grad_states = g_u[0] * keep_u, g_v[0] * keep_v, grad_s0
        grad_bias = g_v.sum((0, 1)) if ctx.needs_input_grad[7] else None
        return g_u, grad_feedback, grad_keep_u, grad_keep_v, *grad_states, grad_bias, None, None
