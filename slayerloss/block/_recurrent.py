"""Blocks that hear their own spikes."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_flag, check_integer, check_range, message
from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of, synapses_of
from slayerloss.functional._fan_out import dense_fan_out
from slayerloss.functional.quantize import quantize_weight
from slayerloss.neuron._recurrent import chip_states, run_recurrent
from slayerloss.neuron.norm import MeanOnlyBatchNorm


class SelfHearing(SpikingBlock, abc.ABC):
    """What hears its own spikes, one step later."""

    @abc.abstractmethod
    def feedback(self) -> Any:
        """The weights (C, C) through which it does; a pair of them with complex neurons."""

    def constant(self) -> Tensor | float:
        """What the neurons hear in every step."""
        return 0.0

    @torch.no_grad()
    def own_fan_out(self) -> Tensor:
        """How many synapses each neuron has to those of this block, (C,), as `fan_out` counts."""
        weights = self.feedback()
        parts = weights if isinstance(weights, tuple) else (weights,)
        return torch.stack([dense_fan_out(self.in_chip(part), part.shape[1:]) for part in parts]).sum(0)

    def respond(self, z: Any, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        return run_recurrent(self.neuron, self._heard(z), self.feedback(), state, lengths)

    def states_of(self, z: Any) -> dict[str, Tensor]:
        return chip_states(self.neuron, self._heard(z), self.feedback())

    def _heard(self, z: Any) -> Any:
        constant = self.constant()
        return tuple(part + constant for part in z) if isinstance(z, tuple) else z + constant

    def fields_of(self, dense: Any, feedback: Any) -> dict[str, Any]:
        """The fields of a layer that hears itself, with the weights from its input and those from itself, in LSBs."""
        if self.neuron.is_complex:
            problem, way_out = "a network file has no feedback of complex neurons", "Use a Dense block"
            raise ArgumentError(message("layer_fields", problem, "real ones", type(self).__name__, way_out))
        out_features, in_features = dense.shape[:2]
        return self.common_fields("dense_rec") | {
            "weight": self.whole_weight(dense, flat=True),
            "weight_rec": feedback,
            "inFeatures": in_features,
            "outFeatures": out_features,
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "spike_state", None)  # lava-dl saves the last batch's spikes
        super()._load_from_state_dict(state_dict, prefix, *args)


class Recurrent(SelfHearing):
    """Dense synapse and neurons that hear their own spikes.

    s[t] = neuron(W x[t-1] + R s[t-1])

    Args:
        neuron_params: see `slayerloss.block`; a norm can only be `norm.MeanOnlyBatchNorm`.
        in_neurons, out_neurons: C and C'.
        weight_scale: factor of the initial weights, the recurrent ones too.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.
        requires_grad: learn the recurrent weights.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Recurrent(params, 20, 10)(torch.ones(4, 20, 5)).shape
        torch.Size([4, 10, 5])

    Note:
        In lava-dl the state leaks from batch to batch; here a batch starts at rest unless `persistent_state` is set.
        lava-dl cuts the gradient off at every step. A learned delay sits at the output here as there: at the input,
        delays of unequal length would come between neurons that hear each other. In training the norm subtracts the
        mean, over batch and time, of the current that W x causes; lava-dl's has another mean in each step, and
        subtracts it in all later steps too, in eval mode as well, which is not what the chip's bias does. Its block of
        complex neurons fails; here R has a real and an imaginary part as W has.
    """

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_neurons: int,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        requires_grad: bool = True,
        delay: bool = False,
        delay_shift: bool | str = True,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_neurons)
        _check_norm("Recurrent", neuron)
        hook = in_scale_of(neuron, pre_hook_fx)
        super().__init__(neuron, None, delay, delay_shift, None, count_log, out_neurons)
        dense = synapses_of(neuron).Dense
        self.input_synapse = dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        self.recurrent_synapse = dense(out_neurons, out_neurons, weight_scale, weight_norm, hook)
        self.recurrent_synapse.requires_grad_(check_flag("Recurrent", "requires_grad", requires_grad))
        self.shape = torch.Size([out_neurons])

    @property
    def delays_output(self) -> bool:
        """At the input, delays of unequal length would come between the neurons that hear each other."""
        return self.delay is not None or super().delays_output

    def drive(self, x: Tensor) -> Any:
        return self.input_synapse(x)

    def _fan_out(self, shape: tuple[int, ...]) -> Tensor:
        return self.fan_out_through(self.input_synapse, shape)

    def feedback(self) -> Any:
        synapse: Any = self.recurrent_synapse
        if synapse.complex:
            return tuple(part.effective_weight().flatten(1) for part in (synapse.real, synapse.imag))
        return synapse.effective_weight().flatten(1)

    def layer_fields(self) -> dict[str, Any]:
        return self.fields_of(self.input_synapse, self.whole_weight(self.recurrent_synapse, flat=True))


class KWTA(SelfHearing):
    """Dense synapse and neurons of which the K that hear most win: each excites itself and inhibits all others.

    s[t] = neuron(W x[t-1] + R s[t-1] + b),  R = (1 + a) I - 1,  b = threshold (N - 2K) / (64 N)

    R and b are quantised as weights are, so that b is zero at all but high thresholds.

    Args:
        neuron_params: see `slayerloss.block`; a norm can only be `norm.MeanOnlyBatchNorm`.
        in_neurons, out_neurons: C and N.
        num_winners: K, in [1, N].
        self_excitation: the initial a, in [0, 1].
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay_shift, count_log: see `slayerloss.block`.
        requires_grad: learn a.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.KWTA(params, 20, 10, num_winners=2)(torch.ones(4, 20, 5)).shape
        torch.Size([4, 10, 5])

    Note:
        lava-dl's fails in training; without gradients the spikes are the same, the first run's that is, since there the
        state leaks from batch to batch. With complex neurons both parts hear R and b.
    """

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_neurons: int,
        out_neurons: int,
        num_winners: int,
        self_excitation: float = 0.5,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        delay_shift: bool | str = True,
        requires_grad: bool = True,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_neurons)
        _check_norm("KWTA", neuron)
        dense = synapses_of(neuron).Dense(
            in_neurons, out_neurons, weight_scale, weight_norm, in_scale_of(neuron, pre_hook_fx)
        )
        super().__init__(neuron, dense, False, delay_shift, None, count_log)
        self.num_neurons = out_neurons
        self.num_winners = check_integer("KWTA", "num_winners", num_winners, 1, out_neurons)
        check_range("KWTA", "self_excitation", self_excitation, 0, 1)
        learned = check_flag("KWTA", "requires_grad", requires_grad)
        self.self_excitation = torch.nn.Parameter(torch.tensor([float(self_excitation)]), learned)
        self.shape = torch.Size([out_neurons])

    def clamp(self) -> None:
        """Bring a self-excitation that an optimiser moved out of [0, 1] back; every run does it by itself."""
        with torch.no_grad():
            self.self_excitation.clamp_(0, 1)

    def _lateral(self) -> Tensor:
        self.clamp()
        itself = torch.eye(self.num_neurons, dtype=self.self_excitation.dtype, device=self.self_excitation.device)
        weight: Tensor = self.neuron.quantize_8bit((1 + self.self_excitation) * itself - 1)
        return weight

    def feedback(self) -> Any:
        lateral = self._lateral()
        return (lateral, lateral) if self.neuron.is_complex else lateral

    def constant(self) -> float:
        share = (self.num_neurons - 2 * self.num_winners) / self.num_neurons
        return float(self.neuron.quantize_8bit(torch.tensor(self.neuron.threshold * share / self.neuron.scale)))

    def layer_fields(self) -> dict[str, Any]:
        """A recurrent layer; b has no field, so that it must be zero."""
        if self.constant():
            problem, rule = "a network file has no bias of the current", "b, which is quantised, to be zero"
            way_out = "Lower the threshold, or take half as many winners as neurons"
            raise ArgumentError(message("layer_fields", problem, rule, self.constant(), way_out))
        return self.fields_of(self.synapse, (self._lateral().detach() * self.neuron.scale).float().cpu().numpy())


def _check_norm(function: str, neuron: Any) -> None:
    norm = neuron.real_norm if neuron.is_complex else neuron.norm
    if norm is not None and not isinstance(norm, MeanOnlyBatchNorm):
        got, way_out = type(norm).__name__, "Use norm=slayerloss.neuron.norm.MeanOnlyBatchNorm"
        raise ArgumentError(message(function, "its norm is no constant of the run", "a mean-only norm", got, way_out))
