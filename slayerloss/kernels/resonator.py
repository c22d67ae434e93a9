"""The resonator as a torch operator with gradients, on (N, C, ..., T) of float32 or float64.

`sin` and `cos` are of the turn, multiples of 1/4096 in float64, both of shape (1,) or both (C,). `threshold` is of the
imaginary part, in state LSBs and a whole number, infinity for a state that is never reset; `lsb` is the number of state
LSBs per unit of the input; `caller` is the function that an error names. Where torch.func looks at what runs, it is a
composition of torch operations.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels import reference_resonator as reference
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, is_transformed, operator

HIGHEST = 2**31 - 1
"""A threshold that no state reaches."""

_kernel = Kernel("resonator", "ppppiiiiippippdi")
_adjoint_kernel = Kernel("resonator_adjoint", "ppppiiiiippippppppddpp")


class Resonator(torch.autograd.Function):
    """(x_real, x_imag, sin, cos, real, imag, threshold, lsb, caller) -> the states before the reset."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        x_real, x_imag, sin, cos, real, imag, threshold, lsb, _ = args
        re, im = _forward(*args)
        return _smooth(x_real, x_imag, sin, cos, real, imag, re, im, threshold / lsb, (threshold - 1) / lsb)

    @staticmethod
    def forward(
        ctx: Any,
        x_real: Tensor,
        x_imag: Tensor,
        sin: Tensor,
        cos: Tensor,
        real: Tensor | None,
        imag: Tensor | None,
        threshold: float,
        lsb: float,
        caller: str,
    ) -> tuple[Tensor, Tensor]:
        states = _forward(x_real, x_imag, sin, cos, real, imag, threshold, lsb, caller)
        learns = any(ctx.needs_input_grad[2:4])
        ctx.save_for_backward(sin, cos, real, imag, *((*states, x_real, x_imag) if learns else [None] * 4))
        ctx.constants = threshold / lsb, (threshold - 1) / lsb
        return states[0], states[1]

    @staticmethod
    def backward(ctx: Any, grad_real: Tensor, grad_imag: Tensor) -> tuple[Tensor | None, ...]:
        sin, cos, real, imag, *values = ctx.saved_tensors
        values, drives = values[:2], values[2:]
        if torch.is_grad_enabled():
            if drives[0] is None:  # on which only the gradients of the turn depend
                values = drives = torch.zeros_like(grad_real), torch.zeros_like(grad_imag)
            drives = [x if x.requires_grad else x.detach().requires_grad_() for x in drives]
            inputs = [*drives, sin, cos, real, imag, *values, *ctx.constants]
            needed = [True, True, *ctx.needs_input_grad[2:6], False, False, False, False]
            return *differentiable_gradients(_smooth, inputs, needed, (grad_real, grad_imag))[:6], None, None, None
        *found, of_sin, of_cos = _gradients(grad_real, grad_imag, sin, cos, *values, real, imag, *ctx.constants)
        turn = (None, None) if values[0] is None else (of_sin, of_cos)
        states = (g if need else None for g, need in zip(found[2:], ctx.needs_input_grad[4:6], strict=True))
        return found[0], found[1], *turn, *states, None, None, None


def _time_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 0).contiguous()


def _per_channel(turn: Tensor, x: Tensor) -> Tensor:
    """(1,) or (C,), shaped to broadcast over one step (N, C, ...)."""
    return turn.reshape(-1, *[1] * (x.ndim - 3))


def _or_zero(state: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[:-1]) if state is None else state


def _smooth(
    x_real: Tensor,
    x_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    real: Tensor | None,
    imag: Tensor | None,
    value_real: Tensor,
    value_imag: Tensor,
    threshold: float,
    reset: float,
) -> tuple[Tensor, Tensor]:
    turn = [_per_channel(part.to(x_real.dtype), x_real) for part in (sin, cos)]
    states = [_or_zero(part, x_real) for part in (real, imag)]
    x_real, x_imag, *values = (part.movedim(-1, 0) for part in (x_real, x_imag, value_real, value_imag))
    known = x_real, x_imag, values[0], values[1]
    re, im = reference.smooth_resonator(*known, turn[0], turn[1], states[0], states[1], threshold, reset)
    return re.movedim(0, -1), im.movedim(0, -1)


def _states(
    x_real: Tensor,
    x_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    real: Tensor | None,
    imag: Tensor | None,
    threshold: float,
    lsb: float,
    caller: str,
) -> tuple[Tensor, Tensor]:
    if runs_on_cpu_kernels(x_real, x_imag, real, imag) and math.frexp(lsb)[0] == 0.5:  # by which a division is exact
        x_real = layout.dense(x_real)
        results, rows = (memory.empty_like(x_real), memory.empty_like(x_real)), tiles.rows_of(x_real)
        first = (
            None if part is None else reference.whole_state(part, lsb).to(torch.int32).contiguous()
            for part in (real, imag)
        )
        status = _kernel(
            x_real.dtype,
            *(x_real, layout.in_order_of(x_real, x_imag), *results, *rows, *_turn(x_real, sin, cos), *first),
            *(lsb, int(min(threshold, HIGHEST)) - 1),
            blocks=rows.blocks,
            elements=2 * x_real.numel(),
        )
        if not tiles.check_memory(status):
            return results
    check_finite(caller, "real", x_real)
    check_finite(caller, "imag", x_imag)
    turn = _per_channel(sin, x_real), _per_channel(cos, x_real)
    states = _or_zero(real, x_real), _or_zero(imag, x_real)
    re, im = reference.resonator(_time_first(x_real), _time_first(x_imag), *turn, *states, threshold, lsb)
    return layout.in_order_of(x_real, re.movedim(0, -1)), layout.in_order_of(x_real, im.movedim(0, -1))


def _turn(x: Tensor, sin: Tensor, cos: Tensor) -> tuple[int, Tensor, Tensor, int]:
    """What the kernels are told about the channels: positions in space, the turn of each channel, how many."""
    return math.prod(x.shape[2:-1]), sin.contiguous(), cos.contiguous(), sin.numel()


def _all_gradients(
    grad_real: Tensor,
    grad_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    values_real: Tensor | None,
    values_imag: Tensor | None,
    real: Tensor | None,
    imag: Tensor | None,
    threshold: float,
    reset: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """With respect to x, the first state and the turn, which learns where there are `values`, the states."""
    learns = values_real is not None
    if not runs_on_cpu_kernels(grad_real, grad_imag):
        return _reference_gradients(
            *(grad_real, grad_imag, sin, cos, values_real, values_imag, real, imag, threshold, reset)
        )
    grad_real = layout.dense(grad_real)
    results, rows = (memory.empty_like(grad_real), memory.empty_like(grad_real)), tiles.rows_of(grad_real)
    first = [grad_real.new_empty(grad_real.shape[:-1]) for _ in range(2)]
    sums = torch.empty(2, *grad_real.shape[:-1], dtype=torch.float64) if learns else None
    given = (part if part is None else layout.in_order_of(grad_real, part) for part in (values_real, values_imag))
    status = _adjoint_kernel(
        grad_real.dtype,
        *(grad_real, layout.in_order_of(grad_real, grad_imag), *results, *rows, *_turn(grad_real, sin, cos), *first),
        *(*given, *(part if part is None else part.contiguous() for part in (real, imag)), threshold, reset),
        *((None, None) if sums is None else (sums[0], sums[1])),
        blocks=rows.blocks,
        elements=2 * grad_real.numel(),
    )
    tiles.check_memory(status)
    turn = _like_turn(sin, False) if sums is None else (_summed(sums[0], sin), _summed(sums[1], sin))
    return *results, first[0], first[1], *turn


def _summed(sums: Tensor, turn: Tensor) -> Tensor:
    """Of each neuron (N, C, ...) -> (C,), or (1,) where all channels share the turn."""
    return sums.movedim(1, 0).flatten(1).sum(1) if turn.numel() > 1 else sums.sum().reshape(1)


def _reference_gradients(
    grad_real: Tensor,
    grad_imag: Tensor,
    sin: Tensor,
    cos: Tensor,
    values_real: Tensor | None,
    values_imag: Tensor | None,
    real: Tensor | None,
    imag: Tensor | None,
    threshold: float,
    reset: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The same in plain torch."""
    turn = [_per_channel(part, grad_real).to(grad_real.dtype) for part in (sin, cos)]
    re, im = reference.resonator_adjoint(_time_first(grad_real), _time_first(grad_imag), turn[0], turn[1])
    first = reference.turned_back(re[0], im[0], turn[0], turn[1])
    of_turn = _like_turn(sin, False)
    if values_real is not None and values_imag is not None:
        after = reference.after_spike(values_real, values_imag, threshold, reset)
        befores = zip((_or_zero(part, grad_real) for part in (real, imag)), map(_time_first, after), strict=True)
        of_sin, of_cos = reference.gradients_of_turn(re, im, *befores)
        of_turn = _summed(of_sin, sin), _summed(of_cos, sin)
    in_order = [layout.in_order_of(grad_real, part.movedim(0, -1)) for part in (re, im)]
    return in_order[0], in_order[1], first[0].contiguous(), first[1].contiguous(), *of_turn


def _like_turn(turn: Tensor, learns: bool) -> tuple[Tensor, Tensor]:
    """Room for the gradients of sin and cos; none where they do not learn."""
    size = turn.numel() if learns else 0
    return turn.new_empty(size), turn.new_empty(size)


def _like_state(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[:-1])


_forward = operator(
    "resonator(Tensor x_real, Tensor x_imag, Tensor sin, Tensor cos, Tensor? real, Tensor? imag, float threshold, "
    "float lsb, str caller) -> (Tensor, Tensor)",
    _states,
    lambda x_real, *_: (layout.empty_like(x_real), layout.empty_like(x_real)),
)
_gradients = operator(
    "resonator_gradients(Tensor grad_real, Tensor grad_imag, Tensor sin, Tensor cos, Tensor? values_real, "
    "Tensor? values_imag, Tensor? real, Tensor? imag, float threshold, float reset) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _all_gradients,
    lambda grad, _, sin, cos, values, *__: (
        layout.empty_like(grad),
        layout.empty_like(grad),
        _like_state(grad),
        _like_state(grad),
        *_like_turn(sin, values is not None),
    ),
)
