"""lava-dl's units of decays, scales and states in those of `slayerloss.functional`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from slayerloss._check import check_events, check_finite, check_range, check_same_shape, check_state, check_tensor
from slayerloss.functional.events import promote
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
    check_events("dynamics", x, "input", values=False)
    if state.numel() == 1:
        return state.reshape(()).to(x).expand(x.shape[:-1])
    check_state("dynamics", name, state, x.shape[:-1], x)
    return state


def after_spike(spike: Tensor, **states: Tensor) -> Tensor:
    """Where there is a spike, which counts as a constant, 1, else 0; in the dtype of the states, which are checked."""
    check_tensor("dynamics", "spike", spike)
    for name, state in states.items():
        check_tensor("dynamics", name, state)
        check_same_shape("dynamics", name, state, "spike", spike)
        check_finite("dynamics", name, state)
    return (promote(spike.detach()) > 0).to(promote(next(iter(states.values()))).dtype)
