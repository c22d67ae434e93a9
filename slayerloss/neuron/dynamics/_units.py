"""lava-dl's units of decays, scales and states in those of `slayerloss.functional`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_range, check_tensor
from slayerloss.functional.quantize import quantize
from slayerloss.kernels.reference import DECAY_SCALE

STATE_LSBS = 64
"""Of a weight's LSB."""


def fraction(name: str, decay: Tensor) -> Tensor:
    """An integer decay as a fraction in [0, 1], (1,) or (C,); what is between two integers is cut off, as lava-dl does.

    The gradient passes to the integer: it is that of the fraction over 4096.
    """
    check_tensor("dynamics", name, decay)
    return quantize(decay.reshape(-1).double(), 1.0, "truncate") / DECAY_SCALE


def weight_scale(w_scale: float) -> Any:
    """Weight LSBs per unit, from state LSBs per unit."""
    return check_range("dynamics", "w_scale", w_scale, 0, low_open=True) / STATE_LSBS


def spread(name: str, state: Tensor, x: Tensor) -> Tensor:
    """A state (N, C, ...) for the input x (N, C, ..., T), from one number for all or from itself."""
    check_tensor("dynamics", name, state)
    return state.reshape(()).to(x).expand(x.shape[:-1]) if state.numel() == 1 else state


def fired(spike: Tensor, like: Tensor) -> Tensor:
    """1 where there is a spike, which counts as a constant, else 0."""
    check_tensor("dynamics", "spike", spike)
    return (spike.detach() > 0).to(like.dtype if like.is_floating_point() else torch.get_default_dtype())
