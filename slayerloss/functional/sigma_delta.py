"""Sigma and delta units, which send changes, and the neuron made of them.

    sigma[t] = sigma[t-1] + x[t]
    change[t] = value[t] - value[t-1] + residual[t-1]
    y[t] = change[t] where abs(change[t]) >= threshold, else 0
    residual[t] = change[t] - y[t]

What is sent is cut down to multiples of 1/(64 scale), a message's LSB. Backward a message counts as the change itself,
dy[t]/dvalue[t] = 1 and dy[t]/dvalue[t-1] = -1, also where it is held back; the threshold has a relaxation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_events,
    check_finite,
    check_flag,
    check_range,
    check_same_device,
    check_sequence,
    check_state,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional._grid import initial_state, state_lsb
from slayerloss.functional._space import by_channel, channels_together
from slayerloss.functional.events import accumulation_dtype
from slayerloss.kernels import sigma_delta as kernels
from slayerloss.kernels.reference_sigma_delta import Parameters, Slope, State


class DeltaState(NamedTuple):
    """What a delta unit remembers between two runs; each of shape (N, C, ...), in units of the input."""

    pre: Tensor
    """The last value."""
    residual: Tensor
    """What of its changes has not been sent."""
    error: Tensor | None = None
    """With `cum_error`, the sum of the changes since the last message."""


class SigmaDeltaState(NamedTuple):
    """What a sigma-delta neuron remembers between two runs; each of shape (N, C, ...), in units of the input."""

    sigma: Tensor
    """The sum of the input."""
    pre: Tensor
    """The last value after the activation."""
    residual: Tensor
    """What of its changes has not been sent."""
    error: Tensor | None = None
    """With `cum_error`, the sum of the changes since the last message."""


def sigma(x: Tensor, *, state: Tensor | None = None) -> Tensor:
    """Sum up changes.

    sigma[t] = sigma[t-1] + x[t]

    Args:
        x: (N, C, ..., T), any real dtype.
        state: (N, C, ...), sigma before the first step; None for zero.

    Returns:
        (N, C, ..., T), float32 or float64, added in float64. Differentiable. The state after the run is
        `sigma[..., -1]`.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> sigma(torch.tensor([[[1.0, 0.0, -0.5]]]))
        tensor([[[1.0000, 1.0000, 0.5000]]])
    """
    check_events("sigma", x, "x", values=False)
    x = x.to(accumulation_dtype(x))
    initial = _or_zero(initial_state("sigma", state, x), x)
    y: Tensor = by_channel(lambda x, initial: kernels.running_sum(x, initial, "sigma"), x, initial)
    return y


def total_of_sigma(x: Tensor, state: Tensor | None = None) -> Tensor:
    """(C,), the sum over all else of `sigma(x)`, without making it.

    Example:
        >>> total_of_sigma(torch.tensor([[[1.0, 0.0, -0.5]]]))
        tensor([2.5000])
    """
    initial = _or_zero(initial_state("sigma", state, x), x)
    if channels_together(x):  # each place as a sample of its own
        x, initial = x.movedim(1, -2).flatten(0, -3), initial.movedim(1, -1).flatten(0, -2)
    return kernels.total_of_sums(x, initial)


def delta(
    x: Tensor,
    threshold: Tensor | float,
    *,
    cum_error: bool = False,
    state: DeltaState | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = 64,
) -> tuple[Tensor, DeltaState]:
    """Send how much the input has changed, once that is enough.

    change[t] = x[t] - x[t-1] + residual[t-1]; y[t] = change[t] where abs(change[t]) >= threshold, else 0, cut down to
    multiples of 1/(64 scale); residual[t] is the rest of the change. Backward dy[t] = dx[t] - dx[t-1], and
    dy/dthreshold = -sign(change) where it is held back, -change/threshold scale_grad exp(-(abs(change) -
    threshold)/tau_grad) where it is sent.

    Args:
        x: (N, C, ..., T), any real dtype.
        threshold: the least change that is sent, in units of x, above 0; one number or one per channel (C,).
        cum_error: hold the sum of the changes since the last message against the threshold, and not the change.
        state: after the run before; None for zero.
        tau_grad, scale_grad: width and height of what stands for the derivative by the threshold.
        scale: weight LSBs per unit of x, 64 in lava-dl.

    Returns:
        The messages, (N, C, ..., T), float32 or float64, and the state after the run. Differentiable with respect to x,
        the threshold and `state.pre`; the residual counts as a constant.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> y, state = delta(torch.tensor([[[1.0, 1.25, 1.5, 1.5, 0.5]]]), threshold=0.5)
        >>> y
        tensor([[[ 1.0000,  0.0000,  0.5000,  0.0000, -1.0000]]])

    Note:
        lava-dl's raises with cum_error, and its thresholds per channel raise on images.
    """
    name = "delta"
    check_events(name, x, "x", values=False)
    x = x.to(accumulation_dtype(x))
    parameters = Parameters(_thresholds(name, threshold, x), None, None, False)
    before = [None] * 3 if state is None else check_sequence(name, "state", state, 3, "a DeltaState")
    unit = State(None, *_delta_state(name, before, x, cum_error))
    y, after = _run(name, x, parameters, unit, scale, (tau_grad, scale_grad))
    return y, DeltaState(*after[1:])


def sigma_delta(
    x: Tensor,
    threshold: Tensor | float,
    *,
    bias: Tensor | None = None,
    gain: Tensor | None = None,
    cum_error: bool = False,
    state: SigmaDeltaState | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = 64,
) -> tuple[Tensor, SigmaDeltaState]:
    """The sigma-delta neuron of the chip: it sums up changes, rectifies, and sends how much the result has changed.

    y = gain delta(max(sigma(x) + bias, 0))

    Args:
        x: (N, C, ..., T), the weighted input, any real dtype.
        threshold, cum_error, tau_grad, scale_grad, scale: see `delta`.
        bias: (1,) or (C,), in units of x; None for none.
        gain: (N, C, ...), a constant factor of each neuron's messages, as dropout has; None for none.
        state: after the run before; None for zero.

    Returns:
        The messages, (N, C, ..., T), float32 or float64, and the state after the run. Differentiable with respect to x,
        the threshold, the bias, `state.sigma` and `state.pre`.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> y, state = sigma_delta(torch.tensor([[[1.0, 0.25, 0.25, -2.0, -1.0]]]), threshold=0.5)
        >>> y
        tensor([[[ 1.0000,  0.0000,  0.5000, -1.5000,  0.0000]]])

    References:
        O'Connor and Welling, Sigma Delta Quantized Networks, ICLR 2017.
    """
    name = "sigma_delta"
    check_events(name, x, "x", values=False)
    x = x.to(accumulation_dtype(x))
    offset = None if bias is None else _per_channel(name, "bias", bias, x)
    if gain is not None:
        check_state(name, "gain", gain, x.shape[:-1], x)
        gain = gain.detach().to(x.dtype)
    parameters = Parameters(_thresholds(name, threshold, x), offset, gain, True)
    before = [None] * 4 if state is None else check_sequence(name, "state", state, 4, "a SigmaDeltaState")
    total = _or_zero(initial_state(name, before[0], x), x)
    unit = State(total, *_delta_state(name, before[1:], x, cum_error))
    y, after = _run(name, x, parameters, unit, scale, (tau_grad, scale_grad))
    assert after.sum is not None  # as before the run
    return y, SigmaDeltaState(*after)  # type: ignore[arg-type]


def _run(
    name: str, x: Tensor, parameters: Parameters, state: State, scale: float, slope: tuple[float, float]
) -> tuple[Tensor, State]:
    check_range(name, "tau_grad", slope[0], 0, low_open=True)
    check_range(name, "scale_grad", slope[1])
    lsb, relaxed = state_lsb(name, scale), Slope(float(slope[0]), float(slope[1]))
    present = [part is not None for part in state]

    def run(x: Tensor, gain: Tensor | None, *parts: Any) -> tuple[Tensor, ...]:
        y, after = kernels.sigma_delta(x, parameters._replace(gain=gain), State(*parts), lsb, relaxed, name)
        return y, *(part for part in after if part is not None)

    y, *after = by_channel(run, x, parameters.gain, *state)
    parts = iter(after)
    state_after: list[Any] = [next(parts) if there else None for there in present]
    return y, State(*state_after)


def _thresholds(name: str, threshold: Tensor | float, x: Tensor) -> Tensor:
    """(1,) or (C,), in the dtype of x."""
    if not isinstance(threshold, Tensor):
        check_range(name, "threshold", threshold, 0, low_open=True)
        return x.new_full((1,), float(threshold))
    each = _per_channel(name, "threshold", threshold, x)
    check_values(name, "threshold", each, torch.finfo(each.dtype).tiny, torch.finfo(each.dtype).max)
    return each


def _per_channel(name: str, argument: str, values: Tensor, x: Tensor) -> Tensor:
    check_tensor(name, argument, values)
    if values.numel() != 1 and tuple(values.shape) != (x.shape[1],):
        rule = f"one number, or one per channel ({x.shape[1]},)"
        raise ShapeError(message(name, f"{argument} does not fit the channels", rule, tuple(values.shape)))
    check_same_device(name, argument, values, "x", x)
    check_finite(name, argument, values)
    return values.reshape(-1).to(x.dtype)


def _delta_state(name: str, parts: list[Any], x: Tensor, cum_error: bool) -> list[Any]:
    """pre, residual and error, the last only with cum_error."""
    given: list[Any] = [_or_zero(initial_state(name, part, x), x) for part in parts]
    return given if check_flag(name, "cum_error", cum_error) else [*given[:2], None]


def _or_zero(state: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[:-1]) if state is None else state
