"""What all neurons share: the threshold on the chip's grid, the surrogate's size, parameters, norm, dropout, state."""

from __future__ import annotations

import abc
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

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
    check_same_shape,
    check_sequence,
    message,
)
from slayerloss.functional._keys import ExplainsKeys
from slayerloss.functional._state import detached, is_rest, moved
from slayerloss.functional.events import LARGEST_SIZE
from slayerloss.functional.quantize import quantize_weight
from slayerloss.kernels.precision import kept_wide
from slayerloss.kernels.reference import DECAY_SCALE, STATE_LIMIT
from slayerloss.neuron import _decay
from slayerloss.neuron._shown import ShowsVoltage
from slayerloss.neuron._stored import Stored

__all__ = ["Neuron", "kept_state"]

MIGRATED = "migrated"
"""In the metadata of a state dict: lava-dl's single numbers that it was made of, which may stand for "not drawn"."""


def kept_state(field: str) -> Any:
    """lava-dl's attribute for a part of the state that `persistent_state` keeps; at rest it is (1,).

    Args:
        field: of the neuron's `state_type`.

    Returns:
        A property that can be set.

    Example:
        >>> from slayerloss.neuron.cuba import Neuron
        >>> neuron = Neuron(threshold=1, current_decay=1, voltage_decay=0, persistent_state=True)
        >>> neuron.voltage_state
        tensor([0.])
        >>> neuron(torch.full((1, 2, 1), 0.5)).sum(), neuron.voltage_state
        (tensor(0.), tensor([[0.5000, 0.5000]]))
    """

    def value(self: Neuron) -> Tensor:
        part: Tensor = torch.tensor([self.rest(field)]) if self.state is None else getattr(self.state, field)
        return part

    def set_value(self: Neuron, value: Tensor) -> None:
        if self.state is None and is_rest("Neuron", f"{field}_state", value, self.rest(field)):
            return
        if self.state is None:
            self.state = self.state_type(*(torch.full_like(value, self.rest(name)) for name in self.state_fields()))
        self.state = self.state._replace(**{field: value.expand_as(getattr(self.state, field))})

    return property(value, set_value, doc=f"The {field} after the last run, (N, C, ...).")


class Neuron(ShowsVoltage, ExplainsKeys, abc.ABC):
    """What all neurons share; `neuron.cuba.Neuron` and its like add their parameters and equations.

    Args:
        threshold: cut to multiples of 1/scale, as the chip holds it.
        tau_grad: width of the surrogate gradient, in units of TAU_FACTOR thresholds.
        scale_grad: height of the surrogate gradient, in units of SCALE_FACTOR.
        scale: weight LSBs per unit.
        norm: a class such as `norm.MeanOnlyBatchNorm`.
        dropout: an instance of `Dropout`, applied to the spikes.
        shared_param: one value of each parameter for all neurons; False: one for each channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn the parameters.
        graded_spike: a spike carries a value.
        channels: C, if parameters per channel are to be drawn now; None to draw them at the first run.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> from slayerloss.neuron.cuba import Neuron as Cuba
        >>> neuron = Cuba(threshold=1.26, current_decay=1.0, voltage_decay=0.0)
        >>> isinstance(neuron, Neuron), neuron.threshold, neuron.v_th_mant
        (True, 1.25, 80)
    """

    _version = _decay.VERSION
    TAU_FACTOR: ClassVar[float] = 100
    """lava-dl's hidden factor: the surrogate is tau_grad * threshold * TAU_FACTOR wide."""
    SCALE_FACTOR: ClassVar[float] = 0.1
    """lava-dl's hidden factor: the surrogate is scale_grad * SCALE_FACTOR high."""
    is_complex: ClassVar[bool] = False
    """Whether the input is a pair, a real and an imaginary part."""
    state_type: ClassVar[Any]
    """The NamedTuple that holds a state."""

    def __init__(
        self,
        threshold: float,
        tau_grad: float,
        scale_grad: float,
        scale: int,
        *,
        norm: Callable[..., torch.nn.Module] | None,
        dropout: torch.nn.Module | None,
        shared_param: bool,
        persistent_state: bool,
        requires_grad: bool,
        graded_spike: bool,
        channels: int | None,
    ) -> None:
        super().__init__()
        self.scale = check_integer("Neuron", "scale", scale, 1)
        check_range("Neuron", "tau_grad", tau_grad, 0, low_open=True)
        check_range("Neuron", "scale_grad", scale_grad, 0)
        _check_modules(norm, dropout)
        self.threshold = self._on_grid("threshold", threshold)
        self.tau_grad, self.scale_grad = float(tau_grad), float(scale_grad)
        self.shared_param = check_flag("Neuron", "shared_param", shared_param)
        self.persistent_state = check_flag("Neuron", "persistent_state", persistent_state)
        self.requires_grad = check_flag("Neuron", "requires_grad", requires_grad)
        self.graded_spike = check_flag("Neuron", "graded_spike", graded_spike)
        self.norm = None if norm is None or self.is_complex else self._built(norm)
        if self.is_complex:
            self.real_norm, self.imag_norm = (None if norm is None else self._built(norm) for _ in range(2))
        self.drop = dropout
        self.shape: torch.Size | None = None
        self.state: Any = None
        self._channels = None if channels is None else check_integer("Neuron", "channels", channels, 1, LARGEST_SIZE)
        self._stored: dict[str, Stored] = {}
        self._to_draw: set[str] = set()

    def _on_grid(self, name: str, value: float) -> float:
        """A threshold as the chip holds it, so that a state can pass it."""
        highest = (STATE_LIMIT // 64 - 1) / self.scale
        check_range("Neuron", name, value, 0, highest, way_out="No state of the chip can pass a higher one")
        cut = int(value * self.scale) / self.scale
        if cut <= 0:
            problem = f"{name} is zero once cut to the chip's grid"
            raise ArgumentError(message("Neuron", problem, f"at least 1/{self.scale}", value))
        return cut

    def _built(self, norm: Callable[..., torch.nn.Module]) -> torch.nn.Module:
        """A norm, with the chip's quantisation unless it has one of its own."""
        built = norm()
        if isinstance(built, torch.nn.Module) and getattr(built, "pre_hook_fx", 0) is None:
            built.pre_hook_fx = functools.partial(quantize_weight, scale=self.scale)  # type: ignore[assignment]
        return built

    def _declare(self, name: str, stored: Stored) -> None:
        """A parameter of this neuron; per channel it is drawn now if the channels are known, else at the first run."""
        self._stored[name] = stored
        value = stored.draw(None if self.shared_param else (self._channels or 1))
        self.register_parameter(name, torch.nn.Parameter(value, requires_grad=self.requires_grad))
        if not self.shared_param and self._channels is None:
            self._to_draw.add(name)

    @abc.abstractmethod
    def run(self, x: Any, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """The spikes and the state after them, from a given state, with gradients through both."""

    def forward(self, input: Any, lengths: Tensor | None = None) -> Tensor:
        """The spikes (N, C, ..., T) of the weighted input, in the dtype of the input."""
        spikes, state = self.run(input, self.state, lengths)
        self._keep(state)
        return spikes

    def _begin(self, x: Tensor, lengths: Tensor | None, *others: Tensor) -> None:
        """Before a run: check the input x, and what comes with it, and make the parameters ready."""
        check_events("Neuron", x, "x", values=False)
        for other in others:
            check_events("Neuron", other, "x", values=False)
            check_same_shape("Neuron", "real x", x, "imaginary x", other)
        if lengths is not None:
            check_lengths("Neuron", lengths, x)
        self._ready(x)

    def _before(self, state: Any) -> list[Any]:
        """The parts of the state from which a run goes on; None for each of them at rest."""
        fields = self.state_fields()
        if state is None:
            return [None] * len(fields)
        name = self.state_type.__name__
        rule = f"{'an' if name.startswith('A') else 'a'} {name}"
        return check_sequence("Neuron", "state", state, len(fields), rule)

    def _dropped(self, spikes: Tensor) -> Tensor:
        y: Tensor = spikes if self.drop is None else self.drop(spikes)
        return y

    def _sent(self, spikes: Tensor, x: Tensor) -> Tensor:
        """The spikes after dropout, in the dtype of the input x."""
        return in_dtype_of(x, self._dropped(spikes))

    def _ready(self, x: Tensor) -> None:
        """Before a run with input x: draw what still has to be drawn, and clamp what an optimiser moved."""
        for name in sorted(self._to_draw):
            parameter = getattr(self, name)
            parameter.data = self._stored[name].draw(x.shape[1]).to(parameter)
        self._to_draw.clear()
        self.shape = x.shape[1:-1]
        if self.requires_grad:
            self.clamp()

    def clamp(self) -> None:
        """Bring parameters that an optimiser moved out of range back; every run does it by itself."""
        for name, stored in self._stored.items():
            stored.clamp_(getattr(self, name))

    def natural_parameters(self) -> dict[str, Tensor]:
        """The parameters as the constructor's arguments have them, by name; differentiable.

        Example:
            >>> from slayerloss.neuron.cuba import Neuron as Cuba
            >>> Cuba(threshold=1, current_decay=0.5, voltage_decay=0.25).natural_parameters()
            {'current_decay': tensor([0.5000]...), 'voltage_decay': tensor([0.2500]...)}
        """
        meant = {stored.argument: stored.meaning(getattr(self, name)) for name, stored in self._stored.items()}
        return meant | {
            n: value for n, value in self._parameters.items() if value is not None and n not in self._stored
        }

    @property
    def tau(self) -> float:
        """Width of the surrogate, in units of the voltage."""
        return self.tau_grad * self.threshold * self.TAU_FACTOR

    @property
    def grad_scale(self) -> float:
        """Height factor of the surrogate."""
        return self.scale_grad * self.SCALE_FACTOR

    @property
    def lsb(self) -> int:
        """LSBs of the chip's states per unit of the voltage."""
        return 64 * self.scale

    @property
    def w_scale(self) -> int:
        """lava-dl's name for `scale`."""
        return self.scale

    @property
    def s_scale(self) -> int:
        """lava-dl's name for `lsb`."""
        return self.lsb

    @property
    def p_scale(self) -> int:
        """LSBs of a decay per unit."""
        return DECAY_SCALE

    @property
    def weight_exponent(self) -> int:
        """The chip's exponent of the weights."""
        return int(math.log2(self.s_scale // self.w_scale)) - 6

    @property
    def v_th_mant(self) -> int:
        """The threshold in weight LSBs, as the chip holds it."""
        return round(self.threshold * self.scale)

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device

    @property
    @abc.abstractmethod
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""

    @property
    def file_params(self) -> dict[str, Any]:
        """`device_params` as a network file has them, so that Lava computes with the same integers."""
        return self.device_params

    def quantize_8bit(self, weight: Tensor, descale: bool = False) -> Tensor:
        """Weights as the chip holds them, `functional.quantize_weight` in this neuron's scale."""
        return quantize_weight(weight, self.scale, descale)

    @classmethod
    def state_fields(cls) -> tuple[str, ...]:
        """The names of the parts of a state."""
        return tuple(cls.state_type._fields)

    def rest(self, field: str) -> float:
        """The value at rest of a part of the state."""
        return self.threshold if field == "threshold" else 0.0

    def reset_state(self) -> None:
        """Forget the state that `persistent_state` kept."""
        self.state = None

    def _keep(self, state: Any) -> None:
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
        for name, stored in self._stored.items():
            key, parameter = prefix + name, getattr(self, name)
            if not isinstance(state_dict.get(key), Tensor):
                continue
            version = local_metadata.get("version")
            migrated = local_metadata.get(MIGRATED, {}).get(name)
            lava_dls = state_dict[key] if migrated is None else torch.tensor([migrated])
            undrawn = stored.is_undrawn(lava_dls, is_lava_dls=version != self._version or migrated is not None)
            undrawn = not self.shared_param and (undrawn or name in local_metadata.get("to_draw", ()))
            saved = stored.load(key, state_dict[key], version)
            if undrawn:
                saved = stored.draw(self._channels or 1).to(parameter)
            stored.check(key, saved)
            saved = saved.clamp(max=stored.highest)  # no run clamps what does not learn
            if not self.shared_param and (undrawn or parameter.numel() == 1):
                parameter.data = parameter.data.new_empty(saved.shape)
            state_dict[key] = saved
            to_draw = undrawn and self._channels is None
            self._to_draw = self._to_draw | {name} if to_draw else self._to_draw - {name}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def normed(norm: torch.nn.Module | None, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The input of a neuron after its norm, if it has one."""
    if norm is None:
        return x
    y: Tensor = norm(x) if lengths is None else norm(x, lengths)
    return y


def in_dtype_of(x: Tensor, spikes: Tensor) -> Tensor:
    """Spikes in the dtype of an input, if that is one of floats."""
    return spikes.to(x.dtype) if x.is_floating_point() else spikes


def whole(fraction: Tensor) -> Any:
    """Fractions in [0, 1] as the chip holds them, in [0, 4096]: an int, or an array with one per channel."""
    values = (fraction.detach().clamp(max=1) * DECAY_SCALE).round().to(torch.int64).cpu().numpy()
    return int(values[0]) if values.size == 1 else values


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
