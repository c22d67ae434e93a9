"""Populations that hear themselves: CUBA neurons at once, and any other step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss.kernels import reference
from slayerloss.kernels.operator import operator
from slayerloss.kernels.precision import full_precision


def _like(count: int) -> Any:
    return lambda x, *_: tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count))


_recurrent_cuba = operator(
    "recurrent_cuba(Tensor x, Tensor feedback, Tensor keep_u, Tensor keep_v, Tensor u, Tensor v, Tensor s, "
    "Tensor? bias, float threshold, float scale, bool graded) -> (Tensor, Tensor, Tensor)",
    reference.recurrent_cuba,
    _like(3),
)
_recurrent_cuba_adjoint = operator(
    "recurrent_cuba_adjoint(Tensor grad_u, Tensor grad_v, Tensor grad_s, Tensor slope, Tensor feedback, "
    "Tensor keep_u, Tensor keep_v) -> (Tensor, Tensor)",
    reference.recurrent_cuba_adjoint,
    _like(2),
)


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
            grad_feedback = g_u.flatten(0, 1).T @ reference.one_step_before(s0, s).flatten(0, 1)
            grad_s0 = g_u[0] @ feedback
        grad_keep_u = (g_u * reference.one_step_before(u0, u)).sum_to_size(keep_u.shape)
        after_reset = v.masked_fill(v > ctx.constants[0], 0)
        grad_keep_v = (g_v * reference.one_step_before(v0, after_reset)).sum_to_size(keep_v.shape)
        grad_states = g_u[0] * keep_u, g_v[0] * keep_v, grad_s0
        grad_bias = g_v.sum((0, 1)) if ctx.needs_input_grad[7] else None
        return g_u, grad_feedback, grad_keep_u, grad_keep_v, *grad_states, grad_bias, None, None


def step_by_step(
    step: Callable[[Any, Any], tuple[Tensor, Any]],
    x: Any,
    hears: Callable[[Tensor], Any],
    spikes: Tensor,
    state: Any = None,
) -> tuple[Tensor, Any]:
    """Run neurons that hear their own spikes one step later.

    s[t], state = step(x[t] + hears(s[t-1]), state)

    Args:
        step: runs the neurons for one step, from a state.
        x: (N, C, ..., T), or several such in a tuple, real and imaginary.
        hears: what spikes cause in the neurons, of the kind of x.
        spikes: (N, C, ..., 1), s[-1].
        state: of the neurons.

    Returns:
        The spikes (N, C, ..., T) and the state after them; differentiable as `step` and `hears` are.
    """
    parts = x if isinstance(x, tuple) else (x,)
    sent = []
    for now in zip(*(part.split(1, -1) for part in parts), strict=True):
        heard = hears(spikes)
        inputs = tuple(map(torch.add, now, heard if isinstance(x, tuple) else (heard,)))
        spikes, state = step(inputs if isinstance(x, tuple) else inputs[0], state)
        sent.append(spikes)
    return torch.cat(sent, -1), state
