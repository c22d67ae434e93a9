"""Delays in time: a fixed shift of everything, and a delay of its own for each channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss._check import (
    check_events,
    check_finite,
    check_flag,
    check_integer,
    check_same_device,
    check_shape,
    check_state,
    check_tensor,
    check_values,
)
from slayerloss.functional.events import promote
from slayerloss.kernels.filters import with_past

MAX_DELAY = 62
"""The longest axonal delay of the chip, in steps."""
LONGEST_DELAY = 2**16
"""Steps; longer delays are refused, since every step of the longest one is kept in the state."""


def _with_history(function: str, x: Tensor, steps: int, state: Tensor | None) -> Tensor:
    """x with the `steps` steps before it in front, time first in memory."""
    if state is not None:
        check_tensor(function, "state", state, min_ndim=1, layout="(N, C, ..., S)")
        check_state(function, "state", state, (*x.shape[:-1], state.shape[-1]), x)
        state = state.movedim(-1, 0)
    return with_past(x.movedim(-1, 0), steps, state, dim=0).movedim(0, -1)


def shift(x: Tensor, steps: int = 1, *, state: Tensor | None = None, return_state: bool = False) -> Any:
    """Delay everything by a number of steps.

    y[t] = x[t - steps]

    Args:
        x: (N, C, ..., T).
        steps: in [0, 2^16].
        state: (N, C, ..., S), the steps before x; None for silence.
        return_state: also return the state after the run.

    Returns:
        Of the shape of x, and with `return_state` the state (N, C, ..., steps). Integers and bool give the default
        float dtype. Differentiable.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> shift(torch.tensor([[[1.0, 2.0, 3.0]]]))
        tensor([[[0., 1., 2.]]])
    """
    check_events("shift", x, "x")
    check_flag("shift", "return_state", return_state)
    padded = _with_history("shift", promote(x), check_integer("shift", "steps", steps, 0, LONGEST_DELAY), state)
    y = padded.narrow(-1, 0, x.shape[-1])
    return (y, padded.narrow(-1, x.shape[-1], steps)) if return_state else y


def _rows(start: Tensor, num_rows: int, shape: torch.Size) -> Tensor:
    """The indices that gather, for channel c, `num_rows` rows of (T, N, C, ...) from row start[c] on."""
    rows = torch.arange(num_rows, device=start.device)[:, None] + start
    return rows.reshape(num_rows, 1, -1, *[1] * (len(shape) - 3)).expand(num_rows, *shape[1:])


class _DelayChannels(torch.autograd.Function):
    """(rows, delay) -> y on (T, N, C, ...); `past` of the rows lie before the run, more than any delay has steps."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, delay: Tensor, past: int) -> Tensor:
        whole = delay.detach().clamp(0, past - 1).floor().long()
        y = rows.gather(0, _rows(past - 1 - whole, rows.shape[0] - past + 1, rows.shape))
        ctx.past = past
        ctx.save_for_backward(whole, *([y] if ctx.needs_input_grad[1] else []))
        return y[1:]  # row 0 is the step before the run, for the slope in time

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        whole, *saved = ctx.saved_tensors
        silence = grad.new_zeros(ctx.past, *grad.shape[1:])
        padded = torch.cat([silence, grad, silence])
        back = padded.gather(0, _rows(whole, ctx.past + grad.shape[0], padded.shape))
        grad_delay = None
        if saved:
            grad_delay = -(grad * saved[0].diff(dim=0)).sum(dim=[0, 1, *range(3, grad.ndim)])
        return back, grad_delay, None


def delay(
    x: Tensor,
    delays: Tensor,
    *,
    longest: int | None = None,
    state: Tensor | None = None,
    return_state: bool = False,
) -> Any:
    """Delay each channel by its own number of steps, cut to whole ones.

    y[c, t] = x[c, t - floor(delays[c])]; backward dy/ddelays[c] = -(y[c, t] - y[c, t-1])

    Args:
        x: (N, C, ..., T), any real dtype.
        delays: (C,), in steps, in [0, 2^16].
        longest: the whole steps that no delay exceeds, in [0, 2^16], where they are known; a longer delay is cut to
            them where its value is not checked. None: taken from `delays`, for which a GPU waits.
        state: (N, C, ..., S), the steps before x; None for silence.
        return_state: also return the state after the run.

    Returns:
        Of the shape of x, and with `return_state` the state (N, C, ..., S), S one more than the longest delay. Integers
        and bool give the default float dtype. Differentiable with respect to x, state and delays.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> delay(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), torch.tensor([0.0, 2.5]))
        tensor([[[1., 2., 3.],
                 [0., 0., 4.]]])
    """
    check_events("delay", x, "x")
    check_flag("delay", "return_state", return_state)
    check_tensor("delay", "delays", delays)
    check_shape("delay", "delays", delays, (x.shape[1],), "One delay per channel")
    check_same_device("delay", "delays", delays, "x", x)
    check_finite("delay", "delays", delays)
    if state is not None:
        check_tensor("delay", "state", state, min_ndim=1, layout="(N, C, ..., S)")
    bound = LONGEST_DELAY if longest is None else check_integer("delay", "longest", longest, 0, LONGEST_DELAY)
    check_values("delay", "delays", delays.detach().floor(), 0, bound)
    if longest is None:
        longest = min(max(0, int(delays.detach().max())), bound) if delays.numel() else 0
    past = longest + 1
    if not return_state:  # after that many steps there is only silence
        past = min(past, x.shape[-1] + (0 if state is None else state.shape[-1]) + 1)
    padded = _with_history("delay", promote(x), past, state)
    y: Tensor = _DelayChannels.apply(padded.movedim(-1, 0), delays, past).movedim(0, -1)
    return (y, padded.narrow(-1, x.shape[-1], past)) if return_state else y
