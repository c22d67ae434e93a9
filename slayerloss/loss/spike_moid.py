"""SpikeMoid as a module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss.functional._classes import as_class_weights
from slayerloss.functional.spike_moid import check_options, spike_moid


class SpikeMoid(torch.nn.Module):
    """The binary cross-entropy of every class, from spike rates; equation and arguments: `functional.spike_moid`.

    Example:
        >>> loss = SpikeMoid(alpha=0.1, theta=0.3)
        >>> loss(torch.tensor([[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]]), torch.tensor([[True, False]]))
        tensor(0.6010)
    """

    class_weights: Tensor | None

    def __init__(
        self,
        moving_window: int | None = None,
        reduction: str = "sum",
        alpha: float = 1.0,
        theta: float = 0.0,
        *,
        ignore_index: int | None = None,
        class_weights: Tensor | Sequence[float] | None = None,
        start: str = "zero",
    ) -> None:
        super().__init__()
        check_options(moving_window, reduction, alpha, theta, start, ignore_index)
        self.moving_window, self.reduction = moving_window, reduction
        self.alpha, self.theta = alpha, theta
        self.ignore_index, self.start = ignore_index, start
        weights = None if class_weights is None else as_class_weights("spike_moid", class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, input: Tensor, label: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The loss of spikes (N, C, ..., T) and targets (N, C), or with a window (N, C, T); or class labels."""
        return spike_moid(
            input,
            label,
            self.moving_window,
            self.reduction,
            self.alpha,
            self.theta,
            lengths=lengths,
            ignore_index=self.ignore_index,
            class_weights=self.class_weights,
            start=self.start,
        )
