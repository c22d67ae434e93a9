"""The current-based leaky integrate-and-fire neuron (CUBA LIF)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from slayerloss._check import ArgumentError, check_flag, check_sequence, message
from slayerloss.functional.neuron import (
    CubaState,
    after_reset,
    cuba,
    fire,
    integrate_and_fire,
    leaky_integrator,
    recurrent_cuba,
    spike,
)
from slayerloss.neuron import _decay, base
from slayerloss.neuron._fields import field
from slayerloss.neuron._shown import VoltageHook
from slayerloss.neuron.base import kept_state, normed, whole
from slayerloss.neuron.norm import MeanOnlyBatchNorm

__all__ = ["Neuron", "neuron_params"]


def neuron_params(device_params: dict[str, Any], scale: int = 64, p_scale: int = 4096) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file.

    Args:
        device_params: as `Neuron.device_params`.
        scale: weight LSBs per unit.
        p_scale: LSBs of a decay per unit.

    Returns:
        Arguments of `Neuron`.

    Example:
        >>> neuron_params(Neuron(threshold=1.25, current_decay=0.25, voltage_decay=0.125).device_params)
        {'threshold': 1.25, 'current_decay': 0.25, 'voltage_decay': 0.125}
    """
    return {
        "threshold": field(device_params, "vThMant", scale),
        "current_decay": field(device_params, "iDecay", p_scale),
        "voltage_decay": field(device_params, "vDecay", p_scale),
    }


class Neuron(base.Neuron):
    """A population of CUBA neurons, in the chip's integers.

    u[t] = (1 - current_decay) u[t-1] + x[t];  v[t] = (1 - voltage_decay) v[t-1] (1 - s[t-1]) + norm(u[t]);
    s[t] = v[t] > threshold. `slayerloss.functional.cuba` is the equation.

    Args:
        threshold: cut to multiples of 1/scale, as the chip holds it.
        current_decay, voltage_decay: the fraction lost per step, in [0, 1]; with `shared_param=False` also
            (lowest, highest).
        tau_grad: width of the surrogate gradient, in units of 100 thresholds.
        scale_grad: height of the surrogate gradient, in tenths.
        scale: weight LSBs per unit.
        norm: a class such as `norm.MeanOnlyBatchNorm`, applied to the current.
        dropout: an instance of `Dropout`, applied to the spikes.
        shared_param: one decay for all neurons; False draws one per channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn the decays.
        graded_spike: a spike carries the voltage.
        channels: C, if decays per channel are to be drawn now; None to draw them at the first run.
        through_reset: whether gradients flow back through resets as in lava-dl, see `slayerloss.functional.cuba`.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> neuron = Neuron(threshold=1.5, current_decay=1.0, voltage_decay=0.0)
        >>> neuron(torch.ones(1, 1, 4))
        tensor([[[0., 1., 0., 1.]]])

    Note:
        The parameters `current_decay` and `voltage_decay` hold logarithms; `decays` gives the fractions. State dicts of
        lava-dl, which hold decays times 4096, are converted when they are loaded.
    """

    state_type = CubaState
    current_state = kept_state("current")
    voltage_state = kept_state("voltage")
    current_decay: torch.nn.Parameter
    voltage_decay: torch.nn.Parameter

    def __init__(
        self,
        threshold: float,
        current_decay: float | Sequence[float],
        voltage_decay: float | Sequence[float],
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
        through_reset: bool = True,
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
        self.through_reset = check_flag("Neuron", "through_reset", through_reset)
        self._declare("current_decay", _decay.stored("current_decay", current_decay))
        self._declare("voltage_decay", _decay.stored("voltage_decay", voltage_decay))

    def extra_repr(self) -> str:
        current, voltage = (f"{float(decay.detach().mean()):.4g}" for decay in self.decays)
        return f"threshold={self.threshold:g}, current_decay={current}, voltage_decay={voltage}"

    @property
    def decays(self) -> tuple[Tensor, Tensor]:
        """The fractions of current and voltage lost per step, (1,) or (C,) each; differentiable."""
        return _decay.to_decay(self.current_decay), _decay.to_decay(self.voltage_decay)

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
            "type": "CUBA",
            "iDecay": self.cx_current_decay,
            "vDecay": self.cx_voltage_decay,
            "vThMant": self.v_th_mant,
            "refDelay": self.ref_delay,
            "gradedSpike": self.graded_spike,
        }

    def register_voltage_hook(self, hook: VoltageHook) -> RemovableHandle:
        if not self.through_reset:
            problem, way_out = "through_reset is False", "Leave through_reset at True"
            rule = "neurons whose gradients flow through resets, as those of a voltage do"
            raise ArgumentError(message("register_voltage_hook", problem, rule, False, way_out))
        return super().register_voltage_hook(hook)

    def dynamics(self, input: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current (after the norm) and voltage (before the reset), each (N, C, ..., T)."""
        current, voltage, state = self.run_dynamics(input, self.state, lengths)
        self._keep(state)
        return current, voltage

    def spike(self, voltage: Tensor) -> Tensor:
        """The spikes of a voltage, after dropout."""
        return self._dropped(self._fire(voltage))

    def _fire(self, voltage: Tensor) -> Tensor:
        surrogate: dict[str, Any] = {"tau": self.tau, "scale": self.grad_scale, "graded": self.graded_spike}
        return spike(self.shown(voltage), self.threshold, **surrogate)

    def run(self, x: Tensor, state: CubaState | None = None, lengths: Tensor | None = None) -> tuple[Tensor, CubaState]:
        """The spikes and the state after them, from a given state, with gradients through both."""
        if self._voltage_hooks:  # kernels that make spikes at once keep no voltage
            _, steps, after = self.run_dynamics(x, state, lengths)
            return self._sent(self._fire(steps), x), after
        self._begin(x, lengths)
        current_decay, voltage_decay = self.decays
        before = self._before(state)
        surrogate: dict[str, Any] = {"tau": self.tau, "grad_scale": self.grad_scale, "graded": self.graded_spike}
        surrogate |= {"scale": self.scale, "through_reset": self.through_reset}
        if self.norm is None:
            given = None if state is None else CubaState(*before)
            spikes, after = cuba(x, current_decay, voltage_decay, self.threshold, state=given, **surrogate)
        else:
            current = leaky_integrator(x, current_decay, state=before[0], scale=self.scale)
            drive = normed(self.norm, current, lengths)
            spikes, voltage = fire(drive, voltage_decay, self.threshold, state=before[1], **surrogate)
            after = CubaState(current.select(-1, -1), voltage)
        return self._sent(spikes, x), after

    def run_dynamics(
        self,
        x: Tensor,
        state: CubaState | None = None,
        lengths: Tensor | None = None,
        threshold: float | None = None,
    ) -> tuple[Tensor, Tensor, CubaState]:
        """Current, voltage and the state after them, from a given state; `threshold` replaces the neuron's."""
        self._begin(x, lengths)
        threshold = self.threshold if threshold is None else threshold
        current_decay, voltage_decay = self.decays
        before = self._before(state)
        current = leaky_integrator(x, current_decay, state=before[0], scale=self.scale)
        drive = normed(self.norm, current, lengths)
        voltage = integrate_and_fire(drive, voltage_decay, threshold, state=before[1], scale=self.scale)
        return drive, voltage, CubaState(current.select(-1, -1), after_reset(voltage, threshold))

    def run_recurrent(
        self,
        x: Tensor,
        feedback: Tensor,
        state: tuple[CubaState, Tensor] | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[CubaState, Tensor]]:
        """The spikes of a population that hears its own through `feedback` (C, C), and the state after them.

        A norm subtracts the mean of the current that x alone causes, which is known before the run: one bias a neuron.
        """
        if not self.through_reset:
            problem, way_out = "through_reset is False", "Use a Dense block, or utils.recurrent.custom_recurrent"
            raise ArgumentError(message("Neuron", problem, "True where a population hears itself", False, way_out))
        self._ready(x)
        current_decay, voltage_decay = self.decays
        current, voltage, spikes = recurrent_cuba(
            x,
            feedback,
            current_decay,
            voltage_decay,
            self.threshold,
            tau=self.tau,
            grad_scale=self.grad_scale,
            graded=self.graded_spike,
            state=state,
            scale=self.scale,
            bias=self._recurrent_bias(x, current_decay, state, lengths),
        )
        after = CubaState(current.select(-1, -1), after_reset(self.shown(voltage), self.threshold))
        return self._sent(spikes, x), (after, spikes.select(-1, -1))

    @torch.no_grad()
    def chip_states(
        self, x: Tensor, feedback: Tensor | None = None, threshold: float | None = None
    ) -> dict[str, Tensor]:
        """The states after each step of a run from rest, in the chip's integers, as a network file's runner has them.

        Args:
            x: (N, C, ..., T), the weighted input.
            feedback: (C, C), of a population that hears itself; None for one that does not.
            threshold: replaces the neuron's.

        Returns:
            u, to which a norm's bias is not added, and v after the reset; (N, C, ..., T) int64 each.
        """
        threshold = self.threshold if threshold is None else threshold
        self._ready(x)
        current_decay, voltage_decay = self.decays
        if feedback is None:
            current = leaky_integrator(x, current_decay, scale=self.scale)
            _, voltage, _ = self.run_dynamics(x, threshold=threshold)
        else:
            bias = self._recurrent_bias(x, current_decay, None, None)
            current, voltage, _ = recurrent_cuba(
                x,
                feedback,
                current_decay,
                voltage_decay,
                threshold,
                tau=self.tau,
                graded=self.graded_spike,
                scale=self.scale,
                bias=bias,
            )
        voltage = voltage.where(voltage <= threshold, 0)
        return {name: (value * self.lsb).round().long() for name, value in (("u", current), ("v", voltage))}

    def _recurrent_bias(self, x: Tensor, current_decay: Tensor, state: Any, lengths: Tensor | None) -> Tensor | None:
        if not isinstance(self.norm, MeanOnlyBatchNorm):
            return None
        if self.norm.learns:
            before = None if state is None else check_sequence("Neuron", "state", state, 2, "(CubaState, spikes)")[0]
            before = None if before is None else check_sequence("Neuron", "state", before, 2, "a CubaState")[0]
            x = leaky_integrator(x, current_decay, state=before, scale=self.scale)
        return -self.norm.mean(x, lengths).expand(x.shape[1])
