"""The layers, for any neuron: what each puts into the one composition, and its fields in a network file.

`block.cuba` and its like set `neuron_type`; nothing here knows which neuron it builds.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from slayerloss import synapse
from slayerloss._check import ArgumentError, ShapeError, check_events, check_flag, check_integer, check_range, message
from slayerloss.block._block import Hook, Layer, NeuronParams, SpikingBlock, build_neuron, in_scale_of
from slayerloss.functional._space import flat
from slayerloss.functional.events import accumulation_dtype, promote
from slayerloss.functional.quantize import quantize, quantize_weight
from slayerloss.functional.sparse import check_input, is_sparse, joined
from slayerloss.kernels.reference import STATE_LIMIT
from slayerloss.neuron.norm import MeanOnlyBatchNorm

NO_SPIKES = STATE_LIMIT // 64
"""The lowest threshold in weight LSBs that a voltage on the chip cannot pass."""


def _dense_fields(block: SpikingBlock) -> dict[str, Any]:
    weight = block.whole_weight(block.synapse)
    weight = weight.reshape(weight.shape[0], -1)
    sizes = {"inFeatures": weight.shape[1], "outFeatures": weight.shape[0]}
    return block.common_fields("dense") | {"weight": weight} | sizes


class Dense(SpikingBlock):
    """Dense synapse and neuron."""

    neuron_type: ClassVar[type]

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_neurons: int | tuple[int, ...],
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        delay: bool = False,
        delay_shift: bool | str = True,
        mask: Tensor | None = None,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_neurons)
        hook = in_scale_of(neuron, pre_hook_fx)
        dense = synapse.Dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        super().__init__(neuron, dense, delay, delay_shift, mask, count_log, out_neurons)
        self.shape = torch.Size([out_neurons])

    def layer_fields(self) -> dict[str, Any]:
        return _dense_fields(self)


class Conv(SpikingBlock):
    """Convolution and neuron."""

    neuron_type: ClassVar[type]

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_features: int,
        out_features: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        delay: bool = False,
        delay_shift: bool | str = True,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_features)
        hook = in_scale_of(neuron, pre_hook_fx)
        conv = synapse.Conv(
            in_features, out_features, kernel_size, stride, padding, dilation, groups, weight_scale, weight_norm, hook
        )
        super().__init__(neuron, conv, delay, delay_shift, None, count_log, out_features)

    def layer_fields(self) -> dict[str, Any]:
        conv: Any = self.synapse
        return self.common_fields("conv") | {
            "weight": self.whole_weight(conv),
            "inChannels": conv.in_channels,
            "outChannels": conv.out_channels,
            "kernelSize": np.array(conv.kernel_size),
            "stride": np.array(conv.stride),
            "padding": np.array(conv.padding),
            "dilation": np.array(conv.dilation),
            "groups": conv.groups,
        }


class Pool(SpikingBlock):
    """Sum pooling and neuron; the neuron has no norm."""

    neuron_type: ClassVar[type]

    def __init__(
        self,
        neuron_params: NeuronParams,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        delay: bool = False,
        delay_shift: bool | str = True,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, None, norm=None)
        hook = in_scale_of(neuron, pre_hook_fx)
        pool = synapse.Pool(kernel_size, stride, padding, dilation, weight_scale, weight_norm, hook)
        super().__init__(neuron, pool, delay, delay_shift, None, count_log)

    def layer_fields(self) -> dict[str, Any]:
        pool: Any = self.synapse
        return self.common_fields("pool") | {
            "weight": self.whole_weight(pool),
            "kernelSize": np.array(pool.kernel_size),
            "stride": np.array(pool.stride),
            "padding": np.array(pool.padding),
            "dilation": np.array(pool.dilation),
        }


class Input(SpikingBlock):
    """The entrance of a network: an affine map of real values, and a neuron that turns them into spikes."""

    neuron_type: ClassVar[type]

    def __init__(
        self,
        neuron_params: NeuronParams | None = None,
        weight: float | None = None,
        bias: float | None = None,
        delay_shift: bool | str = True,
        count_log: bool = False,
    ) -> None:
        neuron = None if neuron_params is None else build_neuron(self, self.neuron_type, neuron_params, None)
        if isinstance(delay_shift, bool):
            delay_shift = False
        super().__init__(neuron, None, False, delay_shift, None, count_log)
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                check_range("Input", name, value)
            parameter = None if value is None else torch.nn.Parameter(torch.tensor([float(value)]))
            self.register_parameter(name, parameter)
        self.pre_hook_fx: Hook | None = None if neuron is None else neuron.quantize_8bit

    def drive(self, x: Tensor) -> Tensor:
        """q(x) q(weight) + q(bias), cut to the whole numbers that the chip's input takes; x itself without a neuron."""
        check_input("Input", x)
        if self.neuron is None or self.pre_hook_fx is None:
            return x
        check_events("Input", x, "x")  # a bias is everywhere
        z = self.pre_hook_fx(x.to(accumulation_dtype(x)))
        z = z if self.weight is None else z * self.pre_hook_fx(self.weight)
        z = z if self.bias is None else z + self.pre_hook_fx(self.bias)
        return z if self.delay_shift == "lava-dl" else quantize(z, 1 / self.neuron.scale, "truncate")

    def respond(self, z: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        return (z, None) if self.neuron is None else super().respond(z, state, lengths)

    def layer_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": "input", "shape": self.known_shape()}
        if self.neuron is None:
            return fields
        for name in ("weight", "bias"):
            parameter = getattr(self, name)
            if parameter is not None:
                fields[name] = self.neuron.quantize_8bit(parameter, descale=True).detach().cpu().numpy()
        return fields | {"neuron": self.neuron.device_params}


class Recurrent(SpikingBlock):
    """Dense synapse and a population that hears its own spikes one step later.

    s[t] = neuron(W x[t-1] + R s[t-1])

    A norm acts on the part of the current that W x causes, since the feedback is known step by step only. In eval mode
    that is a bias of each neuron, as on the chip.
    """

    neuron_type: ClassVar[type]

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


class Affine(SpikingBlock):
    """A readout that does not spike: the voltage of neurons without threshold, or the dendritic input itself."""

    neuron_type: ClassVar[type]

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_neurons: int | tuple[int, ...],
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        dynamics: bool = True,
        mask: Tensor | None = None,
        count_log: bool = False,
        delay: bool = False,
        delay_shift: bool | str = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_neurons)
        dense = synapse.Dense(in_neurons, out_neurons, weight_scale, weight_norm, in_scale_of(neuron, pre_hook_fx))
        super().__init__(neuron, dense, delay, delay_shift, mask, count_log, out_neurons)
        self.dynamics = check_flag("Affine", "dynamics", dynamics)
        self.shape = torch.Size([out_neurons])

    def log(self, y: Tensor, lengths: Tensor | None) -> None:
        """A readout has no events to count."""

    def respond(self, z: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        if not self.dynamics:
            return z, None
        _, voltage, after = self.neuron.run_dynamics(z, state, lengths, threshold=math.inf)
        return voltage, after

    def states_of(self, z: Tensor) -> dict[str, Tensor]:
        states: dict[str, Tensor] = self.neuron.chip_states(z, threshold=math.inf)
        return states

    def layer_fields(self) -> dict[str, Any]:
        """A dense layer whose neurons cannot spike; only with dynamics and the step of delay is it the chip's."""
        if not self.dynamics or self.delay_shift is not True:
            return super().layer_fields()
        fields = _dense_fields(self)
        return fields | {"neuron": fields["neuron"] | {"vThMant": NO_SPIKES}}


class Flatten(Layer):
    """Put channels and space into one dimension, in the order C, H, W; what is flat already stays.

    Args:
        count_log: also return None, as lava-dl does.

    Example:
        >>> Flatten()(torch.zeros(1, 2, 3, 4, 5)).shape
        torch.Size([1, 24, 5])
    """

    def __init__(self, count_log: bool = False) -> None:
        super().__init__()
        self.count_log = check_flag("Flatten", "count_log", count_log)

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W, T) -> (N, C H W, T); with `count_log` also None."""
        check_input("Flatten", x)
        y = joined(x) if is_sparse(x) else flat(x)
        self.input_shape, self.shape = x.shape[1:-1], torch.Size([y.shape[1], 1, 1])
        return (y, None) if self.count_log else y

    def layer_fields(self) -> dict[str, Any]:
        return {"type": "flatten", "shape": self.known_shape()}


class Average(Layer):
    """Take the mean over each of `num_outputs` equal groups of neighbouring neurons.

    Args:
        num_outputs: how many groups; it divides the number of neurons.
        count_log: also return None, as lava-dl does.

    Example:
        >>> Average(2)(torch.tensor([[[0.0], [1.0], [1.0], [1.0]]]))
        tensor([[[0.5000],
                 [1.0000]]])
    """

    def __init__(self, num_outputs: int, count_log: bool = False) -> None:
        super().__init__()
        self.num_outputs = check_integer("Average", "num_outputs", num_outputs, 1)
        self.count_log = check_flag("Average", "count_log", count_log)
        self.shape = torch.Size([num_outputs, 1, 1])

    def forward(self, x: Tensor) -> Any:
        """(N, C, ..., T) -> (N, num_outputs, T); with `count_log` also None."""
        check_events("Average", x, "x")
        neurons = flat(promote(x))
        if neurons.shape[1] == 0 or neurons.shape[1] % self.num_outputs:
            rule = f"a multiple of {self.num_outputs} neurons"
            raise ShapeError(message("Average", "the groups would not be equal", rule, tuple(x.shape)))
        y = neurons.unflatten(1, (self.num_outputs, -1)).mean(2)
        return (y, None) if self.count_log else y

    def layer_fields(self) -> dict[str, Any]:
        return {"type": "average", "shape": self.known_shape()}
