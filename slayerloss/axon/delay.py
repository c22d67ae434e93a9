"""Delays of axons: learnable, one per channel, and the fixed shift of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_events, check_integer, check_range, check_shape
from slayerloss.functional.delay import LONGEST_DELAY, shift
from slayerloss.functional.delay import delay as delay_channels
from slayerloss.functional.events import LARGEST_SIZE
from slayerloss.kernels.precision import kept_wide

__all__ = ["Delay", "delay"]


def delay(input: Tensor, delay_val: float = 1, sampling_time: float = 1) -> Tensor:
    """Delay everything by a whole number of steps, `functional.shift`.

    y[t] = x[t - floor(delay_val / sampling_time)]

    Args:
        input: (N, C, ..., T).
        delay_val: a time, at least 0 and at most 2^16 steps.
        sampling_time: the length of a step.

    Returns:
        Of the shape of the input. Differentiable.

    Raises:
        ShapeError, DtypeError, ArgumentError: an argument of the wrong shape, type or range.

    Example:
        >>> delay(torch.tensor([[[1.0, 2.0, 3.0]]]), 2)
        tensor([[[0., 0., 1.]]])
    """
    check_range("delay", "delay_val", delay_val, 0)
    check_range("delay", "sampling_time", sampling_time, 0, low_open=True)
    steps = check_range("delay", "delay_val / sampling_time", float(delay_val) / float(sampling_time), 0, LONGEST_DELAY)
    y: Tensor = shift(input, int(steps))
    return y


class Delay(torch.nn.Module):
    """A learnable delay for each channel, cut to whole steps at use, `functional.delay`.

    Args:
        max_delay: the longest delay in steps; None for no limit.
        grad_scale: factor of the delays' gradient.
        channels: C; None to take it from the first input or the state dict.
        initial: delays start uniformly in [0, initial).

    Example:
        >>> Delay(max_delay=62)(torch.ones(1, 3, 5)).shape
        torch.Size([1, 3, 5])

    Note:
        Unless `initial` says otherwise, delays start at no whole step, as in lava-dl. A delay that was loaded stays.
    """

    def __init__(
        self,
        sampling_time: int = 1,
        max_delay: int | None = None,
        grad_scale: float = 1,
        *,
        channels: int | None = None,
        initial: float = 1,
    ) -> None:
        super().__init__()
        self.sampling_time = check_integer("Delay", "sampling_time", sampling_time, 1)
        self.max_delay = None if max_delay is None else check_integer("Delay", "max_delay", max_delay, 0)
        check_range("Delay", "grad_scale", grad_scale)
        self.grad_scale = float(grad_scale)
        self.channels = None if channels is None else check_integer("Delay", "channels", channels, 1, LARGEST_SIZE)
        self._takes_channels = channels is None
        self.initial = check_range("Delay", "initial", initial, 0, LONGEST_DELAY)
        self.delay = torch.nn.Parameter(self.initial * torch.rand(self.channels or 1))

    @property
    def shape(self) -> torch.Size:
        """Of the delays, (C,)."""
        return self.delay.shape

    def natural_parameters(self) -> dict[str, Tensor]:
        """The delays in steps, not cut to whole ones; differentiable.

        Example:
            >>> {name: delay.shape for name, delay in Delay(channels=3).natural_parameters().items()}
            {'delay': torch.Size([3])}
        """
        return {"delay": self.delay / self.sampling_time}

    def clamp(self) -> None:
        """Bring delays that an optimiser moved out of range back; every run does it by itself."""
        with torch.no_grad():
            self.delay.clamp_(0, self.max_delay)

    @property
    def whole_delay(self) -> Tensor:
        """(C,) int64, the delays in steps as they are used."""
        return (self.delay.detach().clamp(0, self.max_delay) / self.sampling_time).floor().long()

    def longest(self, shift: int = 0) -> int | None:
        """The most steps that a delay, with `shift` steps on top, can have; None for no limit."""
        return None if self.max_delay is None else self.max_delay // self.sampling_time + shift

    def steps(self, x: Tensor) -> Tensor:
        """(C,) float, the whole delays in steps for the channels of x, inside their range, with gradient."""
        if self.channels is None:
            self.channels = x.shape[1]
            self.delay.data = self.initial * self.delay.new_empty(self.channels).uniform_()
        check_shape("Delay", "delay", self.delay, (x.shape[1],), "A delay belongs to the channels it was made for")
        self.clamp()
        scaled = self.delay * (self.grad_scale / self.sampling_time)
        return self.whole_delay + (scaled - scaled.detach())

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ..., T), each channel delayed."""
        check_events("Delay", input, "input")
        y: Tensor = delay_channels(input, self.steps(input), longest=self.longest())
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Delay:
        super()._apply(kept_wide(fn), recurse)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.channels is None and hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]]["to_draw"] = True

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        key = prefix + "delay"
        saved = state_dict.get(key)
        if isinstance(saved, Tensor):
            to_draw = local_metadata.get("to_draw", False) or (saved.shape == (1,) and not saved.any())  # lava-dl's
            if to_draw and not self._takes_channels:
                state_dict[key] = self.initial * torch.rand_like(self.delay)
            elif to_draw or self.channels is None:
                self.delay.data = self.delay.data.new_empty(saved.shape)
                self.channels = None if to_draw else saved.numel()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
