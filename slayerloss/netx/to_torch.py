"""From a network file back to blocks that can be trained.

Each layer becomes a block, built from what the file fixes and filled through `load_state_dict`. A new layer type is a
row of `_LAYERS`; `source` has the neuron types.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, SlayerError, check_choice, check_flag, check_type, message
from slayerloss.netx.check import check
from slayerloss.netx.container import fail
from slayerloss.netx.description import Description
from slayerloss.netx.limits import NEVER
from slayerloss.netx.read import read_intact
from slayerloss.netx.runtime.synapse import pair
from slayerloss.netx.source import (
    NEURONS,
    SCALE,
    Source,
    delay_of,
    hook_for,
    in_8_bits,
    keep_whole,
    parameters,
    with_bias,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Sequential

_LAVA_DL = 1
"""The version of a neuron's state dict that is lava-dl's."""

Kernels = Mapping[str, NDArray[np.float32]]
"""The weights of a synapse by the end of its name, see `Source.weights`."""

_TRAINING = ("tau_grad", "scale_grad", "requires_grad", "norm", "dropout", "persistent_state", "shared_param")
"""The arguments of a neuron that a file leaves open."""


def to_torch(
    file: str | os.PathLike[str] | Description,
    neuron: Mapping[str, Any] | None = None,
    *,
    weight_norm: bool = False,
) -> Sequential:
    """Rebuild the trainable blocks of a network file, which spike as the file does.

    Args:
        file: a network file, or what `read` made of one.
        neuron: arguments of the neurons that a file does not hold: tau_grad, scale_grad, requires_grad, norm, dropout,
            persistent_state; shared_param=False for decays that each channel learns on its own. None for the defaults.
        weight_norm: hold the weights as direction and length.

    Returns:
        One block for each layer of the file, in training mode. `export` makes a file of them that runs the same, though
        not every field is as it was: a layer without neurons has them written out, and LOIHI neurons are called CUBA.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read, or there is no block for what a layer holds: its neuron type, delays that
            differ from input to input, a threshold of zero. The message names the place and, if there is one, the way
            out.
        ArgumentError: a key of `neuron` is unknown, or the file fixes it.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [2], "weight": [[100, 2], [40, -6]], "neuron": neuron}
        >>> model = to_torch(describe([layer]), neuron={"tau_grad": 0.03, "scale_grad": 3})
        >>> model[0].neuron
        Neuron(threshold=1.25, current_decay=0.25, voltage_decay=0.03125)

    Note:
        A file keeps the bias that a norm ended with, and not the norm. The blocks have a norm that stays as it is; with
        neuron={"norm": MeanOnlyBatchNorm} it goes on learning from there. Weights and biases that the 8-bit
        quantisation of training would change, odd and large ones, are kept by `keep_whole` in its place. A last dense
        layer that cannot spike becomes an `Affine` block, which sends the voltage v of the chip, the imaginary part of
        a resonator. The blocks do what the file says, also where `check` finds that Lava does something else; but
        resonators turn as Lava lets them. lava-dl's `auto.SequentialNetwork` knows dense layers only, and leaves out
        their biases.
    """
    from torch.nn import Sequential

    description = file if isinstance(file, Description) else read_intact(file)
    training = _training(neuron)
    for finding in check(description):
        if finding.fatal and finding.scope == "file":
            raise fail(description.source, finding.place, finding.problem, "a network", "none", finding.way_out)
    check_flag("to_torch", "weight_norm", weight_norm)
    count = len(description.layers)
    sources = [
        Source(layer, f"layer/{i}", description.source, training, weight_norm, last=i + 1 == count)
        for i, layer in enumerate(description.layers)
    ]
    model = Sequential(*(_built(source) for source in sources))
    _settle(model, sources)
    return model.train()


def _training(neuron: Mapping[str, Any] | None) -> dict[str, Any]:
    if neuron is None:
        return {}
    check_type("to_torch", "neuron", neuron, Mapping, "a dictionary of the neuron's arguments")
    for key in neuron:
        if key in ("threshold", "current_decay", "voltage_decay", "period", "decay", "scale", "graded_spike"):
            raise ArgumentError(message("to_torch", f"neuron has {key}", "what the file does not say", neuron[key]))
        check_choice("to_torch", "neuron key", key, _TRAINING)
    return dict(neuron)


def _filled(source: Source, block: Any, state: Mapping[str, Any]) -> Module:
    """A block with parameters in lava-dl's form, and with a threshold even where it can never be passed."""
    import torch

    tensors: OrderedDict[str, Tensor] = OrderedDict((name, torch.tensor(values)) for name, values in state.items())
    tensors._metadata = {"neuron": {"version": _LAVA_DL}}  # type: ignore[attr-defined]
    block.load_state_dict(tensors, strict=False)  # a norm that is new begins as it is
    if source.never_spikes:
        block.neuron.threshold = NEVER / SCALE
    filled: Module = block
    return filled


def _with_synapse(source: Source, kind: Any, sizes: Mapping[str, Any], **synapses: Kernels) -> Module:
    """A block of neurons behind synapses, which are named as in the block, with (out, in, height, width) each."""
    weights = {f"{name}{end}": weight for name, ends in synapses.items() for end, weight in ends.items()}
    params, state = parameters(source)
    params, bias = with_bias(source, params)
    delay = delay_of(source)
    options = {"delay_shift": True, **({"delay": True} if delay else {})}
    weight_norm = {"weight_norm": source.weight_norm}
    block = kind(params, **sizes, **options, **weight_norm, **hook_for(*weights.values()))
    norm = block.neuron.norm
    if bias:
        if norm is None or not hasattr(norm, "running_mean"):
            rule, way_out = "none", "Use norm=slayerloss.neuron.norm.MeanOnlyBatchNorm"
            raise source.refused("bias", "has no place in the block", rule, norm or type(block).__name__, way_out)
        if not in_8_bits(bias["neuron.norm.running_mean"] * SCALE):
            norm.pre_hook_fx = keep_whole
        norm.update = "norm" in source.training
    filled = {f"{name}.weight": weight[..., None] / SCALE for name, weight in weights.items()}
    return _filled(source, block, {**state, **bias, **delay, **filled})


def _input(source: Source) -> Module:
    block = source.blocks.Input
    if source.layer.neuron is None:
        return block()
    params, state = parameters(source)
    given = {name: source.one(name) for name in ("weight", "bias") if name in source.layer.fields}
    for name, value in given.items():
        if not in_8_bits(np.array(value)):
            way_out = "Change it to an even number"
            raise source.refused(name, "is not held by a block", "an even number in [-256, 254]", f"{value:g}", way_out)
        state[name] = np.array([value / SCALE], np.float32)
    return _filled(source, block({**params, "norm": None}, **given), state)


def _dense(source: Source) -> Module:
    weights = source.matrices()
    if np.any(source.neuron.get("sigma_output", False)):
        for field in {"bias", "delay"} & source.layer.fields.keys():
            raise source.refused(field, "is of a layer that sends its sums, which has none", "none", "one", "Delete it")
        return _with_synapse(source, source.blocks.Output, _sizes(weights), synapse=weights)
    if not (source.last and source.never_spikes):
        return _with_synapse(source, source.blocks.Dense, _sizes(weights), synapse=weights)
    return _with_synapse(source, source.blocks.Affine, _sizes(weights), synapse=weights)


def _sizes(matrices: Kernels) -> dict[str, Any]:
    out, inputs = next(iter(matrices.values())).shape[:2]
    return {"in_neurons": inputs, "out_neurons": out}


def _recurrent(source: Source) -> Module:
    weights, back = source.matrices(), source.matrices("weight_rec")
    kind = source.blocks.Recurrent
    return _with_synapse(source, kind, _sizes(weights), input_synapse=weights, recurrent_synapse=back)


def _geometry(source: Source) -> dict[str, Any]:
    return {name: pair(source.layer.fields[name]) for name in ("stride", "padding", "dilation")}


def _conv(source: Source) -> Module:
    return _convolution(source, source.blocks.Conv, "out_features", "in_features")


def _conv_transposed(source: Source) -> Module:
    return _convolution(source, source.blocks.ConvT, "in_features", "out_features")


def _convolution(source: Source, kind: Any, first: str, second: str) -> Module:
    """A block whose weight has the `first` features in front, and behind them the `second` of a group."""
    weights, groups = source.kernels, int(source.one("groups"))
    weight = next(iter(weights.values()))
    if groups < 1 or len(weight) % groups:
        raise source.refused("groups", "does not divide the channels", f"a divisor of {len(weight)}", groups)
    sizes = {first: len(weight), second: weight.shape[1] * groups, "groups": groups}
    sizes |= {"kernel_size": weight.shape[2:], **_geometry(source)}
    return _with_synapse(source, kind, sizes, synapse=weights)


def _pool(source: Source) -> Module:
    return _pooling(source, source.blocks.Pool)


def _unpool(source: Source) -> Module:
    return _pooling(source, source.blocks.Unpool)


def _pooling(source: Source, kind: Any) -> Module:
    weights = source.kernels
    sizes = {"kernel_size": next(iter(weights.values())).shape[2:], **_geometry(source)}
    return _with_synapse(source, kind, sizes, synapse=weights)


_LAYERS: Mapping[str, Callable[[Source], Module]] = MappingProxyType(
    {
        "input": _input,
        "dense": _dense,
        "dense_rec": _recurrent,
        "conv": _conv,
        "convT": _conv_transposed,
        "pool": _pool,
        "unpool": _unpool,
        "flatten": lambda source: source.blocks.Flatten(),
        "average": lambda source: source.blocks.Average(source.layer.shape[0]),
    }
)
"""Layer type -> what makes its block."""


def _built(source: Source) -> Module:
    kind = source.layer.type
    if kind not in _LAYERS:
        raise source.refused("type", "has no block", "one of " + ", ".join(_LAYERS), repr(kind))
    if source.layer.neuron is not None and source.layer.neuron["type"] not in NEURONS:
        neuron = source.layer.neuron["type"]
        raise source.refused("neuron/type", "has no blocks yet", "one of " + ", ".join(NEURONS), neuron)
    return _LAYERS[kind](source)


def _settle(model: Sequential, sources: list[Source]) -> None:
    """Let one silent step run through the blocks, so that they know their shapes; FormatError where they do not fit."""
    import torch

    from slayerloss.block import reset_state

    model.eval()
    x = None
    for block, source in zip(model.children(), sources, strict=True):
        shape = _input_shape(source) if x is None else tuple(x.shape[1:-1])
        try:
            with torch.no_grad():
                x = torch.zeros(1, *source.layer.shape, 1) if shape is None else block(torch.zeros(1, *shape, 1))
        except SlayerError as error:
            got = f"{shape} ({error})"
            raise source.refused("", "does not fit the layer before", "a shape that it reads", got) from None
        made, said = tuple(x.shape[1:-1]), source.layer.shape
        if math.prod(made) != math.prod(said) or (len(made) == 3 and made != said):
            raise source.refused("shape", "is not what the layer makes of its input", str(made), said)
        block.shape = x.shape[1:-1]  # type: ignore[assignment]  # which `Layer` has
    reset_state(model)


def _input_shape(source: Source) -> tuple[int, ...] | None:
    """What the first layer of a file reads; None where the file does not say it."""
    layer = source.layer
    if layer.type in ("input", "flatten"):
        return (math.prod(layer.shape),) if layer.type == "flatten" else layer.shape
    if not layer.type.startswith("dense"):
        return None
    return (next(iter(source.weights().values())).size // source.channels,)
