"""The current-based leaky integrate-and-fire neuron (CUBA LIF)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    check_events,
    check_flag,
    check_integer,
    check_lengths,
    check_range,
    check_sequence,
    message,
)
from slayerloss.functional.events import LARGEST_SIZE
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
from slayerloss.functional.quantize import quantize_weight
from slayerloss.kernels.precision import kept_wide
from slayerloss.kernels.reference import DECAY_SCALE, STATE_LIMIT
from slayerloss.neuron import _decay
from slayerloss.neuron._state import detached, moved
from slayerloss.neuron.norm import MeanOnlyBatchNorm

__all__ = ["Neuron"]

TAU_FACTOR = 100
"""lava-dl's hidden factor: the surrogate is tau_grad * threshold * 100 wide."""

SCALE_FACTOR = 0.1
"""lava-dl's hidden factor: the surrogate is scale_grad * 0.1 high."""


class Neuron(torch.nn.Module):
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

    _version = _decay.VERSION
    threshold: float
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
    ) -> None:
        super().__init__()
        self.scale = check_integer("Neuron", "scale", scale, 1)
        check_range("Neuron", "threshold", threshold, 0, STATE_LIMIT)
        check_range("Neuron", "tau_grad", tau_grad, 0, low_open=True)
        check_range("Neuron", "scale_grad", scale_grad, 0)
        self._check_modules(norm, dropout)
        self.threshold = int(threshold * self.scale) / self.scale
        if self.threshold <= 0:
            raise ArgumentError(
                message("Neuron", "threshold is zero once cut to the chip's grid", f"at least 1/{scale}", threshold)
            )
        self.tau_grad, self.scale_grad = float(tau_grad), float(scale_grad)
        self.shared_param = check_flag("Neuron", "shared_param", shared_param)
        self.persistent_state = check_flag("Neuron", "persistent_state", persistent_state)
        self.requires_grad = check_flag("Neuron", "requires_grad", requires_grad)
        self.graded_spike = check_flag("Neuron", "graded_spike", graded_spike)
        self.norm = None if norm is None else norm()
        if isinstance(self.norm, torch.nn.Module) and getattr(self.norm, "pre_hook_fx", 0) is None:
            self.norm.pre_hook_fx = functools.partial(quantize_weight, scale=self.scale)  # type: ignore[assignment]
        self.drop = dropout
        self.state: CubaState | None = None
        self._ranges: dict[str, Any] = {}  # what is drawn from at the first run
        if channels is not None:
            channels = check_integer("Neuron", "channels", channels, 1, LARGEST_SIZE)
        for name, decay in (("current_decay", current_decay), ("voltage_decay", voltage_decay)):
            per_channel = None if self.shared_param else (channels or 1)
            value = _decay.to_parameter(_decay.initial(name, decay, per_channel))
            self.register_parameter(name, torch.nn.Parameter(value, requires_grad=self.requires_grad))
            if not self.shared_param and channels is None:
                self._ranges[name] = decay
        self._to_draw = set(self._ranges)

    @staticmethod
    def _check_modules(norm: object, dropout: object) -> None:
        """A norm comes as a class, which is built here, a dropout as an instance."""
        if isinstance(norm, torch.nn.Module):
            raise DtypeError(message("Neuron", "norm is an instance", "a class such as MeanOnlyBatchNorm", norm))
        if norm is not None and not callable(norm):
            raise DtypeError(message("Neuron", "norm is no class", "a class such as MeanOnlyBatchNorm", norm))
        if isinstance(norm, type) and issubclass(norm, torch.nn.Module):
            needed = [
                name
                for name, value in inspect.signature(norm).parameters.items()
                if value.default is value.empty and value.kind in (value.POSITIONAL_ONLY, value.POSITIONAL_OR_KEYWORD)
            ]
            if needed:
                problem, rule = f"norm {norm.__name__} needs {', '.join(needed)}", "a class that needs no argument"
                way_out = "Use slayerloss.neuron.norm.MeanOnlyBatchNorm"
                raise ArgumentError(message("Neuron", problem, rule, norm, way_out))
        elif isinstance(norm, type):
            rule = "a torch.nn.Module class such as MeanOnlyBatchNorm"
            raise DtypeError(message("Neuron", "norm is no module class", rule, norm))
        if isinstance(dropout, type):
            raise DtypeError(message("Neuron", "dropout is a class", "an instance such as Dropout(0.1)", dropout))
        if dropout is not None and not isinstance(dropout, torch.nn.Module):
            raise DtypeError(message("Neuron", "dropout is no module", "an instance such as Dropout(0.1)", dropout))

    def extra_repr(self) -> str:
        current, voltage = (f"{float(decay.detach().mean()):.4g}" for decay in self.decays)
        return f"threshold={self.threshold:g}, current_decay={current}, voltage_decay={voltage}"

    @property
    def decays(self) -> tuple[Tensor, Tensor]:
        """The fractions of current and voltage lost per step, (1,) or (C,) each; differentiable."""
        return _decay.to_decay(self.current_decay), _decay.to_decay(self.voltage_decay)

    @property
    def tau(self) -> float:
        """Width of the surrogate, in units of the voltage."""
        return self.tau_grad * self.threshold * TAU_FACTOR

    @property
    def grad_scale(self) -> float:
        """Height factor of the surrogate."""
        return self.scale_grad * SCALE_FACTOR

    @property
    def lsb(self) -> int:
        """LSBs of the chip's states per unit of the voltage."""
        return 64 * self.scale

    @property
    def v_th_mant(self) -> int:
        """The threshold in weight LSBs, as the chip holds it."""
        return round(self.threshold * self.scale)

    @property
    def cx_current_decay(self) -> Any:
        """The current decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return _whole(self.decays[0])

    @property
    def cx_voltage_decay(self) -> Any:
        """The voltage decay as the chip holds it, in [0, 4096]: an int, or an array with one per channel."""
        return _whole(self.decays[1])

    @property
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""
        return {
            "type": "CUBA",
            "iDecay": self.cx_current_decay,
            "vDecay": self.cx_voltage_decay,
            "vThMant": self.v_th_mant,
            "refDelay": 1,
            "gradedSpike": self.graded_spike,
        }

    def quantize_8bit(self, weight: Tensor, descale: bool = False) -> Tensor:
        """Weights as the chip holds them, `functional.quantize_weight` in this neuron's scale."""
        return quantize_weight(weight, self.scale, descale)

    def reset_state(self) -> None:
        """Forget the state that `persistent_state` kept."""
        self.state = None

    def dynamics(self, input: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Current (after the norm) and voltage (before the reset), each (N, C, ..., T)."""
        current, voltage, state = self.run_dynamics(input, self.state, lengths)
        self._keep(state)
        return current, voltage

    def spike(self, voltage: Tensor) -> Tensor:
        """The spikes of a voltage, after dropout."""
        spikes = spike(voltage, self.threshold, tau=self.tau, scale=self.grad_scale, graded=self.graded_spike)
        return spikes if self.drop is None else self.drop(spikes)

    def forward(self, input: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The spikes (N, C, ..., T) of the weighted input, in the dtype of the input."""
        spikes, state = self.run(input, self.state, lengths)
        self._keep(state)
        return spikes

    def run(self, x: Tensor, state: CubaState | None = None, lengths: Tensor | None = None) -> tuple[Tensor, CubaState]:
        """The spikes and the state after them, from a given state, with gradients through both."""
        check_events("Neuron", x, "x", values=False)
        if lengths is not None:
            check_lengths("Neuron", lengths, x)
        current_decay, voltage_decay = self._ready_decays(x.shape[1])
        before = None if state is None else CubaState(*check_sequence("Neuron", "state", state, 2, "a CubaState"))
        surrogate: dict[str, Any] = {"tau": self.tau, "grad_scale": self.grad_scale, "graded": self.graded_spike}
        surrogate["scale"] = self.scale
        if self.norm is None:
            spikes, after = cuba(x, current_decay, voltage_decay, self.threshold, state=before, **surrogate)
        else:
            current, voltage = (None, None) if before is None else before
            current = leaky_integrator(x, current_decay, state=current, scale=self.scale)
            drive = self.norm(current) if lengths is None else self.norm(current, lengths)
            spikes, voltage = fire(drive, voltage_decay, self.threshold, state=voltage, **surrogate)
            after = CubaState(current.select(-1, -1), voltage)
        spikes = spikes if self.drop is None else self.drop(spikes)
        return spikes.to(x.dtype) if x.is_floating_point() else spikes, after

    def run_dynamics(
        self,
        x: Tensor,
        state: CubaState | None = None,
        lengths: Tensor | None = None,
        threshold: float | None = None,
    ) -> tuple[Tensor, Tensor, CubaState]:
        """Current, voltage and the state after them, from a given state; `threshold` replaces the neuron's."""
        check_events("Neuron", x, "x")
        if lengths is not None:
            check_lengths("Neuron", lengths, x)
        threshold = self.threshold if threshold is None else threshold
        current_decay, voltage_decay = self._ready_decays(x.shape[1])
        before = (None, None) if state is None else check_sequence("Neuron", "state", state, 2, "a CubaState")
        current = leaky_integrator(x, current_decay, state=before[0], scale=self.scale)
        drive = current
        if self.norm is not None:
            drive = self.norm(current) if lengths is None else self.norm(current, lengths)
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
        current_decay, voltage_decay = self._ready_decays(x.shape[1])
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
        after = CubaState(current.select(-1, -1), after_reset(voltage, self.threshold))
        return (spikes if self.drop is None else self.drop(spikes)), (after, spikes.select(-1, -1))

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
        current_decay, voltage_decay = self._ready_decays(x.shape[1])
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

    def _ready_decays(self, channels: int) -> tuple[Tensor, Tensor]:
        """The decays, drawn if they still have to be, and inside their range."""
        for name in sorted(self._to_draw):
            parameter = getattr(self, name)
            parameter.data = _decay.to_parameter(_decay.initial(name, self._ranges[name], channels)).to(parameter)
        self._to_draw.clear()
        if self.requires_grad:
            _decay.clamp_(self.current_decay)
            _decay.clamp_(self.voltage_decay)
        return self.decays

    def _keep(self, state: CubaState) -> None:
        if self.persistent_state:
            self.state = detached(state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Neuron:
        self.state = moved(self.state, fn)
        super()._apply(kept_wide(fn), recurse)  # the chip's 4097 decays are not all different in half precision
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._to_draw and hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]]["to_draw"] = sorted(self._to_draw)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        for name in ("current_decay", "voltage_decay"):
            key, parameter = prefix + name, getattr(self, name)
            if not isinstance(state_dict.get(key), Tensor):
                continue
            saved = _decay.from_state_dict(key, state_dict[key], local_metadata.get("version"))
            state_dict[key] = saved
            to_draw = name in self._ranges and name in local_metadata.get("to_draw", ())
            if not self.shared_param and saved.shape != parameter.shape and (to_draw or parameter.numel() == 1):
                parameter.data = parameter.data.new_empty(saved.shape)
            self._to_draw = self._to_draw | {name} if to_draw else self._to_draw - {name}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _whole(decay: Tensor) -> Any:
    decays = (decay.detach().clamp(max=1) * DECAY_SCALE).round().to(torch.int64).cpu().numpy()
    return int(decays[0]) if decays.size == 1 else decays
