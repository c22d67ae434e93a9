"""Delays in time: a fixed shift of everything, and a delay of its own for each channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
from slayerloss.functional._space import by_channel
from slayerloss.functional.events import promote
from slayerloss.kernels.delay import delayed, last_steps

MAX_DELAY = 62
"""The longest axonal delay of the chip, in steps."""
LONGEST_DELAY = 2**16
"""Steps; longer delays are refused, since every step of the longest one is kept in the state."""


def _checked_state(function: str, state: Tensor | None, x: Tensor) -> None:
    if state is not None:
        check_tensor(function, "state", state, min_ndim=1, layout="(N, C, ..., S)")
        check_state(function, "state", state, (*x.shape[:-1], state.shape[-1]), x)


def _delayed(x: Tensor, delays: Tensor, state: Tensor | None, longest: int) -> Tensor:
    y: Tensor = by_channel(lambda x, state: delayed(x, delays, state, longest), x, state)
    return y


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
    return shift_finite(x, steps, state, return_state)


def shift_finite(x: Tensor, steps: int, state: Tensor | None = None, return_state: bool = False) -> Any:
    """`shift` of a signal that is known to be finite, or whose receiver looks."""
    check_flag("shift", "return_state", return_state)
    steps = check_integer("shift", "steps", steps, 0, LONGEST_DELAY)
    _checked_state("shift", state, x)
    x = promote(x)
    y = x if steps == 0 else _delayed(x, torch.full((1,), steps, device=x.device), state, steps)
    return (y, last_steps(x, steps, state)) if return_state else y


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
    return delay_finite(x, delays, longest, state, return_state)


def delay_finite(
    x: Tensor, delays: Tensor, longest: int | None, state: Tensor | None = None, return_state: bool = False
) -> Any:
    """`delay` of a signal that is known to be finite, or whose receiver looks."""
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
    _checked_state("delay", state, x)
    x = promote(x)
    known = 0 if state is None else state.shape[-1]
    y = _delayed(x, delays, state, min(longest, x.shape[-1] + known))  # after that many steps there is only silence
    return (y, last_steps(x, longest + 1, state)) if return_state else y
