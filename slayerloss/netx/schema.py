"""The network file format as data: which fields a layer and a neuron have, of which type, shape and range.

The reader, the writer and the checks of single fields walk these tables, so for them a new layer or neuron type is a
new row here. A new layer type also needs its place in the chain, `check.Chain`, and what runs it, `run._stage`; a new
neuron type needs `lif`. A layer or neuron type without a row is kept as it was read, and refused where its meaning is
needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

FORMAT_VERSION = 1
"""The attribute `format_version` of the root; Lava ignores it, and a file without it is read as version 1."""

MAX_NEURONS = 1 << 24
"""More neurons than any layer of a real network has; a claim above is a damaged file."""

Shape = tuple[str | int, ...]
"""C, H and W are the layer's own shape, "out" is their product; another letter is fixed by the first field with it.

Two patterns are special: ("ndim",) is a list of one to three sizes, ("flat",) a matrix of "out" rows in one row.
"""


@dataclass(frozen=True)
class Bound:
    """The last value that is right, what happens beyond it, and how bad that is for whom; see `check.Finding`."""

    value: int
    effect: str
    severity: str = "error"
    fatal: bool = False
    scope: str = "lava"


@dataclass(frozen=True)
class Field:
    """One dataset of a layer or neuron group.

    `kind` is "integer" (int64 in files), "number" (an integer that the format keeps as float32), "flag" (bool), "text"
    (variable-length UTF-8) or "real" (a float of old files). `shapes` are alternatives.
    """

    kind: str
    shapes: tuple[Shape, ...]
    meaning: str
    required: bool = False
    low: Bound | None = None
    high: Bound | None = None


_SCALAR: tuple[Shape, ...] = ((), (1,))
_SIZES: tuple[Shape, ...] = (("ndim",),)
_PAIR: tuple[Shape, ...] = ((), (2,))
_NO_ROOM = "the chip has no room for it"
_WEIGHT_RANGE = Bound(-256, _NO_ROOM, "warning"), Bound(255, _NO_ROOM, "warning")
_BIAS_RANGE = Bound(-(1 << 15), "it wraps around in 16 bits"), Bound((1 << 15) - 1, "it wraps around in 16 bits")
_DELAY_RANGE = Bound(0, "Lava cannot load it", fatal=True, scope="file"), Bound(62, "it becomes 62")


def _geometry(shapes: tuple[Shape, ...], lowest: int, meaning: str) -> Field:
    low = Bound(lowest, "it has no meaning", fatal=True, scope="file")
    high = Bound(127, "Lava keeps it in 8 bits", fatal=True)
    return Field("integer", shapes, meaning, True, low, high)


_DENSE = {
    "shape": Field("integer", _SIZES, "(N,), in old files (N, 1, 1)", True),
    "inFeatures": Field("integer", _SCALAR, "number of inputs; nothing reads it"),
    "outFeatures": Field("integer", _SCALAR, "number of neurons; nothing reads it"),
    "weight": Field("number", (("out", "in"), ("flat",)), "weights, times 64", True),  # `packing` knows the range
    "bias": Field("number", (*_SCALAR, ("out",)), "added to v in every step, times 64", False, *_BIAS_RANGE),
    "delay": Field("number", ((), ("out",), ("in",), ("out", "in")), "steps to wait", False, *_DELAY_RANGE),
}

LAYERS = MappingProxyType(
    {
        "input": {
            "shape": Field("integer", _SIZES, "(C, H, W) or (N,)", True),
            "weight": Field("number", _SCALAR, "scale of the input; whoever feeds the network applies it"),
            "bias": Field("number", _SCALAR, "offset of the input; whoever feeds the network applies it"),
        },
        "dense": _DENSE,
        "dense_rec": {**_DENSE, "weight_rec": Field("number", (("out", "out"),), "recurrent weights, times 64", True)},
        "conv": {
            "shape": Field("integer", ((3,),), "(C, H, W)", True),
            "inChannels": Field("integer", _SCALAR, "channels of the input; nothing reads it"),
            "outChannels": Field("integer", _SCALAR, "C; nothing reads it"),
            "kernelSize": Field("integer", _PAIR, "(H, W); nothing reads it"),
            "stride": _geometry(_PAIR, 1, "(H, W)"),
            "padding": _geometry(_PAIR, 0, "(H, W)"),
            "dilation": _geometry(_PAIR, 1, "(H, W)"),
            "groups": _geometry(((),), 1, "groups of channels that do not mix"),
            "weight": Field(
                "number",
                (("C", "in", "kH", "kW"), ("C", "in", "kH", "kW", 1)),
                "weights, times 64, correlated with the input",
                True,
                *_WEIGHT_RANGE,
            ),
            "bias": Field(
                "number", (("C",), ("W", "H", "C")), "added to v in every step, times 64", False, *_BIAS_RANGE
            ),
            "delay": Field("number", (*_SCALAR, ("C",)), "nothing reads it", False, *_DELAY_RANGE),
        },
        "flatten": {"shape": Field("integer", _SIZES, "(C * H * W, 1, 1)", True)},
    }
)
"""Layer type -> field name -> Field, for the layers that Lava loads. Fields beyond these are kept."""

NOT_IN_LAVA = MappingProxyType(
    {
        "pool": "Use a Conv block with a stride in its place",
        "average": "Use a Dense block in its place, and average its spikes outside the network",
        "convT": "",
        "unpool": "",
        "concat": "",
    }
)
"""Layer types that Lava knows and raises NotImplementedError for -> the way out."""


def _decay(meaning: str) -> Field:
    low, high = Bound(0, "it would be a growth", fatal=True, scope="file"), Bound(4096, _NO_ROOM)
    return Field("integer", (*_SCALAR, ("C",)), meaning, True, low, high)


_CUBA = {
    "type": Field("text", _SCALAR, "the row's name", True),
    "iDecay": _decay("loss of u per step, times 4096"),
    "vDecay": _decay("loss of v per step, times 4096"),
    "vThMant": Field(
        "integer",
        _SCALAR,
        "threshold of v, times 64; from 2^17 on there are no spikes",
        True,
        Bound(0, "neurons at rest spike in every step", "warning"),
    ),
    "refDelay": Field("integer", _SCALAR, "refractory steps; nothing reads it"),
    "gradedSpike": Field("flag", _SCALAR, "spikes carry v; Lava sends 1 all the same"),
}

NEURONS = MappingProxyType(
    {
        "CUBA": _CUBA,
        "LOIHI": {
            **_CUBA,
            "scaleRho": Field("real", _SCALAR, "of training; nothing reads it"),
            "tauRho": Field("real", _SCALAR, "of training; nothing reads it"),
            "theta": Field("integer", _SCALAR, "vThMant * 64; nothing reads it"),
            "wgtExp": Field("integer", _SCALAR, "nothing reads it"),
        },
    }
)
"""Neuron type -> field name -> Field."""

READOUT = MappingProxyType({"type": "CUBA", "iDecay": 0, "vDecay": 4096, "vThMant": 1 << 17, "refDelay": 1})
"""The neuron of a dense layer that has none: u sums up its input, v equals u, and it never spikes."""
