"""Where a network begins and where it is read out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_events, check_flag, check_range, check_same_shape, check_sequence
from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of, synapses_of
from slayerloss.block._feedforward import dense_fields
from slayerloss.functional.events import accumulation_dtype
from slayerloss.functional.quantize import quantize, quantize_weight
from slayerloss.functional.sparse import check_input

NO_SPIKES = (1 << 18) - 1
"""lava-dl's threshold of a readout in weight LSBs: no voltage on the chip, which has 24 bits, can pass it."""


def silent_fields(block: SpikingBlock) -> dict[str, Any]:
    """Of a dense layer whose neurons cannot spike."""
    fields = dense_fields(block)
    return fields | {"neuron": fields["neuron"] | {"vThMant": NO_SPIKES}}


class Input(SpikingBlock):
    """The entrance of a network: real values in, spikes out, z = q(x) q(weight) + q(bias) into the neuron.

    Complex neurons hear a pair of such values, real and imaginary, or one tensor (2, N, C, ..., T).

    Args:
        neuron_params: see `slayerloss.block`; None to pass x on as it is.
        weight, bias: initial values of the learnable affine map; None for none.
        delay_shift: "lava-dl" delays the spikes by one step, and keeps fractions of a weight LSB in z; the chip's input
            does neither, and nor do True and False.
        count_log: also return the events per neuron and step.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1, current_decay=1, voltage_decay=0)
        >>> cuba.Input(params, weight=0.5)(torch.ones(1, 1, 6)).detach().squeeze()
        tensor([0., 0., 1., 0., 0., 1.])
    """

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

    def checked(self, x: Any) -> Tensor:
        """The input, of which complex neurons take two parts: a pair, or one tensor (2, N, C, ..., T)."""
        if self.neuron is None or not self.neuron.is_complex:
            return super().checked(x)
        real, imag = parts_of("Input", x)
        for part in (real, imag):
            check_events("Input", part, "x")
        check_same_shape("Input", "imaginary x", imag, "real x", real)
        return real

    def drive(self, x: Any) -> Any:
        """q(x) q(weight) + q(bias), cut to the whole numbers that the chip's input takes; x itself without a neuron."""
        if self.neuron is not None and self.neuron.is_complex:
            real, imag = parts_of("Input", x)
            return self.encoded(real), self.encoded(imag)
        check_input("Input", x)
        if self.neuron is None or self.pre_hook_fx is None:
            return x
        check_events("Input", x, "x")  # a bias is everywhere
        return self.encoded(x)

    def encoded(self, x: Tensor) -> Tensor:
        """What the neurons hear of real values."""
        assert self.pre_hook_fx is not None  # without a neuron there is nothing to do
        z = self.pre_hook_fx(x.to(accumulation_dtype(x)))
        z = z if self.weight is None else z * self.pre_hook_fx(self.weight)
        if self.weight is None and self.bias is None and self.pre_hook_fx == self.neuron.quantize_8bit:
            return z  # whole already
        z = z if self.bias is None else z + self.pre_hook_fx(self.bias)
        return z if self.delay_shift == "lava-dl" else quantize(z, 1 / self.neuron.scale, "truncate")

    def respond(self, z: Any, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        return (z, None) if self.neuron is None else super().respond(z, state, lengths)

    def _fan_out(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape)  # a value goes to its neuron

    def layer_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": "input", "shape": self.known_shape()}
        if self.neuron is None:
            return fields
        for name in ("weight", "bias"):
            parameter = getattr(self, name)
            if parameter is not None:
                fields[name] = self.neuron.quantize_8bit(parameter, descale=True).detach().cpu().numpy()
        return fields | {"neuron": self.neuron.file_params}


class Affine(SpikingBlock):
    """A readout that does not spike: the voltage of neurons without threshold; of complex ones the imaginary part.

    Args:
        neuron_params: see `slayerloss.block`.
        in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx, mask: as `Dense`.
        dynamics: False returns the weighted input itself.
        count_log: also return None, as lava-dl does.
        delay: see `slayerloss.block`.
        delay_shift: see `slayerloss.block`. False, the default, is lava-dl's; with True, the voltage is v of the chip's
            neurons in each step, and the block can be exported.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Affine(params, 20, 1)(torch.ones(4, 20, 5)).shape
        torch.Size([4, 1, 5])
    """

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
        hook = in_scale_of(neuron, pre_hook_fx)
        dense = synapses_of(neuron).Dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        super().__init__(neuron, dense, delay, delay_shift, mask, count_log, out_neurons)
        self.dynamics = check_flag("Affine", "dynamics", dynamics)
        self.shape = torch.Size([out_neurons])

    def log(self, y: Tensor, lengths: Tensor | None) -> None:
        """A readout has no events to count."""

    def respond(self, z: Any, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        if not self.dynamics:
            return (z[1] if self.neuron.is_complex else z), None
        _, voltage, *_, after = self.neuron.run_dynamics(z, state, lengths, threshold=math.inf)
        return self.neuron.shown(voltage), after

    def states_of(self, z: Any) -> dict[str, Tensor]:
        states: dict[str, Tensor] = self.neuron.chip_states(z, threshold=math.inf)
        return states

    def layer_fields(self) -> dict[str, Any]:
        """A dense layer whose neurons cannot spike; without dynamics, as lava-dl has it, one without neurons.

        Only with dynamics and the step of delay is it what the chip computes; `netx.export` refuses any other.
        """
        fields = silent_fields(self)
        return fields if self.dynamics else {name: value for name, value in fields.items() if name != "neuron"}


def parts_of(function: str, x: Any) -> tuple[Tensor, Tensor]:
    """A real and an imaginary part, of a pair or of one tensor that has them in front."""
    if isinstance(x, Tensor) and not x.is_nested and x.ndim and x.shape[0] == 2:
        x = tuple(x)
    real, imag = check_sequence(function, "x", x, 2, "(real, imag)")
    return real, imag
