"""Linear filters in time: exponential low-pass filters of any order, and banks of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_same_device,
    check_sequence,
    check_signal,
    check_state,
    check_tensor,
    message,
    values_are_checked,
)
from slayerloss.functional.convolution import causal_conv
from slayerloss.functional.events import accumulation_dtype, promote
from slayerloss.kernels.filters import LONGEST_FILTER
from slayerloss.kernels.low_pass import low_pass

SHORTEST_TIME_CONSTANT = 1e-3
"""Steps; shorter ones are the same: exp(-1000) is zero, and so is its gradient."""
LONGEST_TIME_CONSTANT = 1e9
"""Steps; longer ones are refused: in float32 they cannot be told from no decay."""
HIGHEST_ORDER = 1000
"""Every order is a pass over the signal."""


def exponential_filter(
    x: Tensor,
    time_constant: float | Tensor,
    order: int = 1,
    *,
    normalize: str | None = None,
    length: int | None = None,
    state: Tensor | None = None,
    return_state: bool = False,
) -> Any:
    """Filter a signal with an exponential low-pass filter of order n.

    y[t] = sum_k h_n[k] x[t-k],  h_1[k] = exp(-k/time_constant),  h_n = h_1 convolved with itself n-1 times

    which is h_n[k] = binomial(k+n-1, n-1) exp(-k/time_constant). Without `length` it is exact: n recursions
    y[t] = exp(-1/time_constant) y[t-1] + x[t], one after the other.

    Args:
        x: (N, C, ..., T), any real dtype; with one time constant any (..., T).
        time_constant: steps, above 0. A number, or a tensor () or (C,), one for each channel.
        order: n, in [1, 1000]; without `normalize` the response must not leave the range of the dtype.
        normalize: None: h_n as above. "peak": its largest value is 1. "area": its sum is 1, so that the rate is kept.
        length: cut h_n after so many steps, in [1, 2^24]; None: never.
        state: what an earlier run returned; None: silence.
        return_state: also return the state after the last step: (N, C, ..., n), or with `length` (N, C, ..., length-1).

    Returns:
        Like x. Integers and bool give the default float dtype; float16 and bfloat16 are filtered in float32, in which
        the state is kept. Gradients run through x, time_constant and the state.

    Raises:
        ArgumentError: an unknown `normalize`; a time constant, order or length out of range; x with NaN or infinity.
        ShapeError: x has no time step; time_constant or state has the wrong shape.
        DtypeError: x is not a real tensor; order or length is not an integer.

    Example:
        >>> impulse = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
        >>> exponential_filter(impulse, 2.0)
        tensor([[[1.0000, 0.6065, 0.3679, 0.2231]]])
        >>> exponential_filter(impulse, 2.0, order=2, normalize="peak")
        tensor([[[0.8244, 1.0000, 0.9098, 0.7358]]])

    Note:
        lava-dl's `loss.SpikeTime` is length=100 and normalize=None, where a time constant of 100 is cut at 37 %.
    """
    check_signal("exponential_filter", x, values=length is not None)
    check_flag("exponential_filter", "return_state", return_state)
    tau = as_time_constant("exponential_filter", time_constant, x)
    per_channel = tau.ndim > 0
    if length is not None:
        length = check_integer("exponential_filter", "length", length, 1, LONGEST_FILTER)
        heard = length if return_state or state is not None else min(length, x.shape[-1])
        kernel = _kernel("exponential_filter", tau, length, order, normalize, heard)
        return causal_conv(x, kernel, state=state, return_state=return_state)
    _check_normalize("exponential_filter", normalize)
    order = _check_order("exponential_filter", order, tau, x.shape[-1], normalize)
    if state is not None:
        check_state("exponential_filter", "state", state, (*x.shape[:-1], order), x)
    taus = tau.reshape(-1)
    gain = None if normalize is None or (normalize == "peak" and order == 1) else _gain(taus, order, normalize)
    if gain is not None and per_channel:
        gain = gain.reshape(-1, *[1] * (x.ndim - 2))
    y = promote(x).to(tau.dtype)
    before = y.new_zeros(*x.shape[:-1], order) if state is None else state.to(tau.dtype)
    after, caller = [], "exponential_filter"
    for initial in before.unbind(-1):
        y = low_pass(y, taus, initial, caller)
        caller = ""  # the first pass has looked at the values
        after.append(y.narrow(-1, x.shape[-1] - 1, 1))
        y = y if gain is None else y * gain  # at each pass, so that nothing grows on the way
    y = y.to(promote(x).dtype)
    return (y, torch.cat(after, dim=-1)) if return_state else y


def exponential_kernel(
    time_constant: float | Tensor, length: int, order: int = 1, *, normalize: str | None = None
) -> Tensor:
    """The first `length` steps of the impulse response of `exponential_filter`.

    h_n[k] = binomial(k+n-1, n-1) exp(-k/time_constant),  k = 0 .. length-1

    Args:
        time_constant: steps, above 0; a number or a tensor of any shape.
        length: steps, in [1, 2^24].
        order: n, in [1, 1000]; without `normalize` the response must not leave the range of the dtype.
        normalize: None, "peak" (divided by its largest value) or "area" (divided by its sum).

    Returns:
        (..., length) for a time_constant (...), float, with a gradient with respect to it.

    Raises:
        ArgumentError: an unknown `normalize`; a time constant, order or length out of range.

    Example:
        >>> exponential_kernel(2.0, 4)
        tensor([1.0000, 0.6065, 0.3679, 0.2231])
    """
    length = check_integer("exponential_kernel", "length", length, 1, LONGEST_FILTER)
    tau = as_time_constant("exponential_kernel", time_constant)
    return _kernel("exponential_kernel", tau, length, order, normalize, length)


def filter_bank(
    x: Tensor,
    time_constants: Sequence[float] | Tensor,
    order: int = 1,
    *,
    normalize: str | None = None,
    length: int | None = None,
    stack: bool = False,
    state: Tensor | None = None,
    return_state: bool = False,
) -> Any:
    """Filter a signal with several exponential low-pass filters at once.

    y[n, f, c, t] = sum_k h_f[k] x[n, c, t-k], with h_f of `exponential_filter` for the time constant f

    Args:
        x: (N, C, ..., T), any real dtype.
        time_constants: F of them, in steps, above 0; a tensor (F,) may require a gradient.
        order, normalize, length: as in `exponential_filter`.
        stack: give the filters a dimension of their own.
        state: what an earlier run returned; None: silence.
        return_state: also return the state after the last step: (N, F, C, ..., order), with `length` (..., length-1).

    Returns:
        (N, F*C, ..., T), filter by filter, or with `stack` (N, F, C, ..., T). Dtypes and gradients as in
        `exponential_filter`.

    Raises:
        ArgumentError, ShapeError, DtypeError: as `exponential_filter`.

    Example:
        >>> filter_bank(torch.zeros(8, 10, 100), [2.0, 5.0, 20.0]).shape
        torch.Size([8, 30, 100])

    Note:
        The order of the channels is that of lava-dl's `utils.filter.FIRBank`.
    """
    check_tensor("filter_bank", "x", x, min_ndim=2, layout="(N, C, ..., T)")
    check_flag("filter_bank", "stack", stack)
    check_flag("filter_bank", "return_state", return_state)
    if not isinstance(time_constants, Tensor):
        each = [
            as_time_constant("filter_bank", tau, x)
            for tau in check_sequence("filter_bank", "time_constants", time_constants, rule="a sequence of numbers")
        ]
        time_constants = torch.stack(each) if each else torch.empty(0)
    check_tensor("filter_bank", "time_constants", time_constants)
    if time_constants.ndim != 1 or time_constants.numel() == 0:
        shape = tuple(time_constants.shape)
        raise ShapeError(message("filter_bank", "time_constants has the wrong shape", "(F,), F of at least 1", shape))
    taus = as_time_constant("filter_bank", time_constants)
    copies = x[:, None].expand(x.shape[0], len(taus), *x.shape[1:])
    y = exponential_filter(
        copies, taus, order, normalize=normalize, length=length, state=state, return_state=return_state
    )
    y, *after = y if return_state else (y,)
    y = y if stack else y.flatten(1, 2)
    return (y, *after) if return_state else y


def _kernel(function: str, tau: Tensor, length: int, order: int, normalize: str | None, heard: int) -> Tensor:
    """The first `heard` steps of a response of `length` steps, over all of which it is normalised."""
    _check_normalize(function, normalize)
    order = _check_order(function, order, tau, length, normalize)
    tau = tau[..., None]
    steps = torch.arange(length if normalize == "area" else heard, dtype=tau.dtype, device=tau.device)
    if normalize is None:
        return _response(steps, tau, order)
    kernel = _response(steps, tau, order, _peak(tau, order).clamp(max=length - 1))
    return kernel if normalize == "peak" else kernel.narrow(-1, 0, heard) / kernel.sum(dim=-1, keepdim=True)


def _response(steps: Tensor, tau: Tensor, order: int, unit_at: Tensor | None = None) -> Tensor:
    """h_n at `steps`, or h_n over its value at the step `unit_at`.

    binomial(k+n-1, n-1) = (k+1)/1 (k+2)/2 ... (k+n-1)/(n-1)
    """
    if unit_at is None or order == 1:
        response = torch.exp(-steps / tau)
        for i in range(1, order):
            response = response * ((steps + i) / i)
        return response
    part = torch.exp((unit_at - steps) / (tau * (order - 1)))  # in every factor: their product neither grows nor falls
    response = torch.ones_like(part)
    for i in range(1, order):
        response = response * (part * ((steps + i) / (unit_at + i)))
    return response


def _peak(tau: Tensor, order: int) -> Tensor:
    """The step at which h_n is largest: h_n[k+1] > h_n[k] while (k + n) (1 - lost) > k + 1."""
    lost = -torch.expm1(-1 / tau.detach())
    return (((order - 1) / lost - order).floor() + 1).clamp(min=0)


def _gain(tau: Tensor, order: int, normalize: str) -> Tensor:
    """What gives the infinite response h_n unit area or unit peak, once in each of n passes."""
    if normalize == "area":
        return -torch.expm1(-1 / tau)
    peak = _peak(tau, order)
    factors = torch.arange(1, order, dtype=tau.dtype, device=tau.device)
    return torch.exp((peak / tau - torch.log1p(peak[..., None] / factors).sum(-1)) / order)


def _check_order(function: str, order: int, tau: Tensor, num_steps: int, normalize: str | None) -> int:
    """Check the order, and that a response that is not normalised stays in the range of its dtype."""
    order = check_integer(function, "order", order, 1, HIGHEST_ORDER)
    if normalize is None and order > 1 and values_are_checked(tau) and tau.numel():
        # The sum of h_n over all steps is 1 / lost^n, and over T of them at most binomial(T+n-1, n).
        lost = -math.expm1(-1 / float(tau.detach().max()))
        of_steps = math.lgamma(num_steps + order) - math.lgamma(order + 1) - math.lgamma(num_steps)
        if min(-order * math.log(lost), of_steps) > math.log(torch.finfo(tau.dtype).max):
            problem = f"the response of order {order} leaves the range of {tau.dtype}"
            rule = "a lower order or a shorter time_constant"
            raise ArgumentError(message(function, problem, rule, order, "normalize='peak' or 'area' keeps it small"))
    return order


def _check_normalize(function: str, normalize: str | None) -> None:
    if normalize is not None:
        check_choice(function, "normalize", normalize, ("peak", "area"))


def as_time_constant(function: str, time_constant: float | Tensor, x: Tensor | None = None) -> Tensor:
    """Check a time constant: () or, for `x`, (C,); where x is given, in the dtype in which a filter of x sums."""
    dtype = torch.get_default_dtype() if x is None else accumulation_dtype(x)
    if not isinstance(time_constant, Tensor):
        check_range(function, "time_constant", time_constant, 0, LONGEST_TIME_CONSTANT, low_open=True)
        time_constant = max(float(time_constant), SHORTEST_TIME_CONSTANT)
        return torch.tensor(time_constant, dtype=dtype, device=None if x is None else x.device)
    check_tensor(function, "time_constant", time_constant)
    if x is not None:
        check_same_device(function, "time_constant", time_constant, "x", x)
    if not time_constant.is_floating_point():
        time_constant = time_constant.to(dtype)
    if x is not None and time_constant.ndim > 0 and (x.ndim < 3 or tuple(time_constant.shape) != (x.shape[1],)):
        rule = f"one number, or one per channel ({x.shape[1]},)" if x.ndim > 2 else "one number"
        raise ShapeError(message(function, "time_constant has the wrong shape", rule, tuple(time_constant.shape)))
    if values_are_checked(time_constant) and time_constant.numel():
        for bound in time_constant.detach().aminmax():
            check_range(function, "time_constant", float(bound), 0, LONGEST_TIME_CONSTANT, low_open=True)
    time_constant = time_constant.clamp(min=SHORTEST_TIME_CONSTANT)
    return time_constant if x is None else time_constant.to(x.device, dtype)
