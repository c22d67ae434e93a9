"""SpikeRate as a module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss.functional._classes import as_class_weights
from slayerloss.functional.spike_rate import check_options, spike_rate


class SpikeRate(torch.nn.Module):
    """The squared distance of spike rates from their targets; equation and arguments: `functional.spike_rate`.

    Example:
        >>> loss = SpikeRate(true_rate=0.7, false_rate=0.05)
        >>> loss(torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]]), torch.tensor([0]))
        tensor(0.0800)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        true_rate: float,
        false_rate: float,
        moving_window: int | None = None,
        reduction: str = "sum",
        *,
        ignore_index: int | None = None,
        class_weights: Tensor | Sequence[float] | None = None,
        start: str = "zero",
    ) -> None:
        super().__init__()
        check_options(true_rate, false_rate, moving_window, reduction, start, ignore_index)
        self.true_rate, self.false_rate = true_rate, false_rate
        self.moving_window, self.reduction = moving_window, reduction
        self.ignore_index, self.start = ignore_index, start
        weights = None if class_weights is None else as_class_weights("spike_rate", class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, input: Tensor, label: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The loss of spikes (N, C, ..., T) and labels (N,), with a window also (N, T)."""
        return spike_rate(
            input,
            label,
            self.true_rate,
            self.false_rate,
            self.moving_window,
            self.reduction,
            lengths=lengths,
            ignore_index=self.ignore_index,
            class_weights=self.class_weights,
            start=self.start,
        )
