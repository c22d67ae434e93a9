"""Count what a network does in a recording: events, synaptic operations and neuron updates of every layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, DtypeError, ShapeError, check_type, message
from slayerloss.io.event import as_array
from slayerloss.netx.description import Layer
from slayerloss.netx.run import Network
from slayerloss.netx.runtime.recording import Recording
from slayerloss.netx.runtime.synapse import integers, pair

Array = NDArray[Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LayerOperations:
    """What one layer did; counts are int64, one for each of the N recordings.

    Attributes:
        index: number of the layer in the file.
        type: of the layer.
        neurons: how many it has.
        arrivals: (N,) events that came in: spikes of the layer before, or of the input, and a recurrent layer's own.
        synaptic: (N,) synaptic operations of these events.
        updates: (N,) neuron updates, neurons times steps.
        spikes: (N,) spikes sent.
    """

    index: int
    type: str
    neurons: int
    arrivals: Counts
    synaptic: Counts
    updates: Counts
    spikes: Counts

    @property
    def name(self) -> str:
        """The layer's place in the file and its type, such as "layer/2 dense"."""
        return f"layer/{self.index} {self.type}"


@dataclass(frozen=True)
class Operations:
    """What a network did in N recordings, by layers; see `operations`.

    Attributes:
        inputs: how many inputs the network has.
        events: (N,) int64, events of the input.
        steps: (N,) int64, steps of each recording.
        layers: the layers that ran, in their order.
    """

    inputs: int
    events: Counts
    steps: Counts
    layers: tuple[LayerOperations, ...]

    def __str__(self) -> str:
        return _table(self)

    def __repr__(self) -> str:
        synaptic = sum(int(layer.synaptic.sum()) for layer in self.layers)
        return f"Operations({len(self.steps)} recordings, {len(self.layers)} layers, {synaptic:,} synaptic operations)"


def operations(network: Network, x: Any, recording: Recording | None = None, lengths: Any = None) -> Operations:
    """Count the events, synaptic operations and neuron updates of a run.

    synaptic operations = sum_j events_j * fan_out_j,  fan_out_j = number of synapses from neuron j into the layer

    A synapse counts if its weight, cut to an integer as in the chip, is not zero: a sparse format of the chip stores no
    others, and operations on zeros change nothing. What a convolution's padding cuts off is no synapse. A recurrent
    layer's own spikes count with its recurrent synapses, a complex layer's synapses with both of their matrices. A
    graded spike is one event. Every event counts where it is sent, also where latency or a delay let it arrive after
    the last step.

    Args:
        network: what ran.
        x: (N, C, T) or (N, C, H, W, T), or without N, what it ran on.
        recording: what `network.run(x)` gave; None runs it.
        lengths: (N,) the steps of each recording, whole numbers in [1, T]; None for all T. What comes after them does
            not count.

    Returns:
        Counts for each recording; N is 1 if x has none. Printed, a table of the means.

    Raises:
        ShapeError: x, `recording` or `lengths` do not fit each other.
        DtypeError: `network` is no Network, `recording` no Recording, or x not of numbers.
        ArgumentError: as `Network.run`; x has NaN or infinity; a length is out of range; or nothing is known of a
            layer's synapses.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [2], "weight": [[100, 2], [40, 0]], "neuron": neuron}
        >>> network = Network(describe([layer]))
        >>> print(operations(network, np.array([[1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 0, 0]])))
        per recording  neurons  events    rate  synaptic operations  share
        input                2       4  0.3333                    -      -
        layer/0 dense        2       4  0.3333                    7  100 %
        total                2       4  0.3333                    7

    Note:
        The rate is in events per neuron and step.
    """
    check_type("operations", "network", network, Network, "a netx.Network")
    values = _array("x", x)
    if recording is None:
        recording = network.run(x)
    check_type("operations", "recording", recording, Recording, "what Network.run gave")
    batched = recording.output.ndim == len(network.shapes[-1]) + 2
    sent = [values, *recording.spikes]
    if not batched:
        sent = [array[None] for array in sent]
    shape = (sent[-1].shape[0], sent[-1].shape[-1])
    sizes = [math.prod(each) for each in (network.input_shape, *network.shapes)]
    for array, size in zip(sent, sizes, strict=False):
        if len(sent) != len(sizes) or array.size != shape[0] * size * shape[1] or array.shape[-1] != shape[1]:
            rule = "the recording of this network for this x"
            got = f"x {values.shape}, output {recording.output.shape}"
            raise ShapeError(message("operations", "x and recording do not fit the network", rule, got))
    steps = _steps(lengths, *shape)
    counts = [_events(array, None if lengths is None else steps) for array in sent]
    shapes = [network.input_shape, *network.shapes]
    layers = []
    for i, index in enumerate(network.layer_indices):
        layer = network.description.layers[index]
        forward, back = fan_out(layer, shapes[i])
        arrivals, synaptic = counts[i].sum(1), counts[i] @ forward
        if back is not None:
            arrivals, synaptic = arrivals + counts[i + 1].sum(1), synaptic + counts[i + 1] @ back
        neurons = 0 if layer.type == "average" else sizes[i + 1]
        layers.append(
            LayerOperations(index, layer.type, neurons, arrivals, synaptic, neurons * steps, counts[i + 1].sum(1))
        )
    return Operations(sizes[0], counts[0].sum(1), steps, tuple(layers))


def joined(parts: Sequence[Operations]) -> Operations:
    """The Operations of several batches of recordings of one network as those of all of them."""

    def join(each: Sequence[Counts]) -> Counts:
        return np.concatenate(each)

    layers = tuple(
        LayerOperations(
            same[0].index,
            same[0].type,
            same[0].neurons,
            *(join([getattr(layer, name) for layer in same]) for name in ("arrivals", "synaptic", "updates", "spikes")),
        )
        for same in zip(*(part.layers for part in parts), strict=True)
    )
    return Operations(
        parts[0].inputs, join([part.events for part in parts]), join([part.steps for part in parts]), layers
    )


def fan_out(layer: Layer, shape: tuple[int, ...]) -> tuple[Counts, Counts | None]:
    """How many synapses each source reaches: of the layer before, (sources,), and of the layer itself, or None.

    Args:
        layer: whose synapses they are.
        shape: (C,) or (C, H, W), what the layer before sends.

    Raises:
        ArgumentError: nothing is known of the layer's synapses.
    """
    if layer.type in ("input", "average"):  # no synapses: a value goes to its neuron, or out of the chip
        return np.zeros(math.prod(shape), np.int64), None
    if layer.type in ("dense", "dense_rec"):
        own = _columns(layer.fields["weight_rec"], math.prod(layer.shape)) if layer.type == "dense_rec" else None
        return _columns(layer.fields["weight"], math.prod(shape)), own
    if layer.type in ("conv", "pool"):
        return _image(layer, shape), None
    way_out = "Cut the network with num_layers or skip_layers"
    known = "input, dense, dense_rec, conv, pool or average"
    raise ArgumentError(message("operations", "nothing is known of a layer's synapses", known, layer.type, way_out))


def _columns(weight: Any, sources: int) -> Counts:
    """Weights other than zero of each source, (sources,); of both matrices where the weights are complex."""
    if isinstance(weight, Mapping):
        return np.sum([_columns(part, sources) for part in weight.values()], axis=0, dtype=np.int64)
    counts: Counts = np.count_nonzero(integers(weight).reshape(-1, sources), axis=0).astype(np.int64)
    return counts


def _image(layer: Layer, shape: tuple[int, ...]) -> Counts:
    """The same of a conv or pool layer on images (C, H, W).

    The adjoint of the convolution, of ones: with n_ckl kernels other than zero at (k, l), and A_hk = 1 where the row h
    is under row k of a kernel that stands inside the output, the sum over k and l of n_ckl A_hk B_wl.
    """
    weight = integers(layer.fields["weight"])
    weight = weight.reshape(weight.shape[:4])
    channels = shape[0]
    if layer.type == "pool":  # one kernel, for each channel on its own
        kernels = np.broadcast_to(weight[0] != 0, (channels, *weight.shape[2:]))
    else:
        groups = int(layer.fields["groups"])
        kernels = (weight != 0).reshape(groups, -1, *weight.shape[1:]).sum(1).reshape(channels, *weight.shape[2:])
    stride, padding, dilation = (pair(layer.fields[name]) for name in ("stride", "padding", "dilation"))
    rows, columns = (
        _under(shape[1 + i], layer.shape[1 + i], weight.shape[2 + i], stride[i], padding[i], dilation[i])
        for i in range(2)
    )
    counts = np.einsum("ckl,hk,wl->chw", kernels.astype(np.int64), rows, columns, optimize=True)
    return counts.reshape(-1)


def _under(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> Counts:
    """(size, kernel): 1 where an input is under that place of a kernel that stands at one of `out` outputs."""
    place = np.arange(size)[:, None] + padding - dilation * np.arange(kernel)
    return ((place % stride == 0) & (place >= 0) & (place < stride * out)).astype(np.int64)


def _events(sent: Array, steps: Counts | None) -> Counts:
    """Events of each neuron, (N, neurons): values other than zero before a recording's last step."""
    fired = sent != 0
    if steps is not None:
        fired &= (np.arange(sent.shape[-1]) < steps[:, None]).reshape(len(sent), *[1] * (sent.ndim - 2), -1)
    return fired.sum(-1, dtype=np.int64).reshape(len(sent), -1)


def _array(argument: str, values: Any) -> Array:
    """Real, finite numbers as an array."""
    try:
        array = values if hasattr(values, "detach") else np.asarray(values)
        if array.dtype == object:
            rule, got = "an array of numbers", type(values).__name__
            way_out = "It comes after x: operations(network, x, recording)" if isinstance(values, Recording) else ""
            raise DtypeError(message("operations", f"{argument} is no array", rule, got, way_out))
        array = as_array("operations", argument, array)
    except ValueError:  # lists of different lengths
        problem = f"{argument} is ragged"
        raise ShapeError(message("operations", problem, "rows of one length", type(values).__name__)) from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ArgumentError(message("operations", f"{argument} holds NaN or infinity", "finite values", array.shape))
    return array


def _steps(lengths: Any, recordings: int, num_steps: int) -> Counts:
    """The steps of each recording, (N,)."""
    if lengths is None:
        return np.full(recordings, num_steps, np.int64)
    steps = _array("lengths", lengths)
    if steps.shape != (recordings,):
        raise ShapeError(message("operations", "lengths has the wrong shape", f"({recordings},)", steps.shape))
    if steps.dtype.kind not in "iu" or steps.min() < 1 or steps.max() > num_steps:
        rule = f"whole numbers in [1, {num_steps}]"
        raise ArgumentError(message("operations", "lengths is out of range", rule, steps.tolist()))
    return steps.astype(np.int64)


def _table(operations: Operations) -> str:
    """The means over the recordings as a table: a line for the input, one a layer, and the sums."""
    steps = float(operations.steps.sum())
    total = sum(int(layer.synaptic.sum()) for layer in operations.layers)
    rows = [_row("input", operations.inputs, operations.events, steps, None, total)]
    for layer in operations.layers:
        synaptic = None if layer.type in ("input", "average") else layer.synaptic
        rows.append(_row(layer.name, layer.neurons, layer.spikes, steps, synaptic, total))
    neurons = sum(layer.neurons for layer in operations.layers)
    spikes = np.sum([layer.spikes for layer in operations.layers if layer.neurons], axis=0)
    synaptic = np.sum([layer.synaptic for layer in operations.layers], axis=0)
    rows.append((*_row("total", neurons, spikes, steps, synaptic, total)[:-1], ""))
    lines = [("per recording", "neurons", "events", "rate", "synaptic operations", "share"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def _row(name: str, neurons: int, events: Counts, steps: float, synaptic: Counts | None, total: int) -> tuple[str, ...]:
    rate = f"{events.sum() / (neurons * steps):.4f}" if neurons else "-"
    counted = ("-", "-") if synaptic is None else (_mean(synaptic), f"{100 * synaptic.sum() / max(total, 1):.0f} %")
    return (name, f"{neurons:,}", _mean(events), rate, *counted)


def _mean(counts: Counts) -> str:
    """The mean, with a digit after the point where it is small."""
    mean = float(counts.mean())
    return f"{mean:,.0f}" if mean >= 100 or mean == int(mean) else f"{mean:.1f}"
