"""SpikeMax as a module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss.functional._classes import as_class_weights
from slayerloss.functional.spike_max import check_options, spike_max


class SpikeMax(torch.nn.Module):
    """The negative log-likelihood of the true class, from spike rates; equation and arguments: `functional.spike_max`.

    Example:
        >>> loss = SpikeMax(mode="softmax", temperature=0.1)
        >>> loss(torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]]), torch.tensor([0]))
        tensor(0.0789)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        moving_window: int | None = None,
        mode: str = "probability",
        reduction: str = "sum",
        *,
        ignore_index: int | None = None,
        class_weights: Tensor | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        temperature: float = 1.0,
        start: str = "zero",
    ) -> None:
        super().__init__()
        check_options(moving_window, mode, reduction, label_smoothing, temperature, start, ignore_index)
        self.moving_window, self.mode, self.reduction = moving_window, mode, reduction
        self.label_smoothing, self.temperature = label_smoothing, temperature
        self.ignore_index, self.start = ignore_index, start
        weights = None if class_weights is None else as_class_weights("spike_max", class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, input: Tensor, label: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The loss of spikes (N, C, ..., T) and labels (N,), with a window also (N, T)."""
        return spike_max(
            input,
            label,
            self.moving_window,
            self.mode,
            self.reduction,
            lengths=lengths,
            ignore_index=self.ignore_index,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
            temperature=self.temperature,
            start=self.start,
        )
