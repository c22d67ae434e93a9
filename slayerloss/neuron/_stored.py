"""How a parameter of a neuron is held: drawn at the start, kept in its range, and read from a state dict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, DtypeError, ShapeError, check_tensor, message

STEP = 1.5
"""How far beyond its bounds the stored form may be when it was saved: an optimiser moved it, no run clamped it yet."""


@dataclass(frozen=True)
class Stored:
    """One parameter in its stored form, which need not be the form in which the equations have it.

    Attributes:
        draw: the start values, (1,) for None, the one value that all neurons share, or (C,) for C channels.
        lowest, highest: bounds of the stored form.
        load: (key, value, version) of a state dict -> the stored form; the version of the neuron that was saved, None
            where it was lost.
        meaning: the stored form -> what the constructor's argument means; differentiable.
        argument: the name of that.
        undrawn: what lava-dl saves as long as the values per channel are not drawn.
    """

    draw: Callable[[int | None], Tensor]
    lowest: float
    highest: float
    load: Callable[[str, Tensor, int | None], Tensor]
    meaning: Callable[[Tensor], Tensor]
    argument: str
    undrawn: float = math.nan

    def is_undrawn(self, saved: Tensor, is_lava_dls: bool) -> bool:
        """Whether a saved value says "not drawn yet"; NaN says so in every form."""
        if saved.shape != (1,):
            return False
        placeholder = torch.tensor(self.undrawn).to(saved.dtype)
        return bool(saved.isnan()) or (is_lava_dls and saved.item() == placeholder.item())

    def check(self, key: str, saved: Tensor) -> None:
        """Raise ArgumentError unless what a state dict has in the stored form is within the bounds, but for a step."""
        bounds = f"values in [{self.lowest:.4g}, {self.highest:.4g}], as slayerloss stores it"
        check_within(saved, self.lowest - STEP, self.highest + STEP, f"{key} is out of range", bounds)

    def clamp_(self, parameter: Tensor) -> None:
        """Bring a parameter that an optimiser moved out of range back, in place and outside of autograd."""
        with torch.no_grad():
            parameter.clamp_(self.lowest, self.highest)


def check_saved(key: str, value: Tensor) -> None:
    """Raise DtypeError or ShapeError unless a value of a state dict can be a parameter of a neuron, ours or lava-dl's.

    Args:
        key: where it was found.
        value: what was found.
    """
    check_tensor("load_state_dict", key, value)
    if value.dtype == torch.bool:
        raise DtypeError(message("load_state_dict", f"{key} is no number", "a tensor of floats", value.dtype))
    if value.ndim != 1 or value.numel() == 0:
        problem, rule = f"{key} has the wrong shape", "(1,), or (C,) for C channels"
        raise ShapeError(message("load_state_dict", problem, rule, tuple(value.shape)))


def check_within(value: Tensor, lowest: float, highest: float, problem: str, rule: str) -> None:
    """Raise ArgumentError with the first values of a state dict that are not in [lowest, highest]; NaN never is."""
    wrong = value[~((value >= lowest) & (value <= highest))]
    if wrong.numel():
        got = f"{wrong[:4].tolist()}{' and others' if wrong.numel() > 4 else ''}"
        raise ArgumentError(message("load_state_dict", problem, rule, got))
