"""The sigma-delta unit as a plain loop over time, on any device: the definition that the faster kernel has to equal.

Time is the FIRST axis here, (T, N, C, ...), so that a step is one contiguous block. A unit is a running sum, an offset,
a rectification, and the changes of that which reach a threshold. Thresholds and offsets broadcast over (N, C, ...).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Parameters(NamedTuple):
    """What the unit has beside its state."""

    threshold: Tensor
    """The least change that is sent."""
    offset: Tensor | None
    """Added to the sum."""
    gain: Tensor | None
    """(N, C, ...), a constant that the messages are multiplied with; None for 1."""
    rectifies: bool
    """Whether the changes are those of max(sum + offset, 0)."""


class State(NamedTuple):
    """What the unit remembers, (N, C, ...) each."""

    sum: Tensor | None
    """None: the input is the value itself, nothing is summed up."""
    before: Tensor
    """The value of the last step."""
    residual: Tensor
    """What of the changes has not been sent."""
    error: Tensor | None
    """The sum of the changes since the last message, held against the threshold; None: the change itself is."""


class Slope(NamedTuple):
    """The relaxation that gives the threshold a gradient: height * exp(-distance / tau)."""

    tau: float
    height: float


def running_sum(x: Tensor, initial: Tensor) -> Tensor:
    """sum[t] = sum[t-1] + x[t], added in float64 and given in the dtype of x."""
    return torch.cat([initial[None], x]).double().cumsum(0)[1:].to(x.dtype)


def values(x: Tensor, parameters: Parameters, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """The sums, the sums with their offset, and what of those counts."""
    sums = x if state.sum is None else running_sum(x, state.sum)
    driven = sums if parameters.offset is None else sums + parameters.offset
    return sums, driven, driven.relu() if parameters.rectifies else driven


def changes(value: Tensor, threshold: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The changes, those of them that are sent, and the residual and the error after the run.

    change[t] = value[t] - value[t-1] + residual[t-1]; sent where abs(change) >= threshold; residual = change - sent
    """
    _, before, residual, error = state
    nothing = torch.zeros_like(residual)
    all_changes, all_sent = [], []
    for now in value.unbind():
        change = now - before + residual
        if error is not None:
            error = error + change
        sent = torch.where((change if error is None else error).abs() >= threshold, change, nothing)
        if error is not None:
            error = torch.where(sent == 0, error, nothing)
        residual, before = change - sent, now
        all_changes.append(change)
        all_sent.append(sent)
    return torch.stack(all_changes), torch.stack(all_sent), residual, error


def slopes(change: Tensor, threshold: Tensor, slope: Slope) -> Tensor:
    """What stands for the derivative of a message by the threshold."""
    distance = change.abs() - threshold
    decayed = slope.height * (-distance.clamp(min=0) / slope.tau).exp()
    return -torch.where(distance > 0, change * decayed / threshold, change.sign())


def one_step_before(first: Tensor, later: Tensor) -> Tensor:
    """The sequence one step earlier: `first`, then all but the last of `later`."""
    return torch.cat([first[None], later[:-1]])


def unit(x: Tensor, parameters: Parameters, state: State, scale: float, slope: Slope) -> tuple[Tensor, State]:
    """The messages and the state after them, with gradients of any order.

    Args:
        x: (T, N, C, ...) float.
        parameters, state: of the unit.
        scale: messages are cut down to multiples of 1/scale.
        slope: of the threshold's gradient.

    Returns:
        The messages, whose gradient is that of value[t] - value[t-1], and of the slopes times the threshold. The
        residual and the error after the run count as constants.
    """
    sums, _, value = values(x, parameters, state)
    with torch.no_grad():
        change, whole, residual, error = changes(value.detach(), parameters.threshold.detach(), _constant(state))
        messages = (whole * scale).floor() / scale
        of_threshold = slopes(change, parameters.threshold.detach(), slope)
    smooth = value - one_step_before(state.before, value) + of_threshold * parameters.threshold
    last = None if state.sum is None else sums[-1]
    sent = smooth - smooth.detach() + messages
    return sent if parameters.gain is None else sent * parameters.gain, State(last, value[-1], residual, error)


def _constant(state: State) -> State:
    parts: list[Any] = [None if part is None else part.detach() for part in state]
    return State(*parts)


def adjoint(
    x: Tensor, grad: Tensor, grad_last: tuple[Tensor, Tensor], parameters: Parameters, state: State, slope: Slope
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of `unit` with respect to x, sum and value before the run, and threshold and offset of each row.

    Args:
        x: (T, N, C, ...), the input.
        grad: of the messages.
        grad_last: of the sum and the value after the run.
        parameters, state, slope: of the run.
    """
    grad = grad if parameters.gain is None else grad * parameters.gain
    _, driven, value = values(x, parameters, state)
    change = changes(value, parameters.threshold, state)[0]
    of_threshold = (slopes(change, parameters.threshold, slope) * grad).sum(0, dtype=torch.float64)
    g = grad - torch.cat([grad[1:], -grad_last[1][None]])
    g = g * (driven > 0) if parameters.rectifies else g
    of_offset = g.sum(0, dtype=torch.float64)
    if state.sum is not None:
        g = running_sum(g.flip(0), grad_last[0]).flip(0)
    return g, g[0].clone(), -grad[0], of_threshold, of_offset
