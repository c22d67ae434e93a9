"""The network file format as data: which fields a layer and a neuron have, of which type, shape and range.

The reader, the writer, the checks of single fields and the specification page walk these tables, so for them a new
layer or neuron type is a new row here. What computes needs to know it as well: `check.Chain`, and the stages of the
runtime. A layer or neuron type without a row is kept as it was read, and refused where its meaning is needed.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from slayerloss.netx.field import Bound, Field, Kind, Shape
from slayerloss.netx.limits import LONGEST_DELAY, MOST_GROUPS, NEVER

__all__ = [
    "COMPLEX",
    "FORMAT_VERSION",
    "LAVA_AS_DENSE",
    "LAVA_RUNS",
    "LAVA_TAKES_FOR",
    "LAYERS",
    "MAX_NEURONS",
    "NEURONS",
    "NOT_IN_LAVA",
    "NO_MEANING",
    "READOUT",
    "RELU",
    "Bound",
    "Field",
    "Kind",
    "Shape",
]

FORMAT_VERSION = 1
"""The attribute `format_version` of the root; Lava ignores it, and a file without it is read as version 1."""

MAX_NEURONS = 1 << 24
"""More neurons than any layer of a real network has; a claim above is a damaged file."""

NO_MEANING = "it has no meaning"
"""The effect of a bound beyond which a value says nothing, to anyone."""

_SCALAR: tuple[Shape, ...] = ((), (1,))
_SIZES: tuple[Shape, ...] = (("ndim",),)
_PAIR: tuple[Shape, ...] = ((), (2,))
_COMPLEX_PARTS = ("real", "imag")
_NO_ROOM = "the chip has no room for it"
_WEIGHT_RANGE = Bound(-256, _NO_ROOM, "warning"), Bound(255, _NO_ROOM, "warning")
_BIAS_RANGE = Bound(-(1 << 15), "it wraps around in 16 bits"), Bound((1 << 15) - 1, "it wraps around in 16 bits")
_IN_8_BITS = Bound(127, "Lava keeps it in 8 bits", fatal=True)


def _least(value: int) -> Bound:
    return Bound(value, NO_MEANING, fatal=True, scope="file")


def _delay(shapes: tuple[Shape, ...], meaning: str) -> Field:
    return Field("number", shapes, meaning, False, _least(0))


def _geometry(lowest: int, high: Bound | None = None) -> Field:
    return Field("integer", _PAIR, "(H, W)", True, _least(lowest), high)


def _kernel(shape: Shape, meaning: str) -> Field:
    """The weights of a layer that slides a kernel over an image; old files have a time axis of one step behind it."""
    return Field("number", (shape, (*shape, 1)), meaning, True, *_WEIGHT_RANGE, parts=_COMPLEX_PARTS)


def _neuron(without: str) -> Field:
    return Field("group", (), f"the neurons; {without}")


_BIAS = "times 64: CUBA and LOIHI add it to v in every step, SDNN to sigma, where it has 32 bits"
_DENSE_DELAYS: tuple[Shape, ...] = ((), ("out",), ("in",), ("out", "in"))

_DENSE = {
    "shape": Field("integer", _SIZES, "(N,), in old files (N, 1, 1)", True),
    "inFeatures": Field("integer", _SCALAR, "number of inputs; nothing reads it"),
    "outFeatures": Field("integer", _SCALAR, "number of neurons; nothing reads it"),
    # `packing` knows the range of the weights
    "weight": Field("number", (("out", "in"), ("out*in",)), "weights, times 64", True, parts=_COMPLEX_PARTS),
    "bias": Field("number", (*_SCALAR, ("out",)), f"{_BIAS}; RF neurons do not read it", False, *_BIAS_RANGE),
    "delay": replace(
        _delay(_DENSE_DELAYS, "steps to wait; Lava does not read it with RF neurons"),
        low=Bound(0, "Lava cannot load it", fatal=True, scope="file"),
        high=Bound(LONGEST_DELAY, f"it becomes {LONGEST_DELAY}"),
    ),
    "neuron": _neuron("without them the layer is a readout, which sums up its input and never spikes"),
}

_SLIDING = {
    "shape": Field("integer", ((3,),), "(C, H, W)", True),
    "kernelSize": Field("integer", _PAIR, "(H, W); nothing reads it, the weight has it"),
    "stride": _geometry(1),
    "padding": _geometry(0),
    "dilation": _geometry(1),
    "delay": _delay((*_SCALAR, ("C",)), "steps to wait"),
    "neuron": Field("group", (), "the neurons"),
}

_CHANNELS = {
    "inChannels": Field("integer", _SCALAR, "channels of the input; nothing reads it"),
    "outChannels": Field("integer", _SCALAR, "C; nothing reads it"),
}
_GROUPS = Field("integer", ((),), "groups of channels that do not mix", True, _least(1))
_CHANNEL_BIAS: tuple[Shape, ...] = (("C",), ("W", "H", "C"))

_CONVOLUTION = {
    **_SLIDING,
    **_CHANNELS,
    "stride": _geometry(1, _IN_8_BITS),
    "padding": _geometry(0, _IN_8_BITS),
    "dilation": _geometry(1, _IN_8_BITS),
    "groups": replace(_GROUPS, high=Bound(MOST_GROUPS, "Lava counts them in 8 bits, finds none, and computes zeros")),
    "bias": Field("number", _CHANNEL_BIAS, _BIAS, False, *_BIAS_RANGE, not_in_lava=_SCALAR),
    "delay": _delay((*_SCALAR, ("C",)), "steps to wait; Lava does not read it"),
    "neuron": _neuron("Lava cannot load the layer without them"),
    "weight": _kernel(("C", "in/groups", "kH", "kW"), "weights, times 64, correlated with the input"),
}

_POOLING = {**_SLIDING, "weight": _kernel((1, 1, "kH", "kW"), "the one kernel of all channels, times 64")}

LAYERS = MappingProxyType(
    {
        "input": {
            "shape": Field("integer", _SIZES, "(C, H, W) or (N,)", True),
            "weight": Field("number", _SCALAR, "scale of the input; whoever feeds the network applies it"),
            "bias": Field("number", _SCALAR, "offset of the input; whoever feeds the network applies it"),
            "neuron": _neuron("without them the layer only says the shape of the input"),
        },
        "dense": _DENSE,
        "dense_rec": {
            **_DENSE,
            "delay": _delay(
                _DENSE_DELAYS,
                "steps to wait; Lava cannot load it, or goes wrong where there are as many inputs as neurons",
            ),
            "weight_rec": Field(
                "number",
                (("out", "out"), ("out*out",)),
                "recurrent weights, times 64; for Lava in one row only if the weight is so too",
                True,
                parts=_COMPLEX_PARTS,
            ),
        },
        "conv": _CONVOLUTION,
        "flatten": {"shape": Field("integer", _SIZES, "(C * H * W, 1, 1)", True)},
        "pool": _POOLING,
        "unpool": _POOLING,
        "convT": {
            **_SLIDING,
            **_CHANNELS,
            "groups": _GROUPS,
            "bias": Field("number", (*_SCALAR, *_CHANNEL_BIAS), "added in every step, times 64"),
            "weight": _kernel(("in", "C/groups", "kH", "kW"), "weights, times 64, of a transposed convolution"),
        },
        "average": {"shape": Field("integer", _SIZES, "(groups, 1, 1): neurons are averaged in so many groups", True)},
        "concat": {"shape": Field("integer", _SIZES, "the output; lava-dl names the type and never writes it", True)},
    }
)
"""Layer type -> field name -> Field. Fields beyond these are kept."""

NOT_IN_LAVA = MappingProxyType(
    {
        "pool": "Use a Conv block with a stride in its place",
        "average": "Use a Dense block in its place, and average its spikes outside the network",
        "convT": "Use a Dense block in its place, or leave it and what follows it out of the file",
        "unpool": "Use a Dense block in its place, or leave it and what follows it out of the file",
        "concat": "",
    }
)
"""Layer types that Lava knows and raises NotImplementedError for -> the way out."""


def _decay(meaning: str) -> Field:
    low, high = Bound(0, "it would be a growth", fatal=True, scope="file"), Bound(4096, _NO_ROOM)
    return Field("integer", (*_SCALAR, ("C",)), meaning, True, low, high)


def _rotation(meaning: str) -> Field:
    low, high = (Bound(sign * 4096, "it would be a growth", fatal=True, scope="file") for sign in (-1, 1))
    return Field("turn", (*_SCALAR, ("C",)), meaning, True, low, high)


_TYPE = Field("text", _SCALAR, "the type's name", True)
_GRADED = Field("flag", _SCALAR, "spikes carry v; Lava sends 1 all the same")
_REFRACTORY = Field("integer", _SCALAR, "refractory steps; nothing reads it")
_UNREAD = {
    "weight_exp": Field("number", _SCALAR, "binary exponent of a norm's scale; Lava does not read it"),
    "messageBits": Field("integer", _SCALAR, "bits of a spike's value; Lava hangs on a file that has it"),
}

_CUBA = {
    "type": _TYPE,
    "iDecay": _decay("loss of u per step, times 4096"),
    "vDecay": _decay("loss of v per step, times 4096"),
    "vThMant": Field(
        "integer",
        _SCALAR,
        "threshold of v, times 64; from 2^17 on there are no spikes",
        True,
        Bound(0, "neurons at rest spike in every step", "warning"),
    ),
    "refDelay": _REFRACTORY,
    "gradedSpike": _GRADED,
    **_UNREAD,
}

_RESONATOR = {
    "type": _TYPE,
    "sinDecay": _rotation("(1 - decay) sin(2 pi / period), times 4096; n + 0.5 makes Lava take n"),
    "cosDecay": _rotation("(1 - decay) cos(2 pi / period), times 4096; likewise"),
    "gradedSpike": _GRADED,
    **_UNREAD,
}
_RESONATOR_HIGH = Bound((1 << 25) - 1, "it wraps around in 32 bits")
_RF_PHASE = {
    **_RESONATOR,
    "vThMant": Field(
        "integer",
        _SCALAR,
        "threshold of the real state, times 64; from 2^17 on no spikes",
        True,
        high=_RESONATOR_HIGH,
    ),
}
_RF_IZHIKEVICH = {
    **_RESONATOR,
    "vThMant": Field(
        "integer",
        _SCALAR,
        "threshold of the imaginary state, times 64; from 2^17 on no spikes",
        True,
        Bound(1, "neurons at rest spike in every step", "warning"),
        _RESONATOR_HIGH,
    ),
}

_ADAPTIVE = {
    "thDecay": _decay("loss of the threshold's rise per step, times 4096"),
    "refDecay": _decay("loss of the refractory state per step, times 4096"),
    "vThStep": Field(
        "integer", _SCALAR, "rise of the threshold at a spike, times 64", True, Bound(0, "it would fall", "warning")
    ),
}

_SDNN = {
    "type": _TYPE,
    "activation": Field("text", _SCALAR, "name of the function between sum and difference; Lava takes all for relu"),
    "vThMant": Field(
        "integer",
        _SCALAR,
        "the least change that is sent, times 64; 0 sends every change",
        True,
        Bound(0, "every change is sent, as with 0", "warning"),
        Bound((1 << 19) - 1, "it wraps around in 32 bits"),
    ),
    "sigma_output": Field("flag", _SCALAR, "the layer sends its sums; Lava looks only whether the field is there"),
    **_UNREAD,
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
        "SDNN": _SDNN,
        "RF_PHASE": _RF_PHASE,
        "RF_IZHIKEVICH": _RF_IZHIKEVICH,
        "ALIF": {**_CUBA, **_ADAPTIVE},
        "ADRF_PHASE": {**_RF_PHASE, **_ADAPTIVE},
        "ADRF_IZHIKEVICH": {**_RF_IZHIKEVICH, **_ADAPTIVE},
    }
)
"""Neuron type -> field name -> Field."""

COMPLEX = frozenset({"RF_PHASE", "RF_IZHIKEVICH", "ADRF_PHASE", "ADRF_IZHIKEVICH"})
"""Neuron types with a complex state; the weights of their layers are groups of two parts, see Field.parts."""

_LIF = ("CUBA", "LOIHI")
LAVA_RUNS: MappingProxyType[str, frozenset[str | None]] = MappingProxyType(
    {
        "input": frozenset({None, *_LIF, "SDNN"}),
        "dense": frozenset({None, *_LIF, "SDNN", *COMPLEX}),
        "dense_rec": frozenset({None, *_LIF, "SDNN"}),
        "conv": frozenset({*_LIF, "SDNN"}),
        "flatten": frozenset({None}),
    }
)
"""Layer type -> the neuron types that Lava loads on it; None is a layer without neurons."""

LAVA_AS_DENSE = COMPLEX
"""Neuron types on which Lava runs a dense_rec layer as a dense one: it does not read the recurrent weights."""

LAVA_TAKES_FOR = MappingProxyType({"ADRF_PHASE": "RF_PHASE", "ADRF_IZHIKEVICH": "RF_IZHIKEVICH"})
"""Neuron type -> the other one that Lava runs in its place, without a word."""

RELU = ("relu", "relu_")
"""Names of the activation that sigma-delta neurons have on Lava."""

READOUT = MappingProxyType({"type": "CUBA", "iDecay": 0, "vDecay": 4096, "vThMant": NEVER, "refDelay": 1})
"""The neuron of a dense layer that has none: u sums up its input, v equals u, and it never spikes."""
