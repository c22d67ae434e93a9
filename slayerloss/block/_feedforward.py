"""Blocks that carry spikes forward: dense, convolution and sum pooling, each with its fields in a network file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from slayerloss import synapse
from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of
from slayerloss.functional.quantize import quantize_weight


def dense_fields(block: SpikingBlock) -> dict[str, Any]:
    """Of a dense layer, or of a readout, which is one that cannot spike."""
    weight = block.whole_weight(block.synapse)
    weight = weight.reshape(weight.shape[0], -1)
    sizes = {"inFeatures": weight.shape[1], "outFeatures": weight.shape[0]}
    return block.common_fields("dense") | {"weight": weight} | sizes


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
        dense = synapse.Dense(in_neurons, out_neurons, weight_scale, weight_norm, hook)
        super().__init__(neuron, dense, delay, delay_shift, mask, count_log, out_neurons)
        self.shape = torch.Size([out_neurons])

    def layer_fields(self) -> dict[str, Any]:
        return dense_fields(self)


class Conv(SpikingBlock):
    """Convolution of each step's image, and neurons.

    Args:
        neuron_params: see `slayerloss.block`.
        in_features, out_features: channels.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Conv(params, 2, 8, kernel_size=3, stride=2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 8, 16, 16, 5])
    """

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
    """Sum pooling, and neurons without norm.

    Args:
        neuron_params: see `slayerloss.block`; its norm is left out.
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Pool(params, 2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 2, 17, 17, 5])
    """

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
