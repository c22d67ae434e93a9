"""Dropout of whole neurons."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import check_events
from slayerloss.functional.events import promote


class Dropout(torch.nn.Dropout):
    """Silence a neuron for the whole run with probability p, and scale the others' spikes by 1/(1-p), in training.

    Args:
        p: probability in [0, 1].
        inplace: taken for lava-dl's sake; the input stays as it is.

    Example:
        >>> Dropout(0.2).eval()(torch.ones(1, 1, 2))
        tensor([[[1., 1.]]])

    Note:
        In eval mode the layer does nothing. As in lava-dl, spikes are not 0/1 while it is active.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop neurons of (N, C, ..., T)."""
        check_events("Dropout", x, "x")
        x = promote(x)
        if not self.training:
            return x
        return x * torch.nn.functional.dropout(x.new_ones(*x.shape[:-1], 1), self.p)
