"""Arrays of numbers, checked: what `Event`, frames and files have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slayerloss._check import ArgumentError, DtypeError, ShapeError, message

HIGHEST = 2**31 - 1
"""Coordinates beyond are refused, and so are those below -HIGHEST - 1 and frames with more time steps."""
MOST_VALUES = 2**33
"""Of all frames of a recording together."""
_FAR = 2**61
"""Coordinates beyond are cut to it: sums of two of them still fit into 64 bits."""


def silent_frames(function: str, shape: tuple[int, ...], dtype: np.dtype[Any], way_out: str) -> NDArray[Any]:
    """Zeros; ArgumentError if they are too many, or too many for the memory."""
    values = math.prod(shape)
    way_out += ", and look at the unit of the times: they are in ms"
    if values > MOST_VALUES:
        expected = f"at most {MOST_VALUES} values"
        raise ArgumentError(message(function, f"frames {shape} are too large", expected, values, way_out))
    try:
        return np.zeros(shape, dtype)
    except MemoryError:
        got = f"{values * dtype.itemsize / 2**30:.1f} GiB"
        raise ArgumentError(
            message(function, f"frames {shape} do not fit into the memory", "less", got, way_out)
        ) from None


def check_steps(function: str, step: NDArray[np.int64]) -> int:
    """The number of steps up to the last event's; ArgumentError if they are too many for frames."""
    last = int(step.max(initial=0))
    if last >= HIGHEST:
        way_out = "Give the number of steps, or a longer step"
        raise ArgumentError(message(function, "an event comes too late", f"at most {HIGHEST} steps", last, way_out))
    return last + 1


def sums(values: ArrayLike | None, cell: NDArray[np.int64], cells: int) -> NDArray[Any]:
    """The sum of the values in each cell, their number if there are none; in 64 bits."""
    if values is None:
        return np.bincount(cell, minlength=cells)
    values = np.asarray(values)
    added = np.zeros(cells, np.float64 if values.dtype.kind == "f" else np.int64)
    np.add.at(added, cell, values)
    return added


def fitting(function: str, values: NDArray[Any], dtype: np.dtype[Any], way_out: str) -> NDArray[Any]:
    """Sums in the dtype of the frames; ArgumentError if it does not hold them: a float may round a fraction."""
    with np.errstate(all="ignore"):
        held = values.astype(dtype)
        rounds = values.dtype.kind == "f" and dtype.kind == "f"
        lost = ~np.isfinite(held) if rounds else held.astype(values.dtype) != values
    if lost.any():
        problem = f"{dtype} does not hold a bin's sum"
        raise ArgumentError(message(function, problem, "a dtype that does", values[lost][0], way_out))
    return held


def whole(values: NDArray[Any]) -> NDArray[np.int64]:
    """Coordinates as whole numbers: a caller may have replaced x or y by real ones, say to rotate a recording."""
    if values.dtype.kind in "biu":
        return values.astype(np.int64, copy=False)
    with np.errstate(invalid="ignore"):  # NaN
        return np.clip(np.round(values), -_FAR, _FAR).astype(np.int64)


def coordinates(argument: str, values: ArrayLike) -> NDArray[np.int64]:
    """Coordinates of an Event as int64, fractions cut off; ArgumentError if they are beyond 32 bits."""
    array = numbers("Event", argument, values)
    if array.size and (array.min() < -HIGHEST - 1 or array.max() > HIGHEST):
        raise ArgumentError(
            message("Event", f"{argument} is too large", "whole numbers of 32 bits", f"{array.min()} to {array.max()}")
        )
    return array.astype(np.int64, copy=False)


def whole_coordinate(function: str, name: str, values: ArrayLike, lowest: int) -> NDArray[Any]:
    """Coordinates of a file as numbers; ArgumentError unless they are whole ones from `lowest` on that fit an Event."""
    array = numbers(function, name, values)
    fractions = not np.array_equal(array, np.floor(array))
    if array.size and (fractions or array.min() < lowest or array.max() > HIGHEST):
        expected = f"whole numbers from {lowest} to {HIGHEST}" + ", or -1 and 1 only" * (name == "p")
        got, way_out = f"{array.min()} to {array.max()}", "Round them first" * fractions
        raise ArgumentError(message(function, f"{name} is no coordinate", expected, got, way_out))
    return array


def numbers(function: str, argument: str, values: ArrayLike) -> NDArray[Any]:
    """Values as an array (E,); ShapeError, DtypeError or ArgumentError unless they are real, finite numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise ShapeError(message(function, f"{argument} is not one-dimensional", "(E,)", "a ragged list")) from error
    except (TypeError, RuntimeError) as error:  # a tensor that is sparse, nested or on another device
        raise DtypeError(message(function, f"{argument} is no array", "numbers (E,)", type(values).__name__)) from error
    if array.size == 0:
        array = array.reshape(-1).astype(np.float64, copy=False)
    if array.ndim != 1:
        raise ShapeError(message(function, f"{argument} is not one-dimensional", "(E,)", array.shape))
    if array.dtype.kind not in "biuf":
        raise DtypeError(message(function, f"{argument} does not hold numbers", "real numbers", array.dtype))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.count_nonzero(~np.isfinite(array))
        raise ArgumentError(message(function, f"{argument} is not finite", "finite values", f"{bad} NaN or infinite"))
    return array
