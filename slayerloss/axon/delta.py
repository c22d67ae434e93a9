"""The delta unit: it sends how much its input has changed, once that is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_events, check_flag, check_range, message
from slayerloss.functional._state import detached, is_rest, moved
from slayerloss.functional.sigma_delta import DeltaState, delta
from slayerloss.kernels.precision import kept_wide

__all__ = ["Delta"]


def _kept(field: str) -> Any:
    """lava-dl's attribute for a part of the state."""

    def value(self: Delta) -> Tensor:
        part = None if self.state is None else getattr(self.state, field)
        return torch.zeros(1) if part is None else part

    def set_value(self: Delta, value: Tensor) -> None:
        if self.state is None and is_rest("Delta", f"{field}_state", value, 0):
            return
        state = self.state
        if state is None:
            rest = torch.zeros_like(value)
            state = DeltaState(rest, rest, rest if self.cum_error else None)
        self.state = state._replace(**{field: value.expand_as(state.pre)})

    return property(value, set_value, doc=f"The {field} state after the last run, (N, C, ...); at rest (1,).")


class Delta(torch.nn.Module):
    """Send how much the input has changed, once that reaches a threshold, `functional.delta`.

    Args:
        threshold: the least change that is sent, in units of the input; below 1/scale it is 1/scale.
        scale: messages are multiples of 1/scale.
        tau_grad, scale_grad: width and height of what stands for the derivative by the threshold.
        cum_error: hold the sum of the changes since the last message against the threshold.
        shared_param: one threshold for all; False: one for each channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn the threshold.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> unit = Delta(threshold=0.5)
        >>> unit(torch.tensor([[[1.0, 1.25, 1.5, 1.5, 0.5]]]))
        tensor([[[ 1.0000,  0.0000,  0.5000,  0.0000, -1.0000]]])

    Note:
        lava-dl's raises with cum_error, and its thresholds per channel raise on images.
    """

    pre_state = _kept("pre")
    residual_state = _kept("residual")
    error_state = _kept("error")

    def __init__(
        self,
        threshold: float,
        scale: int = 64,
        tau_grad: float = 1,
        scale_grad: float = 1,
        cum_error: bool = False,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
    ) -> None:
        super().__init__()
        check_range("Delta", "threshold", threshold, 0)
        self.scale = check_range("Delta", "scale", scale, 0, low_open=True)
        self.tau_grad = check_range("Delta", "tau_grad", tau_grad, 0, low_open=True)
        self.scale_grad = check_range("Delta", "scale_grad", scale_grad)
        self.cum_error = check_flag("Delta", "cum_error", cum_error)
        self.shared_param = check_flag("Delta", "shared_param", shared_param)
        self.persistent_state = check_flag("Delta", "persistent_state", persistent_state)
        self.requires_grad = check_flag("Delta", "requires_grad", requires_grad)
        self.shape: torch.Size | None = None
        self.state: DeltaState | None = None
        self.threshold = torch.nn.Parameter(torch.tensor([float(threshold)]), requires_grad=self.requires_grad)

    def extra_repr(self) -> str:
        return f"threshold={float(self.threshold.detach().mean()):g}"

    def clamp(self) -> None:
        """Bring a threshold that an optimiser moved below 1/scale back; every run does it by itself."""
        with torch.no_grad():
            self.threshold.clamp_(min=1 / self.scale)

    @property
    def device(self) -> torch.device:
        """Where the threshold lies."""
        return self.threshold.device

    def ready(self, input: Tensor) -> None:
        """Before a run: a threshold for each channel if they are not to share one, within its range."""
        check_events("Delta", input, "input", values=False)
        if not self.shared_param and self.threshold.numel() == 1:
            self.threshold.data = self.threshold.data.repeat(input.shape[1])
        self.shape = input.shape[1:-1]
        self.clamp()

    def run(
        self, input: Tensor, state: DeltaState | None = None, threshold: Tensor | None = None
    ) -> tuple[Tensor, DeltaState]:
        """The messages and the state after them, from a given state; `threshold` replaces the unit's."""
        self.ready(input)
        return delta(
            input,
            self.threshold if threshold is None else threshold,
            cum_error=self.cum_error,
            state=state,
            tau_grad=self.tau_grad,
            scale_grad=self.scale_grad,
            scale=self.scale / 64,
        )

    def forward(self, input: Tensor) -> Tensor:
        """The messages (N, C, ..., T)."""
        y, state = self.run(input, self.state)
        if self.persistent_state:
            self.state = detached(state)
        return y

    def reset_state(self) -> None:
        """Forget the state that `persistent_state` kept."""
        self.state = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Delta:
        self.state = moved(self.state, fn)
        super()._apply(kept_wide(fn), recurse)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take lava-dl's thresholds per channel, too, which have dimensions for the space."""
        key = prefix + "threshold"
        saved = state_dict.get(key)
        if isinstance(saved, Tensor):
            if not bool((saved.isfinite() & (saved >= 0)).all()):
                raise ArgumentError(
                    message("load_state_dict", f"{key} is no threshold", "values of at least 0", saved.tolist())
                )
            saved = saved.reshape(-1)
            if not self.shared_param and saved.numel() == 1:  # as before the first run
                saved = saved.repeat(self.threshold.numel())
            elif not self.shared_param and self.threshold.numel() == 1:
                self.threshold.data = self.threshold.data.new_empty(saved.numel())
            state_dict[key] = saved
        super()._load_from_state_dict(state_dict, prefix, *args)
