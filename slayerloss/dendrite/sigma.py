"""The sigma unit: a running sum of the changes that arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_flag
from slayerloss.functional._state import detached, moved
from slayerloss.functional.sigma_delta import sigma

__all__ = ["Sigma"]


class Sigma(torch.nn.Module):
    """Sum up changes, `functional.sigma`.

    Args:
        persistent_state: go on from the last run's sum until `reset_state`.

    Example:
        >>> Sigma()(torch.tensor([[[1.0, 0.0, -0.5]]]))
        tensor([[[1.0000, 1.0000, 0.5000]]])
    """

    def __init__(self, persistent_state: bool = False) -> None:
        super().__init__()
        self.persistent_state = check_flag("Sigma", "persistent_state", persistent_state)
        self.shape: torch.Size | None = None
        self.state: Tensor | None = None

    @property
    def pre_state(self) -> Tensor:
        """The sum after the last run, (N, C, ...); at rest (1,)."""
        return torch.zeros(1) if self.state is None else self.state

    @pre_state.setter
    def pre_state(self, value: Tensor) -> None:
        self.state = None if value.numel() == 1 and self.state is None else value

    def forward(self, input: Tensor) -> Tensor:
        """The sums of (N, C, ..., T)."""
        y = sigma(input, state=self.state)
        self.shape = input.shape[1:-1]
        if self.persistent_state:
            self.state = detached(y.select(-1, -1))
        return y

    @property
    def device_params(self) -> dict[str, Any]:
        """The unit in the fields of a network file."""
        return {"type": "SDNN", "sigma_output": True}

    def reset_state(self) -> None:
        """Forget the sum that `persistent_state` kept."""
        self.state = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Sigma:
        self.state = moved(self.state, fn)
        super()._apply(fn, recurse)
        return self
