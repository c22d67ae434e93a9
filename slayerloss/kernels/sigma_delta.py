"""The sigma-delta unit as a torch operator with gradients, on (N, C, ..., T) of float32 or float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels import reference_sigma_delta as reference
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.layout import is_time_first
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.low_pass import low_pass
from slayerloss.kernels.operator import differentiable_gradients, operator
from slayerloss.kernels.reference_sigma_delta import Parameters, Slope, State

_kernel = Kernel("sigma_delta", "ppiiiiipipipppppdd")
_backward_kernel = Kernel("sigma_delta_backward", "pppiiiiipipipppppppppddd")


def running_sum(x: Tensor, initial: Tensor, caller: str) -> Tensor:
    """sum[t] = sum[t-1] + x[t] with sum[-1] = initial, added in float64; like x."""
    if tiles.is_fused(x, initial):
        return low_pass(x, x.new_full((1,), math.inf), initial, caller)  # which loses nothing
    check_finite(caller, "x", x)
    return reference.running_sum(x.movedim(-1, 0), initial).movedim(0, -1)


class _TotalOfSums(torch.autograd.Function):
    """(N, C, ..., T) -> (C,), the sum of a channel's running sums: x[t] is in as many of them as steps are left."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        steps = x.movedim(-1, 0)
        rows = steps.flatten(1).T if is_time_first(x) else x.reshape(-1, x.shape[-1])
        return (rows @ _steps_left(x)).reshape(steps.shape[1:]).sum([0, *range(2, x.ndim - 1)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        each = grad.reshape(-1, *[1] * (len(ctx.shape) - 2)) * _steps_left(grad, ctx.shape[-1])
        return each.expand(ctx.shape)


def _steps_left(x: Tensor, steps: int | None = None) -> Tensor:
    steps = x.shape[-1] if steps is None else steps
    return torch.arange(steps, 0, -1, dtype=x.dtype, device=x.device)


def total_of_sums(x: Tensor, initial: Tensor) -> Tensor:
    """(C,), the sum over all else of what `running_sum` gives."""
    total: Tensor = _TotalOfSums.apply(x)
    return total + x.shape[-1] * initial.sum([0, *range(2, initial.ndim)])


def sigma_delta(
    x: Tensor, parameters: Parameters, state: State, scale: float, slope: Slope, caller: str
) -> tuple[Tensor, State]:
    """The messages of the unit and its state after them, as `reference_sigma_delta.unit`.

    Args:
        x: (N, C, ..., T).
        parameters: threshold and offset (1,) or (C,), gain (N, C, ...), of the dtype of x.
        state: (N, C, ...) each, of the dtype of x.
        scale: messages are cut down to multiples of 1/scale.
        slope: of the threshold's gradient.
        caller: whose argument `x` this is, for the error if it holds NaN or infinity.
    """
    if tiles.is_fused(x):
        y, total, before, residual, error = _SigmaDelta.apply(x, *parameters, *state, scale, slope, caller)
        return y, State(None if state.sum is None else total, before, residual, None if state.error is None else error)
    check_finite(caller, "x", x)
    return _composed(x, parameters, state, scale, slope)


class _SigmaDelta(torch.autograd.Function):
    """(x, *parameters, *state, scale, slope, caller) -> messages, *state; empty where there is none."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, ...]:
        x, threshold, offset, gain, rectifies, total, before, residual, error, scale, slope, caller = given
        y, *after = _forward(x, threshold, offset, gain, rectifies, total, before, residual, error, scale, caller)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*after[2:])
        ctx.rectifies, ctx.scale, ctx.slope = rectifies, scale, slope
        ctx.save_for_backward(x, threshold, offset, gain, total, before, residual, error)
        return y, *after

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_sum: Tensor | None, grad_before: Tensor | None, *_: Any) -> Any:
        x, threshold, offset, gain, total, before, residual, error = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad = torch.zeros_like(x) if grad is None else grad
        silence = torch.zeros_like(before)
        grad_sum, grad_before = (silence if g is None else g for g in (grad_sum, grad_before))
        if torch.is_grad_enabled():
            inputs = [x, threshold, offset, gain, ctx.rectifies, total, before, residual, error, ctx.scale, ctx.slope]
            inputs = [y if i or y.requires_grad else y.detach().requires_grad_() for i, y in enumerate(inputs)]
            needed = [True, *needs[1:3], False, False, *needs[5:7], *[False] * 4]
            grads = [grad, grad_before, *([] if total is None else [grad_sum])]
            return *differentiable_gradients(_smooth, inputs, needed, grads), None
        state = total, before, residual, error
        g, g_sum, g_before, g_threshold, g_offset = _backward(
            *(x, grad, grad_sum, grad_before, threshold, offset, gain, ctx.rectifies, *state),
            *(*ctx.slope, needs[1], offset is not None and needs[2]),
        )
        of_parameters = g_threshold if needs[1] else None, g_offset if needs[2] else None, None, None
        of_state = g_sum if needs[5] else None, g_before if needs[6] else None, None, None
        return g, *of_parameters, *of_state, None, None, None


def _composed(x: Tensor, parameters: Parameters, state: State, scale: float, slope: Slope) -> tuple[Tensor, State]:
    y, after = reference.unit(x.movedim(-1, 0), _broadcast(parameters, x), state, scale, slope)
    return y.movedim(0, -1), after


def _smooth(x: Tensor, *given: Any) -> tuple[Tensor, ...]:
    """The results of `_composed` that have gradients."""
    *parts, scale, slope = given
    y, after = _composed(x, Parameters(*parts[:4]), State(*parts[4:]), scale, slope)
    return (y, after.before) if after.sum is None else (y, after.before, after.sum)


def _broadcast(parameters: Parameters, x: Tensor) -> Parameters:
    """Values of channels, shaped to broadcast over one step (N, C, ...)."""
    shape = -1, *[1] * (x.ndim - 3)
    threshold, offset, gain, rectifies = parameters
    return Parameters(threshold.reshape(shape), None if offset is None else offset.reshape(shape), gain, rectifies)


def _of_channels(values: Tensor) -> tuple[Tensor, int]:
    return values.contiguous(), values.numel()


def _unit(x: Tensor, threshold: Tensor, offset: Tensor | None, gain: Tensor | None) -> tuple[Any, ...]:
    """The memory of x and the parameters of its rows, as the C++ kernels take them."""
    inner = math.prod(x.shape[2:-1])
    channels = *_of_channels(threshold), *((None, 1) if offset is None else _of_channels(offset))
    return *tiles.rows_of(x), inner, *channels, gain if gain is None else gain.contiguous()


def _lowest(rectifies: bool) -> float:
    return 0.0 if rectifies else -math.inf


def _messages(
    x: Tensor,
    threshold: Tensor,
    offset: Tensor | None,
    gain: Tensor | None,
    rectifies: bool,
    total: Tensor | None,
    before: Tensor,
    residual: Tensor,
    error: Tensor | None,
    scale: float,
    caller: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The messages, and the state after them, empty for what there is none of."""
    state = State(total, before, residual, error)
    if not runs_on_cpu_kernels(x):
        parameters = Parameters(threshold, offset, gain, rectifies)
        y, after = _composed(x, parameters, state, scale, Slope(1.0, 1.0))
        y, state = layout.in_order_of(x, y), _owned(after)
    else:
        x = layout.dense(x)
        y, state = memory.empty_like(x), _owned(state)
        status = _kernel(
            *(x.dtype, x, y, *_unit(x, threshold, offset, gain), *state, _lowest(rectifies), scale),
            blocks=tiles.rows_of(x).blocks,
            elements=x.numel(),
        )
        if tiles.check_memory(status):
            check_finite(caller, "x", x)
    total, before, residual, error = (_nothing(x) if part is None else part for part in state)
    return y, total, before, residual, error


def _gradients(
    x: Tensor,
    grad: Tensor,
    grad_sum: Tensor,
    grad_before: Tensor,
    threshold: Tensor,
    offset: Tensor | None,
    gain: Tensor | None,
    rectifies: bool,
    total: Tensor | None,
    before: Tensor,
    residual: Tensor,
    error: Tensor | None,
    tau: float,
    height: float,
    of_threshold: bool,
    of_offset: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """With respect to x, sum and value before the run, threshold and offset; empty for what needs none."""
    state = State(total, before, residual, error)
    rows: Tensor | None
    offsets: Tensor | None
    if not runs_on_cpu_kernels(x):
        parameters = _broadcast(Parameters(threshold, offset, gain, rectifies), x)
        steps = x.movedim(-1, 0), grad.movedim(-1, 0)
        g, *others, rows, offsets = reference.adjoint(
            *steps, (grad_sum, grad_before), parameters, state, Slope(tau, height)
        )
        grad_x = layout.in_order_of(x, g.movedim(0, -1))
        grad_sum, grad_before = (other.contiguous() for other in others)
    else:
        x = layout.dense(x)
        grad_x = memory.empty_like(x)
        grad_sum, grad_before = _own(grad_sum), _own(grad_before)
        rows, offsets = (
            torch.empty(before.shape, dtype=torch.float64) if needed else None for needed in (of_threshold, of_offset)
        )
        status = _backward_kernel(
            *(x.dtype, x, tiles.dense_as(x, grad), grad_x, *_unit(x, threshold, offset, gain)),
            *(part if part is None else part.contiguous() for part in state),
            *(grad_sum, grad_before, rows, offsets, _lowest(rectifies), tau, height),
            blocks=tiles.rows_of(x).blocks,
            elements=x.numel(),
        )
        tiles.check_memory(status)
    return (
        *(grad_x, grad_sum if total is not None else _nothing(x), grad_before),
        _summed(rows, threshold) if of_threshold else _nothing(x),
        _summed(offsets, offset) if of_offset else _nothing(x),
    )


def _summed(rows: Tensor | None, parameter: Tensor | None) -> Tensor:
    """(N, C, ...) -> the shape and dtype of the parameter, whose values have a channel or all rows each."""
    assert rows is not None
    assert parameter is not None
    by_channel = rows.movedim(1, 0) if parameter.numel() > 1 else rows
    return by_channel.reshape(parameter.numel(), -1).sum(1).reshape(parameter.shape).to(parameter.dtype)


def _own(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)


def _owned(state: State) -> State:
    """A state that the kernel may change."""
    parts: list[Any] = [None if part is None else _own(part) for part in state]
    return State(*parts)


def _nothing(x: Tensor) -> Tensor:
    return x.new_empty(0)


def _like(part: Tensor | None, x: Tensor) -> Tensor:
    return _nothing(x) if part is None else torch.empty_like(part, memory_format=torch.contiguous_format)


_UNIT = "Tensor threshold, Tensor? offset, Tensor? gain, bool rectifies"
_STATE = "Tensor? total, Tensor before, Tensor residual, Tensor? error"
_forward = operator(
    f"sigma_delta(Tensor x, {_UNIT}, {_STATE}, float scale, str caller) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _messages,
    lambda x, threshold, offset, gain, rectifies, total, before, residual, error, *_: (
        layout.empty_like(x),
        *(_like(part, x) for part in (total, before, residual, error)),
    ),
)
_backward = operator(
    f"sigma_delta_gradients(Tensor x, Tensor grad, Tensor grad_sum, Tensor grad_before, {_UNIT}, {_STATE}, "
    "float tau, float height, bool of_threshold, bool of_offset) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _gradients,
    lambda x, grad, grad_sum, grad_before, threshold, offset, gain, rectifies, total, *rest: (
        layout.empty_like(x),
        _like(None if total is None else grad_sum, x),
        _like(grad_before, x),
        torch.empty_like(threshold) if rest[-2] else _nothing(x),
        torch.empty_like(offset) if rest[-1] else _nothing(x),
    ),
)
