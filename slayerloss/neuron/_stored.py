"""How a parameter of a neuron is held: drawn at the start, kept in its range, and read from a state dict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """One parameter in its stored form, which need not be the form in which the equations have it.

    Attributes:
        draw: the start values, (1,) for None, the one value that all neurons share, or (C,) for C channels.
        lowest, highest: bounds of the stored form.
        load: (key, value, version) of a state dict -> the stored form; the version of the neuron that was saved, None
            where it was lost.
        undrawn: what lava-dl saves as long as the values per channel are not drawn.
    """

    draw: Callable[[int | None], Tensor]
    lowest: float
    highest: float
    load: Callable[[str, Tensor, int | None], Tensor]
    undrawn: float = math.nan

    def is_undrawn(self, saved: Tensor, is_lava_dls: bool) -> bool:
        """Whether a saved value says "not drawn yet"; NaN says so in every form."""
        if saved.shape != (1,):
            return False
        return math.isnan(saved.item()) or (is_lava_dls and saved.item() == self.undrawn)

    def clamp_(self, parameter: Tensor) -> None:
        """Bring a parameter that an optimiser moved out of range back, in place and outside of autograd."""
        with torch.no_grad():
            parameter.clamp_(self.lowest, self.highest)
