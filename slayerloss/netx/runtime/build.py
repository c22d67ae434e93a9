"""From the layers of a file to the stages that run, as Lava reads the file, or as the file says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slayerloss._check import FormatError, message
from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.limits import LONGEST_DELAY, MOST_GROUPS, STATE
from slayerloss.netx.runtime.average import Average
from slayerloss.netx.runtime.lif import LIF
from slayerloss.netx.runtime.neurons import Neurons, per_neuron
from slayerloss.netx.runtime.packing import IntArray, Packed, pack
from slayerloss.netx.runtime.resonate import Resonator, turn
from slayerloss.netx.runtime.sigma_delta import STATE_EXP, Delta, Sigma, SigmaDelta
from slayerloss.netx.runtime.stage import Stage
from slayerloss.netx.runtime.synapse import (
    Array,
    Convolution,
    Dense,
    Geometry,
    Synapse,
    delay_matrix,
    integers,
    pair,
    to_space_first,
    weight_matrix,
)
from slayerloss.netx.schema import LAVA_RUNS, LAVA_TAKES_FOR, READOUT, RELU

_BESIDE_LAVA = ("pool", "average")


@dataclass(frozen=True)
class Settings:
    """How a network is to run; see `Network`."""

    source: str
    lava: bool = True
    reset_interval: int | None = None
    reset_offset: int = 0
    spike_exp: int = 6
    sparse: bool = False


def makes_stage(layer: Layer, lava: bool) -> bool:
    """Whether the layer runs, rather than only giving a shape to those around it."""
    if layer.type == "input":
        return layer.neuron is not None
    return layer.type in ("dense", "dense_rec", "conv") or (not lava and layer.type in _BESIDE_LAVA)


def build(description: Description, first: int, input_message_bits: int, settings: Settings) -> list[Stage]:
    """The stages of the layers from `first` on.

    Args:
        description: the layers.
        first: the first layer that runs.
        input_message_bits: 0 if its input is spikes of 1.
        settings: how.

    Raises:
        FormatError: a layer or neuron does not run.
    """
    stages: list[Stage] = []
    graded = input_message_bits > 0 or not settings.lava
    for i, layer in enumerate(description.layers):
        if i < first or not makes_stage(layer, settings.lava):
            continue
        stages.append(_Builder(i, layer, stages, settings).stage(graded))
        graded = not (stages[-1].neurons.binary and settings.lava)
    return stages


def refuse_layers(description: Description) -> None:
    """Raise FormatError for a layer that `ideal` arithmetic does not run."""
    runs = [*LAVA_RUNS, *_BESIDE_LAVA]
    for i, layer in enumerate(description.layers):
        if layer.type not in runs:
            place = f"{description.source}: layer/{i}/type: this layer type does not run"
            raise FormatError(message("Network", place, f"one of {', '.join(runs)}", layer.type))


class _Builder:
    """Makes the stage of one layer."""

    def __init__(self, index: int, layer: Layer, stages: list[Stage], settings: Settings) -> None:
        self.index, self.layer, self.settings = index, layer, settings
        self.position = len(stages)
        self.before = stages[-1].shape if stages else ()
        self.reads_voltages = bool(stages) and isinstance(stages[-1].neurons, LIF) and not stages[-1].neurons.binary
        self.dense = layer.type.startswith("dense")
        self.shape = (int(np.prod(layer.shape)),) if self.dense or layer.type == "average" else layer.shape

    def stage(self, graded: bool) -> Stage:
        if self.layer.type == "average":
            if not self.before:
                raise self._refused("type", "an average has no neurons before it", "a layer with neurons", "none")
            return Stage(self.index, self.shape, Average(self.shape[0], self.before), graded=graded)
        synapses, feedback = self._synapses()
        return Stage(self.index, self.shape, self._neurons(), synapses, feedback, graded)

    # Synapses

    def _synapses(self) -> tuple[tuple[Synapse, ...], Dense | None]:
        fields = self.layer.fields
        if self.layer.type == "input":
            return (), None
        if not self.dense:
            return (self._convolution(),), None
        weight = fields["weight"]
        recurrent = self.layer.type == "dense_rec"
        if isinstance(weight, dict):
            self._only_lava(recurrent, "weight_rec", "recurrent weights of a complex layer are not applied")
            delay = None if self.settings.lava else fields.get("delay")  # Lava ignores it here
            return tuple(self._dense(weight[part], delay) for part in ("real", "imag")), None
        if recurrent:
            self._only_lava("delay" in fields, "delay", "delays of a recurrent layer are not applied")
            problem = "of what arrives at recurrent neurons, a part is spikes and a part voltages"
            self._only_lava(self._sends_voltages() != self.reads_voltages, "neuron/gradedSpike", problem)
            own = weight_matrix(self.layer, fields["weight_rec"])
            forward, back = self._pack(self._inputs(weight), own)
            return (Dense(forward),), Dense(back)
        return (self._dense(weight, fields.get("delay")),), None

    def _dense(self, weight: Any, delay: Any) -> Dense:
        (packed,) = self._pack(self._inputs(weight))
        if delay is None:
            return Dense(packed)
        steps = delay_matrix(delay, weight_matrix(self.layer, weight), LONGEST_DELAY if self.settings.lava else None)
        return Dense(packed, self._space_first(steps), products_wrap=not self.settings.sparse)

    def _inputs(self, weight: Any) -> IntArray:
        return self._space_first(weight_matrix(self.layer, weight))

    def _space_first(self, columns: IntArray) -> IntArray:
        return to_space_first(columns, self.before)

    def _pack(self, *matrices: IntArray) -> tuple[Packed, ...]:
        return pack(*matrices) if self.settings.lava else tuple(Packed(matrix, 0) for matrix in matrices)

    def _convolution(self) -> Convolution:
        fields = self.layer.fields
        weight = integers(fields["weight"])
        weight = weight.reshape(weight.shape[:4])
        channels = self.shape[0]
        groups = channels if self.layer.type == "pool" else int(fields["groups"])
        if self.layer.type == "pool":  # one kernel for every channel
            weight = np.broadcast_to(weight, (channels, *weight.shape[1:]))
        if self.settings.lava and groups > MOST_GROUPS:  # Lava counts them in 8 bits, and finds none
            weight = np.zeros_like(weight)
        geometry = Geometry(
            (weight.shape[2], weight.shape[3]), *(pair(fields[name]) for name in ("stride", "padding", "dilation"))
        )
        delay = 0 if self.settings.lava else fields.get("delay", 0)  # Lava ignores it
        delays = np.broadcast_to(integers(delay), (channels,))
        size = (self.shape[1], self.shape[2])
        return Convolution(weight, geometry, size, groups, delays, wraps=self.settings.lava)

    # Neurons

    def _neurons(self) -> Neurons:
        neuron = dict(READOUT) if self.layer.neuron is None else self.layer.neuron
        kinds: dict[str, Callable[[Tree], Neurons]] = {
            "CUBA": self._lif,
            "LOIHI": self._lif,
            "SDNN": self._sigma_delta,
            "RF_PHASE": self._resonator,
            "RF_IZHIKEVICH": self._resonator,
        }
        kind = str(neuron["type"])
        if self.settings.lava:
            kind = LAVA_TAKES_FOR.get(kind, kind)
        if kind not in kinds:
            raise self._refused("neuron/type", "this neuron type does not run", f"one of {', '.join(kinds)}", kind)
        self._only_lava(
            self.reads_voltages and kinds[kind] != self._lif, "neuron/type", "the messages before it are voltages"
        )
        scale, wait = (np.asarray(neuron.get(name, usual)) for name, usual in (("weight_exp", 0), ("refDelay", 1)))
        self._only_lava(bool(scale.any()), "neuron/weight_exp", "a scale of the weights is not applied")
        self._only_lava(bool((wait != 1).any()), "neuron/refDelay", "a refractory time is not applied")
        return kinds[kind](neuron)

    def _lif(self, neuron: Tree) -> LIF:
        bias = self._bias()
        if self.settings.lava:
            bias = bias.astype(np.int16)  # as Lava stores it
        decay_u, decay_v, threshold = (np.asarray(neuron[name], np.int64) for name in ("iDecay", "vDecay", "vThMant"))
        return LIF(
            current_kept=per_neuron(4096 - decay_u, self.shape),
            voltage_kept=per_neuron(4096 - decay_v, self.shape),
            bias=per_neuron(bias.astype(np.int64) << 6, self.shape),
            threshold=per_neuron(np.clip(threshold, -STATE, STATE) << 6, self.shape),
            interval=self.settings.reset_interval,
            offset=self.settings.reset_offset + 1 + self.position,
            binary=not self._sends_voltages(),
            gain=1 / 64 if self.reads_voltages else 64.0,
        )

    def _sends_voltages(self) -> bool:
        return bool(np.any((self.layer.neuron or {}).get("gradedSpike", False))) and not self.settings.lava

    def _sigma_delta(self, neuron: Tree) -> Neurons:
        shift = self.settings.spike_exp + STATE_EXP

        def in_states(values: Any) -> Array:
            return per_neuron(integers(values) * (1 << shift), self.shape).astype(np.int32)

        activation = str(neuron.get("activation", "relu"))
        self._only_lava(activation not in RELU, "neuron/activation", "the activation is not applied")
        if self.layer.type == "input":
            return Delta(in_states(neuron["vThMant"]), self.settings.spike_exp)
        sigma_output = neuron.get("sigma_output")
        if sigma_output is not None and (self.settings.lava or np.any(sigma_output)):  # Lava looks for the name alone
            return Sigma()
        return SigmaDelta(in_states(self._bias()), in_states(neuron["vThMant"]))

    def _resonator(self, neuron: Tree) -> Resonator:
        self._only_lava("bias" in self.layer.fields, "bias", "complex neurons have no bias")
        sin, cos = (np.asarray(neuron[name]) for name in ("sinDecay", "cosDecay"))
        if self.settings.lava:
            sin, cos = turn(np.atleast_1d(sin), np.atleast_1d(cos))
        sin, cos = integers(sin), integers(cos)
        return Resonator(
            per_neuron(sin, self.shape),
            per_neuron(cos, self.shape),
            int((integers(neuron["vThMant"]).reshape(1) << 6).astype(np.int32)[0]),
            resets="PHASE" not in str(neuron["type"]),
        )

    def _bias(self) -> IntArray:
        return integers(0 if self.layer.type == "input" else self.layer.fields.get("bias", 0))

    def _only_lava(self, present: bool, field: str, problem: str) -> None:
        """Refuse what Lava ignores, where the file is to be taken at its word."""
        if present and not self.settings.lava:
            raise self._refused(field, problem, "a file without it", "one with it", "Pass arithmetic='lava'")

    def _refused(self, field: str, problem: str, expected: str, got: str, way_out: str = "") -> FormatError:
        place = f"{self.settings.source}: layer/{self.index}/{field}"
        return FormatError(message("Network", f"{place}: {problem}", expected, got, way_out))
