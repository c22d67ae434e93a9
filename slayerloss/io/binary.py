"""The 5-byte event files: `.bs2` and N-MNIST's `.bin` (two dimensions), `.bs1` (one dimension).

An event is 40 bits, big-endian: 16 bits of place, one bit of polarity, 23 bits of time in microseconds. The place is a
neuron id in `.bs1`, 8 bits x and 8 bits y in `.bs2`. The clock starts again every 2^23 us = 8.388608 s.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import FormatError, check_flag, message
from slayerloss._path import check_file_to_read, check_file_to_write, check_path
from slayerloss.io._values import whole
from slayerloss.io.atomic import replacing
from slayerloss.io.event import Event, check_event

PERIOD_US = 1 << 23
_DISORDER_US = 100_000  # steps back up to here are taken for a sensor's disorder, not for an unordered file

_WORD_1D = np.dtype([("x", ">u2"), ("head", "u1"), ("tail", ">u2")])
_WORD_2D = np.dtype([("x", "u1"), ("y", "u1"), ("head", "u1"), ("tail", ">u2")])


def read_1d_spikes(filename: str | os.PathLike[str], *, unwrap: bool | None = None) -> Event:
    """Read a `.bs1` file: 16 bits neuron id, 1 bit polarity, 23 bits of microseconds, big-endian.

    Args:
        filename: the file.
        unwrap: whether to undo the clock's wrap every 8.388608 s: True adds a period wherever time steps back by more
            than half of one, False never. None does as True if the file is in order of time otherwise.

    Returns:
        The events, polarity as channel, times in ms. A file without bytes gives an empty recording.

    Raises:
        FormatError: the size is not a multiple of 5 bytes.
        FileError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.bs1"
        >>> encode_1d_spikes(path, Event([300], None, [1], [0.5]))
        >>> read_1d_spikes(path)
        Event(1 events, x to 300, c to 1, 0.5 to 0.5 ms)

    Note:
        lava-dl never unwraps.
    """
    words, t = _read("read_1d_spikes", filename, _WORD_1D, unwrap)
    return Event(words["x"], None, words["head"] >> 7, t)


def read_2d_spikes(filename: str | os.PathLike[str], *, unwrap: bool | None = None) -> Event:
    """Read a `.bs2` or N-MNIST `.bin` file: 8 bits x, 8 bits y, 1 bit polarity, 23 bits of microseconds, big-endian.

    Args:
        filename: the file.
        unwrap: as in `read_1d_spikes`.

    Returns:
        The events, polarity as channel, times in ms. A file without bytes gives an empty recording.

    Raises:
        FormatError: the size is not a multiple of 5 bytes.
        FileError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.bin"
        >>> encode_2d_spikes(path, Event([3], [33], [1], [0.5]))
        >>> read_2d_spikes(path)
        Event(1 events, x to 3, y to 33, c to 1, 0.5 to 0.5 ms)

    Note:
        lava-dl never unwraps.
    """
    words, t = _read("read_2d_spikes", filename, _WORD_2D, unwrap)
    return Event(words["x"], words["y"], words["head"] >> 7, t)


def encode_1d_spikes(filename: str | os.PathLike[str], td_event: Event) -> None:
    """Write a `.bs1` file: 16 bits neuron id, 1 bit polarity, 23 bits of microseconds, big-endian.

    Args:
        filename: the file; it is replaced once the new one is complete.
        td_event: binary events of one spatial dimension; x in [0, 65535], c in [0, 1]. Times are rounded to
            microseconds.

    Raises:
        FormatError: the format cannot hold the events, or reading would give other times: a recording over 8.388608 s
            must begin before that time, be in order, and have no pause of over half of it.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.bs1"
        >>> encode_1d_spikes(path, Event([0, 1], None, [0, 0], [8000.0, 9000.0]))
        >>> read_1d_spikes(path).t
        array([8000., 9000.])

    Note:
        lava-dl corrupts ids over 255 and writes long recordings as they wrap.
    """
    _write("encode_1d_spikes", filename, td_event, _WORD_1D)


def encode_2d_spikes(filename: str | os.PathLike[str], td_event: Event) -> None:
    """Write a `.bs2` or N-MNIST `.bin` file: 8 bits x, 8 bits y, 1 bit polarity, 23 bits of microseconds, big-endian.

    Args:
        filename: the file; it is replaced once the new one is complete.
        td_event: binary events of two spatial dimensions; x and y in [0, 255], c in [0, 1]. Times are rounded to
            microseconds.

    Raises:
        FormatError: as `encode_1d_spikes`.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/a.bs2"
        >>> encode_2d_spikes(path, Event([256], [0], [0], [0.0]))
        Traceback (most recent call last):
            ...
        slayerloss._check.FormatError: encode_2d_spikes: x does not fit the format of '...a.bs2'; expected 0 to 255,
        got 256 to 256. Write a .npz file, which holds any events.
    """
    _write("encode_2d_spikes", filename, td_event, _WORD_2D)


def _read(
    function: str, filename: str | os.PathLike[str], word: np.dtype[Any], unwrap: bool | None
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    check_path(function, "filename", filename)
    check_file_to_read(function, filename)
    unwrap = None if unwrap is None else check_flag(function, "unwrap", unwrap)
    content = Path(filename).read_bytes()
    if len(content) % word.itemsize:
        raise FormatError(
            message(function, f"'{filename}' is truncated", "5 bytes for each event", f"{len(content)} bytes")
        )
    words = np.frombuffer(content, word)
    time = (words["head"] & 0x7F).astype(np.int64) << 16 | words["tail"]
    return words, _unwrapped(time, unwrap) / 1000


def _unwrapped(time: NDArray[np.int64], unwrap: bool | None) -> NDArray[np.int64]:
    """Add a period of the clock at each wrap: a step back by more than half a period."""
    steps = np.diff(time)
    if unwrap is False or not (steps < 0).any():
        return time
    wraps = steps < -PERIOD_US // 2
    if unwrap is None and (steps[~wraps] < -_DISORDER_US).any():
        return time
    time = time.copy()
    time[1:] += PERIOD_US * np.cumsum(wraps)
    return time


def _write(function: str, filename: str | os.PathLike[str], event: Event, word: np.dtype[Any]) -> None:
    def refuse(
        problem: str, expected: str, got: object, way_out: str = "Write a .npz file, which holds any events"
    ) -> None:
        raise FormatError(message(function, f"{problem} of '{filename}'", expected, got, way_out))

    check_event(function, "td_event", event)
    check_path(function, "filename", filename)
    check_file_to_write(function, filename)
    names = "xyc" if "y" in (word.names or ()) else "xc"
    if event.dim != len(names) - 1:
        refuse("the events do not fit the format", f"{len(names) - 1} spatial dimension(s)", event.dim)
    if event.graded:
        refuse("the events do not fit the format", "binary events", "graded events")
    places = [whole(getattr(event, name)) for name in names]
    limits = [65535, 1] if names == "xc" else [255, 255, 1]
    for name, place, limit in zip(names, places, limits, strict=True):
        exact = getattr(event, name)
        if not np.array_equal(exact, place):
            expected = f"whole numbers from 0 to {limit}"
            refuse(f"{name} does not fit the format", expected, f"{exact.min()} to {exact.max()}", "Round them first")
        if len(place) and (place.min() < 0 or place.max() > limit):
            refuse(f"{name} does not fit the format", f"0 to {limit}", f"{place.min()} to {place.max()}")
    time = whole(event.t * 1000)
    clock = time % PERIOD_US
    if not np.array_equal(_unwrapped(clock, None), time):
        refuse(
            "the times do not fit the format",
            "times from 0 on, in order, first below 8388.608 ms and without long pauses",
            f"{event.t.min()} to {event.t.max()} ms",
            "Sort the events with event.sorted(), or write a .npz file, which holds any events",
        )
    words = np.empty(len(event), word)
    for name, place in zip(names[:-1], places, strict=False):
        words[name] = place
    words["head"] = places[-1] << 7 | clock >> 16
    words["tail"] = clock & 0xFFFF
    with replacing(filename) as temporary:
        temporary.write_bytes(words.tobytes())
