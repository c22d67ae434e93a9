"""Run a network file in integers, as Lava's fixed-point simulation does, for whole batches at once."""

from __future__ import annotations

import copy
import math
import os
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np

from slayerloss._check import (
    ArgumentError,
    FormatError,
    ShapeError,
    check_choice,
    check_flag,
    check_integer,
    check_sequence,
    message,
)
from slayerloss.netx.check import Chain, check
from slayerloss.netx.description import Description, Layer
from slayerloss.netx.read import read_intact
from slayerloss.netx.runtime import cores
from slayerloss.netx.runtime.build import Settings, build, makes_stage, refuse_layers
from slayerloss.netx.runtime.inputs import check_whole, encode, numbers
from slayerloss.netx.runtime.neurons import States
from slayerloss.netx.runtime.recording import Recording, State, counted, given_states, live_states, samples_of
from slayerloss.netx.runtime.stage import inward, outward
from slayerloss.netx.runtime.synapse import Array, weight_matrix
from slayerloss.netx.table import table

_CHUNK_BYTES = 1 << 25  # of what arrives at the widest layer; larger chunks leave the processor's cache
_SMALL = 1 << 12  # neurons times steps and samples, up to which numpy shares no product between cores by itself
_LARGE = 1 << 15  # the same, from which on more cores bring more than they cost


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
        spike_exp: in [0, 31], the binary places of what sigma-delta neurons send.
        sparse_fc_layer: as if Lava held dense weights as sparse matrices: the same, but where sums pass 32 bits.
        arithmetic: "lava" does what Lava does with the file, to the bit, and refuses what Lava cannot load; "ideal"
            does what the file says, and also runs pool and average layers. `quirks` says where they differ.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: Lava cannot load the file, a layer or neuron does not run, or the file does not match the checksum
            that it carries.
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
        arithmetic: Literal["lava", "ideal"] = "lava",
    ) -> None:
        whole = net_config if isinstance(net_config, Description) else read_intact(net_config)
        if num_layers is not None:
            check_integer("Network", "num_layers", num_layers, 1)
        if reset_interval is not None:
            check_integer("Network", "reset_interval", reset_interval, 1)
        check_integer("Network", "skip_layers", skip_layers, 0)
        reset_offset = check_integer("Network", "reset_offset", reset_offset)
        bits = check_integer("Network", "input_message_bits", input_message_bits, 0, 32)
        check_integer("Network", "spike_exp", spike_exp, 0, 31)
        check_flag("Network", "sparse_fc_layer", sparse_fc_layer)
        check_choice("Network", "arithmetic", arithmetic, ["lava", "ideal"])
        lava = arithmetic == "lava"
        layers = whole.layers[:num_layers]
        self.description = Description(layers, source=whole.source)
        _refuse(self.description, lava)
        first = next((i for i, layer in enumerate(layers) if i >= skip_layers and makes_stage(layer, lava)), None)
        if first is None:
            raise ArgumentError(message("Network", "no layer is left", f"skip_layers below {len(layers)}", skip_layers))
        skipped = [layer for layer in layers[:first] if makes_stage(layer, lava)]
        if skipped:  # the input is what the last of them would send
            bits = 16 if (skipped[-1].neuron or {}).get("type") == "SDNN" else 0
        settings = Settings(whole.source, lava, reset_interval, reset_offset, spike_exp, sparse_fc_layer)
        self.arithmetic = arithmetic
        self.input_message_bits = bits
        self._stages = build(self.description, first, bits, settings)
        self.input_shape = _input_shape(self.description, first, input_shape)
        self._live: tuple[int, list[States]] | None = None
        self._batched = True

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
        first = self.description.layers[self._stages[0].index]
        return encode(x, first.fields if first.type == "input" else None)

    def run(self, x: Any, states: bool = False, state: State | None = None) -> Recording:
        """Run from rest, or go on from a state.

        Args:
            x: (N, C, T) or (N, C, H, W, T), or one sample without N: integers, or floats without fractions. Images
                enter a first dense layer flattened in the order C, H, W.
            states: record the states of the neurons as well.
            state: of a run of the same network before, `Recording.state`: this one goes on where that one ended, the
                number of its first step included. It is not changed. None: from rest, at step 1.

        Returns:
            Spikes, and states, of all layers; without N if x has none.

        Raises:
            ShapeError: x or the state does not fit the network.
            DtypeError: x is not of numbers, or the state is none.
            ArgumentError: x has fractions or values beyond 32 bits.

        Example:
            >>> from slayerloss.netx import describe
            >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
            >>> network = Network(describe([{"type": "dense", "shape": [1], "weight": [[50]], "neuron": neuron}]))
            >>> x = np.ones((1, 6), int)
            >>> first = network.run(x[:, :3])
            >>> first.output, network.run(x[:, 3:], state=first.state).output, network.run(x).output
            (array([[0, 0, 1]], dtype=int8), array([[0, 1, 0]], dtype=int8), array([[0, 0, 1, 0, 1, 0]], dtype=int8))
        """
        states = check_flag("Network.run", "states", states)
        inputs, batched = self._inputs(numbers(x), "Network.run")
        if state is None:
            step, live = 0, [stage.rest(inputs.shape[1]) for stage in self._stages]
        else:
            live = given_states(state, self._stages, inputs.shape[1], batched)
            step = state.step
        spikes, records = self._advance(inputs, live, step, states)
        return Recording.of(self._stages, spikes, records, live, step + len(inputs), batched)

    def step(self, x: Any) -> Array:
        """Run one step on, from `state`.

        Args:
            x: (N, C) or (N, C, H, W), or one sample without N: the input of this step.

        Returns:
            What the last layer sends in this step, (N, C) or (N, C, H, W), without N if x has none.

        Raises:
            ShapeError: x does not fit the network, or the samples of the steps before.
            DtypeError, ArgumentError: see `run`.

        Example:
            >>> from slayerloss.netx import describe
            >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
            >>> network = Network(describe([{"type": "dense", "shape": [1], "weight": [[50]], "neuron": neuron}]))
            >>> [int(network.step([1])[0]) for _ in range(6)]
            [0, 0, 1, 0, 1, 0]
            >>> state = network.state  # in closed loops states can be read, kept and set
            >>> state.layers[0]["v"][0] = 9000
            >>> network.state = state
            >>> network.step([1])
            array([1], dtype=int8)
        """
        inputs, batched = self._inputs(numbers(x)[..., None], "Network.step")
        if self._live is None:
            self._live, self._batched = (0, [stage.rest(inputs.shape[1]) for stage in self._stages]), batched
        step, live = self._live
        samples = next(iter(live[0].values())).shape[-2]
        if (samples, self._batched) != (inputs.shape[1], batched):
            expected = f"{samples} samples" if self._batched else "one sample without N"
            way_out = "Call reset() first"
            raise ShapeError(message("Network.step", "x is not of the steps before", expected, np.shape(x), way_out))
        spikes, _ = self._advance(inputs, live, step, False)
        self._live = (step + 1, live)
        output = outward(spikes[-1][0], self._stages[-1].shape)
        return counted(output if batched else output[0])

    @property
    def state(self) -> State | None:
        """Where `step` stands, a copy to keep; None before the first step. Set it to go on from another state."""
        return None if self._live is None else copy.deepcopy(live_states(*self._live, self._stages, self._batched))

    @state.setter
    def state(self, state: State | None) -> None:
        if state is None:
            self.reset()
            return
        samples, self._batched = samples_of(state, self._stages)
        self._live = (state.step, given_states(state, self._stages, samples, self._batched))

    def reset(self) -> None:
        """Let the next `step` be the first, from rest."""
        self._live = None

    def _advance(
        self, inputs: Array, live: list[States], step: int, record: bool
    ) -> tuple[list[Array], list[States] | None]:
        """Run on over (T, N, ...); what each layer sends, and its states, (T, N, neurons), `live` changed."""
        num_steps, num_samples = inputs.shape[:2]
        shape = (num_steps, num_samples)
        widest = max(math.prod(inputs.shape[2:]), *(stage.size for stage in self._stages))
        rows = max(1, _CHUNK_BYTES // (4 * widest))
        steps = min(num_steps, rows)
        work = num_steps * num_samples * widest
        samples = max(1, min(rows // steps, -(-num_samples // cores.count()) if work > _LARGE else num_samples))
        at_once = steps == num_steps and samples >= num_samples  # what the stages send is the result then
        spikes: list[Array] = [] if at_once else [np.empty((*shape, stage.size), stage.dtype) for stage in self._stages]
        records = [
            {name: np.empty((*shape, stage.size), np.int32) for name in stage.neurons.names if record}
            for stage in self._stages
        ]

        def advance(n: slice) -> None:
            own = [{name: array[..., n, :] for name, array in states.items()} for states in live]
            for start in range(0, num_steps, steps):
                at = (slice(start, start + steps), n)
                sent = np.ascontiguousarray(inputs[at])
                for i, stage in enumerate(self._stages):
                    into = {name: array[at] for name, array in records[i].items()} if record else None
                    sent = stage.advance(sent, own[i], step + start + 1, into)
                    flat = sent.reshape(*sent.shape[:2], -1)
                    if at_once:
                        spikes.append(flat)
                    else:
                        spikes[i][at] = flat

        parts = [slice(start, start + samples) for start in range(0, num_samples, samples)]
        with cores.products_on_one_core() if work > _SMALL else nullcontext():
            cores.side_by_side(advance, parts)
        return spikes, records if record else None

    def _inputs(self, values: Array, function: str) -> tuple[Array, bool]:
        """Whole numbers or spikes (T, N, ...), space before channels, and whether they came with N."""
        shape, have = self.input_shape, values.shape[:-1]
        flat = len(shape) == 1 and len(have) in (3, 4)  # images for a dense layer
        batched = len(have) == (4 if flat else len(shape) + 1)
        own = have[1:] if batched else have
        if values.ndim < 2 or (math.prod(own) != shape[0] if flat else own != shape):
            time, given = ("", have) if function == "Network.step" else (", T", values.shape)
            expected = f"(N, {', '.join(map(str, shape))}{time}), or without N"
            raise ShapeError(message(function, "x does not fit the network", expected, given))
        if values.size == 0:
            raise ShapeError(message(function, "x is empty", "at least one sample and one step", values.shape))
        check_whole(function, values, "Network.encode makes integers for an input layer")
        values = values if batched else values[None]
        if flat:
            values = values.reshape(len(values), -1, values.shape[-1])
        values = inward(np.moveaxis(values, -1, 0), shape)
        takes_spikes = bool(self._stages[0].synapses) and not self._stages[0].graded
        return values != 0 if takes_spikes else values, batched


def _refuse(description: Description, lava: bool) -> None:
    """Raise FormatError for what has no meaning, and, if it is to run as on Lava, what that cannot load."""
    if not lava:
        refuse_layers(description)
    fatal = [finding for finding in check(description) if finding.fatal and (lava or finding.scope == "file")]
    if fatal:
        problem = f"{description.source}: {fatal[0].place}: {fatal[0].problem}"
        count = "such an error" if len(fatal) == 1 else f"{len(fatal)} such errors"
        raise FormatError(message("Network", problem, "a network that runs", count, fatal[0].way_out))


def _input_shape(description: Description, first: int, given: tuple[int, int, int] | None) -> tuple[int, ...]:
    """The shape that the first layer reads, (C,) or (C, H, W)."""
    layer = description.layers[first]
    if layer.type == "input":
        return layer.shape
    if layer.type.startswith("dense"):
        weight = layer.fields["weight"]
        return (weight_matrix(layer, weight["real"] if isinstance(weight, dict) else weight).shape[1],)
    sends = [other for other in description.layers[:first] if other.type == "input" or makes_stage(other, lava=False)]
    if sends:  # a flatten layer before it, and one of an unknown type, Lava leaves out
        return sends[-1].shape
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
