"""Events to frames and back, with every event counted: the form to use in new code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from slayerloss._check import (
    HIGHEST_INTEGER,
    ArgumentError,
    DtypeError,
    ShapeError,
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_sequence,
    message,
)
from slayerloss.io._values import HIGHEST, check_steps, fitting, silent_frames, sums, whole
from slayerloss.io.event import Event, as_array, check_event


def bins(t: NDArray[Any], step_ms: float = 1.0, rounding: str = "floor") -> NDArray[np.int64]:
    """The time step of each event: floor(t / step), or lava-dl's round(t / step).

    Args:
        t: (E,) times in ms.
        step_ms: the width of a step in ms, above 0.
        rounding: "floor", or "nearest" (halves go to the even step).

    Returns:
        (E,) int64.

    Raises:
        ArgumentError: `step_ms` is not above 0, or `rounding` is unknown.
        DtypeError: t is no array of real numbers.

    Example:
        >>> bins(np.array([0.3, 0.6, 1.5]), step_ms=0.3)
        array([1, 2, 5])
    """
    step_ms = check_range("bins", "step_ms", step_ms, 0, low_open=True)
    check_choice("bins", "rounding", rounding, ("floor", "nearest"))
    t = as_array("bins", "t", t)
    if t.dtype.kind == "f" and not np.isfinite(t).all():
        raise ArgumentError(message("bins", "t is not finite", "finite times", f"{t.min()} to {t.max()}"))
    if rounding == "nearest":
        return whole(t / step_ms)
    # The last factor lifts 0.6 / 0.3 = 1.9999999999999998 over the edge; times in whole microseconds fall exactly.
    return whole(np.floor(t / step_ms * (1 + 1e-15)))


def to_frames(
    event: Event,
    shape: Sequence[int],
    num_steps: int | None = None,
    step_ms: float = 1.0,
    *,
    count: bool = False,
    rounding: str = "floor",
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Bin events into frames of equal duration: frame k holds the events with k <= t / step < k + 1.

    Args:
        event: the recording.
        shape: (C, X) for one spatial dimension, (C, Y, X) for two.
        num_steps: T; events before time 0 or after the last step are left out. None takes the steps up to the last
            event.
        step_ms: the width of a step in ms, above 0.
        count: True counts the events in each bin, False marks the bins that hold any. The payloads of graded events are
            always added up.
        rounding: "floor", or "nearest" as lava-dl does.
        dtype: of the frames; it has to hold every bin's sum.

    Returns:
        `(*shape, T)`. In memory time comes first, as blocks prefer it.

    Raises:
        ShapeError: `shape` does not fit the events' dimensions.
        ArgumentError: an event lies outside `shape`, an option is out of range, a bin's sum does not fit into `dtype`,
            or the frames would be too large.

    Example:
        >>> event = Event([1, 1, 0], None, [0, 0, 0], [0.2, 0.8, 1.0])
        >>> to_frames(event, (1, 2), num_steps=2, count=True)
        array([[[0., 1.],
                [2., 0.]]], dtype=float32)
    """
    check_event("to_frames", "event", event)
    check_flag("to_frames", "count", count)
    frame_dtype = _frame_dtype(dtype)
    sizes = tuple(check_integer("to_frames", "shape", size, 1) for size in check_sequence("to_frames", "shape", shape))
    event, step, num_steps = _placed("to_frames", event, sizes, num_steps, step_ms, rounding)
    cell = step
    for _, axis, size in _axes("to_frames", event, sizes):
        cell = cell * size + axis
    frames = silent_frames("to_frames", (num_steps, *sizes), frame_dtype, "Give num_steps or a longer step_ms")
    if count or event.graded:
        filled, index = np.unique(cell, return_inverse=True)
        way_out = "Use a wider dtype, shorter steps, or count=False, which marks the bins"
        frames.reshape(-1)[filled] = fitting("to_frames", sums(event.p, index, len(filled)), frame_dtype, way_out)
    else:
        frames.reshape(-1)[cell] = 1
    return np.moveaxis(frames, 0, -1)


def to_bins(
    event: Event,
    shape: Sequence[int],
    num_steps: int | None = None,
    step_ms: float = 1.0,
    *,
    count: bool = False,
    rounding: str = "floor",
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """What `to_frames` gives, without the zeros: the bins that hold events, in the order of the frames.

    Args:
        event, shape, num_steps, step_ms, count, rounding: as for `to_frames`.

    Returns:
        The positions (E,) in contiguous frames `(*shape, T)`, ascending; the values (E,) float32; T.

    Raises:
        ShapeError, ArgumentError: as `to_frames`.

    Example:
        >>> to_bins(Event([1, 1, 0], None, [0, 0, 0], [0.2, 0.8, 1.0]), (1, 2), num_steps=2, count=True)
        (array([1, 2]), array([1., 2.], dtype=float32), 2)
    """
    check_event("to_bins", "event", event)
    check_flag("to_bins", "count", count)
    sizes = tuple(check_integer("to_bins", "shape", size, 1) for size in check_sequence("to_bins", "shape", shape))
    event, step, num_steps = _placed("to_bins", event, sizes, num_steps, step_ms, rounding)
    if math.prod(sizes) * num_steps > HIGHEST_INTEGER:
        rule, got = "at most 2^63 bins", (*sizes, num_steps)
        raise ArgumentError(message("to_bins", "the frames would be too large", rule, got, "Give fewer steps"))
    cell = np.zeros_like(step)
    for _, axis, size in _axes("to_bins", event, sizes):
        cell = cell * size + axis
    if not (count or event.graded):
        filled = np.sort(cell * num_steps + step)  # numpy's `unique` is slower
        filled = filled[np.diff(filled, prepend=-1) > 0]
        return filled, np.ones(len(filled), np.float32), num_steps
    filled, index = np.unique(cell * num_steps + step, return_inverse=True)
    values = fitting("to_bins", sums(event.p, index, len(filled)), np.dtype(np.float32), "Use count=False")
    return filled, values, num_steps


def from_frames(frames: Any, step_ms: float = 1.0) -> Event:
    """The events of frames: one per value other than zero, at the beginning of its step.

    Args:
        frames: (C, X, T) or (C, Y, X, T), numpy or torch.
        step_ms: the width of a step in ms, above 0.

    Returns:
        Events in the order of time; graded, with the value as payload, unless every value is 1.

    Raises:
        DtypeError: `frames` is neither a numpy array nor a torch tensor.
        ShapeError: it has neither three nor four dimensions.
        ArgumentError: `step_ms` is not above 0.

    Example:
        >>> from_frames(np.array([[[0, 1], [2, 0]]]), step_ms=10).t
        array([ 0., 10.])
    """
    step_ms = check_range("from_frames", "step_ms", step_ms, 0, low_open=True)
    array = as_array("from_frames", "frames", frames)
    if array.ndim not in (3, 4):
        raise ShapeError(
            message("from_frames", "frames has the wrong shape", "(C, X, T) or (C, Y, X, T)", tuple(array.shape))
        )
    step, c, *space = np.nonzero(np.moveaxis(array, -1, 0))
    place = (c, *space, step)
    values = array[place]
    y = space[0] if len(space) == 2 else None
    return Event(space[-1], y, c, step * step_ms, None if np.all(values == 1) else values)


def crop(event: Event, shape: Sequence[int]) -> Event:
    """The events that lie inside a sensor.

    Args:
        event: the recording.
        shape: (C, X) for one spatial dimension, (C, Y, X) for two.

    Returns:
        `event` itself if all of them do.

    Raises:
        ShapeError: `shape` does not fit the events' dimensions.

    Example:
        >>> crop(Event([-1, 0, 2], None, [0, 0, 0], [0, 1, 2]), (1, 2))
        Event(1 events, x to 0, c to 0, 1 to 1 ms)
    """
    check_event("crop", "event", event)
    sizes = [check_integer("crop", "shape", size, 1) for size in check_sequence("crop", "shape", shape)]
    inside = [(axis >= 0) & (axis < size) for _, axis, size in _axes("crop", event, sizes)]
    kept = np.logical_and.reduce(inside)
    return event if kept.all() else event[kept]


def _placed(
    function: str, event: Event, sizes: tuple[int, ...], num_steps: int | None, step_ms: float, rounding: str
) -> tuple[Event, NDArray[np.int64], int]:
    """The events within the steps, which all lie inside of the sensor; the step of each, and the number of steps."""
    for name, axis, size in _axes(function, event, sizes):
        if len(axis) and (axis.min() < 0 or axis.max() >= size):
            raise ArgumentError(
                message(
                    function,
                    f"{name} lies outside of shape {sizes}",
                    f"0 to {size - 1}",
                    f"{axis.min()} to {axis.max()}",
                    "Leave those events out with crop(event, shape)",
                )
            )
    step = bins(event.t, step_ms, rounding)
    if num_steps is None:
        num_steps = check_steps(function, step)
    check_integer(function, "num_steps", num_steps, 1, HIGHEST)
    kept = (step >= 0) & (step < num_steps)
    return (event, step, num_steps) if kept.all() else (event[kept], step[kept], num_steps)


def _frame_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except (TypeError, ValueError):
        raise DtypeError(message("to_frames", "dtype is no dtype", "a dtype of numpy", repr(dtype))) from None
    if kind.kind not in "biuf":
        raise DtypeError(message("to_frames", "dtype does not hold numbers", "a real dtype", kind))
    return kind


def _axes(function: str, event: Event, shape: Sequence[int]) -> list[tuple[str, NDArray[np.int64], int]]:
    """Name, coordinates and size of each axis but time."""
    names, axes = ("c", "y", "x"), (event.c, event.y, event.x)
    named = [(name, whole(axis)) for name, axis in zip(names, axes, strict=True) if axis is not None]
    if len(shape) != len(named):
        layout = "(C, X)" if event.dim == 1 else "(C, Y, X)"
        raise ShapeError(message(function, "shape does not fit the events", layout, tuple(shape)))
    return [(name, axis, size) for (name, axis), size in zip(named, shape, strict=True)]
