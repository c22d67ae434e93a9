"""Dropout of whole neurons."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import check_events, check_flag, check_range
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

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        check_range("Dropout", "p", p, 0, 1)
        super().__init__(float(p), check_flag("Dropout", "inplace", inplace))

    def forward(self, input: Tensor) -> Tensor:
        """Drop neurons of (N, C, ..., T)."""
        check_events("Dropout", input, "input")
        x = promote(input)
        gain = self.gain(x)
        return x if gain is None else x * gain[..., None]

    def gain(self, x: Tensor) -> Tensor | None:
        """(N, C, ...), what `forward` multiplies the neurons of x with, drawn anew; None where it does nothing."""
        if not self.training:
            return None
        each = x.new_ones(x.shape[:-1])  # contiguous, so that memory orders draw the same
        kept = torch.nn.functional.dropout(each, self.p)
        step = x.detach().select(-1, 0)
        return torch.empty_like(step).copy_(kept)  # a product is fast where both lie alike
