"""Run a network file in integers, as Lava's fixed-point simulation does, for whole batches at once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import (
    ArgumentError,
    FormatError,
    ShapeError,
    check_flag,
    check_integer,
    check_sequence,
    message,
)
from slayerloss.io.event import as_array
from slayerloss.netx.check import Chain, check
from slayerloss.netx.description import Description, Layer
from slayerloss.netx.lif import LIF, lif
from slayerloss.netx.read import read
from slayerloss.netx.schema import READOUT
from slayerloss.netx.synapse import Synapse, convolution, dense, weight_matrix
from slayerloss.netx.table import table

Array = NDArray[Any]

_CHUNK_BYTES = 1 << 27  # memory of the samples that run at the same time


@dataclass(frozen=True)
class Recording:
    """What a network did in a run.

    Attributes:
        output: spikes of the last layer, (N, C, T) or (N, C, H, W, T), int8; index t-1 is Lava's step t.
        spikes: the same of every layer.
        states: {"u": ..., "v": ...} of every layer, int32, each after the step; None unless asked for.
    """

    output: Array
    spikes: list[Array]
    states: list[dict[str, Array]] | None = None

    def __repr__(self) -> str:
        sent = ", ".join(f"{int(np.count_nonzero(layer)):,}" for layer in self.spikes)
        return f"Recording(output {self.output.shape}, spikes of each layer: {sent})"


@dataclass(frozen=True)
class _Stage:
    """A layer that Lava makes a process of."""

    index: int  # in the file
    shape: tuple[int, ...]
    synapse: Synapse | None  # none on an input layer, whose neurons take the input as it is
    feedback: Synapse | None
    neurons: LIF


class Network:
    """A network file that runs, bit for bit as Lava runs it.

    Args:
        net_config: a network file, or what `read` made of one, which may have been changed since.
        num_layers: use only the first layers of the file; None for all.
        skip_layers: leave out the first layers of those.
        input_message_bits: 0 if every value other than 0 is a spike of 1; above, the input of a first dense or conv
            layer is an integer.
        input_shape: (W, H, C), lava-dl's order, of the input of a network whose first layer is a conv layer. Needed
            only if the file has no input layer to say it.
        reset_interval: set all states to zero every so many steps; None for never. Layer i does so before the steps t
            with t % reset_interval == (reset_offset + 1 + i) % reset_interval.
        reset_offset: see reset_interval.
        spike_exp: in [0, 31], the binary places of graded spikes in Lava's other neurons; CUBA neurons have none, so
            that it changes nothing.
        sparse_fc_layer: let Lava hold dense weights as sparse matrices; the spikes are the same, so that it
            changes nothing.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: Lava cannot load the file, a layer or neuron is not run here, or the file does not match the
            checksum that it carries.
        ArgumentError: an argument does not fit the file.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [2], "weight": [[100, 2], [40, 2]], "neuron": neuron}
        >>> network = Network(describe([layer]))
        >>> network.run(np.array([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]])).output
        array([[0, 1, 0, 1, 1, 0],
               [0, 0, 0, 0, 1, 0]], dtype=int8)

    Note:
        The external input of step t reaches a first dense or conv layer in step t+1, and an input layer in step t.
    """

    def __init__(
        self,
        net_config: str | os.PathLike[str] | Description,
        num_layers: int | None = None,
        skip_layers: int = 0,
        input_message_bits: int = 0,
        input_shape: tuple[int, int, int] | None = None,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        spike_exp: int = 6,
        sparse_fc_layer: bool = False,
    ) -> None:
        whole = net_config if isinstance(net_config, Description) else _intact(read(net_config))
        if num_layers is not None:
            check_integer("Network", "num_layers", num_layers, 1)
        if reset_interval is not None:
            check_integer("Network", "reset_interval", reset_interval, 1)
        check_integer("Network", "skip_layers", skip_layers, 0)
        reset_offset = check_integer("Network", "reset_offset", reset_offset)
        self.input_message_bits = check_integer("Network", "input_message_bits", input_message_bits, 0, 32)
        check_integer("Network", "spike_exp", spike_exp, 0, 31)
        check_flag("Network", "sparse_fc_layer", sparse_fc_layer)
        layers = whole.layers[:num_layers]
        self.description = Description(layers, source=whole.source)
        _refuse(self.description)

        first = next((i for i, layer in enumerate(layers) if i >= skip_layers and _makes_process(layer)), None)
        if first is None:
            raise ArgumentError(message("Network", "no layer is left", f"skip_layers below {len(layers)}", skip_layers))
        self._stages: list[_Stage] = []
        for i in range(first, len(layers)):
            if _makes_process(layers[i]):
                offset = reset_offset + 1 + len(self._stages)
                self._stages.append(_stage(i, layers[i], reset_interval, offset))
        if any(_makes_process(layer) for layer in layers[:first]):
            self.input_message_bits = 0  # the input is what a skipped layer would send: spikes
        self._feeds_neurons = layers[first].type == "input"
        self.input_shape = _input_shape(self.description, first, input_shape)

    def __len__(self) -> int:
        return len(self._stages)

    def __repr__(self) -> str:
        return f"Network('{self.description.source}', input {self.input_shape}, layers {self.shapes})"

    def __str__(self) -> str:
        return table(self.description)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the layers that run, (C,) or (C, H, W)."""
        return [stage.shape for stage in self._stages]

    @property
    def layer_indices(self) -> list[int]:
        """The numbers that these layers have in the file."""
        return [stage.index for stage in self._stages]

    def encode(self, x: Any) -> Array:
        """Make integers of real input for a network with an input layer: trunc(weight * q(x) + bias).

        q is the quantisation of the trained block: to even multiples of 1/64 in [-4, 254/64].

        Args:
            x: any shape, real numbers.

        Returns:
            int32 of the same shape, to `run`. Without an input layer, x as it is.

        Raises:
            DtypeError: x is not of numbers.
            ArgumentError: x has NaN, infinity or values beyond 32 bits, or fractions where no input layer takes them.
        """
        values = _numpy(x).astype(np.float64)
        if not np.isfinite(values).all():
            raise ArgumentError(message("Network.encode", "x holds NaN or infinity", "finite values", values.shape))
        if self._feeds_neurons:
            fields = self.description.layers[self._stages[0].index].fields
            weight, bias = (
                float(np.asarray(fields.get(name, usual)).item()) for name, usual in (("weight", 64), ("bias", 0))
            )
            values = np.trunc(weight * np.clip(2 * np.rint(32 * values), -256, 254) / 64 + bias)
        _check_whole("Network.encode", values, "Put an Input block before the others; it takes real numbers")
        return values.astype(np.int32)

    def run(self, x: Any, states: bool = False) -> Recording:
        """Run from zero states.

        Args:
            x: (N, C, T) or (N, C, H, W, T), or one sample without N: integers, or floats without fractions. Images
                enter a first dense layer flattened in the order C, H, W.
            states: record u and v as well.

        Returns:
            Spikes, and states, of all layers; without N if x has none.

        Raises:
            ShapeError: x does not fit the network.
            DtypeError: x is not of numbers.
            ArgumentError: x has fractions or values beyond 32 bits.
        """
        states = check_flag("Network.run", "states", states)
        inputs, batched = self._inputs(x)
        num_steps, num_samples = inputs.shape[:2]
        shape = (num_steps, num_samples)
        spikes = [np.empty((*shape, *stage.shape), np.int8) for stage in self._stages]
        currents, voltages = (
            [np.empty((*shape, *stage.shape), np.int32) for stage in self._stages] if states else [] for _ in range(2)
        )
        widest = max(math.prod(layer) for layer in [inputs.shape[2:], *self.shapes])
        step = max(1, _CHUNK_BYTES // (24 * widest * num_steps))
        for start in range(0, num_samples, step):
            part = slice(start, start + step)
            sent = inputs[:, part]
            for i, stage in enumerate(self._stages):
                arriving = sent if stage.synapse is None else stage.synapse(sent)
                sent, u, v = stage.neurons.run(arriving.reshape(*sent.shape[:2], *stage.shape), stage.feedback, states)
                spikes[i][:, part] = sent
                if states:
                    currents[i][:, part], voltages[i][:, part] = u, v

        def outward(array: Array) -> Array:
            time_last = np.moveaxis(array, 0, -1)
            return time_last if batched else time_last[0]

        every = [outward(array) for array in spikes]
        named = [{"u": outward(u), "v": outward(v)} for u, v in zip(currents, voltages, strict=True)]
        return Recording(every[-1], every, named if states else None)

    def _inputs(self, x: Any) -> tuple[Array, bool]:
        """x as integers (T, N, ...), and whether it came with N."""
        values = _numpy(x)
        shape, have = self.input_shape, values.shape[:-1]
        flat = len(shape) == 1 and len(have) in (3, 4)  # images for a dense layer
        batched = len(have) == (4 if flat else len(shape) + 1)
        own = have[1:] if batched else have
        if values.ndim < 2 or 0 in values.shape or (math.prod(own) != shape[0] if flat else own != shape):
            expected = f"(N, {', '.join(map(str, shape))}, T), or without N"
            raise ShapeError(message("Network.run", "x does not fit the network", expected, values.shape))
        _check_whole("Network.run", values, "Network.encode makes integers for an input layer")
        values = np.moveaxis(values if batched else values[None], -1, 0)
        if not self._feeds_neurons and self.input_message_bits == 0:
            return np.ascontiguousarray(values != 0).view(np.int8), batched
        return np.ascontiguousarray(values, np.int32), batched


def _intact(description: Description) -> Description:
    """The description as it is; FormatError where it does not match the checksum of its file."""
    checksum = description.checksum()
    if description.checksum_stored not in (None, checksum):
        problem = f"{description.source}: / checksum does not match: the file was changed after it was written"
        way_out = "If that was meant, pass netx.read(file)"
        raise FormatError(message("Network", problem, checksum, description.checksum_stored, way_out))
    return description


def _refuse(description: Description) -> None:
    """Raise FormatError for what Lava cannot load, and for what is not run here."""
    for i, layer in enumerate(description.layers):
        kind = (layer.neuron or READOUT)["type"]
        if kind not in ("CUBA", "LOIHI"):
            place = f"{description.source}: layer/{i}/neuron/type"
            known = "one of " + ", ".join(("CUBA", "LOIHI"))
            raise FormatError(message("Network", f"{place}: this neuron type is not run yet", known, kind))
    for finding in check(description):
        if finding.fatal:
            place = f"{description.source}: {finding.place}"
            raise FormatError(message("Network", place, "a network that Lava runs", finding.problem, finding.way_out))


def _makes_process(layer: Layer) -> bool:
    return layer.type in ("dense", "dense_rec", "conv") or (layer.type == "input" and layer.neuron is not None)


def _stage(index: int, layer: Layer, interval: int | None, offset: int) -> _Stage:
    make: dict[str, Callable[[Layer], tuple[Synapse | None, Synapse | None]]] = {
        "input": lambda _: (None, None),
        "dense": dense,
        "dense_rec": dense,
        "conv": lambda layer: (convolution(layer), None),
    }
    shape = (math.prod(layer.shape),) if layer.type.startswith("dense") else layer.shape
    synapse, feedback = make[layer.type](layer)
    bias = None if layer.type == "input" else layer.fields.get("bias")
    neuron = dict(READOUT) if layer.neuron is None else layer.neuron
    return _Stage(index, shape, synapse, feedback, lif(neuron, bias, shape, interval, offset))


def _input_shape(description: Description, first: int, given: tuple[int, int, int] | None) -> tuple[int, ...]:
    """The shape that the first layer reads, (C,) or (C, H, W)."""
    layer = description.layers[first]
    if layer.type == "input":
        return layer.shape
    if layer.type != "conv":
        return (weight_matrix(layer).shape[1],)
    if first > 0:
        return description.layers[first - 1].shape
    if given is None:
        way_out = "Pass input_shape=(W, H, C), or put an input layer without neurons first in the file"
        raise ArgumentError(message("Network", "the file does not say its input's shape", "input_shape", None, way_out))
    sizes = check_sequence("Network", "input_shape", given, 3, "(W, H, C)")
    shape = tuple(check_integer("Network", "input_shape", size, 1) for size in sizes)[::-1]
    chain = Chain()
    chain.append(Layer("input", {"shape": np.array(shape)}))
    problem = chain.append(layer)
    if problem is not None:
        raise ArgumentError(message("Network", "input_shape does not fit", "(W, H, C)", given, problem[0]))
    return shape


def _numpy(x: Any) -> Array:
    """An array of real numbers; of a torch tensor as well, without importing torch."""
    if hasattr(x, "detach"):
        return as_array("Network", "x", x)
    try:
        values = np.asarray(x)
    except ValueError as error:  # lists of different lengths
        raise ShapeError(message("Network", "x is ragged", "rows of one length", type(x).__name__)) from error
    return as_array("Network", "x", values)


def _check_whole(function: str, x: Array, way_out: str) -> None:
    """Raise ArgumentError unless all values are whole and fit into int32."""
    expected = "whole numbers of at most 31 bits"
    if x.dtype.kind == "f" and not np.array_equal(x, np.trunc(x)):
        raise ArgumentError(message(function, "x has fractions or NaN", expected, x.dtype, way_out))
    if x.size and x.dtype.itemsize > 2 and max(float(x.max()), -float(x.min())) >= 1 << 31:
        raise ArgumentError(message(function, "x has too large values", expected, f"{x.min()} to {x.max()}"))
