"""Find what in a network file Lava would refuse, change or ignore."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.packing import lossless, pack
from slayerloss.netx.read import read
from slayerloss.netx.schema import LAVA_RUNS, LAYERS, NEURONS, NOT_IN_LAVA, Field
from slayerloss.netx.synapse import integers, pair, weight_matrix


def check(file: str | os.PathLike[str] | Description) -> list[Finding]:
    """Report what Lava would refuse, change or ignore in a network.

    Args:
        file: a network file, or what `read` made of one.

    Returns:
        The findings in the order of the layers; an empty list if all is well. Nothing is said about the layers after
        one of an unknown type.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read at all.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [1], "weight": [[0, 0]], "neuron": neuron}
        >>> print(check(describe([layer]))[0])
        error: layer/0/weight: all weights are zero; Lava cannot load that. Train on, or drop the layer.
    """
    return list(_findings(file if isinstance(file, Description) else read(file)))


def _findings(description: Description) -> Iterator[Finding]:
    if description.checksum_stored not in (None, description.checksum()):
        yield Finding("warning", "/", "the file was changed after it was written: its checksum does not match")
    chain = Chain()
    for i, layer in enumerate(description.layers):
        place = f"layer/{i}"
        if layer.type not in LAVA_RUNS:
            what = "cannot load it" if layer.type in NOT_IN_LAVA else "drops the layer without a word"
            way_out = NOT_IN_LAVA.get(layer.type) or f"Lava has {', '.join(LAVA_RUNS)}"
            yield _fatal(f"{place}/type", f"the layer type is {layer.type!r}; Lava {what}", way_out)
            return
        if layer.neuron is not None and layer.neuron["type"] not in ("CUBA", "LOIHI"):
            yield Finding("note", f"{place}/neuron/type", f"{layer.neuron['type']} is not looked into")
            return
        values = [*_values(layer.fields, LAYERS[layer.type], place)]
        yield from values
        if any(finding.fatal for finding in values):
            return
        problem = chain.append(layer)
        if problem:
            yield _fatal(place, *problem)
        yield from _synapse(layer, place)
        if layer.neuron is not None:
            yield from _neuron(layer.neuron, f"{place}/neuron", last=i + 1 == len(description.layers))


def _fatal(place: str, problem: str, way_out: str = "", scope: str = "lava") -> Finding:
    return Finding("error", place, problem, way_out, fatal=True, scope=scope)


def _lava(severity: str, place: str, problem: str, way_out: str = "") -> Finding:
    return Finding(severity, place, problem, way_out, scope="lava")


def _values(tree: Tree, rules: dict[str, Field], place: str) -> Iterator[Finding]:
    """NaN, fractions, and values beyond the bounds of the schema."""
    for name, rule in rules.items():
        if name not in tree or rule.kind not in ("integer", "number"):
            continue
        here = f"{place}/{name}"
        values = np.asarray(tree[name])
        if not np.all(np.isfinite(values)):
            yield _fatal(here, "NaN or infinity; Lava makes a large negative number of it", "Train again", "file")
            continue
        if np.any(values != np.trunc(values)):
            way_out = "Write integers: train with the 8-bit quantisation that blocks have by default"
            yield _lava("error", here, "there are fractions; Lava cuts them off", way_out)
        for bound, sign, extreme in ((rule.low, -1, values.min()), (rule.high, 1, values.max())):
            if bound is not None and extreme * sign > bound.value * sign:
                side = "below" if sign < 0 else "above"
                problem = f"{extreme:g} is {side} {bound.value}; {bound.effect}"
                yield Finding(bound.severity, here, problem, fatal=bound.fatal, scope=bound.scope)


Problem = tuple[str, str, str]
"""What is wrong, the way out, and the `scope` of a Finding."""


class Chain:
    """Follows the shapes from layer to layer."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None  # what the layer before sends; None while that is not known
        self.length = 0
        self.processes = 0
        self.flatten = False

    def append(self, layer: Layer) -> Problem | None:
        """Take the next layer; return what is wrong with its place in the network, the way out, and the scope."""
        problem: Problem | None = getattr(self, f"_{layer.type}")(layer)
        self.length += 1
        if layer.type != "flatten":
            self.flatten = False
            self.shape = (math.prod(layer.shape),) if layer.type.startswith("dense") else layer.shape
            self.processes += layer.type != "input" or layer.neuron is not None
        return problem

    def _input(self, layer: Layer) -> Problem | None:
        return ("an input layer inside the network gets no input", "Put it first", "file") if self.length else None

    def _flatten(self, layer: Layer) -> Problem | None:
        self.flatten = True
        if self.processes and self.shape is not None and len(self.shape) != 3:
            return f"Lava cannot flatten the shape {self.shape}: it has no (C, H, W)", "Leave the layer out", "lava"
        return None

    def _dense(self, layer: Layer) -> Problem | None:
        if self.shape is None:
            return None
        if self.processes and len(self.shape) > 1 and not self.flatten:
            return f"a dense layer cannot read the shape {self.shape}", "Put a flatten layer before it", "lava"
        inputs, sent = weight_matrix(layer).shape[1], math.prod(self.shape)
        problem = f"the layer has {inputs} inputs, and {sent} come from the layer before"
        return None if inputs == sent else (problem, "", "file")

    def _dense_rec(self, layer: Layer) -> Problem | None:
        if "delay" in layer.fields:
            return "Lava cannot load a recurrent layer with delays", "Take the delays out", "lava"
        return self._dense(layer)

    def _conv(self, layer: Layer) -> Problem | None:
        if self.flatten:
            return "Lava ignores a flatten layer before a conv layer", "Leave the flatten layer out", "lava"
        if layer.neuron is None:
            return "Lava cannot load a conv layer without a neuron", "", "lava"
        weight, groups = layer.fields["weight"], int(layer.fields["groups"])
        if len(weight) % groups:
            return f"{len(weight)} channels do not divide into {groups} groups", "", "file"
        if self.shape is None:
            return None
        channels = weight.shape[1] * groups
        if len(self.shape) != 3 or self.shape[0] != channels:
            return f"the layer reads images of {channels} channels, not {self.shape}", "", "file"
        expected = (len(weight), *_conv_size(self.shape[1:], layer))
        problem = f"the shape is {layer.shape}, and the input makes {expected}"
        return None if layer.shape == expected else (problem, "", "file")


def _conv_size(size: tuple[int, ...], layer: Layer) -> tuple[int, ...]:
    """(H, W) of a convolution's output."""
    geometry = (pair(layer.fields[name]) for name in ("stride", "padding", "dilation"))
    sides = zip(size, layer.fields["weight"].shape[2:4], *geometry, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides)


def _synapse(layer: Layer, place: str) -> Iterator[Finding]:
    if layer.type == "conv" and "delay" in layer.fields:
        yield _lava("error", f"{place}/delay", "Lava ignores the delays of a conv layer", "Take the delays out")
    if layer.type == "input" and {"weight", "bias"} & layer.fields.keys():
        way_out = "Feed int(weight * x + bias), which Network.encode computes"
        yield _lava("note", place, "Lava does not apply the weight and bias of an input layer", way_out)
    if not layer.type.startswith("dense"):
        return
    matrices = {"weight": weight_matrix(layer)}
    if layer.type == "dense_rec":
        matrices["weight_rec"] = integers(layer.fields["weight_rec"])
    if not any(np.any(matrix) for matrix in matrices.values()):
        yield _fatal(f"{place}/weight", "all weights are zero; Lava cannot load that", "Train on, or drop the layer")
        return
    for (name, matrix), packed in zip(matrices.items(), pack(*matrices.values()), strict=True):
        if not lossless(packed, matrix):
            changed = int(np.sum(packed.weight != matrix << packed.shift))
            problem = f"{changed} of {matrix.size} weights ({matrix.min()} to {matrix.max()}) change in Lava's synapse"
            way_out = "Keep weights in [-254, 254], and give the layer weights of both signs"
            yield _lava("error", f"{place}/{name}", problem, way_out)


def _neuron(neuron: Tree, place: str, last: bool) -> Iterator[Finding]:
    yield from _values(neuron, NEURONS[neuron["type"]], place)

    def largest(name: str, default: Any = 0) -> Any:
        return np.max(neuron.get(name, default))

    for name in ("iDecay", "vDecay"):
        if largest(name) > 8192:
            yield _fatal(f"{place}/{name}", "a state would grow in every step", scope="file")
    if largest("vThMant") >= 1 << 17 and not last:
        yield _lava("warning", f"{place}/vThMant", "v cannot reach the threshold: the neurons never spike")
    if largest("gradedSpike"):
        yield _lava("error", f"{place}/gradedSpike", "Lava sends 1 instead of v", "Train with graded_spike=False")
    if "messageBits" in neuron:
        yield _fatal(f"{place}/messageBits", "Lava hangs on this field", "Delete it")
    if largest("weight_exp"):
        yield _lava("error", f"{place}/weight_exp", "Lava ignores it", "Use the mean-only batch norm")
    for name, usual in (("refDelay", 1), ("wgtExp", 0)):
        if largest(name, usual) != usual:
            yield _lava("warning", f"{place}/{name}", f"Lava ignores it; only {usual} has no effect")
