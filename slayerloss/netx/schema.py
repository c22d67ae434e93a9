"""The network file format as data: which fields a layer and a neuron have, of which type, shape and range.

The reader, the writer and the checker walk these tables, so a new layer or neuron type is a new row here. Shapes are
written in letters: C, H, W are the layer's own `shape`, `out` is the product of it, and any other letter stands for a
size that the first field using it fixes. A `1` is a one. A layer or neuron type without a row is kept as it was read,
and refused where its meaning is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

FORMAT_VERSION = 1
"""The attribute `format_version` of the root; Lava ignores it, and a file without it is read as version 1."""

MAX_NEURONS = 1 << 24
"""More neurons than any layer of a real network has; a claim above is a damaged file."""

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Field:
    """One dataset of a layer or neuron group.

    `kind` is "integer" (int64 in files), "number" (integers that the format keeps as float32), "flag" (bool), "text"
    (variable-length UTF-8) or "real" (a float that nothing reads any more). `low` and `high` are what the chip can
    hold: values outside are read, and found by `check`.
    """

    kind: str
    shapes: tuple[Shape, ...] = ((),)
    required: bool = False
    low: int | None = None
    high: int | None = None
    meaning: str = ""


_SCALAR: tuple[Shape, ...] = ((), (1,))
_PAIR: tuple[Shape, ...] = ((), (2,))

_WEIGHT = Field("number", (("out", "in"), ("flat",)), True, -256, 255, "weights, times 64")
_BIAS = Field("number", (*_SCALAR, ("out",)), False, -(1 << 15), (1 << 15) - 1, "added to v in every step, times 64")
_DELAY = Field("number", (*_SCALAR, ("out",), ("in",), ("out", "in")), False, 0, 62, "steps that the input waits")
_SHAPE_1D = Field("integer", (("ndim",),), True, 1, MAX_NEURONS, "(N,), in old files (N, 1, 1)")
_SHAPE_3D = Field("integer", ((3,),), True, 1, MAX_NEURONS, "(C, H, W)")

_DENSE = {
    "shape": _SHAPE_1D,
    "inFeatures": Field("integer", _SCALAR, meaning="number of inputs; nothing reads it"),
    "outFeatures": Field("integer", _SCALAR, meaning="number of neurons; nothing reads it"),
    "weight": _WEIGHT,
    "bias": _BIAS,
    "delay": _DELAY,
}

LAYERS = MappingProxyType(
    {
        "input": {
            "shape": Field("integer", (("ndim",),), True, 1, MAX_NEURONS, "(C, H, W) or (N,)"),
            "weight": Field("number", _SCALAR, meaning="scale of the input; whoever feeds the network applies it"),
            "bias": Field("number", _SCALAR, meaning="offset of the input; whoever feeds the network applies it"),
        },
        "dense": _DENSE,
        "dense_rec": {
            **_DENSE,
            "weight_rec": Field("number", (("out", "out"),), True, -256, 255, "recurrent weights, times 64"),
        },
        "conv": {
            "shape": _SHAPE_3D,
            "inChannels": Field("integer", _SCALAR, meaning="channels of the input; nothing reads it"),
            "outChannels": Field("integer", _SCALAR, meaning="C; nothing reads it"),
            "kernelSize": Field("integer", _PAIR, meaning="(H, W); nothing reads it"),
            "stride": Field("integer", _PAIR, True, 1, 127, "(H, W)"),
            "padding": Field("integer", _PAIR, True, 0, 127, "(H, W)"),
            "dilation": Field("integer", _PAIR, True, 1, 127, "(H, W)"),
            "groups": Field("integer", ((),), True, 1, 127, "groups of channels that do not mix"),
            "weight": Field(
                "number",
                (("C", "in", "kH", "kW"), ("C", "in", "kH", "kW", 1)),
                True,
                -256,
                255,
                "weights, times 64, correlated with the input",
            ),
            "bias": Field("number", (("C",), ("W", "H", "C")), False, _BIAS.low, _BIAS.high, _BIAS.meaning),
            "delay": Field("number", (*_SCALAR, ("C",)), False, 0, 62, "nothing reads it"),
        },
        "flatten": {"shape": Field("integer", (("ndim",),), True, 1, MAX_NEURONS, "(C * H * W, 1, 1)")},
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

_CUBA = {
    "type": Field("text", required=True),
    "iDecay": Field("integer", (*_SCALAR, ("C",)), True, 0, 4096, "loss of u per step, times 4096"),
    "vDecay": Field("integer", (*_SCALAR, ("C",)), True, 0, 4096, "loss of v per step, times 4096"),
    "vThMant": Field("integer", _SCALAR, True, 0, (1 << 17) - 1, "threshold of v, times 64"),
    "refDelay": Field("integer", _SCALAR, meaning="refractory steps; nothing reads it"),
    "gradedSpike": Field("flag", _SCALAR, meaning="spikes carry v; Lava sends 1 all the same"),
}

NEURONS = MappingProxyType(
    {
        "CUBA": _CUBA,
        "LOIHI": {
            **_CUBA,
            "scaleRho": Field("real", _SCALAR, meaning="of training; nothing reads it"),
            "tauRho": Field("real", _SCALAR, meaning="of training; nothing reads it"),
            "theta": Field("integer", _SCALAR, meaning="vThMant * 64; nothing reads it"),
            "wgtExp": Field("integer", _SCALAR, meaning="nothing reads it"),
        },
    }
)
"""Neuron type -> field name -> Field."""

READOUT = MappingProxyType({"type": "CUBA", "iDecay": 0, "vDecay": 4096, "vThMant": 1 << 17, "refDelay": 1})
"""The neuron of a dense layer that has none: u sums up its input, v equals u, and it never spikes."""
