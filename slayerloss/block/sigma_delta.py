"""Blocks of sigma-delta neurons, which send changes; `slayerloss.block` describes what blocks share.

As in lava-dl, `delay_shift` is False by default: what is sent in a step arrives in the same step. The chip takes a step
from layer to layer. Without a bias that only moves what a layer sends; with one, from a norm or `set_bias`, the chip's
first message is the bias, and later ones differ as well: train with delay_shift=True to have the chip's messages. An
event is a message other than zero.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from slayerloss.block import _ends, _feedforward, _windowed
from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of
from slayerloss.block._feedforward import dense_fields
from slayerloss.block._shape import Average, Flatten
from slayerloss.functional.quantize import quantize_weight
from slayerloss.functional.sigma_delta import DeltaState, sigma
from slayerloss.functional.sparse import event_count
from slayerloss.neuron.sigma_delta import Neuron
from slayerloss.synapse import Dense as DenseSynapse

__all__ = ["Average", "Conv", "ConvT", "Dense", "Flatten", "Input", "Output", "Pool", "Unpool"]


class SigmaDeltaBlock(SpikingBlock):  # a docstring would hide those of the layers
    neuron_type = Neuron

    @property
    def is_shifted(self) -> bool:
        """Whether what is sent arrives one step later, as on the chip."""
        return self.delay_shift is True

    @property
    def is_biased(self) -> bool:
        """Whether something is added to the sums, of which the chip's first message is made."""
        return self.neuron.norm is not None or self.neuron.bias_is_set

    @property
    def sent_lsb(self) -> int:
        """LSBs of what is sent, per unit."""
        lsb: int = self.neuron.lsb
        return lsb

    def log(self, y: Tensor, lengths: Tensor | None) -> Tensor | None:
        steps = y.shape[0] * y.shape[-1] if lengths is None else lengths.sum()
        counted = torch.as_tensor(steps * y.shape[1:-1].numel(), device=y.device)
        return event_count(y, lengths) / counted.clamp(min=1)

    def common_fields(self, kind: str) -> dict[str, Any]:
        fields = super().common_fields(kind)
        whole = self.neuron.whole_bias
        if whole is None:
            return fields
        own = (whole.detach() * self.neuron.scale).float().cpu().numpy()
        if own.ndim == 3:
            fields["bias"] = fields.get("bias", np.float32(0)) + own.transpose(2, 1, 0)  # (W, H, C)
        else:
            fields["bias"] = fields.get("bias", np.float32(0)) + np.broadcast_to(own.reshape(-1), fields["shape"][:1])
        return fields


class _Unshifted(SigmaDeltaBlock):
    def __init_subclass__(cls) -> None:
        if "__init__" in vars(cls):  # of a user, who says what it takes
            return
        given = inspect.signature(super().__init__)
        parameters = [
            value.replace(default=False) if name == "delay_shift" else value
            for name, value in given.parameters.items()
            if name != "self"
        ]
        cls.__signature__ = given.replace(parameters=parameters)

    __signature__: ClassVar[inspect.Signature]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = self.__signature__.bind(*args, **kwargs)
        given.apply_defaults()
        super().__init__(**given.arguments)


class Input(SigmaDeltaBlock, _ends.Input):
    @property
    def is_shifted(self) -> bool:
        """An input arrives in its own step, here as on the chip."""
        return self.delay_shift is False

    @property
    def is_biased(self) -> bool:
        """An input has no sums."""
        return False

    def respond(self, z: Tensor, state: DeltaState | None, lengths: Tensor | None) -> tuple[Tensor, Any]:
        return (z, None) if self.neuron is None else self.neuron.changes(z, state)

    def states_of(self, z: Tensor) -> dict[str, Tensor]:
        states: dict[str, Tensor] = self.neuron.chip_changes(z)
        return states

    def _delayed(self, z: Tensor, state: Tensor | None, keep: bool) -> tuple[Tensor, Tensor | None]:
        return z, None  # lava-dl's takes no step either, whatever its delay_shift


class Dense(_Unshifted, _feedforward.Dense):
    pass


class Conv(_Unshifted, _windowed.Conv):
    pass


class ConvT(_Unshifted, _windowed.ConvT):
    pass


class Pool(_Unshifted, _windowed.Pool):
    pass


class Unpool(_Unshifted, _windowed.Unpool):
    pass


class Output(SigmaDeltaBlock):
    """A readout: a dense synapse, and the sum of all that has arrived.

    Args:
        neuron_params: see `slayerloss.block`; its norm is left out.
        in_neurons: C; (W, H) or (W, H, C) for an input with space.
        out_neurons: C'.
        weight_scale: factor of the initial weights.
        weight_norm, count_log, delay_shift, pre_hook_fx: see `slayerloss.block`.

    Example:
        >>> params = dict(threshold=0.1, activation=torch.relu)
        >>> Output(params, 10, 1)(torch.ones(4, 10, 5)).shape
        torch.Size([4, 1, 5])
    """

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_neurons: int | tuple[int, ...],
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        count_log: bool = False,
        delay_shift: bool | str = False,
        pre_hook_fx: Hook | None = quantize_weight,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, out_neurons, norm=None)
        hook = in_scale_of(neuron, pre_hook_fx)
        dense = DenseSynapse(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        super().__init__(neuron, dense, False, delay_shift, None, count_log, out_neurons)
        self.shape = torch.Size([out_neurons])

    @property
    def is_biased(self) -> bool:
        """A readout is not biased."""
        return False

    @property
    def sent_lsb(self) -> int:
        """LSBs of the sums, per unit."""
        return super().sent_lsb * int(self.neuron.scale)

    def respond(self, z: Tensor, state: Tensor | None, lengths: Tensor | None) -> tuple[Tensor, Any]:
        y = sigma(z, state=state)
        return y, y.select(-1, -1)

    def states_of(self, z: Tensor) -> dict[str, Tensor]:
        return {"sigma": self.neuron.in_lsb(sigma(z))}

    def layer_fields(self) -> dict[str, Any]:
        """A dense layer with the mark of a readout, and no bias, which Lava's cannot have."""
        fields = dense_fields(self)
        fields.pop("bias", None)
        return fields | {"neuron": fields["neuron"] | {"sigma_output": True}}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(f"{prefix}neuron.norm.")]:
            del state_dict[key]  # lava-dl's readout has a norm, and does not use it
        super()._load_from_state_dict(state_dict, prefix, *args)
