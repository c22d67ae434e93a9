"""Does the network file do what the trained model does, spike by spike, and if not, where does it begin?"""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, ShapeError, check_choice, check_type, message
from slayerloss.io.event import as_array
from slayerloss.netx.description import Description
from slayerloss.netx.difference import Difference, around, first_place
from slayerloss.netx.differing_fields import differing_fields
from slayerloss.netx.export import describe_model, device_of, find_blocks, label_of
from slayerloss.netx.read import read
from slayerloss.netx.run import Network

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_STATE_BYTES = 1 << 28  # of the states that are recorded at the same time
_GRADED = 32  # input_message_bits with which every whole number arrives as it is, 0 and 1 included


class UnlikeError(ArgumentError, ShapeError):
    """The model and the file cannot be compared: another number of layers, or other shapes."""


@dataclass
class Comparison:
    """A trained model in eval mode against its network file, run in integers.

    Attributes:
        layers: names of the layers with neurons.
        samples: how many samples ran.
        predictions_differ: samples whose most active output is another.
        spikes_differ: for each layer, spikes that only one of the two has; of a readout, voltages that differ.
        events: for each layer, the spikes of the file; of a readout, the voltages other than zero.
        fields_differ: HDF5 paths at which the file says something else than the model.
        intact: whether the file is as it was written, by its checksum.
        input_message_bits: what Lava must be told to run the file on these inputs: 0 if a first dense or conv layer was
            given 0 and 1 alone, else the bits of the largest value.
        readouts: names of the layers that send their voltage, `Affine` blocks.
        first_difference: the first spike that only one of the two has, with the states of both; None if none differs.
        places: of each layer, where the file has it, such as "layer/2".
    """

    layers: list[str]
    samples: int = 0
    predictions_differ: int = 0
    spikes_differ: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    fields_differ: list[str] = field(default_factory=list)
    intact: bool = True
    input_message_bits: int = 0
    readouts: list[str] = field(default_factory=list)
    first_difference: Difference | None = None
    places: list[str] = field(default_factory=list)

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
        """The layers that never spiked, neither in the model nor in the file, of which a comparison says nothing."""
        counts = zip(self.layers, self.events, self.spikes_differ, strict=True)
        return [name for name, count, differ in counts if count == 0 == differ]

    def __str__(self) -> str:
        lines = [f"{self.samples} samples, {self.predictions_differ} predictions differ"]
        names = [f"{place} {name}".strip() for place, name in zip_longest(self.places, self.layers, fillvalue="")]
        width = max(map(len, names))
        for i, (name, count, differ) in enumerate(zip(names, self.events, self.spikes_differ, strict=True)):
            what, silent = "voltages" if self.layers[i] in self.readouts else "spikes", count == 0 == differ
            lines.append(f"  {name:{width}}  {count:>12,} {what}, {differ:,} differ{', SILENT' * silent}")
        if self.first_difference is not None:
            lines.append(f"  {self.first_difference}")
        lines += [f"  the file differs from the model in {path}" for path in self.fields_differ]
        if self.input_message_bits:
            lines.append(f"  the input has values above 1: run it with input_message_bits={self.input_message_bits}")
        return "\n".join(lines if self.intact else [*lines, "  the file was changed after it was written"])


def compare(
    model: Module,
    file: str | os.PathLike[str] | Description,
    inputs: Tensor | Iterable[Any],
    *,
    arithmetic: Literal["lava", "ideal"] = "lava",
) -> Comparison:
    """Run a model and its network file on the same input, count what differs, and say where it begins.

    Args:
        model: as for `export`. A copy runs, in eval mode and from rest.
        file: the network file.
        inputs: events (N, C, T) or (N, C, H, W, T), or an iterable of such batches, or of tuples that begin with one.
            The file is fed what `Network.encode` makes of them, with the weight and bias of the file's input layer.
        arithmetic: "lava" runs the file as Lava does, "ideal" as it says, pool and average layers too; see `Network`.

    Returns:
        What differs; printed, a line for each layer, and the states around the first difference.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read or run.
        ArgumentError, ShapeError: the model is not made of blocks, or the input does not fit; or an error of both
            classes, the file has another number of layers than the model, or other shapes.

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

    from slayerloss.functional.sparse import check_input

    check_choice("compare", "arithmetic", arithmetic, ["lava", "ideal"])
    description = file if isinstance(file, Description) else read(file)
    side = _Model(model, averages=arithmetic == "ideal")
    result = Comparison(side.names, spikes_differ=[0] * len(side.names), events=[0] * len(side.names))
    result.readouts = [side.names[i] for i in side.readouts]
    network = None
    if not isinstance(inputs, torch.Tensor):
        check_type("compare", "inputs", inputs, Iterable, "events, or an iterable of batches")
        if getattr(inputs, "ndim", 1) == 0:  # an array of numpy that cannot be iterated over
            got = type(inputs).__name__
            raise ShapeError(message("compare", "inputs has no dimension", "events, or an iterable of batches", got))
    for batch in [inputs] if isinstance(inputs, torch.Tensor) else inputs:
        x: Any = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        check_input("compare", x, "inputs")
        x = x.to_dense()
        ours = side.run(x)
        if network is None:
            network = _network(description, x, arithmetic, side)
            result.places = [f"layer/{index}" for index in network.layer_indices]
        integers = network.encode(x * side.input_lsb)
        its = _sent(network, integers, side.readouts)
        if description.layers[network.layer_indices[0]].type != "input":
            result.input_message_bits = max(result.input_message_bits, _message_bits(integers))
        _add(result, ours, its)
        if result.first_difference is None and any(result.spikes_differ):
            result.first_difference = _first_difference(result, side, network, ours, its, integers)
    result.fields_differ = _fields_differ(side.model, description)
    result.intact = description.checksum_stored in (None, description.checksum())
    return result


def _network(description: Description, x: Tensor, arithmetic: Literal["lava", "ideal"], side: _Model) -> Network:
    """The file's network, for the input that the model has just taken; UnlikeError where it can never match."""
    shape = _image_shape(description, x)
    own = tuple(x.shape[1:-1])
    try:
        network = Network(description, input_shape=shape, input_message_bits=_GRADED, arithmetic=arithmetic)
    except ArgumentError:
        if description.layers[0].type != "conv":
            raise
        problem = "the first layer of the file, a conv layer, does not take the model's input"
        raise UnlikeError(message("compare", problem, "a layer for it", f"an input {own}")) from None
    if len(network) != len(side.names):
        problem = f"the file has another number of layers with neurons: {len(network)}"
        raise UnlikeError(message("compare", problem, "as many as the model", len(side.names)))
    its = network.input_shape
    if own != its and (len(its) > 1 or math.prod(own) != its[0]):
        raise UnlikeError(message("compare", "the file takes another input than the model", str(own), its))
    return network


class _Model:
    """A copy of a model in eval mode that remembers what its blocks with neurons were given and sent.

    With `averages`, layers that average count among them.
    """

    def __init__(self, model: Module, averages: bool) -> None:
        from slayerloss.block._ends import Affine, Input
        from slayerloss.block._shape import Average
        from slayerloss.block.sigma_delta import SigmaDeltaBlock

        find_blocks(model)  # which refuses what is no model
        self.model = copy.deepcopy(model).eval()
        named = [
            (name, block)
            for name, block in find_blocks(self.model)
            if getattr(block, "neuron", None) is not None or (averages and isinstance(block, Average))
        ]
        self.names = [label_of(name, block) for name, block in named]
        self.blocks = [block for _, block in named]
        self.readouts = [i for i, block in enumerate(self.blocks) if isinstance(block, Affine)]
        self.averages = [i for i, block in enumerate(self.blocks) if isinstance(block, Average)]
        readers = [b.neuron.lsb for b in self.blocks[:1] if isinstance(b, SigmaDeltaBlock) and not isinstance(b, Input)]
        self.input_lsb = readers[0] if readers else 1  # of messages, which a file has in integers
        self.given: dict[int, Tensor] = {}
        self.sent: dict[int, Any] = {}
        for i, block in enumerate(self.blocks):
            block.register_forward_hook(functools.partial(self._remember, i), with_kwargs=True)

    def _remember(self, i: int, _: Module, args: Any, options: Any, output: Any) -> None:
        self.given[i] = args[0] if args else options["x"]
        self.sent[i] = output[0] if isinstance(output, tuple) else output  # with count_log the events come along

    def run(self, x: Tensor) -> list[NDArray[Any]]:
        """What each layer sends from rest, in the file's integers."""
        import torch

        from slayerloss.block import reset_state
        from slayerloss.block.sigma_delta import SigmaDeltaBlock

        reset_state(self.model)
        with torch.no_grad():
            self.model(x.to(device_of(self.model)))
        missing = [name for i, name in enumerate(self.names) if i not in self.sent]
        if missing:
            problem, rule = f"layer {missing[0]} is not called", "a forward that calls its blocks"
            raise ArgumentError(message("compare", problem, rule, "one that does not, but may use their `run`"))
        arrays = [as_array("compare", "spikes", self.sent[i]) for i in range(len(self.names))]
        early = 0
        for i, block in enumerate(self.blocks):
            if isinstance(block, SigmaDeltaBlock):
                early += not block.is_shifted
                arrays[i] = _later(_whole(arrays[i] * float(block.sent_lsb)), early)
        for i in self.readouts:
            arrays[i] = _whole(arrays[i] * float(self.blocks[i].neuron.lsb))
        for i in self.averages:  # the file's layer sends the sums of the groups
            arrays[i] = _whole(arrays[i] * (self.given[i].shape[1:-1].numel() / self.blocks[i].num_outputs))
        return arrays

    def states(self, layer: int, sample: int) -> dict[str, NDArray[Any]]:
        """The states of a layer in the last run, (C, ..., T) each."""
        if layer in self.averages:
            return {}
        states = self.blocks[layer].chip_states(self.given[layer][sample : sample + 1])
        return {name: value[0].cpu().numpy() for name, value in states.items()}


def _later(x: NDArray[Any], steps: int) -> NDArray[Any]:
    """The same some steps later: the chip takes one for each layer, in which the blocks of lava-dl lose none."""
    return np.concatenate([np.zeros_like(x[..., :steps]), x[..., : x.shape[-1] - steps]], -1) if steps else x


def _whole(x: NDArray[Any]) -> NDArray[Any]:
    return np.rint(x).astype(np.int64)


def _sent(network: Network, x: NDArray[Any], readouts: list[int]) -> list[NDArray[Any]]:
    """What each layer of the file sends; a readout its voltage."""
    if not readouts:
        return network.run(x).spikes
    neurons = sum(math.prod(shape) for shape in network.shapes)
    some = max(1, _STATE_BYTES // (8 * neurons * x.shape[-1]))
    parts = []
    for start in range(0, len(x), some):
        recording = network.run(x[start : start + some], states=True)
        assert recording.states is not None
        states = recording.states
        parts.append([_voltage(states[i]) if i in readouts else sent for i, sent in enumerate(recording.spikes)])
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def _voltage(states: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """What a readout sends of its states; of a resonator the imaginary part."""
    return states["v"] if "v" in states else states["imag"]


def _first_difference(
    result: Comparison,
    side: _Model,
    network: Network,
    ours: list[NDArray[Any]],
    its: list[NDArray[Any]],
    integers: NDArray[Any],
) -> Difference | None:
    """Where the last batch begins to differ; its sample runs once more, for the states of the file."""
    place = first_place(ours, its)
    if place is None:
        return None
    sample, layer, step, neuron = place
    recording = network.run(integers[sample : sample + 1], states=True)
    assert recording.states is not None
    model = side.states(layer, sample)
    file = {name: values[0] for name, values in recording.states[layer].items()}
    if layer not in side.readouts:
        model["sent"], file["sent"] = ours[layer][sample], its[layer][sample]
    before = result.samples - len(ours[0])
    names = side.names[layer], network.layer_indices[layer]
    return Difference(*names, neuron, step + 1, before + sample, **around(model, file, neuron, step))


def _message_bits(x: NDArray[Any]) -> int:
    """0 if all values are 0 or 1, else the bits of the largest magnitude."""
    low, high = int(x.min(initial=0)), int(x.max(initial=0))
    return 0 if low >= 0 and high <= 1 else max(-low, high).bit_length()


def _image_shape(description: Description, x: Tensor) -> tuple[int, int, int] | None:
    if description.layers[0].type != "conv" or x.ndim != 5:
        return None
    _, channels, height, width, _ = x.shape
    return width, height, channels


def _add(result: Comparison, model: list[NDArray[Any]], file: list[NDArray[Any]]) -> None:
    result.samples += len(file[0])
    for i, (ours, its) in enumerate(zip(model, file, strict=True)):
        if ours.shape != its.shape:
            problem = f"{result.places[i]} of the file has another shape than the model's {result.layers[i]}"
            raise UnlikeError(message("compare", problem, str(ours.shape[1:-1]), its.shape[1:-1]))
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
    pairs = zip(ours, its, strict=True)
    return [f"layer/{i}/{name}" for (_, own), (i, layer) in pairs for name in differing_fields(own, layer)]
