"""Blocks that move a kernel over images: convolution and sum pooling, and the two the other way."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from slayerloss.block._block import Hook, NeuronParams, SpikingBlock, build_neuron, in_scale_of, synapses_of
from slayerloss.functional.quantize import quantize_weight
from slayerloss.synapse.layer import Size


class Windowed(SpikingBlock):
    """What moves a kernel over an image."""

    synapse_kind: ClassVar[str]
    layer_type: ClassVar[str]

    def layer_fields(self) -> dict[str, Any]:
        synapse: Any = self.synapse
        return self.common_fields(self.layer_type) | {
            "weight": self.whole_weight(synapse),
            "kernelSize": np.array(synapse.kernel_size),
            "stride": np.array(synapse.stride),
            "padding": np.array(synapse.padding),
            "dilation": np.array(synapse.dilation),
        }


class Convolution(Windowed):
    """What has a weight for each pair of channels."""

    def __init__(
        self,
        neuron_params: NeuronParams,
        in_features: int,
        out_features: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
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
        features, window = (in_features, out_features), (kernel_size, stride, padding, dilation)
        kind = getattr(synapses_of(neuron), self.synapse_kind)
        conv = kind(*features, *window, groups, weight_scale, weight_norm, hook)
        super().__init__(neuron, conv, delay, delay_shift, None, count_log, out_features)

    def layer_fields(self) -> dict[str, Any]:
        conv: Any = self.synapse
        channels = {"inChannels": conv.in_channels, "outChannels": conv.out_channels, "groups": conv.groups}
        return super().layer_fields() | channels


class Pooling(Windowed):
    """What has one weight, for each channel alone; the neuron has no norm."""

    def __init__(
        self,
        neuron_params: NeuronParams,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = quantize_weight,
        delay: bool = False,
        delay_shift: bool | str = True,
        count_log: bool = False,
    ) -> None:
        neuron = build_neuron(self, self.neuron_type, neuron_params, None, norm=None)
        hook = in_scale_of(neuron, pre_hook_fx)
        kind = getattr(synapses_of(neuron), self.synapse_kind)
        pool = kind(kernel_size, stride, padding, dilation, weight_scale, weight_norm, hook)
        super().__init__(neuron, pool, delay, delay_shift, None, count_log)


class Conv(Convolution):
    """Convolution of each step's image, and neurons.

    Args:
        neuron_params: see `slayerloss.block`.
        in_features, out_features: channels.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> import torch
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Conv(params, 2, 8, kernel_size=3, stride=2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 8, 16, 16, 5])
    """

    synapse_kind, layer_type = "Conv", "conv"


class ConvT(Convolution):
    """Transposed convolution of each step's image, and neurons: the adjoint of `Conv`, which makes images larger.

    Args:
        neuron_params: see `slayerloss.block`.
        in_features, out_features: channels.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> import torch
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.ConvT(params, 8, 2, kernel_size=2, stride=2)(torch.ones(4, 8, 16, 16, 5)).shape
        torch.Size([4, 2, 32, 32, 5])

    Note:
        Lava has no such layer: `export_hdf5` writes lava-dl's fields, `netx.export` refuses.
    """

    synapse_kind, layer_type = "ConvTranspose", "convT"


class Pool(Pooling):
    """Sum pooling, and neurons without norm.

    Args:
        neuron_params: see `slayerloss.block`; its norm is left out.
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> import torch
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Pool(params, 2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 2, 17, 17, 5])
    """

    synapse_kind, layer_type = "Pool", "pool"


class Unpool(Pooling):
    """Spread each event over a window, and neurons without norm: the adjoint of `Pool`.

    Args:
        neuron_params: see `slayerloss.block`; its norm is left out.
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see `slayerloss.block`.

    Example:
        >>> import torch
        >>> from slayerloss.block import cuba
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> cuba.Unpool(params, 2)(torch.ones(4, 2, 17, 17, 5)).shape
        torch.Size([4, 2, 34, 34, 5])

    Note:
        Lava has no such layer: `export_hdf5` writes lava-dl's fields, `netx.export` refuses.
    """

    synapse_kind, layer_type = "Unpool", "unpool"
