"""Reading and writing any event file, by its suffix."""

from __future__ import annotations

import os
from pathlib import Path

from slayerloss._check import ArgumentError, FormatError, message
from slayerloss._path import check_path
from slayerloss.io.arrays import encode_np_spikes, read_array_file, write_npz
from slayerloss.io.binary import encode_1d_spikes, encode_2d_spikes, read_1d_spikes, read_2d_spikes
from slayerloss.io.event import Event

SUFFIXES = (".bin", ".bs2", ".bs1", ".npy", ".npz")


def read(path: str | os.PathLike[str], *, time_unit: float | None = None, unwrap: bool | None = None) -> Event:
    """Read an event file; the suffix says the format.

    Args:
        path: `.bin` or `.bs2` (see `read_2d_spikes`), `.bs1` (`read_1d_spikes`), `.npy` or `.npz`: columns x, [y,] p,
            t, a structured array, or arrays named t, x, [y,] p.
        time_unit: `.npy` and `.npz` only: the unit of t in seconds. By default what the file says, or else milliseconds
            for columns and microseconds for fields.
        unwrap: `.bin`, `.bs2` and `.bs1` only: whether to undo the clock's wrap, see `read_1d_spikes`.

    Returns:
        The events, polarity as channel, times in ms.

    Raises:
        FormatError: the suffix is unknown, or the file does not hold what it demands.
        ArgumentError: `time_unit` or `unwrap` is given for a file of the other kind, or out of range.
        FileError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.npz"
        >>> write(path, Event([3], [1], [1], [0.25], payload=[7]))
        >>> read(path)
        Event(1 events, x to 3, y to 1, c to 1, 0.25 to 0.25 ms, graded)
    """
    suffix = _suffix("read", path)
    arrays = suffix in (".npy", ".npz")
    name, value = ("unwrap", unwrap) if arrays else ("time_unit", time_unit)
    if value is not None:
        raise ArgumentError(message("read", f"{name} does not go with {suffix} files", f"no {name}", repr(value)))
    if arrays:
        return read_array_file(path, time_unit)
    return read_1d_spikes(path, unwrap=unwrap) if suffix == ".bs1" else read_2d_spikes(path, unwrap=unwrap)


def write(path: str | os.PathLike[str], event: Event) -> None:
    """Write an event file; the suffix says the format. A file of that name is replaced once the new one is complete.

    Args:
        path: `.npz` holds any events without loss; `.npy` binary events; `.bin` and `.bs2` binary events of two spatial
            dimensions, up to 256 x 256; `.bs1` of one dimension, up to 65536 neurons. Except in `.npz`, coordinates
            are at least 0; in `.bin`, `.bs2` and `.bs1` times are rounded to microseconds.
        event: the events, their coordinates whole numbers: round those that an augmentation has made real.

    Raises:
        FormatError: the suffix is unknown, or the format cannot hold the events.
        FileError: the file cannot be written.

    Example:
        >>> write("a.txt", Event([3], [1], [1], [0.25]))
        Traceback (most recent call last):
            ...
        slayerloss._check.FormatError: write: 'a.txt' has an unknown suffix; expected one of .bin, .bs2, .bs1, .npy,
        .npz, got '.txt'.
    """
    suffix = _suffix("write", path)
    if suffix == ".npz":
        write_npz(path, event)
    elif suffix == ".npy":
        encode_np_spikes(path, event)
    elif suffix == ".bs1":
        encode_1d_spikes(path, event)
    else:
        encode_2d_spikes(path, event)


def _suffix(function: str, path: str | os.PathLike[str]) -> str:
    suffix = Path(check_path(function, "path", path)).suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            message(function, f"'{path}' has an unknown suffix", "one of " + ", ".join(SUFFIXES), repr(suffix))
        )
    return suffix
