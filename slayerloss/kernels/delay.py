"""The delay of each channel as a torch operator with gradients, on (N, C, ..., T).

The results lie in memory as the input does, where that is dense with time last or first.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.filters import with_past
from slayerloss.kernels.operator import is_transformed, operator

_delay_kernel = Kernel("delay", "pppiiiipii")
_gradients_kernel = Kernel("delay_backward", "ppppppiiiipii")


def _in_time_order(x: Tensor, time_first: bool) -> Tensor:
    """x, contiguous with time last, or first."""
    return x.movedim(-1, 0).contiguous().movedim(0, -1) if time_first else x.contiguous()


def _empty_past(like: Tensor, steps: int) -> Tensor:
    """(N, C, ..., steps), in the memory order of `like`."""
    if layout.is_time_first(like):
        return like.new_empty(steps, *like.shape[:-1]).movedim(0, -1)
    return like.new_empty(*like.shape[:-1], steps)


def _rows(start: Tensor, num_rows: int, shape: torch.Size) -> Tensor:
    """The indices that gather, for channel c, `num_rows` rows of (T, N, C, ...) from row start[c] on."""
    rows = torch.arange(num_rows, device=start.device)[:, None] + start
    return rows.reshape(num_rows, 1, -1, *[1] * (len(shape) - 3)).expand(num_rows, *shape[1:])


def _reference(x: Tensor, steps: Tensor, state: Tensor | None, longest: int) -> Tensor:
    past = None if state is None else state.movedim(-1, 0)
    rows = with_past(x.movedim(-1, 0), longest, past, dim=0)
    y = rows.gather(0, _rows((longest - steps).expand(x.shape[1]), x.shape[-1], rows.shape))
    return y.movedim(0, -1)


def _reference_gradients(
    grad: Tensor, steps: Tensor, y: Tensor | None, before: Tensor | None, longest: int, known: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compositions of differentiable operations, for second derivatives."""
    rows = grad.movedim(-1, 0)
    silence = rows.new_zeros(1, *rows.shape[1:])
    front, back = (silence.expand(size, *rows.shape[1:]) for size in (known, longest))
    padded = torch.cat([front, rows, back])  # row r is step r - known
    start = steps.expand(grad.shape[1])
    given = padded.gather(0, _rows(start, known + grad.shape[-1], padded.shape)).movedim(0, -1)
    grad_state, grad_x = given.split([known, grad.shape[-1]], -1)
    if y is None:
        return grad_x, grad_state, grad.new_empty(0)
    earlier = torch.zeros_like(y[..., :1]) if before is None else before[..., None]
    slope = y.diff(dim=-1, prepend=earlier)
    return grad_x, grad_state, -(grad * slope).sum(dim=[0, *range(2, grad.ndim)])


def _delay(x: Tensor, steps: Tensor, state: Tensor | None, longest: int) -> Tensor:
    if not runs_on_cpu_kernels(x):
        return layout.in_order_of(x, _reference(x, steps, state, longest))
    x = layout.dense(x)
    signal, y = layout.signal(x), memory.empty_like(x)
    past = None if state is None else _in_time_order(state.to(x.dtype), signal.time_first)
    known = 0 if state is None else state.shape[-1]
    channels = (steps.contiguous(), steps.numel(), known)
    _delay_kernel(x.dtype, *(x, past, y), *signal, *channels, blocks=signal.blocks, elements=x.numel())
    return y


def _delay_gradients(
    grad: Tensor, steps: Tensor, y: Tensor | None, before: Tensor | None, longest: int, known: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to x, the `known` steps of the state and, given y and the step before, the delays."""
    if not runs_on_cpu_kernels(grad):
        grad_x, grad_state, grad_delays = _reference_gradients(grad, steps, y, before, longest, known)
        past = _empty_past(grad, known).copy_(grad_state)
        return layout.in_order_of(grad, grad_x.clone()), past, grad_delays
    grad = layout.dense(grad)
    signal, grad_x, grad_state = layout.signal(grad), memory.empty_like(grad), _empty_past(grad, known)
    sums = torch.empty(0 if y is None else signal.rows, dtype=torch.float64)
    _gradients_kernel(
        grad.dtype,
        *(grad, grad_x, grad_state),
        *(None if y is None else layout.in_order_of(grad, y), None if before is None else before.contiguous(), sums),
        *(*signal, steps.contiguous(), steps.numel(), known),
        blocks=signal.blocks,
        elements=grad.numel() * (1 if y is None else 2),
    )
    if y is not None:
        sums = sums.reshape(*grad.shape[:2], math.prod(grad.shape[2:-1])).sum((0, 2))
    return grad_x, grad_state, sums.to(grad.dtype)


def _fake_gradients(
    grad: Tensor, steps: Tensor, y: Tensor | None, before: Tensor | None, longest: int, known: int
) -> tuple[Tensor, Tensor, Tensor]:
    return layout.empty_like(grad), _empty_past(grad, known), grad.new_empty(0 if y is None else grad.shape[1])


_operator = operator(
    "delay(Tensor x, Tensor steps, Tensor? state, SymInt longest) -> Tensor",
    _delay,
    lambda x, steps, state, longest: layout.empty_like(x),
)
_gradients_operator = operator(
    "delay_gradients(Tensor grad, Tensor steps, Tensor? y, Tensor? before, SymInt longest, SymInt known)"
    " -> (Tensor, Tensor, Tensor)",
    _delay_gradients,
    _fake_gradients,
)


def _step_before(state: Tensor, steps: Tensor) -> Tensor:
    """(N, C, ...), what is delayed into the step before the run."""
    known = state.shape[-1]
    if known == 0:
        return state.new_zeros(state.shape[:-1])
    place = (known - 1 - steps).expand(state.shape[1]).reshape(-1, *[1] * (state.ndim - 2))
    step = state.gather(-1, place.clamp(min=0).expand(*state.shape[:-1], 1)).squeeze(-1)
    return torch.where(place.squeeze(-1) >= 0, step, torch.zeros_like(step))


def _whole(delays: Tensor, longest: int) -> Tensor:
    return delays.detach().clamp(0, longest).floor().long().clamp(0, longest)  # NaN is no step either


def _composed(x: Tensor, delays: Tensor, state: Tensor | None, longest: int) -> Tensor:
    """`_Delay` as a composition of torch operations that has its gradients, for torch.func."""
    steps = _whole(delays, longest)
    y = _reference(x, steps, state, longest)
    earlier = torch.zeros_like(y[..., :1]) if state is None else _step_before(state.to(y.dtype), steps)[..., None]
    if not delays.is_floating_point():
        return y
    moved = (delays - delays.detach()).to(y.dtype).reshape(-1, *[1] * (x.ndim - 2))  # zero
    return y - moved * (y - torch.cat([earlier, y[..., :-1]], -1))


class _Delay(torch.autograd.Function):
    """(x, delays, state, longest) -> y. Of the delays' gradient, y is kept: it is the neurons' input anyway."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        return _composed(*args) if is_transformed() else super().apply(*args)

    @staticmethod
    def forward(ctx: Any, x: Tensor, delays: Tensor, state: Tensor | None, longest: int) -> Tensor:
        steps = _whole(delays, longest)
        y: Tensor = _operator(x, steps, state, longest)
        ctx.longest, ctx.known = longest, 0 if state is None else state.shape[-1]
        learns = ctx.needs_input_grad[1]
        ctx.save_for_backward(steps, *([y] if learns else []), *([] if state is None or not learns else [state]))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        steps, *saved = ctx.saved_tensors
        y = saved[0] if saved else None
        before = _step_before(saved[1].to(grad.dtype), steps) if len(saved) > 1 else None
        gradients = _reference_gradients if torch.is_grad_enabled() else _gradients_operator
        grad_x, grad_state, grad_delays = gradients(grad, steps, y, before, ctx.longest, ctx.known)
        to_state = ctx.needs_input_grad[2]
        return grad_x, None if y is None else grad_delays, grad_state if to_state else None, None


def delayed(x: Tensor, delays: Tensor, state: Tensor | None, longest: int) -> Tensor:
    """Delay each channel by its own number of whole steps.

    y[c, t] = x[c, t - floor(delays[c])]; backward dy/ddelays[c] = -(y[c, t] - y[c, t-1])

    Args:
        x: (N, C, ..., T), float.
        delays: (C,), or (1,) for all channels, any real dtype; cut to [0, longest].
        state: (N, C, ..., S), the steps before x; None for silence.
        longest: in steps.

    Returns:
        (N, C, ..., T). Gradients go to x, state and delays, and can be derived again.

    Example:
        >>> delayed(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([1]), None, 1)
        tensor([[[0., 1., 2.]]])
    """
    half = x.dtype in (torch.float16, torch.bfloat16)  # of which there are no kernels
    y: Tensor = _Delay.apply(x.float() if half else x, delays, state, longest)
    return y.to(x.dtype)


def last_steps(x: Tensor, steps: int, state: Tensor | None) -> Tensor:
    """(N, C, ..., steps), the end of x, with the state and silence before it; in memory of its own.

    Example:
        >>> last_steps(torch.ones(1, 1, 2), 3, torch.tensor([[[4.0, 5.0]]]))
        tensor([[[5., 1., 1.]]])
    """
    missing = steps - x.shape[-1]
    if missing <= 0:
        return x.narrow(-1, -missing, steps).clone(memory_format=torch.preserve_format)
    past = None if state is None else state.movedim(-1, 0)
    return with_past(x.movedim(-1, 0), missing, past, dim=0).movedim(0, -1)
