"""The sigma-delta neuron, which sends how much its activation has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ShapeError, check_callable, check_finite, check_tensor, message
from slayerloss.axon import Delta
from slayerloss.dendrite import Sigma
from slayerloss.functional.quantize import quantize
from slayerloss.functional.sigma_delta import DeltaState, SigmaDeltaState, sigma, sigma_delta, total_of_sigma
from slayerloss.kernels.reference_sigma_delta import State, changes
from slayerloss.neuron import base
from slayerloss.neuron._fields import field
from slayerloss.neuron.base import in_dtype_of, normed
from slayerloss.neuron.dropout import Dropout
from slayerloss.neuron.norm import MeanOnlyBatchNorm

__all__ = ["Neuron", "SigmaDeltaState", "neuron_params"]

RELU = (torch.relu, torch.relu_, torch.nn.functional.relu, torch.nn.functional.relu_)
"""The functions that are the chip's activation."""


def neuron_params(device_params: Mapping[str, Any], scale: int = 64) -> dict[str, Any]:
    """The arguments of a neuron from its fields in a network file.

    Args:
        device_params: `Neuron.device_params`.
        scale: weight LSBs per unit.

    Returns:
        threshold, and the activation where it is the chip's.

    Example:
        >>> Neuron(**neuron_params({"type": "SDNN", "activation": "relu", "vThMant": 6})).v_th_mant
        6
    """
    params = {"threshold": field(device_params, "vThMant", scale)}
    rectifies = device_params.get("activation", "relu") in ("relu", "relu_")
    return params | {"activation": torch.relu} if rectifies else params


class Neuron(base.Neuron):
    """A population of sigma-delta neurons: they sum up changes, and send how much the activation of the sum changes.

    y = delta(activation(norm(sigma(x)) + bias)); `slayerloss.functional.sigma_delta` has the equations.

    Args:
        threshold: the least change that is sent; at use it is cut to multiples of 1/scale, as the chip holds it.
        activation: any function of a tensor; the chip has relu only.
        tau_grad, scale_grad: width and height of what stands for the derivative by the threshold.
        scale: weight LSBs per unit; messages are multiples of 1/(64 scale).
        cum_error: hold the sum of the changes since the last message against the threshold; the chip does not.
        norm: a class such as `norm.MeanOnlyBatchNorm`, applied to the sum.
        dropout: an instance of `Dropout`, applied to the messages.
        shared_param: one threshold for all neurons; False: one for each channel.
        persistent_state: go on from the last run's state until `reset_state`.
        requires_grad: learn the threshold, and the bias if there is one.
        channels: C, if thresholds per channel are to be made now; None to make them at the first run.

    Raises:
        ArgumentError, DtypeError: a value out of range.

    Example:
        >>> neuron = Neuron(threshold=0.5, activation=torch.relu)
        >>> neuron(torch.tensor([[[1.0, 0.25, 0.25, -2.0, -1.0]]]))
        tensor([[[ 1.0000,  0.0000,  0.5000, -1.5000,  0.0000]]])

    Note:
        In lava-dl a threshold that has learned is used as it is, and the file gets it cut off.
    """

    state_type = SigmaDeltaState

    def __init__(
        self,
        threshold: float,
        activation: Callable[[Tensor], Tensor],
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 64,
        cum_error: bool = False,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
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
            graded_spike=True,
            channels=channels,
        )
        check_callable("Neuron", "activation", activation)
        self.activation = activation
        self.sigma = Sigma(persistent_state)
        slope = self.tau_grad, self.scale_grad
        kept = self.shared_param, self.persistent_state, self.requires_grad
        self.delta = Delta(self._on_grid("threshold", threshold), self.lsb, *slope, cum_error, *kept)
        if not self.shared_param and self._channels is not None:
            self.delta.threshold.data = self.delta.threshold.data.repeat(self._channels)
        self.bias = torch.nn.Parameter(torch.zeros(1), requires_grad=self.requires_grad)
        self.bias_is_set = False

    def extra_repr(self) -> str:
        return f"threshold={float(self.whole_threshold.detach().mean()):g}, activation={self.activation_name}"

    @property
    def threshold(self) -> Any:
        """The parameter, (1,) or (C,); `whole_threshold` is what is used."""
        return self.delta.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if "delta" in self._modules:  # which is made with the first one
            self.delta.threshold.data.fill_(self._on_grid("threshold", value))

    @property
    def whole_threshold(self) -> Tensor:
        """(1,) or (C,), on the chip's grid; gradient 1.

        In place of zero, which a network file may have, it is the smallest change that there is.
        """
        return quantize(self.delta.threshold, 1 / self.scale, "truncate").clamp(min=1 / (self.lsb * self.scale))

    @property
    def v_th_mant(self) -> Any:
        """The threshold in weight LSBs, as the chip holds it: an int, or an array with one per channel."""
        each = (self.whole_threshold.detach() * self.scale).round().to(torch.int64).cpu().numpy()
        return int(each[0]) if each.size == 1 else each

    @property
    def activation_name(self) -> str:
        """The name of the activation, as a network file has it."""
        name = getattr(self.activation, "__name__", type(self.activation).__name__.lower())
        return str(name)

    @property
    def rectifies(self) -> bool:
        """Whether the activation is the chip's."""
        return self.activation in RELU or isinstance(self.activation, torch.nn.ReLU)

    @property
    def device_params(self) -> dict[str, Any]:
        """The neuron in the fields of a network file."""
        return {"type": "SDNN", "activation": self.activation_name, "vThMant": self.v_th_mant}

    @property
    def state(self) -> SigmaDeltaState | None:
        """What `persistent_state` kept, in the units' `state`; None at rest."""
        after = self.delta.state
        return None if after is None else SigmaDeltaState(self.sigma.pre_state, *after)

    @state.setter
    def state(self, state: SigmaDeltaState | None) -> None:
        if "delta" in self._modules:  # which is made after the state
            self.sigma.state = None if state is None else state.sigma
            self.delta.state = None if state is None else DeltaState(*state[1:])

    def clamp(self) -> None:
        """Bring a threshold that an optimiser moved below one weight LSB back; where it learns, every run does it."""
        with torch.no_grad():
            self.delta.threshold.clamp_(min=1 / self.scale)

    def set_bias(self, bias: Tensor) -> None:
        """Add a bias to the sum: (1,), (C,) or one a neuron (C, ...), in units; at use rounded to weight LSBs."""
        check_tensor("set_bias", "bias", bias)
        check_finite("set_bias", "bias", bias)
        bias = self._fitting("set_bias", bias.detach())
        self.bias.data = bias.to(self.bias.device, self.bias.dtype).clone()
        self.bias_is_set = True

    def _fitting(self, function: str, bias: Tensor) -> Tensor:
        """A bias as (1,), (C,) or (C, ...), where the neurons are known."""
        if self.shape is None or bias.numel() == 1:
            return bias
        if bias.numel() == self.shape.numel():
            return bias.reshape(self.shape)
        if bias.shape != self.shape[:1]:
            rule = f"one number, {tuple(self.shape[:1])} or {tuple(self.shape)}"
            raise ShapeError(message(function, "bias does not fit the neurons", rule, tuple(bias.shape)))
        return bias

    @property
    def whole_bias(self) -> Tensor | None:
        """The bias on the chip's grid, that of a mean-only norm in eval mode not included; None if there is none."""
        return quantize(self.bias, 1 / self.scale) if self.bias_is_set else None

    def _ready(self, x: Tensor) -> None:
        super()._ready(x)
        self.delta.ready(x)
        self.sigma.shape = self.shape
        if self.bias.shape not in ((1,), self.shape):
            self.bias.data = self._fitting("Neuron", self.bias.data)

    def run(
        self, x: Tensor, state: SigmaDeltaState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, SigmaDeltaState]:
        """The messages and the state after them, from a given state, with gradients through both."""
        self._begin(x, lengths)
        before = SigmaDeltaState(*self._before(state))
        whole = self.whole_bias
        simple = self.norm is None or (type(self.norm) is MeanOnlyBatchNorm and lengths is None)
        if not (self.rectifies and simple and (whole is None or whole.numel() in (1, x.shape[1]))):
            total = sigma(x, state=before.sigma)
            y, last = self.changes(self.activated(total, lengths), None if state is None else DeltaState(*before[1:]))
            return self._sent(y, x), SigmaDeltaState(total.select(-1, -1), *last)
        offset = None if whole is None else whole.reshape(-1)
        if isinstance(self.norm, MeanOnlyBatchNorm):
            mean = self.norm.mean(x, None, lambda x: total_of_sigma(x, before.sigma))
            offset = -mean if offset is None else offset - mean
        drop = self.drop if type(self.drop) is Dropout else None  # which goes with the kernel
        y, after = sigma_delta(
            x,
            self.whole_threshold,
            bias=offset,
            gain=None if drop is None else drop.gain(x),
            cum_error=self.delta.cum_error,
            state=None if state is None else before,
            tau_grad=self.tau_grad,
            scale_grad=self.scale_grad,
            scale=self.scale,
        )
        return self._sent(y, x) if drop is None else in_dtype_of(x, y), after

    def activated(self, total: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The activation of sums (N, C, ..., T), after norm and bias."""
        driven, bias = normed(self.norm, total, lengths), self.whole_bias
        if bias is not None:
            driven = driven + bias.reshape(*bias.shape, *[1] * (total.ndim - 1 - bias.ndim))
        y: Tensor = self.activation(driven)
        return y

    def changes(self, value: Tensor, state: DeltaState | None = None) -> tuple[Tensor, DeltaState]:
        """The messages of values (N, C, ..., T) and the state of the delta unit after them."""
        self._ready(value)
        return self.delta.run(value, state, self.whole_threshold)

    @torch.no_grad()
    def chip_states(self, x: Tensor) -> dict[str, Tensor]:
        """The states after each step of a run from rest, in the chip's integers, as a network file's runner has them.

        Args:
            x: (N, C, ..., T), the weighted input.

        Returns:
            sigma, act and residue; (N, C, ..., T) int64 each.
        """
        self._ready(x)
        total = sigma(x)
        return {"sigma": self.in_lsb(total), **self.chip_changes(self.activated(total))}

    @torch.no_grad()
    def chip_changes(self, value: Tensor) -> dict[str, Tensor]:
        """act and residue of `chip_states`, of values (N, C, ..., T)."""
        threshold = self.whole_threshold.reshape(-1, *[1] * (value.ndim - 3))
        rest = value.new_zeros(value.shape[:-1])
        error = rest if self.delta.cum_error else None
        change, sent, *_ = changes(value.movedim(-1, 0), threshold, State(None, rest, rest, error))
        return {"act": self.in_lsb(value), "residue": self.in_lsb((change - sent).movedim(0, -1))}

    def in_lsb(self, values: Tensor) -> Tensor:
        """In the units of the chip's states, of which a message has 64, and a weight as many messages."""
        return (values.double() * (self.lsb * self.scale)).round().long()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "bias")
        if isinstance(saved, Tensor):
            self.bias.data = self.bias.data.new_empty(saved.shape)
            self.bias_is_set = self.bias_is_set or saved.numel() > 1 or bool(saved.count_nonzero())
        super()._load_from_state_dict(state_dict, prefix, *args)
