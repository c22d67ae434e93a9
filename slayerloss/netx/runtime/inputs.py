"""The input of a network file's runtime, as integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from slayerloss._check import ArgumentError, ShapeError, message
from slayerloss.io.event import as_array
from slayerloss.netx.description import Tree
from slayerloss.netx.runtime.synapse import Array


def numbers(x: Any) -> Array:
    """An array of real numbers; of a torch tensor as well, without importing torch."""
    if hasattr(x, "detach"):
        return as_array("Network", "x", x)
    try:
        values = np.asarray(x)
    except ValueError as error:  # lists of different lengths
        raise ShapeError(message("Network", "x is ragged", "rows of one length", type(x).__name__)) from error
    return as_array("Network", "x", values)


def encode(x: Any, fields: Tree | None) -> Array:
    """See `Network.encode`; `fields` are the input layer's, or None."""
    values = numbers(x).astype(np.float64)
    if not np.isfinite(values).all():
        raise ArgumentError(message("Network.encode", "x holds NaN or infinity", "finite values", values.shape))
    if fields is not None:
        weight, bias = (float(np.asarray(fields.get(name, usual)).item()) for name, usual in _USUAL)
        values = np.trunc(weight * np.clip(2 * np.rint(32 * values), -256, 254) / 64 + bias)
    check_whole("Network.encode", values, "Put an Input block before the others; it takes real numbers")
    return values.astype(np.int32)


_USUAL = (("weight", 64), ("bias", 0))


def check_whole(function: str, x: Array, way_out: str) -> None:
    """Raise ArgumentError unless all values are whole and fit into int32."""
    expected = "whole numbers of at most 31 bits"
    if x.dtype.kind == "f" and not (np.isfinite(x).all() and np.array_equal(x, np.trunc(x))):
        raise ArgumentError(message(function, "x has fractions, infinity or NaN", expected, x.dtype, way_out))
    if x.size and x.dtype.itemsize > 2 and max(float(x.max()), -float(x.min())) >= 1 << 31:
        raise ArgumentError(message(function, "x has too large values", expected, f"{x.min()} to {x.max()}"))
