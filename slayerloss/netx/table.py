"""The layers of a network file as a table to read."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from slayerloss.netx.description import Description, Layer
from slayerloss.netx.read import read
from slayerloss.netx.synapse import pair

_HEADER = ("layer", "type", "shape", "neurons", "synapses", "weights", "bias", "delay", "u decay", "v decay", "vth")
_LEFT = 3  # columns of text


def inspect(path: str | os.PathLike[str]) -> str:
    """The layers of a network file as a table.

    Args:
        path: a network file.

    Returns:
        A line a layer: its type, output shape, numbers of neurons and synapses, range of the weights, of the bias and
        of the delays in the file's integers, decays per step and threshold in real units; then the sums.

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
        layer  type   shape  neurons  synapses  weights  bias  delay  u decay  v decay  vth
            0  dense  2            2         4  -2 .. 6     -      -        -        -    -
        total                      2         4
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
        cell.ljust(width) if 0 < column < _LEFT or cell == "total" else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(justified).rstrip()


def _row(index: int, layer: Layer) -> tuple[str, ...]:
    neuron = layer.neuron or {}
    neurons, synapses = _neurons(layer), _synapses(layer)
    return (
        str(index),
        layer.type + _geometry(layer),
        "x".join(str(size) for size in layer.shape),
        f"{neurons:,}" if neurons else "-",
        f"{synapses:,}" if synapses else "-",
        _span([layer.fields[name] for name in ("weight", "weight_rec") if name in layer.fields]),
        _span([layer.fields[name] for name in ("bias",) if name in layer.fields]),
        _span([layer.fields[name] for name in ("delay",) if name in layer.fields]),
        *(_span([neuron[name]], 4096) if name in neuron else "-" for name in ("iDecay", "vDecay")),
        _span([neuron["vThMant"]], 64) if "vThMant" in neuron else "-",
    )


def _neurons(layer: Layer) -> int:
    has_neurons = layer.neuron is not None or layer.type not in ("input", "flatten")
    return math.prod(layer.shape) if has_neurons else 0


def _synapses(layer: Layer) -> int:
    """Connections between neurons; those that a convolution's padding cuts off count."""
    weights = [layer.fields[name] for name in ("weight", "weight_rec") if name in layer.fields]
    if layer.type == "input" or not all(isinstance(weight, np.ndarray) for weight in weights):
        return 0
    count = sum(weight.size for weight in weights)
    return count * math.prod(layer.shape[1:]) if layer.type == "conv" else count


def _geometry(layer: Layer) -> str:
    if layer.type != "conv":
        return ""
    kernel = "x".join(str(size) for size in layer.fields["weight"].shape[2:4])
    parts = [f" {kernel}"]
    for letter, name, usual in (("s", "stride", 1), ("p", "padding", 0), ("d", "dilation", 1)):
        h, w = pair(layer.fields[name])
        if (h, w) != (usual, usual):
            parts.append(f"{letter}{h}" if h == w else f"{letter}{h},{w}")
    groups = int(layer.fields["groups"])
    return " ".join(parts + ([f"g{groups}"] if groups != 1 else []))


def _span(arrays: list[Any], unit: int = 1) -> str:
    """Lowest and highest value in units of 1/unit, "-" for none."""
    if not arrays or not all(isinstance(array, np.ndarray) for array in arrays):
        return "-"
    low = min(float(array.min()) for array in arrays) / unit
    high = max(float(array.max()) for array in arrays) / unit
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"
