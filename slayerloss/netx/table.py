"""The layers of a network file as a table to read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from slayerloss.netx.description import Description, Layer, Tree
from slayerloss.netx.read import read
from slayerloss.netx.runtime.synapse import pair
from slayerloss.netx.schema import LAYERS, NEURONS

_HEADER = ("layer", "type", "shape", "neurons", "synapses", "weights", "bias", "delay", "vth", "neuron")
_TEXTS = (0, 1, 2, 9)  # columns of text
_WITHOUT_NEURON = {"dense": "none: sums up", "dense_rec": "none: sums up"}


def inspect(path: str | os.PathLike[str]) -> str:
    """The layers of a network file as a table.

    Args:
        path: a network file.

    Returns:
        A line a layer: its type, output shape, numbers of neurons and synapses, range of the weights, of the bias and
        of the delays in the file's integers, the threshold in real units, the neuron with what it loses per step; then
        the sums. Of a complex weight, the imaginary part comes second.

    Raises:
        FileError: there is no such file, or it may not be read.
        FormatError: the file cannot be read.
    """
    return table(read(path))


def table(description: Description) -> str:
    """The layers of a Description as a table.

    Example:
        >>> from slayerloss.netx import describe
        >>> print(table(describe([{"type": "dense", "shape": [2], "weight": [[4, -2], [0, 6]]}])))
        layer    type   shape  neurons  synapses  weights  bias  delay  vth  neuron
        layer/0  dense  2            2         4  -2 .. 6     -      -    -  none: sums up
        total                        2         4
    """
    rows = [_row(i, layer) for i, layer in enumerate(description.layers)]
    neurons = sum(_neurons(layer) for layer in description.layers)
    synapses = sum(_synapses(layer) for layer in description.layers)
    total = ("total", "", "", f"{neurons:,}", f"{synapses:,}", *[""] * (len(_HEADER) - 5))
    lines = [_HEADER, *rows, total]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    justified = (
        cell.ljust(width) if column in _TEXTS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(justified).rstrip()


def _row(index: int, layer: Layer) -> tuple[str, ...]:
    neuron = layer.neuron or {}
    neurons, synapses = _neurons(layer), _synapses(layer)
    return (
        f"layer/{index}",
        layer.type + _geometry(layer),
        "x".join(str(size) for size in _shape(layer)) or "-",
        f"{neurons:,}" if neurons else "-",
        f"{synapses:,}" if synapses else "-",
        _span_of_parts([_parts(layer.fields[name]) for name in ("weight", "weight_rec") if name in layer.fields]),
        _span([layer.fields.get("bias")]),
        _span([layer.fields.get("delay")]),
        _span([neuron.get("vThMant")], 64),
        _dynamics(neuron) if neuron else _WITHOUT_NEURON.get(layer.type, "-"),
    )


def _shape(layer: Layer) -> tuple[int, ...]:
    """The layer's shape; () where a layer of an unknown type has none, or something else of this name."""
    shape = np.asarray(layer.fields.get("shape", ()))
    return layer.shape if shape.ndim == 1 and shape.dtype.kind in "iu" else ()


def _parts(weight: Any) -> list[Any]:
    """The arrays of a weight: itself, or its real and imaginary part."""
    return [weight.get("real"), weight.get("imag")] if isinstance(weight, Mapping) else [weight]


def _neurons(layer: Layer) -> int:
    has_neurons = layer.neuron is not None or layer.type in _WITHOUT_NEURON
    return math.prod(_shape(layer)) if has_neurons and _shape(layer) else 0


def _synapses(layer: Layer) -> int:
    """Connections between neurons, those of a complex weight twice; those that a padding cuts off count."""
    weights = [part for name in ("weight", "weight_rec") for part in _parts(layer.fields.get(name))]
    sizes = [weight.size for weight in weights if isinstance(weight, np.ndarray)]
    if layer.type not in LAYERS or layer.type == "input" or not sizes:
        return 0
    if layer.type.startswith("dense"):
        return sum(sizes)
    channels, *image = layer.shape
    if layer.type in ("convT", "unpool"):  # each place of the input reaches a kernel of neurons
        image = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(image, _kernel(layer), *_strides(layer), strict=True)
        ]
    shared = channels if layer.type.endswith("pool") else 1  # one kernel for all channels
    return sum(sizes) * shared * math.prod(image)


def _kernel(layer: Layer) -> tuple[int, ...]:
    shape: tuple[int, ...] = _parts(layer.fields["weight"])[0].shape[2:4]
    return shape


def _strides(layer: Layer) -> list[tuple[int, int]]:
    return [pair(layer.fields[name]) for name in ("stride", "padding", "dilation")]


def _geometry(layer: Layer) -> str:
    if "stride" not in LAYERS.get(layer.type, {}):
        return ""
    parts = [" " + "x".join(str(size) for size in _kernel(layer))]
    for letter, usual, (h, w) in zip("spd", (1, 0, 1), _strides(layer), strict=True):
        if (h, w) != (usual, usual):
            parts.append(f"{letter}{h}" if h == w else f"{letter}{h},{w}")
    groups = int(layer.fields.get("groups", 1))
    return " ".join(parts + ([f"g{groups}"] if groups != 1 else []))


def _dynamics(neuron: Tree) -> str:
    """The neuron's type, and what it does with its state in a step."""
    kind = neuron["type"]
    words = [kind]
    if kind in NEURONS:
        for name, text in (("iDecay", "u decay"), ("vDecay", "v decay"), ("sinDecay", ""), ("thDecay", "vth decay")):
            if name == "sinDecay" and name in neuron:
                words += _resonance(np.trunc(neuron["sinDecay"]), np.trunc(neuron["cosDecay"]))
            elif name in neuron:
                words.append(f"{text} {_span([neuron[name]], 4096)}")
        if "vThStep" in neuron:
            words.append(f"vth step {_span([neuron['vThStep']], 64)}")
        words += [str(neuron["activation"])] if "activation" in neuron else []
        words += ["sends sums"] if "sigma_output" in neuron else []
    return ", ".join(words)


def _resonance(sine: Any, cosine: Any) -> list[str]:
    with np.errstate(divide="ignore"):  # no rotation: the period is infinite
        period = 2 * math.pi / np.arctan2(np.atleast_1d(sine), cosine)
    return [f"period {_span([period])}", f"decay {_span([1 - np.hypot(np.atleast_1d(sine), cosine) / 4096])}"]


def _span_of_parts(weights: list[list[Any]]) -> str:
    """The spans of the real and of the imaginary part, or the one of what has no parts."""
    count = max((len(parts) for parts in weights), default=0)
    spans = [_span([parts[i] for parts in weights if i < len(parts)]) for i in range(count)]
    return "; ".join(spans) if spans else "-"


def _span(arrays: list[Any], unit: int = 1) -> str:
    """Lowest and highest value in units of 1/unit, "-" for none."""
    if not arrays or not all(isinstance(array, np.ndarray) and array.dtype.kind in "biuf" for array in arrays):
        return "-"
    if not all(array.size for array in arrays):
        return "-"
    low = min(float(array.min()) for array in arrays) / unit
    high = max(float(array.max()) for array in arrays) / unit
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"
