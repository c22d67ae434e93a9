"""Follow the shapes of a network from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from slayerloss._finding import Finding
from slayerloss.netx.description import Layer
from slayerloss.netx.field import Shape
from slayerloss.netx.runtime.synapse import pair

Problem = tuple[str, str, str, str]
"""What is wrong, the way out, the `scope` of a Finding, and its severity; errors are fatal."""

_PUT_FLATTEN = "Put a flatten layer before it"
_LEAVE_OUT = "Leave the flatten layer out"


class Chain:
    """Follows the shapes from layer to layer.

    `shape` is what the layer before sends, (C,) or (C, H, W), or None while that is not known. `graded` says whether
    Lava takes its messages as numbers, and not as spikes of 1; the first layer may be told so.
    """

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None
        self.length = 0
        self.processes = 0  # layers that Lava makes a process of
        self.graded = True
        self.flatten = False  # Lava flattens what the next dense layer reads

    def append(self, layer: Layer) -> tuple[str, str] | None:
        """Take the next layer; return what is wrong with its place in the network and the way out, or None."""
        problems = list(self.problems(layer))
        self.forget(layer)
        return problems[0][:2] if problems else None

    def findings(self, layer: Layer, place: str) -> Iterator[Finding]:
        """Take the next layer; return what is wrong with its place in the network."""
        for problem, way_out, scope, severity in self.problems(layer):
            yield Finding(severity, place, problem, way_out, fatal=severity == "error", scope=scope)
        self.forget(layer)

    def forget(self, layer: Layer) -> None:
        """Take the next layer without a look at what comes before."""
        self.length += 1
        if layer.type == "flatten":
            self.flatten = True
            return
        one_row = layer.type.startswith("dense") or layer.type == "average"
        shape = layer.fields.get("shape")
        if isinstance(shape, np.ndarray) and shape.ndim == 1 and shape.dtype.kind in "iu":
            self.shape = (math.prod(layer.shape),) if one_row else layer.shape
        else:  # a type without a row in the schema
            self.shape = None
        if one_row:
            self.flatten = False
        if layer.type != "input" or layer.neuron is not None:
            self.processes += 1
            self.graded = layer.neuron is not None and layer.neuron["type"] == "SDNN"

    def problems(self, layer: Layer) -> Iterator[Problem]:
        """What is wrong with the layer's place, in its file or for Lava."""
        looks: dict[str, Callable[[Layer], Iterator[Problem]]] = {
            "input": self._input,
            "dense": self._dense,
            "dense_rec": self._dense_rec,
            "average": self._average,
            "conv": self._conv,
            "convT": self._transposed,
            "pool": self._pool,
            "unpool": self._unpool,
        }
        if layer.type in looks:
            yield from looks[layer.type](layer)

    def _input(self, layer: Layer) -> Iterator[Problem]:
        if self.length:
            yield "an input layer inside the network gets no input", "Put it first", "file", "error"

    def _dense(self, layer: Layer) -> Iterator[Problem]:
        if self.shape is None:
            return
        if self.processes:  # otherwise whoever feeds the network brings its input into a row
            yield from self._row()
        inputs, sent = _weight(layer).size // math.prod(layer.shape), math.prod(self.shape)
        if inputs != sent:
            yield f"the layer has {inputs} inputs, and {sent} come from the layer before", "", "file", "error"

    def _dense_rec(self, layer: Layer) -> Iterator[Problem]:
        yield from self._dense(layer)
        if not self.graded and layer.neuron is not None and layer.neuron["type"] == "SDNN":
            problem = "Lava takes what the layer sends to itself for spikes of 1, as the layer before sends spikes"
            yield problem, "Put sigma-delta neurons before it", "lava", "warning"

    def _row(self) -> Iterator[Problem]:
        """Lava brings an image of three axes into a row, if it is told so, and nothing else."""
        if self.shape is None or (self.flatten and len(self.shape) == 3):
            return
        if self.flatten:
            yield f"Lava cannot flatten the shape {self.shape}: it has no (C, H, W)", _LEAVE_OUT, "lava", "error"
        elif len(self.shape) > 1:
            yield f"Lava cannot connect a dense layer to the shape {self.shape}", _PUT_FLATTEN, "lava", "error"

    def _average(self, layer: Layer) -> Iterator[Problem]:
        groups = math.prod(layer.shape)
        if self.shape is not None and math.prod(self.shape) % groups:
            yield f"{math.prod(self.shape)} neurons do not divide into {groups} groups", "", "file", "error"

    def _conv(self, layer: Layer) -> Iterator[Problem]:
        weight, groups = _weight(layer).shape, int(layer.fields["groups"])
        if weight[0] % groups:
            yield f"{weight[0]} channels do not divide into {groups} groups", "", "file", "error"
            return
        yield from self._image(layer, weight[1] * groups, weight[0], _shrunk)

    def _transposed(self, layer: Layer) -> Iterator[Problem]:
        weight, groups = _weight(layer).shape, int(layer.fields["groups"])
        if weight[0] % groups:
            yield f"{weight[0]} inputs do not divide into {groups} groups", "", "file", "error"
            return
        yield from self._image(layer, weight[0], weight[1] * groups, _grown)

    def _pool(self, layer: Layer) -> Iterator[Problem]:
        yield from self._image(layer, layer.shape[0], layer.shape[0], _shrunk)

    def _unpool(self, layer: Layer) -> Iterator[Problem]:
        yield from self._image(layer, layer.shape[0], layer.shape[0], _grown)

    def _image(self, layer: Layer, inputs: int, outputs: int, resized: Any) -> Iterator[Problem]:
        """What slides over images of `inputs` channels and sends `outputs`."""
        if self.flatten:
            yield f"Lava ignores a flatten layer before a {layer.type} layer", _LEAVE_OUT, "lava", "warning"
        if self.shape is None:
            return
        if len(self.shape) != 3 or self.shape[0] != inputs:
            yield f"the layer reads images of {inputs} channels, not {self.shape}", "", "file", "error"
            return
        expected = (outputs, *resized(self.shape[1:], layer))
        if layer.shape != expected:
            yield f"the shape is {layer.shape}, and the input makes {expected}", "", "file", "error"


def _weight(layer: Layer) -> Any:
    """The weight; of two parts, which have one shape, the real one."""
    weight = layer.fields["weight"]
    return weight["real"] if isinstance(weight, dict) else weight


def _geometry(size: Shape, layer: Layer) -> Iterator[tuple[Any, ...]]:
    """For H and W: size, kernel, stride, padding, dilation."""
    sliding = (pair(layer.fields[name]) for name in ("stride", "padding", "dilation"))
    return zip(size, _weight(layer).shape[2:4], *sliding, strict=True)


def _shrunk(size: Shape, layer: Layer) -> tuple[int, ...]:
    """(H, W) of a convolution's output."""
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in _geometry(size, layer))


def _grown(size: Shape, layer: Layer) -> tuple[int, ...]:
    """(H, W) of a transposed convolution's output."""
    return tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in _geometry(size, layer))
