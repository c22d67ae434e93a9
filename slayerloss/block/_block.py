"""The one composition of every spiking block: synapse, delay, neuron."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slayerloss import synapse as synapses
from slayerloss._check import (
    ArgumentError,
    DtypeError,
    check_choice,
    check_events,
    check_finite,
    check_flag,
    check_integer,
    check_lengths,
    check_sequence,
    check_shape,
    check_tensor,
    check_type,
    message,
)
from slayerloss.axon import Delay
from slayerloss.functional._keys import ExplainsKeys
from slayerloss.functional._state import detached, moved
from slayerloss.functional.delay import MAX_DELAY, delay_finite, shift_finite
from slayerloss.functional.events import LARGEST_SIZE
from slayerloss.functional.quantize import quantize_weight
from slayerloss.functional.sparse import event_count
from slayerloss.neuron.base import Neuron
from slayerloss.synapse import Synapse
from slayerloss.synapse.complex import ComplexSynapse

NeuronParams = Mapping[str, Any]
Hook = Callable[..., Tensor]


class BlockState(NamedTuple):
    """What a block remembers between two runs."""

    history: Any
    """(N, C, ..., S), the steps that are still under way in the delay; a pair of them with complex neurons."""
    neuron: Any


def build_neuron(
    block: object, neuron_type: type, neuron_params: NeuronParams, channels: int | None, **instead: Any
) -> Any:
    """A neuron from a dictionary of its arguments, which stays as it is; `instead` replaces some of them."""
    name = type(block).__name__
    if not isinstance(neuron_params, Mapping):
        rule = "a dictionary of the neuron's arguments"
        raise DtypeError(message(name, "neuron_params is no dictionary", rule, type(neuron_params).__name__))
    arguments = {key: value for key, value in inspect.signature(neuron_type).parameters.items() if key != "channels"}
    for key in neuron_params:
        check_choice(name, "neuron_params key", key, arguments)
    missing = [key for key, value in arguments.items() if value.default is value.empty and key not in neuron_params]
    if missing:
        problem, rule = "neuron_params lacks " + ", ".join(missing), "all that has no default"
        raise ArgumentError(message(name, problem, rule, list(neuron_params)))
    if channels is not None:
        channels = check_integer(name, "number of neurons", channels, 1, LARGEST_SIZE)
    return neuron_type(**{**neuron_params, **instead}, channels=channels)


def synapses_of(neuron: Any) -> Any:
    """The module with the kinds of synapses that this neuron hears through."""
    return synapses.complex if neuron.is_complex else synapses


def in_scale_of(neuron: Any, hook: Hook | None) -> Hook | None:
    """The default quantisation as this neuron does it; any other hook as it is."""
    return neuron.quantize_8bit if hook is quantize_weight and neuron.scale != 64 else hook


class Layer(ExplainsKeys):
    """A module that can be a layer of a network file."""

    input_shape: torch.Size | None = None
    """Of the last input, without N and T; None until there was one."""
    shape: torch.Size | None = None
    """Of the output, without N and T; None until it is known."""

    def layer_fields(self) -> dict[str, Any]:
        """This block in the fields of a network file's layer, as numpy arrays, numbers and text."""
        name = type(self).__name__
        raise ArgumentError(
            message("layer_fields", f"{name} has no layer in a network file", "another block", repr(self))
        )

    def export_hdf5(self, handle: Any) -> None:
        """Write `layer_fields` into an open HDF5 group, as lava-dl's blocks do."""
        write_fields(handle, self.layer_fields())

    def known_shape(self) -> NDArray[np.int64]:
        """The shape, or an ArgumentError if there is none yet."""
        if self.shape is None:
            name = type(self).__name__
            raise ArgumentError(
                message("layer_fields", f"{name} does not know its shape", "a block that has run", "None")
            )
        return np.array(self.shape, dtype=np.int64)


class SpikingBlock(Layer):
    """Synapse, delay and neuron: spikes in, spikes out.

    z = synapse(x);  s = neuron(z delayed by 1 + delay)

    With a complex neuron, such as a resonator, z is a pair, its real and its imaginary part, and both are delayed.

    Args:
        neuron: the population.
        synapse: the map from spikes to dendritic input, one of `synapse.complex` for a complex neuron.
        delay: learn an axonal delay of up to 62 steps for each neuron.
        delay_shift: True: the one step that spikes take from layer to layer sits at the block's input, as on the chip;
            False: none; "lava-dl": it sits at the block's output, and the axonal delay with it.
        mask: which synapses exist, (out, in), or None for all.
        count_log: also return the events per neuron and step.
        channels: of the delay, where they are known before the first run.

    Example:
        >>> from slayerloss.block import cuba
        >>> block = cuba.Dense(dict(threshold=1, current_decay=1, voltage_decay=0), 4, 2)
        >>> spikes, state = block.run(torch.ones(1, 4, 3))
        >>> later, state = block.run(torch.ones(1, 4, 5), state)  # goes on where the first run ended
        >>> later.shape
        torch.Size([1, 2, 5])

    Note:
        The output has the float dtype of x, and is float32 for float16 and bfloat16: half precision holds neither the
        chip's integers nor the gradients that flow back through spikes.

        Without a bias, delays at the input and at the output give the same spikes. With one, only the former are the
        chip's.
    """

    neuron_type: ClassVar[type]
    """What a namespace of blocks, such as `block.cuba`, is about."""

    def __init__(
        self,
        neuron: Any,
        synapse: Synapse | ComplexSynapse[Any] | None,
        delay: bool = False,
        delay_shift: bool | str = True,
        mask: Tensor | None = None,
        count_log: bool = False,
        channels: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if not isinstance(delay_shift, bool):
            check_choice(name, "delay_shift", delay_shift, ("lava-dl",))
        self.neuron = neuron
        self.synapse = synapse
        has_delay = check_flag(name, "delay", delay)
        self.delay = Delay(max_delay=MAX_DELAY, channels=channels) if has_delay else None
        self.delay_shift = delay_shift
        self.count_log = check_flag(name, "count_log", count_log)
        self.mask: Tensor | None
        self.register_buffer("mask", None)
        if mask is not None and synapse is not None:
            check_tensor(name, "mask", mask)
            check_shape(name, "mask", mask, synapse.shape[:2])
            check_finite(name, "mask", mask)
            self.mask = mask.detach().clone().reshape(*mask.shape, 1, 1, 1)
        self.state: BlockState | None = None

    @property
    def delays_output(self) -> bool:
        """Whether the delays sit at the block's output, as in lava-dl, and not at its input, as on the chip."""
        return self.delay_shift == "lava-dl"

    def extra_repr(self) -> str:
        return "" if self.delay_shift is True else f"delay_shift={self.delay_shift!r}"

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Any:
        """Spikes (N, C, ..., T) in, spikes out; with `count_log` also the events per neuron and step.

        `lengths` (N,) are the steps of each sample of a padded batch that count, for batch norm and event counts.
        """
        persistent = self.neuron is not None and self.neuron.persistent_state
        y, state = self._run(x, self.state, lengths, persistent)
        if persistent:
            self.state = detached(state)
        return (y, self.log(y, lengths)) if self.count_log else y

    def log(self, y: Tensor, lengths: Tensor | None) -> Tensor | None:
        """The events per neuron and step."""
        steps = y.shape[0] * y.shape[-1] if lengths is None else lengths.sum()
        counted = torch.as_tensor(steps * y.shape[1:-1].numel(), device=y.device)
        return event_count(y, lengths, positive=True) / counted.clamp(min=1)

    def run(
        self, x: Tensor, state: BlockState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, BlockState]:
        """The spikes and the state after them, from a given state, with gradients through both.

        run(x1) and then run(x2) with the state of the first equals run of both in one.
        `lengths` count for batch norm and events only: the state is the one after all T steps, the padding included.
        """
        return self._run(x, state, lengths, True)

    def _run(
        self, x: Tensor, state: BlockState | None, lengths: Tensor | None, keep: bool
    ) -> tuple[Tensor, BlockState]:
        """`run`, with the delay's history after it only if it is to `keep`."""
        name = type(self).__name__
        before = BlockState(None, None)
        if state is not None:
            before = BlockState(*check_sequence(name, "state", state, 2, "a BlockState"))
        events = self.checked(x)
        if lengths is not None:
            check_lengths(name, lengths, events)
        if self.delays_output:
            y, after = self.respond(self.drive(x), before.neuron, lengths)
            y, history = self._delayed(y, before.history, keep)
        else:
            z, history = self._delayed(self.drive(x), before.history, keep)
            y, after = self.respond(z, before.neuron, lengths)
        self.input_shape, self.shape = events.shape[1:-1], y.shape[1:-1]
        return y, BlockState(history, after)

    def checked(self, x: Any) -> Tensor:
        """An input, if it is one."""
        check_events(type(self).__name__, x, "x", sparse=True)
        events: Tensor = x
        return events

    def drive(self, x: Tensor) -> Any:
        """The dendritic input that spikes cause; a pair, real and imaginary, with a complex neuron."""
        assert self.synapse is not None  # blocks without a synapse override this
        return self.synapse(x, self.mask)

    def respond(self, z: Any, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        """The neurons' spikes and their state after them."""
        run: tuple[Tensor, Any] = self.neuron.run(z, state, lengths)
        return run

    @torch.no_grad()
    def chip_states(self, x: Tensor) -> dict[str, Tensor]:
        """The neurons' states after each step of a run from rest, in the chip's integers: u and v of CUBA neurons.

        They are those of the exported file, each (N, C, ..., T) int64.
        """
        z = self.drive(x)
        return self.states_of(z if self.delays_output else self._delayed(z, None, False)[0])

    def states_of(self, z: Any) -> dict[str, Tensor]:
        """The same from the delayed dendritic input."""
        states: dict[str, Tensor] = self.neuron.chip_states(z)
        return states

    def _delayed(self, z: Any, state: Any, keep: bool) -> tuple[Any, Any]:
        """What arrives at the neurons, which look whether it is finite, and what is under way."""
        if isinstance(z, tuple):
            states = [None] * len(z)
            if state is not None:
                states = check_sequence(type(self).__name__, "history", state, len(z), "(real, imag)")
            arrived, under_way = zip(*(self._delayed(*part, keep) for part in zip(z, states, strict=True)), strict=True)
            return arrived, under_way if keep else None
        steps = 0 if self.delay_shift is False else 1
        if self.delay is not None:
            times = self.delay.steps(z) + steps
            run = delay_finite(z, times, self.delay.longest(steps), state, keep)
        elif steps:
            run = shift_finite(z, steps, state, keep)
        else:
            return z, None
        return run if keep else (run, None)

    def reset_state(self) -> None:
        """Forget what `persistent_state` kept."""
        self.state = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SpikingBlock:
        self.state = moved(self.state, fn)
        super()._apply(fn, recurse)
        return self

    def whole_weight(self, synapse: Any, flat: bool = False) -> Any:
        """(out, in, height, width), or (out, in) if flat: the applied weight in LSBs; that of each complex part."""
        if synapse.complex:
            return {name: self.whole_weight(getattr(synapse, name), flat) for name in ("real", "imag")}
        weight = synapse.effective_weight(self.mask).detach().squeeze(-1) * self.neuron.scale
        return (weight.flatten(1) if flat else weight).float().cpu().numpy()

    @torch.no_grad()
    def fan_out(self, shape: Sequence[int] | None = None) -> Tensor:
        """How many synapses each neuron of the layer before has into this one, by the rules of `netx.operations`.

        A synapse counts if its weight, cut to an integer as in the chip, is not zero; one with complex weights has two.

        Args:
            shape: (C,) or (C, H, W) of the input; None for that of the last run.

        Returns:
            Of that shape, float.
        """
        name = type(self).__name__
        if shape is None and self.input_shape is None:
            raise ArgumentError(message("fan_out", f"{name} does not know its input", "a shape", None))
        sizes = check_sequence(name, "shape", self.input_shape if shape is None else shape, rule="(C,) or (C, H, W)")
        return self._fan_out(tuple(check_integer(name, "shape", size, 1, LARGEST_SIZE) for size in sizes))

    def _fan_out(self, shape: tuple[int, ...]) -> Tensor:
        return self.fan_out_through(self.synapse, shape)

    def fan_out_through(self, synapse: Any, shape: tuple[int, ...]) -> Tensor:
        """That of one synapse of this block."""
        parts = (synapse.real, synapse.imag) if synapse.complex else (synapse,)
        counts = [part.fan_out(self.in_chip(part.effective_weight(self.mask)), shape) for part in parts]
        return torch.stack(counts).sum(0)

    def in_chip(self, weight: Tensor) -> Tensor:
        """Which weights are not zero as the chip's integers."""
        return (weight * self.neuron.scale).abs_() >= 1

    def common_fields(self, kind: str) -> dict[str, Any]:
        """What every layer with neurons has: type, shape, neuron, and bias and delay where there are any."""
        fields = {"type": kind, "shape": self.known_shape(), "neuron": self.neuron.file_params}
        if self.neuron.is_complex and self.neuron.real_norm is not None:
            problem, rule = "a network file has no bias of a complex neuron", "neurons without norm"
            got, way_out = type(self.neuron.real_norm).__name__, "Leave the norm out"
            raise ArgumentError(message("layer_fields", problem, rule, got, way_out))
        if self.neuron.norm is not None:
            fields["bias"] = self.neuron.norm.bias.detach().cpu().numpy().astype(np.float32)
        if self.delay is not None:
            fields["delay"] = self.delay.whole_delay.cpu().numpy().astype(np.float32)
        return fields


def reset_state(model: torch.nn.Module) -> None:
    """Forget every state that a model's blocks and neurons kept.

    Example:
        >>> reset_state(torch.nn.Sequential())
    """
    check_type("reset_state", "model", model, torch.nn.Module, "a torch.nn.Module")
    for module in model.modules():
        if isinstance(module, (SpikingBlock, Neuron)):
            module.reset_state()


def write_fields(handle: Any, fields: Mapping[str, Any]) -> None:
    """Write nested fields into an HDF5 group, text as lava-dl writes it."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            group = handle.create_group(name)
            for key, item in value.items():
                group.create_dataset(key, data=item)
        else:
            handle.create_dataset(name, data=np.array([value], dtype="S10") if name == "type" else value)
