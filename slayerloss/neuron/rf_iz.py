"""Izhikevich's resonate-and-fire neuron (RF_IZ), whose imaginary part spikes and is set back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss.functional.resonator import ResonatorState, resonator, resonator_state
from slayerloss.functional.spike import spike
from slayerloss.neuron._oscillation import OscillatingNeuron, Range, oscillation_arguments

__all__ = ["Neuron", "neuron_params"]

Pair = tuple[Tensor, Tensor]


def neuron_params(device_params: dict[str, Any], scale: int = 64, p_scale: int = 4096) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file.

    Args:
        device_params: as `Neuron.device_params`.
        scale: weight LSBs per unit.
        p_scale: LSBs of a decay per unit.

    Returns:
        Arguments of `Neuron`.

    Example:
        >>> params = neuron_params(Neuron(threshold=1.0, period=8, decay=0.1).device_params)
        >>> params["threshold"], round(float(params["period"]), 2), round(float(params["decay"]), 2)
        (1.0, 8.0, 0.1)
    """
    return oscillation_arguments(device_params, scale, p_scale)


class Neuron(OscillatingNeuron):
    """A population of Izhikevich's resonate-and-fire neurons, in the chip's integers.

    z[t] = (1 - decay) exp(2 pi i / period) z'[t-1] + norm(x[t]);  s[t] = imag(z[t]) >= threshold, whereupon
    z' = i (threshold - 1/(64 scale)). `slayerloss.functional.resonator` is the equation.

    Args:
        threshold: of the imaginary part; cut to multiples of 1/scale, as the chip holds it.
        period: steps per turn, at least 4; with `shared_param=False` also (lowest, highest).
        decay: the fraction of z lost per step, in [0, 1]; with `shared_param=False` also (lowest, highest).
        tau_grad: width of the surrogate gradient, in units of 100 thresholds.
        scale_grad: height of the surrogate gradient, in tenths.
        scale: weight LSBs per unit.
        norm: a class such as `norm.MeanOnlyBatchNorm`, applied to both parts of the input.
        dropout: an instance of `Dropout`, applied to the spikes.
        shared_param: one oscillation for all neurons; False has one per channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn period and decay.
        graded_spike: a spike carries the imaginary part.
        log_init: periods per channel divide their range evenly by their logarithm; False draws frequencies uniformly.
        channels: C, if oscillations per channel are to be drawn now; None to draw them at the first run.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> neuron = Neuron(threshold=0.5, period=4, decay=0.1)
        >>> x = torch.tensor([[[1.0, 0, 0, 0, 0, 0]]])
        >>> neuron((x, torch.zeros_like(x)))
        tensor([[[0., 1., 0., 0., 0., 0.]]])

    Note:
        The parameters `log_decay` and `log_frequency` hold logarithms; `sin_decay` and `cos_decay` give what the
        equations have. State dicts of lava-dl, which hold those times 4096, are converted when they are loaded.
    """

    def __init__(
        self,
        threshold: float,
        period: Range,
        decay: Range,
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

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, {self._turn_repr()}"

    @property
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""
        fields = {"type": "RF_IZHIKEVICH", **self.turn_params}
        return {**fields, "vThMant": self.v_th_mant, "gradedSpike": self.graded_spike}

    def dynamics(self, input: Pair, lengths: Tensor | None = None) -> Pair:
        """Real and imaginary part before the reset, each (N, C, ..., T)."""
        real, imag, state = self.run_dynamics(input, self.state, lengths)
        self._keep(state)
        return real, imag

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """The spikes of a state, of which the imaginary part matters, after dropout."""
        return self._dropped(self._fire(imag))

    def _fire(self, imag: Tensor) -> Tensor:
        surrogate: dict[str, Any] = {"tau": self.tau, "scale": self.grad_scale, "graded": self.graded_spike}
        return spike(self.shown(imag), self.threshold, inclusive=True, **surrogate)

    def run(
        self, x: Pair, state: ResonatorState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, ResonatorState]:
        """The spikes and the state after them, from a given state, with gradients through both."""
        spikes, after = self.respond(self._drive(x, lengths), state)
        return self._sent(spikes, x[0]), after

    def respond(self, drive: Pair, state: ResonatorState | None = None) -> tuple[Tensor, ResonatorState]:
        """The spikes before dropout that an input after the norms causes, and the state after them."""
        _, imag, after = self._states(drive, state)
        return self._fire(imag), after

    def run_dynamics(
        self,
        x: Pair,
        state: ResonatorState | None = None,
        lengths: Tensor | None = None,
        threshold: float | None = None,
    ) -> tuple[Tensor, Tensor, ResonatorState]:
        """Real and imaginary part before the reset and the state after them, from a given state.

        `threshold` replaces the neuron's; infinity is for neurons that are never reset.
        """
        return self._states(self._drive(x, lengths), state, threshold)

    def _states(
        self, drive: Pair, state: ResonatorState | None, threshold: float | None = None
    ) -> tuple[Tensor, Tensor, ResonatorState]:
        reset = self._reset(threshold)
        real, imag = resonator(*drive, *self._turn(), reset, state=self._started(state), scale=self.scale)
        return real, imag, resonator_state(real, imag, reset, self.scale)

    def _reset(self, threshold: float | None) -> float | None:
        threshold = self.threshold if threshold is None else threshold
        return None if threshold == math.inf else threshold

    @torch.no_grad()
    def chip_states(self, x: Pair, threshold: float | None = None) -> dict[str, Tensor]:
        """The states after each step of a run from rest and its reset, in the chip's integers, (N, C, ..., T) int64.

        Args:
            x: (N, C, ..., T) each, the parts of the weighted input.
            threshold: replaces the neuron's; infinity is for neurons that are never reset.
        """
        return self.states_of(self._drive(x, None), threshold)

    @torch.no_grad()
    def states_of(self, drive: Pair, threshold: float | None = None) -> dict[str, Tensor]:
        """`chip_states` of an input after the norms."""
        real, imag, _ = self._states(drive, None, threshold)
        reset = self._reset(threshold)
        whole = {name: (part * self.lsb).round().long() for name, part in (("real", real), ("imag", imag))}
        if reset is None:
            return whole
        level = round(reset * self.lsb)
        fired = whole["imag"] >= level
        return {"real": whole["real"].masked_fill(fired, 0), "imag": whole["imag"].masked_fill(fired, level - 1)}
