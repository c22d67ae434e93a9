"""Delays in time: a fixed shift of everything, and a delay of its own for each channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slayerloss._check import check_events, check_integer, check_range, check_shape

MAX_DELAY = 62
"""The longest axonal delay of the chip, in steps."""


def history(function: str, x: Tensor, steps: int, state: Tensor | None = None) -> Tensor:
    """Put the `steps` steps before the run in front of it: the end of the state, and silence before that.

    Args:
        function: in whose name an error is raised.
        x: (N, C, ..., T).
        steps: how many steps to put in front.
        state: (N, C, ..., S), the steps before x; None for silence.

    Returns:
        (N, C, ..., steps + T); its last `steps` steps are the state after the run.

    Example:
        >>> history("example", torch.ones(1, 1, 2), 2, torch.full((1, 1, 1), 5.0))
        tensor([[[0., 5., 1., 1.]]])
    """
    rows = x.movedim(-1, 0)
    known = 0
    parts = [rows]
    if state is not None:
        check_shape(function, "state", state, (*x.shape[:-1], state.shape[-1]), "Reset the state before another batch")
        known = min(steps, state.shape[-1])
        parts.insert(0, state.movedim(-1, 0)[state.shape[-1] - known :].to(rows))
    return torch.cat([rows.new_zeros(steps - known, *rows.shape[1:]), *parts]).movedim(0, -1)


def shift(x: Tensor, steps: int = 1, *, state: Tensor | None = None, return_state: bool = False) -> Any:
    """Delay everything by a number of steps.

    y[t] = x[t - steps]

    Args:
        x: (N, C, ..., T).
        steps: at least 0.
        state: (N, C, ..., S), the steps before x; None for silence.
        return_state: also return the state after the run.

    Returns:
        Of the shape and dtype of x, and with `return_state` the state (N, C, ..., steps). Differentiable.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> shift(torch.tensor([[[1.0, 2.0, 3.0]]]))
        tensor([[[0., 1., 2.]]])
    """
    check_events("shift", x, "x")
    padded = history("shift", x, check_integer("shift", "steps", steps, 0), state)
    y = padded.narrow(-1, 0, x.shape[-1])
    return (y, padded.narrow(-1, x.shape[-1], steps)) if return_state else y


def _step_index(delay: Tensor, num_steps: int, shape: torch.Size, direction: int) -> Tensor:
    """Rows (T, N, C, ...) to gather so that channel c moves by `direction` * delay[c] steps."""
    rows = torch.arange(num_steps, device=delay.device)[:, None] + direction * delay
    return rows.reshape(num_steps, 1, -1, *[1] * (len(shape) - 3)).expand(num_steps, *shape[1:])


class _DelayChannels(torch.autograd.Function):
    """Gathers from a history of `steps` steps in front; (T, N, C, ...) inside."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, delay: Tensor, steps: int) -> Tensor:
        rows = padded.movedim(-1, 0)
        whole = delay.detach().floor().long()
        num_steps = rows.shape[0] - steps
        y = rows.gather(0, _step_index(steps - whole, num_steps, rows.shape, 1))
        ctx.steps = steps
        ctx.save_for_backward(whole, *([rows, y] if delay.requires_grad else []))
        return y.movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        whole, *saved = ctx.saved_tensors
        g = grad.movedim(-1, 0)
        num_steps, steps = g.shape[0], ctx.steps
        # Row r of the history went to step r - (steps - delay); outside [0, T) there is nothing to collect.
        silent = g.new_zeros(steps, *g.shape[1:])
        wide = torch.cat([silent, g, silent])
        back = wide.gather(0, _step_index(whole, num_steps + steps, wide.shape, 1))
        grad_delay = None
        if saved:
            rows, y = saved
            earlier = rows.gather(0, _step_index((steps - whole - 1).clamp(min=0), 1, rows.shape, 1))
            earlier = earlier * (whole < steps).reshape(-1, *[1] * (g.ndim - 3))
            slope = y - torch.cat([earlier, y[:-1]])
            grad_delay = -(g * slope).sum(dim=[0, 1, *range(3, g.ndim)])
        return back.movedim(0, -1), grad_delay, None


def delay(
    x: Tensor,
    delay: Tensor,
    *,
    state: Tensor | None = None,
    return_state: bool = False,
) -> Any:
    """Delay each channel by its own number of steps, cut to whole ones.

    y[c, t] = x[c, t - floor(delay[c])]; backward dy/ddelay[c] = -(y[c, t] - y[c, t-1])

    Args:
        x: (N, C, ..., T), float.
        delay: (C,), float, in steps, at least 0.
        state: (N, C, ..., S), the steps before x; None for silence.
        return_state: also return the state after the run.

    Returns:
        Of the shape and dtype of x, and with `return_state` the state (N, C, ..., S), S the longest delay. Differentiable
        with respect to x, state and delay.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> delay(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), torch.tensor([0.0, 2.5]))
        tensor([[[1., 2., 3.],
                 [0., 0., 4.]]])
    """
    check_events("delay", x, "x")
    check_shape("delay", "delay", delay, (x.shape[1],), "One delay per channel")
    check_range("delay", "delay", float(delay.detach().min()), 0)
    steps = int(delay.detach().max())
    padded = history("delay", x, steps, state)
    y: Tensor = _DelayChannels.apply(padded, delay, steps)
    return (y, padded.narrow(-1, x.shape[-1], steps)) if return_state else y
