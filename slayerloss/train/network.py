"""Networks from a list of layers, by name."""

from __future__ import annotations

import inspect
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss import block, neuron
from slayerloss._check import ArgumentError, DtypeError, SlayerError, check_choice, check_range, message
from slayerloss.block import SpikingBlock
from slayerloss.block._shape import TimeDecimation
from slayerloss.neuron import norm
from slayerloss.train.create import check_arguments, create

_INFERRED = ("in_neurons", "in_features")
_OF_LAYERS = ("type", "name", "neuron")


class Network(torch.nn.Sequential):
    """Blocks in a row; errors name the layer that they come from, and `lengths` reaches those that take it.

    Example:
        >>> params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> network = Network({"hidden": block.cuba.Dense(params, 20, 8), "output": block.cuba.Dense(params, 8, 3)})
        >>> network(torch.ones(1, 20, 5)).shape
        torch.Size([1, 3, 5])
    """

    def __init__(self, layers: Mapping[str, torch.nn.Module]) -> None:
        super().__init__(OrderedDict(layers))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Events (N, C, ..., T) to spikes (N, C', T); `lengths` (N,) are the steps of each sample that count."""
        for name, layer in self.named_children():
            x = _run(name, layer, x, lengths)
        return x

    @torch.no_grad()
    def outputs(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """The spikes of every layer by its name."""
        sent: dict[str, Tensor] = {}
        for name, layer in self.named_children():
            x = sent[name] = _run(name, layer, x, lengths)
        return sent


def _run(name: str, layer: torch.nn.Module, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """What a layer makes of x; whatever it refuses is said with its name."""
    if lengths is not None and isinstance(layer, TimeDecimation):
        problem, rule = "it changes the lengths of a padded batch", "samples of one length"
        way_out = "Average over time outside of the network"
        raise ArgumentError(message(f"layer {name}", problem, rule, "lengths", way_out))
    try:
        y = layer(x, lengths) if lengths is not None and isinstance(layer, SpikingBlock) else layer(x)
    except SlayerError as error:
        raise type(error)(f"layer {name}: {error}") from None
    spikes: Tensor = y[0] if isinstance(y, tuple) else y  # with count_log the events come along
    return spikes


def build_network(
    layers: Sequence[Mapping[str, Any]], neuron_params: Mapping[str, Any], input_shape: Sequence[int]
) -> Network:
    """Build the blocks that a recipe lists.

    Args:
        layers: for each layer its `type`, a block of `block.cuba` such as Dense or of other neurons such as alif.Dense,
            and the arguments of that class. in_neurons and in_features may be left out; `neuron` overrides single
            `neuron_params`; `name` replaces the name, such as dense1.
        neuron_params: the blocks' neuron_params, where `dropout` may be a probability and `norm` the name of a class of
            `neuron.norm`.
        input_shape: (C,) or (C, H, W) of a sample.

    Returns:
        The network, all of its shapes known.

    Raises:
        ArgumentError: a type or argument is unknown (the nearest is named) or out of range.
        ShapeError: a layer does not fit what comes before it.

    Example:
        >>> neuron_params = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> layers = [{"type": "Flatten"}, {"type": "Dense", "out_neurons": 10, "neuron": {"dropout": 0.1}}]
        >>> list(dict(build_network(layers, neuron_params, (2, 4, 4)).named_children()))
        ['flatten', 'dense1']
    """
    if not layers:
        raise ArgumentError(message("network", "there are no layers", "at least one", "network.layers: []"))
    built: dict[str, torch.nn.Module] = {}
    x = torch.zeros(1, *input_shape, 2)
    for i, options in enumerate(layers):
        kind = str(options.get("type"))
        place = f"network.layers.{i}"
        block_type = _block_type(kind, f"{place}.type")
        name = options.get("name", _name(block_type.__name__, built))
        _check_name(name, f"{place}.name", built)
        layer = _build(block_type, options, neuron_params, x, f"{place} ({kind})")
        built[name] = layer.eval()
        with torch.no_grad():
            x = _run(f"{name} ({place})", layer, x)
    return Network(built).train()


def _block_type(kind: str, place: str) -> Any:
    """The class that a type names: Dense of CUBA neurons, or alif.Dense and its like."""
    of, _, name = kind.rpartition(".")
    neurons = [module for module in block.__all__ if hasattr(getattr(block, module), "Dense")]
    check_choice("network", f"{place}: the neuron", of or "cuba", neurons)
    blocks = getattr(block, of or "cuba")
    check_choice("network", place, name, blocks.__all__)
    return getattr(blocks, name)


def _check_name(name: Any, place: str, taken: Mapping[str, Any]) -> None:
    """A layer's name is part of the names of its parameters, of metrics and of files."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name) or hasattr(Network({}), name):
        rule = "letters, digits and _, a letter first, and no name that torch's modules use"
        raise ArgumentError(message("recipe", f"{place} is no name", rule, repr(name)))
    if name in taken:
        raise ArgumentError(message("recipe", f"{place} is taken", "another name", repr(name)))


def _name(kind: str, built: Mapping[str, torch.nn.Module]) -> str:
    """flatten, or with the number among the layers that have a neuron: conv1, dense2."""
    if kind in ("Flatten", "Average", "TimeDecimation"):
        return kind.lower()
    number = 1 + sum(isinstance(layer, SpikingBlock) for layer in built.values())
    return f"{kind.lower()}{number}"


def _build(block_type: Any, options: Mapping[str, Any], neuron_params: Mapping[str, Any], x: Tensor, place: str) -> Any:
    known = inspect.signature(block_type).parameters
    arguments = {name: _pair(value) for name, value in options.items() if name not in _OF_LAYERS}
    written = [known[name] for name in known if name not in ("pre_hook_fx", "neuron_params")]
    check_arguments(place, written, arguments)
    if "neuron_params" in known and (block_type.__name__ != "Input" or options.get("neuron")):
        arguments["neuron_params"] = _neuron_params(neuron_params, options.get("neuron", {}), place, block_type)
    sizes = (math.prod(x.shape[1:-1]), x.shape[1])
    for name, size in zip(_INFERRED, sizes, strict=True):
        if name in known:
            arguments.setdefault(name, size)
    return create(place, block_type, arguments)


def _neuron_params(params: Mapping[str, Any], own: Any, place: str, block_type: Any) -> dict[str, Any]:
    """The arguments of a layer's neurons: those of all layers, and its own; dropout and norm become what they name."""
    if not isinstance(own, Mapping):
        raise DtypeError(message("recipe", f"{place}: neuron is no table", "key: value", repr(own)))
    result = {name: _pair(value) for name, value in {**params, **own}.items()}
    dropout = result.get("dropout")
    if isinstance(dropout, (int, float)):
        check_range("recipe", f"{place}: neuron: dropout", dropout, 0, 1)
        result["dropout"] = neuron.Dropout(dropout)
    if isinstance(result.get("norm"), str):
        names = [name for name, value in vars(norm).items() if isinstance(value, type) and name.endswith("Norm")]
        check_choice("recipe", f"{place}: norm", result["norm"], names)
        result["norm"] = getattr(norm, result["norm"])
    check_arguments(f"{place}: neuron", list(inspect.signature(block_type.neuron_type).parameters.values()), result)
    return result


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def output_size(network: torch.nn.Module, input_shape: Sequence[int]) -> int:
    """The number of output neurons."""
    was_training = network.training
    with torch.no_grad():
        y = network.eval()(torch.zeros(1, *input_shape, 2))
    network.train(was_training)
    return math.prod(y.shape[1:-1])
