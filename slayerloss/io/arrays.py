"""Events in numpy arrays and files: lava-dl's columns, structured arrays, and `.npz` files without loss."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, FormatError, SlayerError, check_choice, check_range, message
from slayerloss._path import check_file_to_read, check_file_to_write, check_path
from slayerloss.io._values import HIGHEST, numbers, whole_coordinate
from slayerloss.io.atomic import replacing
from slayerloss.io.event import Event, check_event

_MILLISECOND, _MICROSECOND = 1e-3, 1e-6
_OURS = "slayerloss"
"""The `format` of a `.npz` file that `write_npz` wrote: its coordinates are taken as they are."""


def from_structured(array: Any, time_unit: float = _MICROSECOND) -> Event:
    """The events of a structured array, or of anything that gives fields by name.

    Args:
        array: fields t, x, p and, in two dimensions, y; optionally `payload`. p is the polarity or channel: bool, from
            0 on, or -1 and 1.
        time_unit: the unit of t in seconds; microseconds by default.

    Returns:
        The events, polarity as channel, times in ms.

    Raises:
        FormatError: a field is missing or no array (E,) of numbers, or a coordinate is negative or no whole number.

    Example:
        >>> fields = [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")]
        >>> from_structured(np.array([(3, 1, 1500, True)], fields))
        Event(1 events, x to 3, y to 1, c to 1, 1.5 to 1.5 ms)
    """
    return _from_fields("from_structured", "the array", array, _check_unit("from_structured", time_unit))


def to_structured(event: Event, time_unit: float = _MICROSECOND) -> NDArray[Any]:
    """Events as a structured array, as most event libraries take them.

    Args:
        event: the events.
        time_unit: the unit of t in seconds; times are rounded to it.

    Returns:
        (E,) with fields t, x, y (in two dimensions), p and, for graded events, payload.

    Raises:
        ArgumentError: `time_unit` is out of range, or a time does not fit into 64 bits.
        FormatError: a coordinate is negative or no whole number.

    Example:
        >>> to_structured(Event([3], [1], [1], [1.5]))
        array([(1500, 3, 1, 1)], dtype=[('t', '<i8'), ('x', '<i4'), ('y', '<i4'), ('p', '<i4')])
    """
    check_event("to_structured", "event", event)
    time_unit = _check_unit("to_structured", time_unit)
    event = _whole_event("to_structured", "the event", event)
    times = np.round(_in_units("to_structured", event.t, time_unit))
    if len(times) and np.abs(times).max() >= 2.0**63:
        way_out = "A longer time_unit makes them smaller"
        problem, got = "the times are too large", f"{times.min():g} to {times.max():g}"
        raise ArgumentError(message("to_structured", problem, "whole numbers of 64 bits", got, way_out))
    columns: dict[str, NDArray[Any]] = {
        "t": times.astype(np.int64),
        "x": event.x.astype(np.int32),
    }
    if event.y is not None:
        columns["y"] = event.y.astype(np.int32)
    columns["p"] = event.c.astype(np.int32)
    if event.p is not None:
        columns["payload"] = event.p
    array = np.empty(len(event), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        array[name] = column
    return array


def read_np_spikes(filename: str | os.PathLike[str], fmt: str = "xypt", time_unit: float = _MILLISECOND) -> Event:
    """Read a `.npy` file with one row for each event: x, p, t or x, y, p, t.

    Args:
        filename: the file.
        fmt: the order of the columns; only "xypt" exists.
        time_unit: the unit of t in seconds; milliseconds by default.

    Returns:
        The events, polarity as channel, times in ms.

    Raises:
        FormatError: the file is truncated or holds something else.
        FileError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.npy"
        >>> np.save(path, [[3, 1, 1, 250]])
        >>> read_np_spikes(path, time_unit=1e-6)
        Event(1 events, x to 3, y to 1, c to 1, 0.25 to 0.25 ms)
    """
    check_choice("read_np_spikes", "fmt", fmt, ("xypt",))
    time_unit = _check_unit("read_np_spikes", time_unit)
    array = _load("read_np_spikes", filename)
    if not isinstance(array, np.ndarray):
        raise FormatError(message("read_np_spikes", f"'{filename}' is a .npz file", "a .npy file", list(array)))
    return _from_columns("read_np_spikes", filename, array, time_unit)


def encode_np_spikes(
    filename: str | os.PathLike[str], td_event: Event, fmt: str = "xypt", time_unit: float = _MILLISECOND
) -> None:
    """Write a `.npy` file with one float64 row for each event: x, p, t or x, y, p, t.

    Args:
        filename: the file; `.npy` is appended if it is not there, and a file of that name replaced.
        td_event: binary events, their coordinates whole numbers from 0 on.
        fmt: the order of the columns; only "xypt" exists.
        time_unit: the unit of t in seconds; milliseconds by default.

    Raises:
        FormatError: the events are graded, or a coordinate is negative or no whole number.
        ArgumentError: `time_unit` is out of range.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.npy"
        >>> encode_np_spikes(path, Event([3], [1], [1], [0.25]), time_unit=1e-6)
        >>> np.load(path)
        array([[  3.,   1.,   1., 250.]])

    Note:
        lava-dl ignores `time_unit` here and drops payloads.
    """
    check_choice("encode_np_spikes", "fmt", fmt, ("xypt",))
    time_unit = _check_unit("encode_np_spikes", time_unit)
    check_event("encode_np_spikes", "td_event", td_event)
    if td_event.graded:
        way_out = "Write a .npz file, which holds any events"
        raise FormatError(
            message(
                "encode_np_spikes", f"the events do not fit '{filename}'", "binary events", "graded events", way_out
            )
        )
    event = _whole_event("encode_np_spikes", f"'{filename}'", td_event)
    space = [event.x] if event.y is None else [event.x, event.y]
    columns = np.column_stack([*space, event.c, _in_units("encode_np_spikes", event.t, time_unit)])
    target = check_path("encode_np_spikes", "filename", filename)
    check_file_to_write("encode_np_spikes", target)
    with (
        replacing(target if target.endswith(".npy") else target + ".npy") as temporary,
        open(temporary, "wb") as handle,
    ):
        np.save(handle, columns)


def read_array_file(filename: str | os.PathLike[str], time_unit: float | None = None) -> Event:
    """Read a `.npy` or `.npz` file: columns as lava-dl writes them, a structured array, or fields by name.

    Args:
        filename: the file.
        time_unit: the unit of t in seconds. By default what the file says (`time_unit` in a `.npz`), or else
            milliseconds for columns and microseconds for fields.

    Returns:
        The events, polarity as channel, times in ms.

    Raises:
        FormatError: the file is truncated or holds something else.
        FileError: the file cannot be read.
    """
    if time_unit is not None:
        time_unit = _check_unit("read", time_unit)
    held = _load("read", filename)
    if isinstance(held, np.ndarray) and held.dtype.names is None:
        return _from_columns("read", filename, held, _MILLISECOND if time_unit is None else time_unit)
    if time_unit is None:
        time_unit = _stored_unit(filename, held) if isinstance(held, dict) else _MICROSECOND
    ours = isinstance(held, dict) and str(held.get("format")) == _OURS
    return _from_fields("read", f"'{filename}'", held, time_unit, ours=ours)


def write_npz(filename: str | os.PathLike[str], event: Event) -> None:
    """Write a `.npz` file, which holds events without loss: t in ms, x, y, p, payload, time_unit, format.

    Args:
        filename: the file; it is replaced once the new one is complete.
        event: the events, their coordinates whole numbers.

    Raises:
        FormatError: a coordinate is no whole number.
        FileError: the file cannot be written.
    """
    check_event("write", "event", event)
    check_file_to_write("write", check_path("write", "filename", filename))
    event = _whole_event("write", f"'{filename}'", event, lowest=-HIGHEST - 1)
    fields: dict[str, Any] = {"t": event.t, "x": event.x, "y": event.y, "p": event.c, "payload": event.p}
    fields = {name: values for name, values in fields.items() if values is not None}
    with replacing(filename) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, time_unit=_MILLISECOND, format=_OURS, **fields)


def _load(function: str, filename: str | os.PathLike[str]) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of a `.npy` file or the arrays of a `.npz` file; nothing is unpickled."""
    check_path(function, "filename", filename)
    check_file_to_read(function, filename)
    with open(filename, "rb") as handle:
        try:
            held = np.load(handle, allow_pickle=False)
            return held if isinstance(held, np.ndarray) else {name: held[name] for name in held.files}
        except Exception as error:  # a damaged file makes numpy and zipfile raise a dozen types
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise FormatError(
                message(function, f"'{filename}' is truncated or no numpy file", "a .npy or .npz file", reason)
            ) from None


def _from_columns(function: str, filename: object, array: NDArray[Any], time_unit: float) -> Event:
    if array.ndim != 2 or array.shape[1] not in (3, 4):
        raise FormatError(
            message(
                function, f"'{filename}' does not hold events", "columns x, p, t or x, y, p, t", f"shape {array.shape}"
            )
        )
    names = "xpt" if array.shape[1] == 3 else "xypt"
    return _from_fields(function, f"'{filename}'", dict(zip(names, array.T, strict=True)), time_unit)


def _from_fields(function: str, place: str, fields: Any, time_unit: float, *, ours: bool = False) -> Event:
    """The events of named fields; whatever is wrong with them is said with the name of their place.

    In files of `ours` channels may be negative; elsewhere -1 and 1 are polarities.
    """
    named = fields if isinstance(fields, Mapping) else getattr(getattr(fields, "dtype", None), "names", None)
    names = list(named or ())
    missing = [name for name in "txp" if name not in names]
    if missing:
        raise FormatError(
            message(function, f"{place} lacks the field {', '.join(missing)}", "fields t, x, p and perhaps y", names)
        )
    try:
        t = numbers(function, "t", fields["t"]) / _units_per_ms(time_unit)
        p = numbers(function, "p", fields["p"])
        if not ours and p.dtype.kind in "if" and len(p) and np.isin(p, (-1, 1)).all():
            p = p > 0
        lowest = -HIGHEST - 1 if ours else 0
        x = whole_coordinate(function, "x", fields["x"], lowest)
        y = whole_coordinate(function, "y", fields["y"], lowest) if "y" in names else None
        c = whole_coordinate(function, "p", p, lowest)
        return Event(x, y, c, t, fields["payload"] if "payload" in names else None)
    except SlayerError as error:
        raise FormatError(f"{place}: {error}") from None


def _whole_event(function: str, place: str, event: Event, *, lowest: int = 0) -> Event:
    """The event with its coordinates as integers; FormatError if reading it again would refuse them."""
    try:
        x = whole_coordinate(function, "x", event.x, lowest)
        y = None if event.y is None else whole_coordinate(function, "y", event.y, lowest)
        return Event(x, y, whole_coordinate(function, "c", event.c, lowest), event.t, event.p)
    except SlayerError as error:
        raise FormatError(f"{place}: {error}") from None


def _check_unit(function: str, time_unit: Any) -> float:
    """A unit of time in seconds, within what a float can convert to ms and back."""
    return check_range(function, "time_unit", time_unit, 1e-18, 1e18)


def _stored_unit(filename: object, held: dict[str, NDArray[Any]]) -> float:
    """What a `.npz` file says the unit of its times is; microseconds if it does not."""
    stored = held.get("time_unit", np.array(_MICROSECOND))
    try:
        return _check_unit("read", float(stored.item()))
    except (TypeError, ValueError):  # several, a text, a complex number, or out of range
        problem, way_out = f"time_unit of '{filename}' is no unit", "Give read the time_unit"
        got = f"{stored.dtype} {stored}" if stored.size == 1 else f"{stored.size} values"
        raise FormatError(message("read", problem, "one number of seconds above 0", got, way_out)) from None


def _units_per_ms(time_unit: float) -> float:
    """1000 for 1e-6, not 1000.0000000000001: whole microseconds stay whole."""
    units = _MILLISECOND / time_unit
    return round(units) if math.isclose(units, round(units), rel_tol=1e-12) else units


def _in_units(function: str, t: NDArray[np.float64], time_unit: float) -> NDArray[np.float64]:
    """Times in ms in units of `time_unit`; ArgumentError if they are too large for floats."""
    with np.errstate(over="ignore"):
        return numbers(function, "t", t * _units_per_ms(time_unit))
