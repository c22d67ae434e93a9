"""The classifier that decides at every step, from the last steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss import functional
from slayerloss._check import check_choice, check_events, check_integer, message
from slayerloss.functional.decision import CONFIDENCE_MODES, check_confidence_options


class MovingWindow(torch.nn.Module):
    """Classify at every step by the spike rate over the last `time_window` steps.

    p[t] = argmax_c r_c[t],  r[t] = 1/W sum_{k=0}^{W-1} s[t-k]

    Args:
        time_window: W in steps, at least 1.
        mode: of `confidence`: "probability", "softmax" or "logsoftmax".
        eps: above 0, added to the sum of the rates in mode "probability".
        temperature: above 0, divides the rates in the softmax modes.
        start: "zero" divides by W from the first step on, which makes early rates low; "seen" by the steps seen so far.

    Raises:
        ArgumentError: an unknown mode or start, a number out of range, or a temperature with mode "probability".
        DtypeError: time_window is not an integer.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]])
        >>> MovingWindow(2)(spikes)
        tensor([[1, 0, 0, 1]])

    Note:
        lava-dl's forward returns None, its predict does not flatten space, and both take float32 only; here calling the
        classifier gives the prediction (N, T). lava-dl's state dict holds the window as `filter.filter`, which is read,
        compared and not kept.
    """

    def __init__(
        self,
        time_window: int,
        mode: str = "probability",
        eps: float = 1e-6,
        *,
        temperature: float = 1.0,
        start: str = "zero",
    ) -> None:
        super().__init__()
        self.time_window = check_integer("MovingWindow", "time_window", time_window, low=1)
        check_choice("MovingWindow", "start", start, ("zero", "seen"))
        check_confidence_options("MovingWindow", mode, temperature, eps)
        self.mode = mode
        self.eps = eps
        self.temperature = temperature
        self.start = start

    def forward(self, spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """The predicted class at every step; see `predict`."""
        return self.predict(spike, lengths=lengths)

    def rate(self, spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """Average the spikes of every neuron over the window.

        Args:
            spike: (N, C, ..., T), any real dtype.
            lengths: (N,) integer, the steps of each sample; None: all T.

        Returns:
            (N, C, ..., T), spikes per step, zero after a sample's length; with a gradient.

        Raises:
            ShapeError, DtypeError, ArgumentError: as `functional.moving_window`.

        Example:
            >>> MovingWindow(2).rate(torch.tensor([[[1.0, 1.0, 0.0]]]))
            tensor([[[0.5000, 1.0000, 0.5000]]])
        """
        check_events("MovingWindow", spike, "spike")
        rate: Tensor = functional.moving_window(spike, self.time_window, start=self.start, lengths=lengths)
        return rate

    def confidence(self, spike: Tensor, mode: str | None = None, *, lengths: Tensor | None = None) -> Tensor:
        """The confidence in each class at every step.

        Args:
            spike: (N, C, ..., T), any real dtype; space is flattened into the classes.
            mode: as in the constructor; None: the constructor's. With "probability" the temperature is not used.
            lengths: (N,) integer, the steps of each sample; None: all T. After them the confidence is that of silence.

        Returns:
            (N, C, T), no unit, with a gradient.

        Raises:
            ArgumentError: an unknown mode.
            ShapeError, DtypeError, ArgumentError: as `functional.moving_window`.

        Example:
            >>> MovingWindow(2).confidence(torch.tensor([[[1.0, 1.0], [0.0, 1.0]]]))
            tensor([[[1.0000, 0.6667],
                     [0.0000, 0.3333]]])
        """
        mode = self.mode if mode is None else mode
        check_choice("confidence", "mode", mode, CONFIDENCE_MODES)
        temperature = 1.0 if mode == "probability" else self.temperature
        rate = self.rate(spike, lengths=lengths).flatten(1, -2)
        return functional.confidence(rate, mode, temperature=temperature, eps=self.eps)

    def predict(self, spike: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """The class with the highest rate at every step.

        Args:
            spike: (N, C, ..., T), any real dtype; space is flattened into the classes.
            lengths: (N,) integer, the steps of each sample; None: all T. After them the prediction is 0.

        Returns:
            (N, T), int64, no gradient. Of equal rates the first class wins.

        Raises:
            ShapeError, DtypeError, ArgumentError: as `functional.moving_window`.

        Example:
            >>> MovingWindow(2).predict(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]))
            tensor([[0, 0, 1]])
        """
        return functional.predict(self.rate(spike, lengths=lengths), per_step=True)

    def extra_repr(self) -> str:
        """The options, for printing."""
        return f"time_window={self.time_window}, mode={self.mode!r}, start={self.start!r}"

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        window = state_dict.get(prefix + "filter.filter")
        if isinstance(window, Tensor):  # torch refuses what is none
            del state_dict[prefix + "filter.filter"]
        if isinstance(window, Tensor) and window.numel() != self.time_window:
            problem = f"{prefix}filter.filter has another length"
            error_msgs.append(message("MovingWindow", problem, str(self.time_window), window.numel()))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
