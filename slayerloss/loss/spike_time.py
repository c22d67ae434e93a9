"""SpikeTime as a module."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss.functional.spike_time import check_options, spike_time


class SpikeTime(torch.nn.Module):
    """The squared distance of low-pass filtered spike trains; equation and arguments: `functional.spike_time`.

    Example:
        >>> spikes = torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
        >>> SpikeTime(time_constant=5)(spikes, spikes.roll(1, dims=-1))
        tensor(1.0549)
    """

    def __init__(
        self,
        time_constant: float = 5.0,
        length: int | None = 100,
        filter_order: int = 1,
        reduction: str = "sum",
        *,
        normalize: str | None = None,
    ) -> None:
        super().__init__()
        check_options(time_constant, length, filter_order, reduction, normalize)
        self.time_constant, self.length, self.filter_order = time_constant, length, filter_order
        self.reduction, self.normalize = reduction, normalize

    def forward(self, input: Tensor, desired: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The loss of spikes and desired spikes, both (N, C, ..., T)."""
        return spike_time(
            input,
            desired,
            self.time_constant,
            self.length,
            self.filter_order,
            self.reduction,
            normalize=self.normalize,
            lengths=lengths,
        )
