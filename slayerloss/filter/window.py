"""Moving windows as a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss import functional
from slayerloss._check import check_choice, check_integer
from slayerloss.functional import WindowState


class MovingWindow(torch.nn.Module):
    """The mean, sum or maximum over the last steps, at every step.

    y[t] = reduce of x[t-window+1], ..., x[t]

    Args:
        window: steps, at least 1.
        reduce: "mean", "sum" or "max".
        start: what lies before the first step, "zero" or "seen"; see `functional.moving_window`.

    Raises:
        ArgumentError: an unknown `reduce` or `start`, or a window below 1.
        DtypeError: window is not an integer.

    Example:
        >>> MovingWindow(2, "sum")(torch.tensor([[[1.0, 1.0, 0.0]]]))
        tensor([[[1., 2., 1.]]])
    """

    def __init__(self, window: int, reduce: str = "mean", *, start: str = "zero") -> None:
        super().__init__()
        self.window = check_integer("MovingWindow", "window", window, low=1)
        check_choice("MovingWindow", "reduce", reduce, ("mean", "sum", "max"))
        check_choice("MovingWindow", "start", start, ("zero", "seen"))
        self.reduce = reduce
        self.start = start

    def forward(
        self,
        x: Tensor,
        *,
        lengths: Tensor | None = None,
        state: WindowState | None = None,
        return_state: bool = False,
    ) -> Any:
        """Reduce (N, C, ..., T); see `functional.moving_window`."""
        return functional.moving_window(
            x, self.window, self.reduce, start=self.start, lengths=lengths, state=state, return_state=return_state
        )

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"window={self.window}, reduce={self.reduce!r}, start={self.start!r}"
