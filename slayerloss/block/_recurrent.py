"""Blocks that hear their own spikes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss import synapse
from slayerloss._check import ArgumentError, check_flag, message
from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of
from slayerloss.functional.quantize import quantize_weight
from slayerloss.neuron.norm import MeanOnlyBatchNorm


class Recurrent(SpikingBlock):
    """Dense synapse and neurons that hear their own spikes, s[t] = f(W x[t-1] + R s[t-1]).

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
        subtracts it in all later steps too, in eval mode as well, which is not what the chip's bias does.
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
        if neuron.norm is not None and not isinstance(neuron.norm, MeanOnlyBatchNorm):
            rule = "a mean-only norm or none"
            got, way_out = type(neuron.norm).__name__, "Use norm=slayerloss.neuron.norm.MeanOnlyBatchNorm"
            raise ArgumentError(message("Recurrent", "its norm is no constant of the run", rule, got, way_out))
        hook = in_scale_of(neuron, pre_hook_fx)
        super().__init__(neuron, None, delay, delay_shift, None, count_log, out_neurons)
        self.input_synapse = synapse.Dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        self.recurrent_synapse = synapse.Dense(out_neurons, out_neurons, weight_scale, weight_norm, hook)
        self.recurrent_synapse.requires_grad_(check_flag("Recurrent", "requires_grad", requires_grad))
        self.shape = torch.Size([out_neurons])

    @property
    def delays_output(self) -> bool:
        """At the input, delays of unequal length would come between the neurons that hear each other."""
        return self.delay is not None or super().delays_output

    def drive(self, x: Tensor) -> Tensor:
        z: Tensor = self.input_synapse(x)
        return z

    def respond(self, z: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        feedback = self.recurrent_synapse.effective_weight().flatten(1)
        run: tuple[Tensor, Any] = self.neuron.run_recurrent(z, feedback, state, lengths)
        return run

    def states_of(self, z: Tensor) -> dict[str, Tensor]:
        states: dict[str, Tensor] = self.neuron.chip_states(z, self.recurrent_synapse.effective_weight().flatten(1))
        return states

    def layer_fields(self) -> dict[str, Any]:
        weight = self.whole_weight(self.input_synapse)
        weight = weight.reshape(weight.shape[0], -1)
        return self.common_fields("dense_rec") | {
            "weight": weight,
            "weight_rec": self.whole_weight(self.recurrent_synapse)[..., 0, 0],
            "inFeatures": weight.shape[1],
            "outFeatures": weight.shape[0],
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "spike_state", None)  # lava-dl saves the last batch's spikes
        super()._load_from_state_dict(state_dict, prefix, *args)
