"""Events in numpy arrays and files: lava-dl's columns, structured arrays, and `.npz` files that hold any events."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import (
    ArgumentError,
    FormatError,
    SlayerError,
    check_choice,
    check_file_to_read,
    check_file_to_write,
    check_path,
    check_range,
    message,
)
from slayerloss.io.atomic import replacing
from slayerloss.io.event import Event, check_event

_MILLISECOND, _MICROSECOND = 1e-3, 1e-6


def from_structured(array: Any, time_unit: float = _MICROSECOND) -> Event:
    """The events of a structured array, or of anything that gives fields by name.

    Args:
        array: fields t, x, p and, in two dimensions, y; optionally `payload`. p is the polarity or channel: bool, from
            0 on, or -1 and 1.
        time_unit: the unit of t in seconds; microseconds by default.

    Returns:
        The events, polarity as channel, times in ms.

    Raises:
        FormatError: a field is missing, or a coordinate is negative or no whole number.

    Example:
        >>> fields = [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")]
        >>> from_structured(np.array([(3, 1, 1500, True)], fields))
        Event(1 events, x to 3, y to 1, c to 1, 1.5 to 1.5 ms)
    """
    return _from_fields("from_structured", "the array", array, time_unit)


def to_structured(event: Event, time_unit: float = _MICROSECOND) -> NDArray[Any]:
    """Events as a structured array, as most event libraries take them.

    Args:
        event: the events.
        time_unit: the unit of t in seconds; times are rounded to it.

    Returns:
        (E,) with fields t, x, y (in two dimensions), p and, for graded events, payload.

    Raises:
        ArgumentError: `time_unit` is not above 0, or a time does not fit into 64 bits.

    Example:
        >>> to_structured(Event([3], [1], [1], [1.5]))
        array([(1500, 3, 1, 1)], dtype=[('t', '<i8'), ('x', '<i4'), ('y', '<i4'), ('p', '<i4')])
    """
    check_event("to_structured", "event", event)
    time_unit = check_range("to_structured", "time_unit", time_unit, 0, low_open=True)
    times = np.round(event.t * _units_per_ms(time_unit))
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
        td_event: binary events.
        fmt: the order of the columns; only "xypt" exists.
        time_unit: the unit of t in seconds; milliseconds by default.

    Raises:
        FormatError: the events are graded.
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
    time_unit = check_range("encode_np_spikes", "time_unit", time_unit, 0, low_open=True)
    check_event("encode_np_spikes", "td_event", td_event)
    if td_event.graded:
        way_out = "Write a .npz file, which holds any events"
        raise FormatError(
            message(
                "encode_np_spikes", f"the events do not fit '{filename}'", "binary events", "graded events", way_out
            )
        )
    space = [td_event.x] if td_event.y is None else [td_event.x, td_event.y]
    columns = np.column_stack([*space, td_event.c, td_event.t * _units_per_ms(time_unit)]).astype(np.float64)
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
    held = _load("read", filename)
    if isinstance(held, np.ndarray) and held.dtype.names is None:
        return _from_columns("read", filename, held, _MILLISECOND if time_unit is None else time_unit)
    if time_unit is None:
        stored = held.get("time_unit", _MICROSECOND) if isinstance(held, dict) else _MICROSECOND
        time_unit = float(stored) if np.size(stored) == 1 else _MICROSECOND
    return _from_fields("read", f"'{filename}'", held, time_unit)


def write_npz(filename: str | os.PathLike[str], event: Event) -> None:
    """Write a `.npz` file, which holds any events without loss: t in ms, x, y, p, payload, time_unit.

    Args:
        filename: the file; it is replaced once the new one is complete.
        event: the events.

    Raises:
        FileError: the file cannot be written.
    """
    check_event("write", "event", event)
    check_file_to_write("write", check_path("write", "filename", filename))
    fields: dict[str, Any] = {"t": event.t, "x": event.x, "y": event.y, "p": event.c, "payload": event.p}
    fields = {name: values for name, values in fields.items() if values is not None}
    with replacing(filename) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, time_unit=_MILLISECOND, **fields)


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


def _from_fields(function: str, place: str, fields: Any, time_unit: float) -> Event:
    """The events of named fields; whatever is wrong with them is said with the name of their place."""
    time_unit = check_range(function, "time_unit", time_unit, 0, low_open=True)
    named = fields if isinstance(fields, Mapping) else getattr(getattr(fields, "dtype", None), "names", None)
    names = list(named or ())
    missing = [name for name in "txp" if name not in names]
    if missing:
        raise FormatError(
            message(function, f"{place} lacks the field {', '.join(missing)}", "fields t, x, p and perhaps y", names)
        )
    p = np.asarray(fields["p"])
    if p.dtype.kind in "if" and len(p) and p.min() == -1:
        p = p > 0
    try:
        return Event(
            _whole(function, "x", fields["x"]),
            _whole(function, "y", fields["y"]) if "y" in names else None,
            _whole(function, "p", p),
            np.asarray(fields["t"]) / _units_per_ms(time_unit),
            fields["payload"] if "payload" in names else None,
        )
    except (SlayerError, TypeError) as error:
        raise FormatError(f"{place}: {error}") from None


def _units_per_ms(time_unit: float) -> float:
    """1000 for 1e-6, not 1000.0000000000001: whole microseconds stay whole."""
    units = _MILLISECOND / time_unit
    return round(units) if math.isclose(units, round(units), rel_tol=1e-12) else units


def _whole(function: str, name: str, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind in "iuf" and len(array):
        low, high = array.min(), array.max()
        if not (low >= 0 and high < 2**31 and np.array_equal(array, np.floor(array))):
            expected = "whole numbers from 0 to 2147483647"
            raise FormatError(message(function, f"{name} is no coordinate", expected, f"{low} to {high}"))
    return array
