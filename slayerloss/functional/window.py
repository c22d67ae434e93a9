"""Moving windows: the mean, sum or maximum over the last steps, at every step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import (
    HIGHEST_INTEGER,
    ShapeError,
    check_choice,
    check_finite,
    check_flag,
    check_integer,
    check_lengths,
    check_same_device,
    check_sequence,
    check_signal,
    check_state,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional.events import accumulation_dtype, mask_steps, promote
from slayerloss.kernels.filters import LONGEST_FILTER, with_past
from slayerloss.kernels.window import LARGEST, LARGEST_OF_SEEN, MEAN, SUM, reduce_windows


class WindowState(NamedTuple):
    """What a moving window remembers between two runs."""

    history: Tensor
    """(..., window-1): the last inputs, zero where there were none."""
    steps: Tensor
    """(1,), or with lengths (N,), int64: how many steps were seen."""


def moving_window(
    x: Tensor,
    window: int,
    reduce: str = "mean",
    *,
    start: str = "zero",
    lengths: Tensor | None = None,
    state: WindowState | None = None,
    return_state: bool = False,
) -> Any:
    """Reduce the last `window` steps, at every step.

    y[t] = reduce of x[t-window+1], ..., x[t]

    Args:
        x: (N, C, ..., T), any real dtype; without `lengths` any (..., T).
        window: steps, at least 1; with `return_state` at most 2^24.
        reduce: "mean", "sum" or "max". Where several steps share the maximum, they share its gradient.
        start: what lies before the first step. "zero": zeros, and the mean divides by `window`. "seen": nothing; the
            mean divides by, and the maximum looks at, the steps seen so far.
        lengths: (N,) integer, the steps of each sample; None: all T.
        state: what an earlier run returned; None: the beginning.
        return_state: also return the state after the last step (with lengths: after each sample's last step).

    Returns:
        Like x, zero after a sample's length; with `return_state` a pair of it and a WindowState. Integers and bool give
        the default float dtype; float16 and bfloat16 are summed in float32, in which the state and the result of "sum"
        are kept. The rounding error does not grow with T. Gradients run through x and the state.

    Raises:
        ArgumentError: an unknown `reduce` or `start`; a window below 1; x with NaN or infinity; a length outside
            [1, T].
        ShapeError: x has no time step; lengths is not (N,); the state belongs to another shape or window.
        DtypeError: x is not a real tensor; window or lengths is not of an integer type.

    Example:
        >>> x = torch.tensor([[[1.0, 1.0, 0.0, 1.0]]])
        >>> moving_window(x, 2)
        tensor([[[0.5000, 1.0000, 0.5000, 0.5000]]])
        >>> moving_window(x, 2, start="seen")
        tensor([[[1.0000, 1.0000, 0.5000, 0.5000]]])

    Note:
        lava-dl: `classifier.MovingWindow.rate`, float32 only, is reduce="mean" and start="zero".
    """
    name = "moving_window"
    check_flag(name, "return_state", return_state)
    window = check_integer(name, "window", window, 1, LONGEST_FILTER if return_state else HIGHEST_INTEGER)
    check_choice(name, "reduce", reduce, ("mean", "sum", "max"))
    check_choice(name, "start", start, ("zero", "seen"))
    check_signal(name, x, values=False)
    if lengths is not None:
        check_tensor(name, "x", x, min_ndim=2, layout="(N, ..., T)")
        check_lengths(name, lengths, x)
        lengths = lengths.long()
    values = promote(x).to(accumulation_dtype(x))
    if state is None and not return_state:
        reduction = {"sum": SUM, "mean": MEAN, "max": LARGEST}[reduce] + (start == "seen" and reduce != "sum")
        y = reduce_windows(values, window, reduction, lengths, name)
        return y if reduce == "sum" else y.to(promote(x).dtype)
    check_finite(name, "x", x)
    past = window - 1
    state = _silence(values, past) if state is None else _checked(state, x, window)
    seen = state.steps.reshape(-1, *[1] * (x.ndim - 1))
    padded = with_past(values, past, state.history)
    known = padded
    if reduce == "max" and start == "seen":
        age = torch.arange(past, -x.shape[-1], -1, device=x.device)  # in steps before x
        known = padded.masked_fill(age > seen, -math.inf)
    y = reduce_windows(known, window, LARGEST_OF_SEEN if reduce == "max" else SUM, None, "")
    y = y.narrow(-1, past, x.shape[-1])
    if reduce == "mean":
        steps = torch.arange(1, x.shape[-1] + 1, device=x.device)
        y = y / (window if start == "zero" else (seen + steps).clamp(max=window))
    y = mask_steps(y, lengths)
    y = y if reduce == "sum" else y.to(promote(x).dtype)
    if not return_state:
        return y
    history = _last_steps(padded, past, lengths)
    return y, WindowState(history, state.steps + (x.shape[-1] if lengths is None else lengths))


def _silence(x: Tensor, steps: int) -> WindowState:
    return WindowState(x.new_zeros(*x.shape[:-1], steps), torch.zeros(1, dtype=torch.int64, device=x.device))


def _checked(state: WindowState, x: Tensor, window: int) -> WindowState:
    name = "moving_window"
    state = WindowState(*check_sequence(name, "state", state, 2, "a WindowState"))
    check_state(name, "state.history", state.history, (*x.shape[:-1], window - 1), x)
    check_tensor(name, "state.steps", state.steps)
    if tuple(state.steps.shape) not in ((), (1,), (x.shape[0],)):
        rule = f"(1,) or ({x.shape[0]},)"
        raise ShapeError(message(name, "state.steps has the wrong shape", rule, tuple(state.steps.shape)))
    check_same_device(name, "state.steps", state.steps, "x", x)
    check_values(name, "state.steps", state.steps, 0, math.inf)
    return state


def _last_steps(padded: Tensor, remembered: int, lengths: Tensor | None) -> Tensor:
    """The last `remembered` steps of a history (N, ..., remembered + T), for each sample up to its own length."""
    if lengths is None:
        return padded.narrow(-1, padded.shape[-1] - remembered, remembered)
    last = lengths.reshape(-1, *[1] * (padded.ndim - 1)) + torch.arange(remembered, device=lengths.device)
    return padded.gather(-1, last.expand(*padded.shape[:-1], remembered))
