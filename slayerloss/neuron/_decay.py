"""How a decay is stored, so that an optimiser with its usual learning rate can move it, and loaded from lava-dl.

A decay in [0, 1] is stored as its natural logarithm: a step of an optimiser changes the time constant by a fraction of
itself, whatever its size. Everything that knows about the logarithm is in this file.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_range, message
from slayerloss.kernels.reference import DECAY_SCALE
from slayerloss.neuron._stored import Stored, check_saved, check_within

SMALLEST = 0.25 / DECAY_SCALE
"""What stands for a decay of zero: it rounds to zero on the chip's grid, and has a logarithm."""

VERSION = 2
"""Of the state dict of a neuron. lava-dl's, which holds decays times 4096, is 1."""

STRAY = 0.05
"""How far a saved parameter may lie beyond its bound."""

JITTER = 0.01
"""How far decays per channel are drawn around a single number, as in lava-dl."""


def to_parameter(decay: Tensor) -> Tensor:
    """The stored form of decays in [0, 1], float32 or wider.

    Example:
        >>> to_decay(to_parameter(torch.tensor([0.0, 0.25, 1.0]))).mul(4096).round()
        tensor([   0., 1024., 4096.])
    """
    return decay.double().clamp(SMALLEST, 1).log().to(torch.promote_types(decay.dtype, torch.float32))


def to_decay(parameter: Tensor) -> Tensor:
    """The decays in [0, 1] that are stored in a parameter; differentiable."""
    return parameter.exp()


def stored(name: str, decay: float | Sequence[float], jitter: float = JITTER) -> Stored:
    """A decay as a parameter of a neuron; see `initial` for its arguments."""
    undrawn = float(torch.tensor(DECAY_SCALE * _range(name, decay, jitter)[0]))
    draw = functools.partial(_drawn, name, decay, jitter)
    return Stored(draw, math.log(SMALLEST), 0.0, from_state_dict, to_decay, name, undrawn)


def _drawn(name: str, decay: float | Sequence[float], jitter: float, channels: int | None) -> Tensor:
    return to_parameter(initial(name, decay, channels, jitter))


def initial(name: str, decay: float | Sequence[float], channels: int | None, jitter: float = JITTER) -> Tensor:
    """The decays that a neuron starts with.

    Args:
        name: of the argument, for errors.
        decay: one number in [0, 1], or (lowest, highest) to draw from.
        channels: None for one shared decay; else how many to draw uniformly.
        jitter: the fraction of a single number around which they are drawn.

    Returns:
        (1,) or (channels,) decays.
    """
    if channels is None:
        way_out = "shared_param=False takes (lowest, highest)" if isinstance(decay, (list, tuple)) else ""
        check_range("Neuron", name, decay, 0, 1, way_out=way_out)
        return torch.tensor([float(decay)])  # type: ignore[arg-type]
    low, high = _range(name, decay, jitter)
    return low + (high - low) * torch.rand(channels)


def _range(name: str, decay: float | Sequence[float], jitter: float) -> tuple[float, float]:
    """What decays per channel are drawn from."""
    if isinstance(decay, Sequence) and not isinstance(decay, str):
        if len(decay) != 2:
            raise ArgumentError(message("Neuron", f"{name} is no range", "(lowest, highest)", decay))
        low, high = decay
    else:
        check_range("Neuron", name, decay, 0, 1)
        low, high = decay * (1 - jitter), min(decay * (1 + jitter), 1.0)
    check_range("Neuron", name, low, 0, 1)
    check_range("Neuron", name, high, low, 1)
    return float(low), float(high)


def from_state_dict(key: str, value: Tensor, version: int | None) -> Tensor:
    """The stored form of a decay found in a state dict, ours or lava-dl's.

    Args:
        key: where it was found.
        value: what was found.
        version: of the neuron that was saved; None where a plain dict has lost it.

    Raises:
        DtypeError, ShapeError: no decays can be stored so.
        ArgumentError: the version is lost and the values can be either form; or it is newer than this one; or a value
            is no decay of lava-dl.
    """
    check_saved(key, value)
    if version == VERSION:
        return value
    if version is not None and version > VERSION:
        raise ArgumentError(
            message("load_state_dict", f"{key} is of a newer slayerloss", f"version {VERSION}", version, "Update it")
        )
    # Either form strays over its bound by a step of an optimiser, until it is used again.
    ours, lava = bool((value < -STRAY).any()), bool((value > STRAY).any())
    if version is None and ours == lava:
        raise ArgumentError(
            message(
                "load_state_dict",
                f"{key} can be slayerloss's logarithm of a decay or lava-dl's decay times 4096",
                "a state dict with its metadata, as torch.save keeps it",
                value.tolist(),
                "Load the file anew and do not copy it into a plain dict",
            )
        )
    if version is None and ours:
        return value
    exact = value.to(torch.promote_types(value.dtype, torch.float32))
    problem, rule = f"{key} is not a lava-dl decay", f"values in [0, {DECAY_SCALE}]"
    check_within(exact, -STRAY, DECAY_SCALE + STRAY, problem, rule)
    return to_parameter(exact.round() / DECAY_SCALE)
