"""Blocks that carry spikes forward: dense, convolution and sum pooling, each with its fields in a network file."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of, synapses_of
from slayerloss.functional.quantize import quantize_weight


def dense_fields(block: SpikingBlock) -> dict[str, Any]:
    """Of a dense layer, or of a readout, which is one that cannot spike."""
    dense: Any = block.synapse
    out_features, *inputs = dense.shape
    sizes = {"inFeatures": math.prod(inputs), "outFeatures": out_features}
    return block.common_fields("dense") | {"weight": block.whole_weight(dense, flat=True)} | sizes


class Dense(SpikingBlock):
    """Dense synapse and neurons.

    Args:
        neuron_params: see `slayerloss.block`.
        in_neurons: C; (W, H) or (W, H, C) for an input with space.
        out_neurons: C'.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.
        mask: (C', C), which synapses exist.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Dense(params, 2312, 10)(torch.ones(4, 2312, 20)).shape
        torch.Size([4, 10, 20])

    Note:
        lava-dl answers an input with space with (N, C', 1, 1, T), here it is (N, C', T).
    """

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
        dense = synapses_of(neuron).Dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        super().__init__(neuron, dense, delay, delay_shift, mask, count_log, out_neurons)
        self.shape = torch.Size([out_neurons])

    def layer_fields(self) -> dict[str, Any]:
        return dense_fields(self)
