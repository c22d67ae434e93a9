"""The resonators with an adaptive threshold: a state that turns, and a threshold that its spikes raise."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss.functional.resonator import resonator
from slayerloss.neuron._adaptation import AdaptiveNeuron, Decay, adaptation_arguments
from slayerloss.neuron._oscillation import OscillatingNeuron, Range, oscillation_arguments

Pair = tuple[Tensor, Tensor]


class AdrfState(NamedTuple):
    """What an ADRF or ADRF_IZ population remembers between two runs; each (N, C, ...), in units of the input."""

    real: Tensor
    imag: Tensor
    threshold: Tensor
    """After the last spike has raised it."""
    refractory: Tensor
    """Likewise."""


class AdaptiveResonator(OscillatingNeuron, AdaptiveNeuron):
    """What ADRF and ADRF_IZ share; they say what spikes, and where."""

    state_type = AdrfState
    device_type: str
    """In a network file."""

    def __init__(
        self,
        threshold: float,
        threshold_step: float,
        period: Range,
        decay: Range,
        threshold_decay: Decay,
        refractory_decay: Decay,
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 64,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
        graded_spike: bool = False,
        log_init: bool = True,
        channels: int | None = None,
    ) -> None:
        super().__init__(
            threshold,
            tau_grad,
            scale_grad,
            scale,
            norm=norm,
            dropout=dropout,
            shared_param=shared_param,
            persistent_state=persistent_state,
            requires_grad=requires_grad,
            graded_spike=graded_spike,
            channels=channels,
        )
        self._declare_oscillation(period, decay, log_init)
        self._declare_adaptation(threshold_step, threshold_decay, refractory_decay)
        self._imag_before: Tensor | None = None

    @abc.abstractmethod
    def _met(self, real: Tensor, imag: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the threshold is compared with, and where there can be a spike."""

    @abc.abstractmethod
    def _spikes(self, real: Tensor, imag: Tensor, threshold: Tensor, before: Tensor | None) -> Tensor:
        """The spikes of a state that meets a threshold; `before` is the imaginary part before the first step."""

    def extra_repr(self) -> str:
        adaptation = ", ".join(
            f"{name}={float(decay.detach().mean()):.4g}"
            for name, decay in zip(("threshold_decay", "refractory_decay"), self.adaptation_decays, strict=True)
        )
        own = f"threshold={self.threshold:g}, threshold_step={self.threshold_step:g}"
        return f"{own}, {self._turn_repr()}, {adaptation}"

    @property
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""
        return {
            "type": self.device_type,
            **self.turn_params,
            **self.adaptation_params,
            "gradedSpike": self.graded_spike,
        }

    def dynamics(self, input: Pair, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Real and imaginary part, threshold and refractory state, each (N, C, ..., T)."""
        before = self.state
        *steps, state = self.run_dynamics(input, before, lengths)
        self._imag_before = None if before is None else before.imag
        self._keep(state)
        return steps[0], steps[1], steps[2], steps[3]

    def spike(self, real: Tensor, imag: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """The spikes of a state that meets a threshold and a refractory state, after dropout.

        The state before is that before the last `dynamics`.
        """
        return self._dropped(self._spikes(real, imag, threshold + refractory, self._imag_before))

    def run(self, x: Pair, state: AdrfState | None = None, lengths: Tensor | None = None) -> tuple[Tensor, AdrfState]:
        """The spikes and the state after them, from a given state, with gradients through both."""
        spikes, after = self.respond(self._drive(x, lengths), state)
        return self._sent(spikes, x[0]), after

    def respond(self, drive: Pair, state: AdrfState | None = None) -> tuple[Tensor, AdrfState]:
        """The spikes before dropout that an input after the norms causes, and the state after them."""
        real, imag, theta, r, after = self._states(drive, state)
        return self._spikes(real, imag, theta + r, self._before(state)[1]), after

    def run_dynamics(
        self,
        x: Pair,
        state: AdrfState | None = None,
        lengths: Tensor | None = None,
        threshold: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, AdrfState]:
        """Real and imaginary part, threshold, refractory state and the state after them, from a given state.

        `threshold` is None, or infinity for neurons that never spike.
        """
        return self._states(self._drive(x, lengths), state, threshold)

    def _states(
        self, drive: Pair, state: AdrfState | None, threshold: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, AdrfState]:
        before = self._before(state)
        real, imag = resonator(*drive, *self._turn(), state=self._started(state), scale=self.scale)
        met, allowed = self._met(real.detach(), imag.detach(), before[1])
        if threshold is not None:
            allowed = torch.zeros_like(met, dtype=torch.bool)
        theta, r, risen = self._adapt(met, before[2:], allowed)
        return real, imag, theta, r, AdrfState(real.select(-1, -1), imag.select(-1, -1), *risen)

    @torch.no_grad()
    def chip_states(self, x: Pair, threshold: float | None = None) -> dict[str, Tensor]:
        """The states in each step of a run from rest, in the chip's integers, (N, C, ..., T) int64 each.

        Args:
            x: (N, C, ..., T) each, the parts of the weighted input.
            threshold: None, or infinity for neurons that never spike.
        """
        return self.states_of(self._drive(x, None), threshold)

    @torch.no_grad()
    def states_of(self, drive: Pair, threshold: float | None = None) -> dict[str, Tensor]:
        """`chip_states` of an input after the norms."""
        steps = self._states(drive, None, threshold)[:4]
        return {name: (part * self.lsb).round().long() for name, part in zip(AdrfState._fields, steps, strict=True)}


def adaptive_resonator_arguments(device_params: dict[str, Any], scale: int, p_scale: int) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file."""
    oscillation = oscillation_arguments(device_params, scale, p_scale)
    return oscillation | adaptation_arguments(device_params, scale, p_scale)
