"""What Lava makes of the synapses and the neurons of one layer: what it refuses, changes or ignores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.description import Layer, Tree
from slayerloss.netx.limits import NEVER
from slayerloss.netx.runtime.packing import IntArray, lossless, pack
from slayerloss.netx.runtime.resonate import turn
from slayerloss.netx.runtime.synapse import weight_matrix
from slayerloss.netx.schema import COMPLEX, LAVA_AS_DENSE, LAVA_RUNS, LAVA_TAKES_FOR, LAYERS, NEURONS, RELU

PARTS = ("real", "imag")
_TAKE_OUT = "Take the delays out"


def fatal(place: str, problem: str, way_out: str = "", scope: str = "lava") -> Finding:
    """An error of a file that does not run."""
    return Finding("error", place, problem, way_out, fatal=True, scope=scope)


def lava(severity: str, place: str, problem: str, way_out: str = "") -> Finding:
    """What Lava does with a file that it runs."""
    return Finding(severity, place, problem, way_out, scope="lava")


def unknown_fields(tree: Tree, rules: Any, place: str) -> Iterator[Finding]:
    """Fields that the format does not have; a wrong name looks like one."""
    for name in sorted(tree.keys() - rules.keys() - {"neuron"}):
        yield lava("note", f"{place}/{name}", "the format has no such field; nothing reads it")


# Synapses


def synapse_traps(layer: Layer, place: str) -> Iterator[Finding]:
    """The weights, the bias and the delays of a layer of a known type whose values are sound."""
    yield from unknown_fields(layer.fields, LAYERS[layer.type], place)
    fields, kind = layer.fields, (layer.neuron or {}).get("type")
    if layer.type == "input" and {"weight", "bias"} & fields.keys():
        way_out = "Feed int(weight * x + bias), which Network.encode computes; on Lava, to net.in_layer.neuron.a_in"
        yield lava("note", place, "Lava does not apply the weight and bias of an input layer", way_out)
    if layer.type not in LAVA_RUNS or layer.type in ("input", "flatten"):
        return
    yield from _bias(layer, kind, f"{place}/bias")
    yield from _delay(layer, kind, f"{place}/delay")
    if layer.type == "conv":
        if not np.any(fields["weight"] if not isinstance(fields["weight"], dict) else 1):
            yield lava("warning", f"{place}/weight", "all weights are zero: the input does nothing")
        return
    yield from _weights(layer, kind, place)


def _bias(layer: Layer, kind: Any, place: str) -> Iterator[Finding]:
    bias = layer.fields.get("bias")
    if bias is None:
        return
    if layer.type == "conv" and (np.ndim(bias) == 0 or (np.shape(bias) == (1,) and layer.shape[0] > 1)):
        yield fatal(place, "Lava cannot load one bias for all channels", "Write one a channel")
    if kind in COMPLEX:
        yield lava("error", place, "Lava ignores the bias of complex neurons", "Train without a norm")
    elif kind == "SDNN":
        if "sigma_output" in (layer.neuron or {}):
            yield fatal(place, "Lava cannot load a bias beside sigma_output", "Leave one of them out")
        extreme = np.asarray(bias).reshape(-1)[np.argmax(np.abs(bias))]
        if abs(extreme) >= 1 << 19:
            yield lava("error", place, f"{extreme:g} is beyond {(1 << 19) - 1}; it wraps around in 32 bits")


def _delay(layer: Layer, kind: Any, place: str) -> Iterator[Finding]:
    if "delay" not in layer.fields:
        return
    if layer.type == "conv":
        yield lava("error", place, "Lava ignores the delays of a conv layer", _TAKE_OUT)
    elif kind in COMPLEX:
        yield lava("error", place, "Lava ignores the delays of complex neurons", _TAKE_OUT)
    elif layer.type == "dense_rec":
        out, inputs = weight_matrix(layer).shape
        if out == inputs:
            problem = "Lava delays also what the layer sends to itself, and drops the scale of the weights"
        else:
            problem = "Lava cannot load a recurrent layer with delays"
        yield fatal(place, problem, _TAKE_OUT)


def _weights(layer: Layer, kind: Any, place: str) -> Iterator[Finding]:
    weight, recurrent = layer.fields["weight"], layer.type == "dense_rec"
    if isinstance(weight, dict):
        for name in PARTS:
            yield from _packing({f"weight/{name}": weight_matrix(layer, weight[name])}, place)
        yield from unknown_fields(weight, dict.fromkeys(PARTS), f"{place}/weight")
        if recurrent:
            yield lava("error", f"{place}/weight_rec", "Lava drops the recurrent weights of complex neurons")
        return
    matrices = {"weight": weight_matrix(layer)}
    if recurrent:
        if np.ndim(layer.fields["weight_rec"]) == 1 and np.ndim(weight) == 2:
            problem = "Lava cannot load it in one row beside a weight that is not"
            yield fatal(f"{place}/weight_rec", problem, "Write it as (out, out)")
        matrices["weight_rec"] = weight_matrix(layer, layer.fields["weight_rec"])
    yield from _packing(matrices, place)


def _packing(matrices: dict[str, IntArray], place: str) -> Iterator[Finding]:
    """What is lost when Lava packs the weights into the chip's synapses."""
    names, place = list(matrices), f"{place}/{next(iter(matrices))}"
    if not any(np.any(matrix) for matrix in matrices.values()):
        yield fatal(place, "all weights are zero; Lava cannot load that", "Train on, or drop the layer")
        return
    way_out = "Keep weights in [-254, 254], and give the layer weights of both signs"
    for name, packed in zip(names, pack(*matrices.values()), strict=True):
        matrix, here = matrices[name], f"{place.removesuffix(names[0])}{name}"
        span = f"({matrix.min()} to {matrix.max()})"
        if np.any(matrix) and not np.any(packed.weight):
            yield lava("error", here, f"Lava takes all {matrix.size} weights {span} for zero", way_out)
        elif not lossless(packed, matrix):
            changed = int(np.sum(packed.weight != matrix << packed.shift))
            yield lava("error", here, f"{changed} of {matrix.size} weights {span} change in Lava's synapse", way_out)


# Neurons


def unloadable(layer: Layer, place: str) -> Iterator[Finding]:
    """A layer that Lava cannot load, for its type or for that of its neurons."""
    kind = None if layer.neuron is None else layer.neuron["type"]
    runs = LAVA_RUNS.get(layer.type)
    if runs is None or kind in runs or (layer.type == "dense_rec" and kind in LAVA_AS_DENSE):
        return
    place = f"{place}/neuron"
    if layer.type == "flatten":
        yield lava("warning", place, "Lava ignores the neurons of a flatten layer")
    elif kind is None:
        yield fatal(place, f"Lava cannot load {layer.type} layers without neurons", "Train a block with neurons")
    elif kind in NEURONS:
        known = ", ".join(sorted(name for name in runs if name and name not in LAVA_TAKES_FOR))
        yield fatal(f"{place}/type", f"Lava cannot load {layer.type} layers of {kind} neurons", f"It loads {known}")
    elif "RF" in kind:
        taken = "RF_PHASE" if "PHASE" in kind else "RF_IZHIKEVICH"
        yield fatal(f"{place}/type", f"the format has no neurons {kind!r}; Lava takes them for {taken}", scope="file")
    else:
        problem = f"the format has no neurons {kind!r}; Lava cannot load them"
        yield fatal(f"{place}/type", problem, f"There are {', '.join(NEURONS)}", "file")


def neuron_traps(layer: Layer, place: str, last: bool) -> Iterator[Finding]:
    """The fields of neurons of a known type, on any layer."""
    neuron = layer.neuron or {}
    kind = neuron["type"]
    yield from unknown_fields(neuron, NEURONS[kind], place)
    if kind in LAVA_TAKES_FOR:
        problem = f"Lava takes {kind} neurons for {LAVA_TAKES_FOR[kind]}: the threshold does not adapt"
        yield lava("error", f"{place}/type", problem, f"Train {LAVA_TAKES_FOR[kind]} neurons")
    if "messageBits" in neuron:
        yield fatal(f"{place}/messageBits", "Lava fails or hangs on this field", "Delete it")
    yield from _ignored(neuron, place)
    if kind == "SDNN":
        yield from _sigma_delta(layer, neuron, place)
        return
    if np.max(neuron["vThMant"]) >= NEVER and (kind in COMPLEX or not last):  # a last one may be there to be read
        yield lava("warning", f"{place}/vThMant", "no state can reach the threshold: the neurons never spike")
    yield from _resonator(neuron, place) if kind in COMPLEX else _leaky(neuron, place)


def _ignored(neuron: Tree, place: str) -> Iterator[Finding]:
    """Fields that would change the spikes if Lava read them."""
    if np.any(neuron.get("gradedSpike", False)):
        yield lava("error", f"{place}/gradedSpike", "Lava sends 1 instead of v", "Train with graded_spike=False")
    if np.any(neuron.get("weight_exp", 0)):
        problem = "Lava ignores it, and takes the weights without this scale"
        yield lava("error", f"{place}/weight_exp", problem, "Use the mean-only batch norm")
    for name, usual in (("refDelay", 1), ("wgtExp", 0)):
        if np.any(neuron.get(name, usual) != usual):
            yield lava("warning", f"{place}/{name}", f"Lava ignores it, and does as with {usual}")


def _leaky(neuron: Tree, place: str) -> Iterator[Finding]:
    for name in ("iDecay", "vDecay"):
        if np.max(neuron[name]) > 8192:
            yield fatal(f"{place}/{name}", "a state would grow in every step", scope="file")


def _sigma_delta(layer: Layer, neuron: Tree, place: str) -> Iterator[Finding]:
    sends_sums = neuron.get("sigma_output")
    if layer.type == "input":
        if np.any(sends_sums or 0):
            yield lava("error", f"{place}/sigma_output", "Lava ignores it on an input layer: it sends differences")
    elif sends_sums is not None:
        if not np.any(sends_sums):
            problem = "Lava looks only whether the field is there: the layer sends its sums, not differences"
            yield lava("error", f"{place}/sigma_output", problem, "Delete the field")
        return
    elif neuron.get("activation", "relu") not in RELU:
        problem = f"Lava takes the activation {neuron['activation']!r} for relu"
        yield lava("error", f"{place}/activation", problem, "Train with relu")
    if np.min(neuron["vThMant"]) == 0:
        yield lava("note", f"{place}/vThMant", "the threshold is 0: every change is sent, however small")


def _resonator(neuron: Tree, place: str) -> Iterator[Finding]:
    sin, cos = np.broadcast_arrays(*(np.atleast_1d(neuron[name]) for name in ("sinDecay", "cosDecay")))
    if np.any(sin.astype(float) ** 2 + cos.astype(float) ** 2 > 4097.0**2):
        yield lava("warning", f"{place}/sinDecay", "the states would grow in every step: sin^2 + cos^2 is above 1")
    pairs = zip(("sinDecay", "cosDecay"), (sin, cos), turn(sin, cos), strict=True)
    counts = {name: int(np.sum(np.trunc(given) != taken)) for name, given, taken in pairs}
    if any(counts.values()):
        changed = " and ".join(f"{count} of {len(sin)} values of {name}" for name, count in counts.items() if count)
        problem = f"Lava makes a period and a decay of it and cosDecay, and back: {changed} change by 1"
        yield lava("note", f"{place}/sinDecay", problem, "Network reproduces it")
