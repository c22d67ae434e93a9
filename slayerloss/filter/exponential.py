"""Exponential low-pass filters as modules, with time constants that can be learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss import functional
from slayerloss._check import (
    ArgumentError,
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_sequence,
    message,
)
from slayerloss.functional.filters import HIGHEST_ORDER, LONGEST_TIME_CONSTANT, SHORTEST_TIME_CONSTANT
from slayerloss.kernels.filters import LONGEST_FILTER


class _Exponential(torch.nn.Module):
    """The options that the filters share, and their time constants: positive because the logarithm is stored."""

    log_time_constant: Tensor

    def __init__(
        self,
        time_constant: float | Sequence[float],
        order: int,
        normalize: str | None,
        length: int | None,
        learnable: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        single = not isinstance(time_constant, Sequence) or isinstance(time_constant, str)
        values: list[Any] = [time_constant] if single else check_sequence(name, "time_constant", time_constant)
        for value in values:
            check_range(name, "time_constant", value, 0, LONGEST_TIME_CONSTANT, low_open=True)
        if not values:
            raise ArgumentError(message(name, "time_constant is empty", "at least one number", time_constant))
        self.order = check_integer(name, "order", order, 1, HIGHEST_ORDER)
        self.length = None if length is None else check_integer(name, "length", length, 1, LONGEST_FILTER)
        if normalize is not None:
            check_choice(name, "normalize", normalize, ("peak", "area"))
        self.normalize = normalize
        taus = [max(float(value), SHORTEST_TIME_CONSTANT) for value in values]
        log_time_constant = torch.tensor(taus[0] if single else taus, dtype=torch.get_default_dtype()).log()
        if check_flag(name, "learnable", learnable):
            self.log_time_constant = torch.nn.Parameter(log_time_constant)
        else:
            self.register_buffer("log_time_constant", log_time_constant)

    @property
    def time_constant(self) -> Tensor:
        """The time constants in steps, with a gradient if they are learnable."""
        return self.log_time_constant.exp()

    def natural_parameters(self) -> dict[str, Tensor]:
        """The time constants in steps, if they are learned; differentiable.

        Example:
            >>> ExponentialFilter(2.0, learnable=True).natural_parameters()
            {'time_constant': tensor(2., grad_fn=<ExpBackward0>)}
        """
        return {"time_constant": self.time_constant} if self._parameters else {}

    def extra_repr(self) -> str:
        """The options, for printing."""
        taus = ", ".join(f"{tau:g}" for tau in self.time_constant.reshape(-1).tolist())
        return f"time_constant=[{taus}], order={self.order}, normalize={self.normalize!r}, length={self.length}"


class ExponentialFilter(_Exponential):
    """An exponential low-pass filter of order n.

    y[t] = sum_k h_n[k] x[t-k],  h_1[k] = exp(-k/time_constant),  h_n = h_1 convolved with itself n-1 times

    Args:
        time_constant: steps, above 0; a sequence of C numbers gives each channel its own.
        order: n, in [1, 1000].
        normalize: None, "peak" (the largest value of h_n is 1) or "area" (its sum is 1).
        length: cut h_n after so many steps, in [1, 2^24]; None: never, which is also the fastest.
        learnable: make the time constants parameters. Their logarithm is stored, as `log_time_constant`.

    Raises:
        ArgumentError: an unknown normalize, or a number out of range.
        DtypeError: order or length is not an integer.

    Example:
        >>> low_pass = ExponentialFilter(2.0)
        >>> low_pass(torch.tensor([[[1.0, 0.0, 0.0]]]))
        tensor([[[1.0000, 0.6065, 0.3679]]])
        >>> y, state = low_pass(torch.ones(1, 1, 5), return_state=True)
        >>> y = low_pass(torch.ones(1, 1, 5), state=state)  # goes on where the first run ended
    """

    def __init__(
        self,
        time_constant: float | Sequence[float],
        order: int = 1,
        *,
        normalize: str | None = None,
        length: int | None = None,
        learnable: bool = False,
    ) -> None:
        super().__init__(time_constant, order, normalize, length, learnable)

    def forward(self, x: Tensor, *, state: Tensor | None = None, return_state: bool = False) -> Any:
        """Filter (N, C, ..., T); see `functional.exponential_filter`."""
        return functional.exponential_filter(
            x,
            self.time_constant,
            self.order,
            normalize=self.normalize,
            length=self.length,
            state=state,
            return_state=return_state,
        )


class FilterBank(_Exponential):
    """Several exponential low-pass filters at once.

    y[n, f, c, t] = sum_k h_f[k] x[n, c, t-k]

    Args:
        time_constants: F of them, in steps, above 0.
        order, normalize, length, learnable: as in `ExponentialFilter`.
        stack: give the filters a dimension of their own, (N, F, C, ..., T) instead of (N, F*C, ..., T).

    Raises:
        ArgumentError, DtypeError: as `ExponentialFilter`.

    Example:
        >>> FilterBank([2.0, 5.0, 20.0])(torch.zeros(8, 10, 100)).shape
        torch.Size([8, 30, 100])

    Note:
        lava-dl's `FIRBank` learns every step of its kernels; this one learns a time constant for each.
    """

    def __init__(
        self,
        time_constants: Sequence[float],
        order: int = 1,
        *,
        normalize: str | None = None,
        length: int | None = None,
        stack: bool = False,
        learnable: bool = False,
    ) -> None:
        each = check_sequence("FilterBank", "time_constants", time_constants, rule="a sequence of numbers")
        super().__init__(each, order, normalize, length, learnable)
        self.stack = check_flag("FilterBank", "stack", stack)

    def forward(self, x: Tensor, *, state: Tensor | None = None, return_state: bool = False) -> Any:
        """Filter (N, C, ..., T); see `functional.filter_bank`."""
        return functional.filter_bank(
            x,
            self.time_constant,
            self.order,
            normalize=self.normalize,
            length=self.length,
            stack=self.stack,
            state=state,
            return_state=return_state,
        )
