"""Through which synapses the events of a layer's call go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, message
from slayerloss.block._ends import Input
from slayerloss.block._recurrent import SelfHearing
from slayerloss.functional._fan_out import Geometry, conv_fan_out, dense_fan_out
from slayerloss.functional.sparse import is_sparse

Arrivals = list[tuple[Tensor, Tensor]]
"""Events (N, C, ..., T), and how many synapses each of their neurons has."""


def arrivals(module: Any, inputs: Any, spikes: Tensor, fan_out: Tensor | float | None) -> Arrivals:
    """What arrives at a layer: its inputs, and its own spikes where it hears them.

    Args:
        module: the layer.
        inputs, spikes: of its call.
        fan_out: of its inputs; None: the layer is asked, or its weights are counted.

    Raises:
        ArgumentError: nothing is known of its synapses.
    """
    if isinstance(module, Input) and fan_out is None:
        return []  # a value goes to its neuron
    inputs = inputs.to_dense() if is_sparse(inputs) else inputs
    given = torch.as_tensor(_fan_out(module, tuple(inputs.shape[1:-1])) if fan_out is None else fan_out)
    own = module.own_fan_out() if isinstance(module, SelfHearing) else None
    return [(inputs, given)] + ([] if own is None else [(spikes, own)])


@torch.no_grad()
def _fan_out(module: Any, shape: tuple[int, ...]) -> Tensor:
    if hasattr(module, "fan_out"):
        counts: Tensor = module.fan_out(shape)
        return counts
    if isinstance(module, torch.nn.Linear):
        return dense_fan_out(module.weight != 0, shape)
    if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)) and module.padding_mode == "zeros":
        return _of_convolution(module, shape)
    rule, got = "a block, torch.nn.Linear or Conv, or any module with a method fan_out(shape)", type(module).__name__
    problem, way_out = f"nothing is known of the synapses of {got}", "Give SynapticOperations its fan_out"
    raise ArgumentError(message("SynapticOperations", problem, rule, got, way_out))


def _of_convolution(conv: Any, shape: tuple[int, ...]) -> Tensor:
    """The count on the padded image, of which the padding is cut off."""
    widths = [step * (size - 1) for step, size in zip(conv.dilation, conv.kernel_size, strict=True)]
    given = {"same": [(width // 2, width - width // 2) for width in widths], "valid": [(0, 0)] * len(widths)}
    edges = given[conv.padding] if isinstance(conv.padding, str) else [(each, each) for each in conv.padding]
    padded = (shape[0], *(size + sum(edge) for size, edge in zip(shape[1:], edges, strict=True)))
    geometry = Geometry(conv.stride, (0,) * len(widths), conv.dilation)
    counts = conv_fan_out(conv.weight != 0, padded, geometry, conv.groups)
    for axis, (size, (before, _)) in enumerate(zip(shape[1:], edges, strict=True), 1):
        counts = counts.narrow(axis, before, size)
    return counts
