"""Does the network file do what the trained model does, spike by spike?"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, ShapeError, check_events, check_type, message
from slayerloss.io.event import as_array
from slayerloss.netx.description import Description, leaves, trees_equal
from slayerloss.netx.export import describe_model, device_of, find_blocks, label_of
from slayerloss.netx.read import read
from slayerloss.netx.run import Network

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_GRADED = 32  # input_message_bits with which every whole number arrives as it is, 0 and 1 included


@dataclass
class Comparison:
    """A trained model in eval mode against its network file, run in integers.

    Attributes:
        layers: names of the layers with neurons.
        samples: how many samples ran.
        predictions_differ: samples whose most active output is another.
        spikes_differ: for each layer, spikes that only one of the two has.
        events: for each layer, the spikes of the file.
        fields_differ: HDF5 paths at which the file says something else than the model.
        intact: whether the file is as it was written, by its checksum.
        input_message_bits: what Lava must be told to run the file on these inputs: 0 if a first dense or conv layer was
            given 0 and 1 alone, else the bits of the largest value.
    """

    layers: list[str]
    samples: int = 0
    predictions_differ: int = 0
    spikes_differ: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    fields_differ: list[str] = field(default_factory=list)
    intact: bool = True
    input_message_bits: int = 0

    @property
    def identical(self) -> bool:
        """Whether something ran and spiked, and no spike, no prediction and no field differs."""
        return (
            any(self.events)
            and self.intact
            and not (self.predictions_differ or any(self.spikes_differ) or self.fields_differ)
        )

    @property
    def silent(self) -> list[str]:
        """The layers that never spiked, of which a comparison says little."""
        return [name for name, count in zip(self.layers, self.events, strict=True) if count == 0]

    def __str__(self) -> str:
        lines = [f"{self.samples} samples, {self.predictions_differ} predictions differ"]
        width = max(len(name) for name in self.layers)
        for name, count, differ in zip(self.layers, self.events, self.spikes_differ, strict=True):
            lines.append(f"  {name:{width}}  {count:>12,} spikes, {differ:,} differ{'' if count else ', SILENT'}")
        lines += [f"  the file differs from the model in {path}" for path in self.fields_differ]
        if self.input_message_bits:
            lines.append(f"  the input has values above 1: run it with input_message_bits={self.input_message_bits}")
        return "\n".join(lines if self.intact else [*lines, "  the file was changed after it was written"])


def compare(model: Module, file: str | os.PathLike[str] | Description, inputs: Tensor | Iterable[Any]) -> Comparison:
    """Run a model and its network file on the same input and count what differs.

    Args:
        model: as for `export`. A copy runs, in eval mode and from rest.
        file: the network file.
        inputs: events (N, C, T) or (N, C, H, W, T), or an iterable of such batches, or of tuples that begin with one.
            The file is fed what `Network.encode` makes of them, with the weight and bias of the file's input layer.

    Returns:
        What differs; printed, a line for each layer.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read or run.
        ArgumentError, ShapeError: the model is not made of blocks, or the input does not fit.

    Example:
        >>> import tempfile, torch
        >>> import slayerloss as slayer
        >>> neuron = dict(threshold=0.5, current_decay=0.25, voltage_decay=0.03)
        >>> _, model = torch.manual_seed(0), slayer.block.cuba.Dense(neuron, 20, 10)
        >>> path = f"{tempfile.mkdtemp()}/network.net"
        >>> _ = slayer.netx.export(model, path)
        >>> slayer.netx.compare(model, path, (torch.rand(4, 20, 30) < 0.3).float()).identical
        True
    """
    import torch

    from slayerloss.block import reset_state

    description = file if isinstance(file, Description) else read(file)
    find_blocks(model)  # which refuses what is no model
    model = copy.deepcopy(model).eval()
    blocks = [(name, block) for name, block in find_blocks(model) if getattr(block, "neuron", None) is not None]
    sent: dict[int, Tensor] = {}
    for i, (_, block) in enumerate(blocks):
        block.register_forward_hook(lambda _, __, output, i=i: sent.__setitem__(i, output))
    names = [label_of(name, block) for name, block in blocks]
    result = Comparison(names, spikes_differ=[0] * len(names), events=[0] * len(names))
    network = None
    if not isinstance(inputs, torch.Tensor):
        check_type("compare", "inputs", inputs, Iterable, "events, or an iterable of batches")
        if getattr(inputs, "ndim", 1) == 0:  # an array of numpy that cannot be iterated over
            got = type(inputs).__name__
            raise ShapeError(message("compare", "inputs has no dimension", "events, or an iterable of batches", got))
    for batch in [inputs] if isinstance(inputs, torch.Tensor) else inputs:
        x: Any = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        check_events("compare", x, "inputs")
        x = x.to(device_of(model))
        if network is None:
            network = Network(description, input_shape=_image_shape(description, x), input_message_bits=_GRADED)
            if len(network) != len(blocks):
                problem = f"the file has {len(network)} layers with neurons"
                raise ArgumentError(message("compare", problem, "as many as the model", len(blocks)))
        reset_state(model)
        with torch.no_grad():
            model(x)
            integers = network.encode(x)
            recording = network.run(integers)
        missing = [name for i, name in enumerate(names) if i not in sent]
        if missing:
            problem, rule = f"layer {missing[0]} is not called", "a forward that calls its blocks"
            raise ArgumentError(message("compare", problem, rule, "one that does not, but may use their `run`"))
        if description.layers[network.layer_indices[0]].type != "input":
            result.input_message_bits = max(result.input_message_bits, _message_bits(integers))
        _add(result, [_array(sent[i]) for i in range(len(blocks))], recording.spikes)
    result.fields_differ = _fields_differ(model, description)
    result.intact = description.checksum_stored in (None, description.checksum())
    return result


def _message_bits(x: NDArray[Any]) -> int:
    """0 if all values are 0 or 1, else the bits of the largest magnitude."""
    low, high = int(x.min(initial=0)), int(x.max(initial=0))
    return 0 if low >= 0 and high <= 1 else max(-low, high).bit_length()


def _image_shape(description: Description, x: Tensor) -> tuple[int, int, int] | None:
    if description.layers[0].type != "conv" or x.ndim != 5:
        return None
    _, channels, height, width, _ = x.shape
    return width, height, channels


def _array(output: Any) -> NDArray[Any]:
    """The spikes of a block's output, which `count_log` makes a tuple of."""
    return as_array("compare", "spikes", output[0] if isinstance(output, tuple) else output)


def _add(result: Comparison, model: list[NDArray[Any]], file: list[NDArray[Any]]) -> None:
    result.samples += len(file[0])
    for i, (ours, its) in enumerate(zip(model, file, strict=True)):
        if ours.shape != its.shape:
            problem = f"layer {result.layers[i]} of the file has another shape"
            raise ShapeError(message("compare", problem, str(ours.shape), its.shape))
        result.events[i] += int(np.count_nonzero(its))
        result.spikes_differ[i] += int(np.count_nonzero(ours != its))
    predictions = [spikes.sum(-1).reshape(len(spikes), -1).argmax(1) for spikes in (model[-1], file[-1])]
    result.predictions_differ += int(np.count_nonzero(predictions[0] != predictions[1]))


def _fields_differ(model: Module, description: Description) -> list[str]:
    """Where the file's fields are not the model's. Layers that hold nothing but a shape are left out."""
    expected, _ = describe_model(model)
    ours, its = (
        [(i, layer) for i, layer in enumerate(d.layers) if layer.fields.keys() != {"shape"}]
        for d in (expected, description)
    )
    if [layer.type for _, layer in ours] != [layer.type for _, layer in its]:
        return ["layer"]
    paths = []
    for (_, own), (i, layer) in zip(ours, its, strict=True):
        values = dict(leaves(layer.fields))
        paths += [f"layer/{i}/{name}" for name, value in leaves(own.fields) if not trees_equal(value, values.get(name))]
    return paths
