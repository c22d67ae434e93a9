"""The leaky integrate-and-fire neuron with an adaptive threshold (ALIF)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss.functional.events import accumulation_dtype
from slayerloss.functional.neuron import integrate_and_fire, leaky_integrator
from slayerloss.functional.spike import spike
from slayerloss.neuron import _decay
from slayerloss.neuron._adaptation import AdaptiveNeuron, adaptation_arguments
from slayerloss.neuron._fields import field
from slayerloss.neuron.base import kept_state, normed, whole

__all__ = ["AlifState", "Neuron", "neuron_params"]


class AlifState(NamedTuple):
    """What an ALIF population remembers between two runs; each of shape (N, C, ...), in units of the input."""

    current: Tensor
    voltage: Tensor
    threshold: Tensor
    """After the last spike has raised it."""
    refractory: Tensor
    """Likewise."""


def neuron_params(device_params: dict[str, Any], scale: int = 64, p_scale: int = 4096) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file.

    Args:
        device_params: as `Neuron.device_params`.
        scale: weight LSBs per unit.
        p_scale: LSBs of a decay per unit.

    Returns:
        Arguments of `Neuron`.

    Example:
        >>> decays = dict(current_decay=0.5, voltage_decay=0.25, threshold_decay=0.125, refractory_decay=0.5)
        >>> params = neuron_params(Neuron(threshold=1.0, threshold_step=0.5, **decays).device_params)
        >>> params["threshold_step"], params["voltage_decay"]
        (0.5, 0.25)

    Note:
        lava-dl takes the step of the threshold for the threshold itself.
    """
    return {
        "current_decay": field(device_params, "iDecay", p_scale),
        "voltage_decay": field(device_params, "vDecay", p_scale),
        **adaptation_arguments(device_params, scale, p_scale),
    }


class Neuron(AdaptiveNeuron):
    """A population of ALIF neurons, in the chip's integers: spikes reset nothing, but raise the threshold.

    u[t] = (1 - current_decay) u[t-1] + norm(x[t]);  v[t] = (1 - voltage_decay) v[t-1] + u[t];
    s[t] = v[t] >= theta[t] + r[t], where theta and r are those of `slayerloss.functional.adaptive_threshold`.

    Args:
        threshold: what theta starts from and relaxes to; cut to multiples of 1/scale, as the chip holds it.
        threshold_step: what a spike adds to theta; likewise cut.
        current_decay, voltage_decay, threshold_decay, refractory_decay: the fraction lost per step, in [0, 1]; with
            `shared_param=False` also (lowest, highest).
        tau_grad: width of the surrogate gradient, in units of 100 thresholds.
        scale_grad: height of the surrogate gradient, in tenths.
        scale: weight LSBs per unit.
        norm: a class such as `norm.MeanOnlyBatchNorm`, applied to the input.
        dropout: an instance of `Dropout`, applied to the spikes.
        shared_param: one value of each decay for all neurons; False draws one per channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn the decays.
        graded_spike: a spike carries the voltage.
        channels: C, if decays per channel are to be drawn now; None to draw them at the first run.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> neuron = Neuron(1.0, 0.5, current_decay=1.0, voltage_decay=1.0, threshold_decay=0.5, refractory_decay=0.75)
        >>> neuron(torch.full((1, 1, 8), 2.0))
        tensor([[[1., 1., 0., 1., 1., 0., 1., 0.]]])

    Note:
        The decays are held as logarithms; `decays` gives the fractions. State dicts of lava-dl are converted when they
        are loaded. lava-dl does not learn the decays of the threshold and of the refractory state; here they learn.
    """

    state_type = AlifState
    current_state = kept_state("current")
    voltage_state = kept_state("voltage")
    current_decay: torch.nn.Parameter
    voltage_decay: torch.nn.Parameter

    def __init__(
        self,
        threshold: float,
        threshold_step: float,
        current_decay: float | Sequence[float],
        voltage_decay: float | Sequence[float],
        threshold_decay: float | Sequence[float],
        refractory_decay: float | Sequence[float],
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 64,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
        graded_spike: bool = False,
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
        self._declare("current_decay", _decay.stored("current_decay", current_decay))
        self._declare("voltage_decay", _decay.stored("voltage_decay", voltage_decay))
        self._declare_adaptation(threshold_step, threshold_decay, refractory_decay)

    def extra_repr(self) -> str:
        names = "current_decay", "voltage_decay", "threshold_decay", "refractory_decay"
        values = (f"{name}={float(decay.detach().mean()):.4g}" for name, decay in zip(names, self.decays, strict=True))
        return ", ".join([f"threshold={self.threshold:g}", f"threshold_step={self.threshold_step:g}", *values])

    @property
    def decays(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The fractions of current, voltage, threshold and refractory state lost per step; differentiable."""
        return (
            _decay.to_decay(self.current_decay),
            _decay.to_decay(self.voltage_decay),
            *self.adaptation_decays,
        )

    @property
    def cx_current_decay(self) -> Any:
        """The current decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return whole(self.decays[0])

    @property
    def cx_voltage_decay(self) -> Any:
        """The voltage decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return whole(self.decays[1])

    @property
    def ref_delay(self) -> int:
        """The chip's steps without spikes after a spike, always 1: none."""
        return 1

    @property
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""
        return {
            "type": "ALIF",
            "iDecay": self.cx_current_decay,
            "vDecay": self.cx_voltage_decay,
            **self.adaptation_params,
            "refDelay": self.ref_delay,
            "gradedSpike": self.graded_spike,
        }

    def dynamics(self, input: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Current, voltage, threshold and refractory state, each (N, C, ..., T)."""
        *steps, state = self.run_dynamics(input, self.state, lengths)
        self._keep(state)
        return steps[0], steps[1], steps[2], steps[3]

    def spike(self, voltage: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """The spikes of a voltage that meets a threshold and a refractory state, after dropout."""
        return self._dropped(self._fire(voltage, threshold, refractory))

    def _fire(self, voltage: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        surrogate: dict[str, Any] = {"tau": self.tau, "scale": self.grad_scale, "graded": self.graded_spike}
        return spike(self.shown(voltage), threshold + refractory, inclusive=True, **surrogate)

    def run(self, x: Tensor, state: AlifState | None = None, lengths: Tensor | None = None) -> tuple[Tensor, AlifState]:
        """The spikes and the state after them, from a given state, with gradients through both."""
        spikes, after = self.respond(self._drive(x, lengths), state)
        return self._sent(spikes, x), after

    def respond(self, drive: Tensor, state: AlifState | None = None) -> tuple[Tensor, AlifState]:
        """The spikes before dropout that an input after the norm causes, and the state after them."""
        _, *met, after = self._states(drive, state)
        return self._fire(*met), after

    def run_dynamics(
        self,
        x: Tensor,
        state: AlifState | None = None,
        lengths: Tensor | None = None,
        threshold: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, AlifState]:
        """Current, voltage, threshold, refractory state and the state after them, from a given state.

        `threshold` is None, or infinity for neurons that never spike.
        """
        return self._states(self._drive(x, lengths), state, threshold)

    def _drive(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        self._begin(x, lengths)
        return normed(self.norm, x.to(accumulation_dtype(x)), lengths)

    def _states(
        self, drive: Tensor, state: AlifState | None, threshold: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, AlifState]:
        before = self._before(state)
        current = leaky_integrator(drive, self.decays[0], state=before[0], scale=self.scale)
        voltage = integrate_and_fire(current, self.decays[1], math.inf, state=before[1], scale=self.scale)
        allowed = None if threshold is None else torch.zeros_like(voltage, dtype=torch.bool)
        theta, r, after = self._adapt(voltage, before[2:], allowed)
        return current, voltage, theta, r, AlifState(current.select(-1, -1), voltage.select(-1, -1), *after)

    @torch.no_grad()
    def chip_states(self, x: Tensor, threshold: float | None = None) -> dict[str, Tensor]:
        """The states in each step of a run from rest, in the chip's integers, (N, C, ..., T) int64 each.

        Args:
            x: (N, C, ..., T), the weighted input.
            threshold: None, or infinity for neurons that never spike.
        """
        return self.states_of(self._drive(x, None), threshold)

    @torch.no_grad()
    def states_of(self, drive: Tensor, threshold: float | None = None) -> dict[str, Tensor]:
        """`chip_states` of an input after the norm."""
        names = "u", "v", "threshold", "refractory"
        steps = self._states(drive, None, threshold)[:4]
        return {name: (value * self.lsb).round().long() for name, value in zip(names, steps, strict=True)}
