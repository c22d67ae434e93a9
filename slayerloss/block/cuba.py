"""Blocks of CUBA neurons.

`neuron_params` is a dictionary of `neuron.cuba.Neuron`'s arguments. Weights are quantised to the chip's 8 bits at
every use (`pre_hook_fx`); with `weight_norm` they are held as direction and length. `delay` learns an axonal delay for
each neuron, `delay_shift` is the one step from layer to layer (`block.SpikingBlock`), `count_log` also returns the
events per neuron and step. Every block maps (N, C, ..., T) to (N, C', ..., T). Blocks with a synapse also take sparse
events, `torch.sparse_coo_tensor`, at a cost that follows their number.
"""

from __future__ import annotations

from slayerloss.block import _layers
from slayerloss.block._layers import Average, Flatten
from slayerloss.neuron.cuba import Neuron

__all__ = ["Affine", "Average", "Conv", "Dense", "Flatten", "Input", "Pool", "Recurrent"]


class Input(_layers.Input):
    """The entrance of a network: real values in, spikes out, z = q(x) q(weight) + q(bias) into the neuron.

    Args:
        neuron_params: see the module; None to pass x on as it is.
        weight, bias: initial values of the learnable affine map; None for none.
        delay_shift: "lava-dl" delays the spikes by one step, and keeps fractions of a weight LSB in z; the chip's input
            does neither, and nor do True and False.
        count_log: also return the events per neuron and step.

    Example:
        >>> import torch
        >>> params = dict(threshold=1, current_decay=1, voltage_decay=0)
        >>> Input(params, weight=0.5)(torch.ones(1, 1, 6)).detach().squeeze()
        tensor([0., 0., 1., 0., 0., 1.])
    """

    neuron_type = Neuron


class Dense(_layers.Dense):
    """Dense synapse and CUBA neurons.

    Args:
        neuron_params: see the module.
        in_neurons: C; (W, H) or (W, H, C) for an input with space.
        out_neurons: C'.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see the module.
        mask: (C', C), which synapses exist.

    Example:
        >>> import torch
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> Dense(params, 2312, 10)(torch.ones(4, 2312, 20)).shape
        torch.Size([4, 10, 20])

    Note:
        lava-dl answers an input with space with (N, C', 1, 1, T), here it is (N, C', T).
    """

    neuron_type = Neuron


class Conv(_layers.Conv):
    """Convolution of each step's image, and CUBA neurons.

    Args:
        neuron_params: see the module.
        in_features, out_features: channels.
        kernel_size, stride, padding, dilation: a number or (height, width).
        groups: of channels.
        weight_scale: factor of the initial weights.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see the module.

    Example:
        >>> import torch
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> Conv(params, 2, 8, kernel_size=3, stride=2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 8, 16, 16, 5])
    """

    neuron_type = Neuron


class Pool(_layers.Pool):
    """Sum pooling, and CUBA neurons without norm.

    Args:
        neuron_params: see the module; its norm is left out.
        kernel_size, stride, padding, dilation: a number or (height, width); the stride is the kernel size by default.
        weight_scale: the weight of every connection.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see the module.

    Example:
        >>> import torch
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> Pool(params, 2)(torch.ones(4, 2, 34, 34, 5)).shape
        torch.Size([4, 2, 17, 17, 5])
    """

    neuron_type = Neuron


class Recurrent(_layers.Recurrent):
    """Dense synapse and CUBA neurons that hear their own spikes, s[t] = f(W x[t-1] + R s[t-1]).

    Args:
        neuron_params: see the module; a norm can only be `norm.MeanOnlyBatchNorm`.
        in_neurons, out_neurons: C and C'.
        weight_scale: factor of the initial weights, the recurrent ones too.
        weight_norm, pre_hook_fx, delay, delay_shift, count_log: see the module.
        requires_grad: learn the recurrent weights.

    Example:
        >>> import torch
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> Recurrent(params, 20, 10)(torch.ones(4, 20, 5)).shape
        torch.Size([4, 10, 5])

    Note:
        In lava-dl the state leaks from batch to batch; here a batch starts at rest unless `persistent_state` is set.
        lava-dl cuts the gradient off at every step. A learned delay sits at the output here as there: at the input,
        delays of unequal length would come between neurons that hear each other. In training the norm subtracts the
        mean, over batch and time, of the current that W x causes; lava-dl's has another mean in each step, and
        subtracts it in all later steps too, in eval mode as well, which is not what the chip's bias does.
    """

    neuron_type = Neuron


class Affine(_layers.Affine):
    """A readout that does not spike: the voltage of CUBA neurons without threshold.

    Args:
        neuron_params: see the module.
        in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx, mask: as `Dense`.
        dynamics: False returns the weighted input itself.
        count_log: also return None, as lava-dl does.
        delay: see the module.
        delay_shift: see the module. False, the default, is lava-dl's; with True, the voltage is v of the chip's neurons
            in each step, and the block can be exported.

    Example:
        >>> import torch
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> Affine(params, 20, 1)(torch.ones(4, 20, 5)).shape
        torch.Size([4, 1, 5])
    """

    neuron_type = Neuron
