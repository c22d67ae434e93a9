"""Whether two layers say the same, however each of them writes it down."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from slayerloss.netx.description import Layer, leaves
from slayerloss.netx.runtime.resonate import turn
from slayerloss.netx.schema import READOUT

_SAME_NEURON = MappingProxyType({"LOIHI": "CUBA"})
"""The name of a neuron type in old files -> that of today."""

_USUAL = MappingProxyType({"bias": 0, "delay": 0, "neuron/refDelay": 1, "neuron/gradedSpike": False})
_USUAL_INPUT = MappingProxyType({**_USUAL, "weight": 64})
"""Field -> what its absence means; on an input layer, a weight of 64 is a factor of 1."""

_NOT_READ = frozenset({"inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize"})
"""What follows from other fields, and may be missing."""


def differing_fields(own: Layer, other: Layer) -> list[str]:
    """The fields of a layer that say something else in another one of its type.

    One value and an array that holds it everywhere say the same, as do the shapes (N,) and (N, 1, 1), the same weights
    in another arrangement, LOIHI and CUBA, a field that is missing and its usual value, thresholds that v cannot pass,
    and turns of which Lava makes the same integers. Of the fields that only `other` has, those count that change what
    the layer does.

    Example:
        >>> new = Layer("dense", {"shape": np.array([2]), "bias": np.zeros(2), "weight": np.array([[2], [4]])})
        >>> old = Layer("dense", {"shape": np.array([2, 1, 1]), "weight": np.array([2, 5])})
        >>> differing_fields(new, old)
        ['weight']
    """
    ours, its = _values(own), _values(other)
    missing = _NOT_READ - its.keys()
    return [name for name in ours if name not in missing and not _same(ours[name], its.get(name))]


def _values(layer: Layer) -> dict[str, Any]:
    """The fields of a layer by their paths, usual values filled in; numbers in float64, which holds all of them."""
    fields = dict(layer.fields)
    if layer.type.startswith("dense"):
        fields.setdefault("neuron", dict(READOUT))
    usual = _USUAL_INPUT if layer.type == "input" else _USUAL
    values = {name: value for name, value in usual.items() if "neuron" in fields} | dict(leaves(fields))
    for name, value in values.items():
        array = np.asarray(value)
        values[name] = array.astype(np.float64) if array.dtype.kind in "biuf" else str(array)
    if "neuron/type" in values:
        values["neuron/type"] = _SAME_NEURON.get(values["neuron/type"], values["neuron/type"])
    if {"neuron/sinDecay", "neuron/cosDecay"} <= values.keys():
        parts = turn(*(np.atleast_1d(values[f"neuron/{name}"]) for name in ("sinDecay", "cosDecay")))
        values["neuron/sinDecay"], values["neuron/cosDecay"] = (part.astype(np.float64) for part in parts)
    if "neuron/vThMant" in values:
        values["neuron/vThMant"] = np.asarray(np.minimum(values["neuron/vThMant"], np.asarray(READOUT["vThMant"])))
    if layer.type.startswith("dense"):
        values["shape"] = np.array(math.prod(layer.shape))
        if values["delay"].shape == (math.prod(layer.shape),):  # one a neuron, beside a matrix of (out, in)
            values["delay"] = values["delay"][:, None]
    return values


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return bool(isinstance(a, str) and a == b)
    if a.size == b.size:
        return np.array_equal(a.ravel(), b.ravel())
    try:
        return bool(np.all(a == np.broadcast_to(b, np.broadcast_shapes(a.shape, b.shape))))
    except ValueError:  # shapes that have nothing to do with each other
        return False
