"""What every neuron's function does with its arguments: decays and states on the chip's grid."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import (
    ShapeError,
    check_range,
    check_same_device,
    check_state,
    check_tensor,
    check_values,
    message,
)
from slayerloss.functional.quantize import quantize
from slayerloss.kernels.reference import DECAY_SCALE


def fraction(function: str, name: str, value: Tensor | float, x: Tensor) -> Tensor:
    """A number in [0, 1] on the chip's grid, in float64, (1,) or (C,)."""
    if not isinstance(value, Tensor):
        check_range(function, name, value, 0, 1)
        return torch.tensor([round(value * DECAY_SCALE) / DECAY_SCALE], dtype=torch.float64, device=x.device)
    check_tensor(function, name, value)
    if value.numel() != 1 and tuple(value.shape) != (x.shape[1],):
        rule = f"one number, or one per channel ({x.shape[1]},)"
        raise ShapeError(message(function, f"{name} does not fit the channels", rule, tuple(value.shape)))
    check_same_device(function, name, value, "x", x)
    check_values(function, name, value, 0, 1)
    return quantize(value.double(), 1 / DECAY_SCALE).reshape(-1)


def kept_fraction(function: str, name: str, decay: Tensor | float, x: Tensor) -> Tensor:
    """1 - decay on the chip's grid, in float64, (1,) or (C,)."""
    return 1 - fraction(function, name, decay, x)


def initial_state(function: str, state: Tensor | None, x: Tensor) -> Tensor | None:
    """A state before the first step, in the dtype of x."""
    if state is None:
        return None
    check_state(function, "state", state, x.shape[:-1], x)
    return state.to(x.dtype)


def state_lsb(function: str, scale: float) -> float:
    """State LSBs per unit of the input, from its weight LSBs."""
    check_range(function, "scale", scale, 0, low_open=True)
    return 64.0 * scale
