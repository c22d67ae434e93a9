"""Find what in a network file Lava would refuse, change or ignore."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from slayerloss.netx.description import Description, Layer
from slayerloss.netx.packing import lossless, pack
from slayerloss.netx.read import read
from slayerloss.netx.schema import LAYERS, NEURONS, NOT_IN_LAVA
from slayerloss.netx.synapse import integers, pair, weight_matrix

_INT16 = 1 << 15


@dataclass(frozen=True)
class Finding:
    """One thing that `check` found.

    Attributes:
        severity: "error" (it does not run, or computes something else than the file says), "warning" or "note".
        place: the HDF5 path.
        problem: what is there, and what Lava does with it.
        way_out: what to do about it.
        fatal: Lava cannot load or run it, and neither can `Network`.
    """

    severity: str
    place: str
    problem: str
    way_out: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.severity}: {self.place}: {self.problem}.{f' {self.way_out}.' if self.way_out else ''}"


def check(file: str | os.PathLike[str] | Description) -> list[Finding]:
    """Report what Lava would refuse, change or ignore in a network.

    Args:
        file: a network file, or what `read` made of one.

    Returns:
        The findings in the order of the layers; an empty list if all is well.

    Raises:
        FormatError: the file cannot be read at all.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}
        >>> layer = {"type": "dense", "shape": [1], "weight": [[0, 0]], "neuron": neuron}
        >>> print(check(describe([layer]))[0])
        error: layer/0/weight: all weights are zero, which Lava cannot load. Train on, or leave the layer out.
    """
    description = file if isinstance(file, Description) else read(file)
    return list(_findings(description))


def _findings(description: Description) -> Iterator[Finding]:
    if description.checksum_stored not in (None, description.checksum()):
        yield Finding("warning", "/", "the file was changed after it was written: its checksum does not match")
    last = len(description.layers) - 1
    chain = _Chain()
    for i, layer in enumerate(description.layers):
        place = f"layer/{i}"
        if layer.type not in LAYERS:
            what = "cannot load it" if layer.type in NOT_IN_LAVA else "drops the layer without a word"
            way_out = NOT_IN_LAVA.get(layer.type) or f"Lava has {', '.join(LAYERS)}"
            yield _fatal(f"{place}/type", f"the layer type is {layer.type!r}; Lava {what}", way_out)
            return
        if layer.neuron is not None and layer.neuron["type"] not in NEURONS:
            yield Finding("note", f"{place}/neuron/type", f"{layer.neuron['type']} is not looked into")
            return
        problem = chain.append(layer)
        if problem:
            yield _fatal(place, *problem)
        yield from _synapse(layer, place)
        yield from _bias(layer, place)
        yield from _delay(layer, place)
        yield from _neuron(layer, place, is_last=i == last)


def _fatal(place: str, problem: str, way_out: str = "") -> Finding:
    return Finding("error", place, problem, way_out, fatal=True)


class _Chain:
    """Follows the shapes from layer to layer."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None  # what the layer before sends, None while that is not known
        self.length = 0
        self.processes = 0
        self.flatten = False

    def append(self, layer: Layer) -> tuple[str, str] | None:
        """Take the next layer; return what is wrong with its place in the network, and the way out."""
        problem = getattr(self, f"_{layer.type}")(layer)
        self.length += 1
        if layer.type != "flatten":
            self.flatten = False
            self.shape = (math.prod(layer.shape),) if layer.type.startswith("dense") else layer.shape
            self.processes += layer.type != "input" or layer.neuron is not None
        return problem

    def _input(self, layer: Layer) -> tuple[str, str] | None:
        if self.length:
            return "an input layer inside the network gets no input", "Put it first"
        return None

    def _flatten(self, layer: Layer) -> tuple[str, str] | None:
        if self.processes and self.shape is not None and len(self.shape) != 3:
            return f"Lava cannot flatten the shape {self.shape}: it has no (C, H, W)", "Leave the layer out"
        self.flatten = True
        return None

    def _dense(self, layer: Layer) -> tuple[str, str] | None:
        if self.shape is None:
            return None
        if self.processes and len(self.shape) > 1 and not self.flatten:
            return f"a dense layer cannot read the shape {self.shape}", "Put a flatten layer before it"
        inputs = weight_matrix(layer).shape[1]
        if inputs != math.prod(self.shape):
            return f"the layer has {inputs} inputs, and the layer before sends {math.prod(self.shape)}", ""
        return None

    _dense_rec = _dense

    def _conv(self, layer: Layer) -> tuple[str, str] | None:
        if self.flatten:
            return "Lava ignores a flatten layer before a conv layer", "Leave the flatten layer out"
        if layer.neuron is None:
            return "Lava cannot load a conv layer without a neuron", ""
        geometry = {name: pair(layer.fields[name]) for name in ("stride", "padding", "dilation")}
        groups = int(layer.fields["groups"])
        numbers = [*geometry["stride"], *geometry["dilation"], groups]
        if min(numbers) < 1 or min(geometry["padding"]) < 0 or max(*numbers, *geometry["padding"]) > 127:
            got = f"{geometry}, groups {groups}"
            return f"stride, dilation and groups are 1 to 127 and padding 0 to 127 in Lava, here {got}", ""
        weight = layer.fields["weight"]
        if len(weight) % groups:
            return f"{len(weight)} channels do not divide into {groups} groups", ""
        if self.shape is None:
            return None
        if len(self.shape) != 3 or self.shape[0] != weight.shape[1] * groups:
            return f"the layer reads {weight.shape[1] * groups} channels of an image, not {self.shape}", ""
        expected = (len(weight), *conv_size(self.shape[1:], weight.shape[2:4], **geometry))
        if layer.shape != expected:
            return f"the layer's shape is {layer.shape}, and its input makes {expected}", ""
        return None


def place_in_chain(before: Layer, layer: Layer) -> str | None:
    """What keeps `layer` from following `before` at the start of a network, or None."""
    chain = _Chain()
    chain.append(before)
    problem = chain.append(layer)
    return problem and problem[0]


def conv_size(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, ...]:
    """(H, W) of a convolution's output."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def _values(layer: Layer, name: str, place: str) -> Iterator[Finding]:
    """NaN, infinity and fractions in a field of numbers."""
    values = np.asarray(layer.fields.get(name, 0), np.float64)
    if not np.all(np.isfinite(values)):
        yield _fatal(f"{place}/{name}", "NaN or infinity; Lava makes a large negative number of it", "Train again")
    elif np.any(values != np.trunc(values)):
        yield Finding(
            "error",
            f"{place}/{name}",
            "there are fractions; Lava cuts them off",
            "Write integers: train with the 8-bit quantisation that blocks have by default",
        )


def _synapse(layer: Layer, place: str) -> Iterator[Finding]:
    if "weight" not in layer.fields or layer.type == "input":
        return
    names = [name for name in ("weight", "weight_rec") if name in layer.fields]
    found = [finding for name in names for finding in _values(layer, name, place)]
    yield from found
    if any(finding.fatal for finding in found):
        return
    matrices = [weight_matrix(layer) if layer.type == "dense" else integers(layer.fields[name]) for name in names]
    if layer.type == "conv":
        if min(m.min() for m in matrices) < -256 or max(m.max() for m in matrices) > 255:
            yield Finding(
                "warning", f"{place}/weight", "there are weights beyond 8 bits; the chip has no room for them"
            )
    elif not any(np.any(m) for m in matrices):
        yield _fatal(
            f"{place}/weight", "all weights are zero, which Lava cannot load", "Train on, or leave the layer out"
        )
    else:
        for name, matrix, packed in zip(names, matrices, pack(*matrices), strict=True):
            if not lossless(packed, matrix):
                changed = int(np.sum(packed.weight != matrix << packed.shift))
                yield Finding(
                    "error",
                    f"{place}/{name}",
                    f"{changed} of {matrix.size} weights ({matrix.min()} to {matrix.max()}) change in Lava's synapse",
                    "Keep weights in [-254, 254], and give the layer weights of both signs",
                )


def _bias(layer: Layer, place: str) -> Iterator[Finding]:
    if "bias" not in layer.fields:
        return
    if layer.type == "input":
        yield Finding(
            "note",
            f"{place}/bias",
            "Lava does not apply weight and bias",
            "Feed Network.encode(x)",
        )
        return
    yield from _values(layer, "bias", place)
    bias = np.asarray(layer.fields["bias"])
    if np.any(bias < -_INT16) or np.any(bias >= _INT16):
        yield Finding("error", f"{place}/bias", "a bias beyond 16 bits wraps around", f"Keep it below {_INT16}")


def _delay(layer: Layer, place: str) -> Iterator[Finding]:
    if "delay" not in layer.fields:
        return
    place_of_delay = f"{place}/delay"
    if layer.type == "dense_rec":
        yield _fatal(place_of_delay, "Lava cannot load a recurrent layer with delays", "Take the delays out")
    if layer.type == "conv":
        yield Finding("error", place_of_delay, "Lava ignores the delays of a conv layer", "Take the delays out")
    yield from _values(layer, "delay", place)
    delay = np.asarray(layer.fields["delay"])
    if np.any(delay < 0):
        yield _fatal(place_of_delay, "a delay is negative, which Lava cannot load")
    if np.any(delay >= 63):
        yield Finding("error", place_of_delay, "delays above 62 become 62", "Train with max_delay=62")


def _neuron(layer: Layer, place: str, is_last: bool) -> Iterator[Finding]:
    neuron = layer.neuron
    if neuron is None:
        return
    place = f"{place}/neuron"

    def largest(name: str) -> Any:
        return np.max(neuron.get(name, 0))

    if "messageBits" in neuron:
        yield _fatal(f"{place}/messageBits", "Lava hangs on this field", "Delete it")
    for name in ("iDecay", "vDecay"):
        if np.min(neuron[name]) < 0 or largest(name) > 4096:
            fatal = np.min(neuron[name]) < 0 or largest(name) > 8192
            yield Finding("error", f"{place}/{name}", "a decay is outside the chip's 0 to 4096", "", fatal)
    if np.min(neuron["vThMant"]) < 0:
        yield Finding("warning", f"{place}/vThMant", "the threshold is negative: a silent neuron spikes in every step")
    if largest("vThMant") >= 1 << 17 and not is_last:
        yield Finding("warning", f"{place}/vThMant", "the threshold is beyond v: the neurons never spike")
    if largest("gradedSpike"):
        yield Finding("error", f"{place}/gradedSpike", "Lava sends 1 instead of v", "Train with graded_spike=False")
    if largest("weight_exp"):
        yield Finding("error", f"{place}/weight_exp", "Lava ignores it", "Use the mean-only batch norm")
    for name, usual in (("refDelay", 1), ("wgtExp", 0)):
        if np.max(neuron.get(name, usual)) != usual:
            yield Finding("warning", f"{place}/{name}", f"Lava ignores it; only {usual} has no effect")
