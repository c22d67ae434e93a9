"""How an oscillation is stored, so that an optimiser with its usual learning rate can move it, and loaded from lava-dl.

A state that turns by 2 pi frequency and keeps 1 - decay of itself per step is stored as the natural logarithms of decay
and frequency: a step of an optimiser changes time constant and period by a fraction of themselves. The chip, and the
equations, have sine and cosine of the angle times what is kept. Everything that knows about this is in this file.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from slayerloss._check import ArgumentError, ShapeError, check_flag, check_range, check_sequence, message
from slayerloss.functional.resonator import ResonatorState
from slayerloss.kernels.reference import DECAY_SCALE
from slayerloss.neuron import _decay, base
from slayerloss.neuron._fields import field
from slayerloss.neuron._stored import Stored, check_saved, check_within
from slayerloss.neuron.base import kept_state, normed, whole

Range = float | Sequence[float]

SHORTEST = 4.0
"""A period in steps: in a shorter one the state would turn by more than a right angle per step."""
SMALLEST_DECAY = 1 / DECAY_SCALE
"""Keeps the state inside the unit circle on the chip's grid."""
LOWEST, HIGHEST = 1 / (2 * math.pi * DECAY_SCALE), 1 / SHORTEST
"""Frequencies per step: one whose sine is the smallest on the grid, and that of the shortest period."""


def turn(log_decay: Tensor, log_frequency: Tensor) -> tuple[Tensor, Tensor]:
    """What the equations have, sine and cosine of the angle times what is kept, in float64; differentiable."""
    kept, angle = 1 - log_decay.double().exp(), 2 * math.pi * log_frequency.double().exp()
    return kept * angle.sin(), kept * angle.cos()


def _logarithms(sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    decay = (1 - torch.hypot(sin, cos)).clamp(_decay.SMALLEST, 1)
    frequency = (torch.atan2(sin, cos) / (2 * math.pi)).clamp(LOWEST, HIGHEST)
    return decay.log().float(), frequency.log().float()


def to_parameters(sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """The stored form of a turn, which gives the same integers of the chip.

    Args:
        sin, cos: (1,) or (C,), of the angle times what is kept.

    Returns:
        The logarithms of decay and frequency, float32: of the turn as it is, or where that would be rounded to other
        integers, of the turn that the integers make.

    Example:
        >>> sin, cos = torch.tensor([0.25]), torch.tensor([0.5])
        >>> [part.mul(4096).round().item() for part in turn(*to_parameters(sin, cos))]
        [1024.0, 2048.0]
    """
    given = [part.detach().double() for part in (sin, cos)]
    whole_parts = [(part * DECAY_SCALE).round() / DECAY_SCALE for part in given]
    stored = _logarithms(*given)
    same = [
        (part * DECAY_SCALE).round() / DECAY_SCALE == wanted
        for part, wanted in zip(turn(*stored), whole_parts, strict=True)
    ]
    of_whole = _logarithms(*whole_parts)
    log_decay, log_frequency = (
        torch.where(same[0] & same[1], first, second) for first, second in zip(stored, of_whole, strict=True)
    )
    return log_decay, log_frequency


def _on_grid(fraction: Tensor, lowest: float) -> Tensor:
    """A fraction as the chip holds it, at least `lowest`; with the gradient of the fraction."""
    cut = (fraction * DECAY_SCALE).round().div(DECAY_SCALE).clamp(min=lowest)
    return fraction + (cut - fraction).detach()


class OscillatingNeuron(base.Neuron):
    """A neuron whose state turns: parameters, state and the properties that lava-dl's resonators have."""

    is_complex = True
    state_type: ClassVar[Any] = ResonatorState
    real_state = kept_state("real")
    imag_state = kept_state("imag")
    log_decay: torch.nn.Parameter
    log_frequency: torch.nn.Parameter

    def _declare_oscillation(self, period: Range, decay: Range, log_init: bool) -> None:
        self.log_init = check_flag("Neuron", "log_init", log_init)
        if self.shared_param:
            shared = _shared(period, decay)
            draws: list[Callable[[int | None], Tensor]] = [functools.partial(_same, part) for part in shared]
        else:
            draws = [functools.partial(_drawn_decay, decay), functools.partial(_drawn_frequency, period, log_init)]
            for draw in draws:
                draw(1)  # checks the ranges
        log_decay = Stored(draws[0], math.log(SMALLEST_DECAY), 0.0, _checked, torch.exp, "decay")
        log_frequency = Stored(draws[1], math.log(LOWEST), math.log(HIGHEST), _checked, _period, "period")
        self._declare("log_decay", log_decay)
        self._declare("log_frequency", log_frequency)

    @property
    def sin_decay(self) -> Tensor:
        """The sine of the angle times what is kept, (1,) or (C,), float64, on the chip's grid; differentiable."""
        return _on_grid(turn(self.log_decay, self.log_frequency)[0], 1 / DECAY_SCALE)

    @property
    def cos_decay(self) -> Tensor:
        """The cosine of the angle times what is kept, (1,) or (C,), float64, on the chip's grid; differentiable."""
        return _on_grid(turn(self.log_decay, self.log_frequency)[1], 0.0)

    @property
    def cx_sin_decay(self) -> Any:
        """The sine as the chip holds it, in [1, 4096]: an int, or an array with one per channel."""
        return whole(self.sin_decay)

    @property
    def cx_cos_decay(self) -> Any:
        """The cosine as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return whole(self.cos_decay)

    @property
    def decay(self) -> np.ndarray[Any, Any]:
        """The fraction of the state lost per step, by the chip's integers, (1,) or (C,)."""
        sin, cos = (part.detach().cpu().numpy() for part in (self.sin_decay, self.cos_decay))
        decay: np.ndarray[Any, Any] = 1 - np.sqrt(sin**2 + cos**2)
        return decay

    @property
    def lam(self) -> np.ndarray[Any, Any]:
        """The rate of the exponential decay per step, -log(1 - decay)."""
        rate: np.ndarray[Any, Any] = -np.log(1 - self.decay)
        return rate

    @property
    def frequency(self) -> np.ndarray[Any, Any]:
        """Turns per step, by the chip's integers, (1,) or (C,)."""
        sin, cos = (part.detach().cpu().numpy() for part in (self.sin_decay, self.cos_decay))
        frequency: np.ndarray[Any, Any] = np.arctan2(sin, cos) / 2 / np.pi
        return frequency

    @property
    def period(self) -> np.ndarray[Any, Any]:
        """Steps per turn, by the chip's integers, (1,) or (C,)."""
        return 1 / self.frequency

    @property
    def turn_params(self) -> dict[str, Any]:
        """The oscillation in the fields of a network file."""
        return {"sinDecay": self.cx_sin_decay, "cosDecay": self.cx_cos_decay}

    @property
    def file_params(self) -> dict[str, Any]:
        """The fields of a network file. Lava computes and cuts off the turn: of n + 0.5 it makes n everywhere."""
        return super().file_params | {name: value + 0.5 for name, value in self.turn_params.items()}

    def _drive(self, x: Any, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Check the parts of an input, make the parameters ready, and give the parts after their norms."""
        real, imag = check_sequence("Neuron", "x", x, 2, "a real and an imaginary part")
        self._begin(real, lengths, imag)
        return normed(self.real_norm, real, lengths), normed(self.imag_norm, imag, lengths)

    def _turn(self) -> tuple[Tensor, Tensor]:
        return self.sin_decay, self.cos_decay

    def _started(self, state: Any) -> ResonatorState | None:
        """The state from which a run goes on."""
        return None if state is None else ResonatorState(*self._before(state)[:2])

    def _turn_repr(self) -> str:
        return f"period={self.period.mean():.4g}, decay={self.decay.mean():.4g}"

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        sin, cos = (state_dict.get(prefix + name) for name in ("sin_decay", "cos_decay"))
        if isinstance(sin, Tensor) and isinstance(cos, Tensor):  # lava-dl's, times 4096
            parameters = of_lava_dl(prefix, state_dict.pop(prefix + "sin_decay"), state_dict.pop(prefix + "cos_decay"))
            state_dict[prefix + "log_decay"], state_dict[prefix + "log_frequency"] = parameters
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def oscillation_arguments(device_params: dict[str, Any], scale: int, p_scale: int) -> dict[str, Any]:
    """The oscillation's arguments of a neuron from the fields of a network file."""
    sin, cos = field(device_params, "sinDecay", p_scale), field(device_params, "cosDecay", p_scale)
    return {
        "threshold": field(device_params, "vThMant", scale),
        "period": 2 * np.pi / np.arctan2(sin, cos),
        "decay": 1 - np.sqrt(sin**2 + cos**2),
    }


def _period(log_frequency: Tensor) -> Tensor:
    """Steps per turn."""
    return (-log_frequency).exp()


def _shared(period: Range, decay: Range) -> tuple[Tensor, Tensor]:
    """The stored form of one turn for all neurons."""
    for name, value, low, high in (("period", period, SHORTEST, math.inf), ("decay", decay, 0, 1)):
        way_out = "shared_param=False takes (lowest, highest)" if isinstance(value, (list, tuple)) else ""
        check_range("Neuron", name, value, low, high, way_out=way_out)
    angle, kept = 2 * math.pi / float(period), 1 - max(float(decay), SMALLEST_DECAY)  # type: ignore[arg-type]
    parts = (torch.tensor([kept * part], dtype=torch.float64) for part in (math.sin(angle), max(math.cos(angle), 0.0)))
    return to_parameters(*parts)


def _same(stored: Tensor, channels: int | None) -> Tensor:
    return stored.clone()


def _range(name: str, value: Range, low: float, high: float) -> tuple[float, float]:
    """What values per channel are drawn from: the bounds given, or 1 % around a number."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ArgumentError(message("Neuron", f"{name} is no range", "(lowest, highest)", value))
        lowest = check_range("Neuron", name, value[0], low, high)
        return lowest, check_range("Neuron", name, value[1], lowest, high)
    number = check_range("Neuron", name, value, low, high)
    return max(number * (1 - _decay.JITTER), low), min(number * (1 + _decay.JITTER), high)


def _drawn_decay(decay: Range, channels: int | None) -> Tensor:
    low, high = _range("decay", decay, 0, 1)
    drawn = low + (high - low) * torch.rand(channels or 1, dtype=torch.float64)
    return drawn.clamp(SMALLEST_DECAY, 1).log().float()


def _drawn_frequency(period: Range, log_init: bool, channels: int | None) -> Tensor:
    """Spaced evenly by their logarithm over the range, or drawn uniformly from it."""
    shortest, longest = _range("period", period, SHORTEST, math.inf)
    low, high = 1 / longest, 1 / shortest
    if log_init:
        return torch.linspace(math.log(low), math.log(high), channels or 1, dtype=torch.float64).float()
    return (low + (high - low) * torch.rand(channels or 1, dtype=torch.float64)).log().float()


def _checked(key: str, value: Tensor, version: int | None) -> Tensor:
    """The stored form from a state dict of ours; no other has it under this name."""
    check_saved(key, value)
    if version is not None and version > _decay.VERSION:
        raise ArgumentError(
            message(
                "load_state_dict", f"{key} is of a newer slayerloss", f"version {_decay.VERSION}", version, "Update it"
            )
        )
    return value


def of_lava_dl(prefix: str, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    """`log_decay` and `log_frequency` from lava-dl's sine and cosine times 4096; NaN as long as they are not drawn."""
    for name, value in (("sin_decay", sin), ("cos_decay", cos)):
        check_saved(prefix + name, value)
    if sin.shape != cos.shape:
        problem, got = f"{prefix}sin_decay and cos_decay are no turn", f"{tuple(sin.shape)} and {tuple(cos.shape)}"
        raise ShapeError(message("load_state_dict", problem, "the same shape", got))
    rounded = DECAY_SCALE * max(_rounding(sin), _rounding(cos))
    sin, cos = sin.double(), cos.double()
    if sin.numel() > 1 or not bool(sin.isnan() & cos.isnan()):
        rule, highest = f"values in [0, {DECAY_SCALE}]", DECAY_SCALE + rounded + _decay.STRAY
        for name, value in (("sin_decay", sin), ("cos_decay", cos)):
            problem = f"{prefix}{name} is not of a lava-dl resonator"
            check_within(value, -_decay.STRAY, highest, problem, rule)
        problem = f"{prefix}sin_decay and cos_decay are not of a lava-dl resonator"
        rule = f"magnitudes in [0, {DECAY_SCALE}]"
        check_within(torch.hypot(sin, cos), 0, highest, problem, rule)
    return to_parameters(sin.clamp(min=1) / DECAY_SCALE, cos.clamp(min=0) / DECAY_SCALE)


def _rounding(value: Tensor) -> float:
    """How far a value of one may be rounded in the dtype of a tensor."""
    return torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0
