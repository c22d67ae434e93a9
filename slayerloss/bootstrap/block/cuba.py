"""Blocks of CUBA neurons that run with spikes or with rates.

They are the blocks of `slayerloss.block.cuba`, with their arguments and the keys of their state dicts, but that they
have no axonal delay. `forward` also takes the `Mode`, as `block.base.AbstractBlock` describes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from slayerloss._check import check_type
from slayerloss.block import cuba
from slayerloss.block._ends import silent_fields
from slayerloss.bootstrap.block.base import AbstractBlock, Mode

__all__ = ["Affine", "Conv", "Dense", "Flatten", "Input"]


class Input(AbstractBlock, cuba.Input):
    """The entrance of a network: real values in, spikes or rates out.

    z = q(x) q(weight) + q(bias);  s[t] = neuron(z[t]) or r = f(z)

    Args:
        neuron_params: of `neuron.cuba.Neuron`; None is refused.
        weight, bias, delay_shift, count_log: as `block.cuba.Input`.

    Raises:
        ArgumentError, DtypeError: an argument of the wrong type or range, or no neuron.

    Example:
        >>> import torch
        >>> block = Input(dict(threshold=1, current_decay=1, voltage_decay=0), weight=1)
        >>> x = torch.linspace(0, 1, 30).reshape(1, 30, 1).expand(1, 30, 64)
        >>> block(x, Mode.SAMPLE).detach()[0, ::10].mean(-1)
        tensor([0.0000, 0.3281, 0.5000])
        >>> block(x, Mode.FIT).shape
        torch.Size([1, 30, 64])
    """


class Dense(AbstractBlock, cuba.Dense):
    """Dense synapse, and CUBA neurons or their activation.

    s = neuron(W x);  r = f(W rate(x))

    Args:
        neuron_params, in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx: as `block.cuba.Dense`.
        delay: refused.
        delay_shift: one step from layer to layer with spikes; rates have none.
        mask, count_log: as `block.cuba.Dense`.

    Raises:
        ArgumentError, DtypeError: an argument of the wrong type or range, or a delay.

    Example:
        >>> import torch
        >>> block = Dense(dict(threshold=1.25, current_decay=1, voltage_decay=0.03), 20, 10)
        >>> x = torch.bernoulli(torch.full((4, 20, 16), 0.5))
        >>> block(x, Mode.SAMPLE).shape, block(x.mean(-1, keepdim=True), Mode.FIT).shape
        (torch.Size([4, 10, 16]), torch.Size([4, 10, 1]))

    Note:
        lava-dl takes a delay and leaves it out; its documentation says that `delay_shift` is False by default, where
        it is True. With dropout it samples what is left after it; with a norm it samples the input before the norm and
        hands its activation the one after it. Both bend the fit, and are not so here.
    """


class Conv(AbstractBlock, cuba.Conv):
    """Convolution of each step's image, and CUBA neurons or their activation.

    s = neuron(W * x);  r = f(W * rate(x))

    Args:
        neuron_params, in_features, out_features, kernel_size, stride, padding, dilation, groups: as `block.cuba.Conv`.
        weight_scale, weight_norm, pre_hook_fx, count_log: as `block.cuba.Conv`.
        delay, delay_shift: as `Dense`.

    Raises:
        ArgumentError, DtypeError: an argument of the wrong type or range, or a delay.

    Example:
        >>> import torch
        >>> block = Conv(dict(threshold=1.25, current_decay=1, voltage_decay=0.03), 2, 8, kernel_size=3)
        >>> x = torch.bernoulli(torch.full((4, 2, 6, 6, 16), 0.5))
        >>> block(x, Mode.SAMPLE).shape, block(x, Mode.FIT).shape
        (torch.Size([4, 8, 4, 4, 16]), torch.Size([4, 8, 4, 4, 16]))
    """


class Affine(AbstractBlock, cuba.Affine):
    """A readout: the weighted input itself, in every mode.

    z = W x

    Args:
        neuron_params: of the neurons that stand for the readout in a network file.
        in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx, mask, count_log: as `block.cuba.Affine`.
        dynamics: taken for lava-dl's sake; the neurons do not run.
        delay: refused.
        delay_shift: as `block.cuba.Affine`.

    Raises:
        ArgumentError, DtypeError: an argument of the wrong type or range, or a delay.

    Example:
        >>> import torch
        >>> block = Affine(dict(threshold=1.25, current_decay=1, voltage_decay=0.03), 20, 10)
        >>> block(torch.ones(4, 20, 16), Mode.SNN).shape
        torch.Size([4, 10, 16])

    Note:
        In the file it is a dense layer whose neurons cannot spike, as lava-dl writes it. With a current decay of 1
        their current is z, a step later.
    """

    def fit(self) -> None:
        """There is nothing to fit."""

    def activation(self, z: Tensor) -> Tensor:
        return z

    def respond(self, z: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        return z, None

    def layer_fields(self) -> dict[str, Any]:
        return silent_fields(self)


class Flatten(cuba.Flatten):
    """Put channels and space into one dimension, in every mode.

    Args:
        count_log: also return None, as lava-dl does.

    Example:
        >>> import torch
        >>> Flatten()(torch.zeros(1, 2, 3, 4, 5), Mode.SNN).shape
        torch.Size([1, 24, 5])
    """

    def forward(self, x: Tensor, mode: Mode = Mode.ANN) -> Any:
        """(N, C, H, W, T) -> (N, C H W, T); with `count_log` also None."""
        check_type("Flatten", "mode", mode, Mode, "a bootstrap.Mode")
        return super().forward(x)
