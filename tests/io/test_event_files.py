"""Event files: written and read back, truncated, wrapped, refused; and files of the real data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_event import assert_same_events

from slayerloss import ArgumentError, DtypeError, FileError, FormatError, MissingFileError, io
from slayerloss.io import Event

PERIOD_MS = 2**23 / 1000


@st.composite
def recordings(draw: st.DrawFn, suffix: str = ".bin") -> Event:
    """Events that a file of this suffix can hold: in order of time, with pauses of up to 4 s."""
    number, rng = draw(st.integers(0, 50)), np.random.default_rng(draw(st.integers(0, 10_000)))
    longest = draw(st.sampled_from([0, 100, 4_000_000]))
    times = np.cumsum(rng.integers(0, longest + 1, number)) / 1000
    flat = suffix == ".bs1" or (suffix.startswith(".np") and draw(st.booleans()))
    x = rng.integers(0, 65536 if flat else 256, number)
    y = None if flat else rng.integers(0, 256, number)
    payload = rng.normal(size=number) if suffix == ".npz" and draw(st.booleans()) else None
    return Event(x, y, rng.integers(0, 2, number), times, payload)


@pytest.mark.parametrize("suffix", io.SUFFIXES)
def test_write_then_read_is_identity(suffix, tmp_path):
    @given(recordings(suffix))
    def check(event):
        io.write(tmp_path / f"a{suffix}", event)
        back = io.read(tmp_path / f"a{suffix}")
        assert_same_events(back, event)
        np.testing.assert_array_equal(back.t, event.t)

    check()


@given(recordings(".npz"), st.sampled_from([1e-6, 1e-3]))
def test_structured_arrays_come_back(event, time_unit):
    back = io.from_structured(io.to_structured(event, time_unit), time_unit)
    np.testing.assert_allclose(back.t, event.t, atol=time_unit * 500 + 1e-9)
    assert_same_events(Event(back.x, back.y, back.c, event.t, back.p), event)


def test_bytes_of_the_formats(tmp_path):
    io.write(tmp_path / "a.bs2", Event([1], [2], [1], [70.0]))
    assert (tmp_path / "a.bs2").read_bytes() == bytes([1, 2, 0x80 | 70000 >> 16, 70000 >> 8 & 255, 70000 & 255])
    io.write(tmp_path / "a.bs1", Event([515], None, [0], [70.0]))
    assert (tmp_path / "a.bs1").read_bytes() == bytes([2, 3, 70000 >> 16, 70000 >> 8 & 255, 70000 & 255])


@pytest.mark.parametrize("suffix", [".bin", ".bs1"])
@pytest.mark.parametrize("size", range(12))
def test_truncated_at_any_byte(suffix, size, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(bytes(size))
    if size % 5:
        with pytest.raises(
            FormatError, match=rf"a{suffix}' is truncated; expected 5 bytes for each event, got {size} bytes"
        ):
            io.read(path)
    else:
        assert len(io.read(path)) == size // 5


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_files_truncated_at_any_byte(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    io.write(path, Event([1, 2], [3, 4], [0, 1], [0.5, 1.5]))
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(FormatError, match=rf"a{suffix}' is truncated or no numpy file"):
            io.read(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_numpy_files_are_refused_or_read(suffix, tmp_path):
    path, refused = tmp_path / f"a{suffix}", 0
    io.write(path, Event([1], None, [0], [0.5]))
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            io.read(path)
        except FormatError:
            refused += 1
    assert refused > 50


def test_long_recording_is_unwrapped(tmp_path):
    t = np.arange(0, 30_000, 500.0)
    path = tmp_path / "a.bin"
    io.write(path, Event(t * 0, t * 0, t * 0, t))
    np.testing.assert_array_equal(io.read(path).t, t)
    np.testing.assert_allclose(io.read(path, unwrap=False).t, t % PERIOD_MS)


def test_unordered_file_is_not_taken_for_a_wrap(tmp_path):
    path = tmp_path / "a.bs1"
    times = np.array([8000, 100, 7000, 5000, 200], dtype=np.int64) * 1000
    words = [(0).to_bytes(2, "big") + int(time).to_bytes(3, "big") for time in times]
    path.write_bytes(b"".join(words))
    assert io.read(path).t.tolist() == (times / 1000).tolist()
    assert io.read(path, unwrap=True).t[-1] == pytest.approx(200 + 2 * PERIOD_MS)


@pytest.mark.parametrize(
    ("name", "event", "match"),
    [
        (
            "a.bin",
            Event([256], [0], [0], [0]),
            "x does not fit the format of '.*a.bin'; expected 0 to 255, got 256 to 256",
        ),
        ("a.bin", Event([0], [-1], [0], [0]), "y does not fit the format"),
        ("a.bin", Event([0], [0], [2], [0]), "c does not fit the format of '.*'; expected 0 to 1, got 2 to 2"),
        ("a.bin", Event([0], None, [0], [0]), "expected 2 spatial dimension"),
        ("a.bs1", Event([0], [0], [0], [0]), "expected 1 spatial dimension"),
        ("a.bs1", Event([65536], None, [0], [0]), "expected 0 to 65535, got 65536 to 65536"),
        ("a.bs1", Event([0], None, [0], [0], [3]), "expected binary events, got graded events"),
        ("a.bs1", Event([0], None, [0], [-1]), "the times do not fit the format of '.*a.bs1'.*Sort the events"),
        ("a.bs1", Event([0], None, [0], [9000]), "the times do not fit the format"),
        ("a.bs1", Event([0, 0], None, [0, 0], [0, 9000]), "the times do not fit the format"),
        ("a.bs1", Event([0, 0], None, [0, 0], [8000, 100]), "the times do not fit the format"),
        ("a.npy", Event([0], None, [0], [0], [3]), "expected binary events, got graded events. Write a .npz file"),
        (
            "a.txt",
            Event([0], None, [0], [0]),
            "unknown suffix; expected one of .bin, .bs2, .bs1, .npy, .npz, got '.txt'",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_written(name, event, match, tmp_path):
    with pytest.raises(FormatError, match=match):
        io.write(tmp_path / name, event)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", io.SUFFIXES)
def test_arguments_of_the_other_kind_of_file_are_refused(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    io.write(path, Event([1], None if suffix == ".bs1" else [1], [1], [0.5]))
    if suffix.startswith(".np"):
        assert io.read(path, time_unit=1e-3).t.tolist() == [0.5]
        with pytest.raises(ArgumentError, match=rf"read: unwrap does not go with {suffix} files; expected no unwrap"):
            io.read(path, unwrap=False)
    else:
        for unwrap in (None, True, False, np.False_, 0):
            assert io.read(path, unwrap=unwrap).t.tolist() == [0.5]
        with pytest.raises(ArgumentError, match=rf"read: time_unit does not go with {suffix} files; .* got 'x'.$"):
            io.read(path, time_unit="x")
        for unwrap in (3, "no", 0.5):
            with pytest.raises(DtypeError, match="unwrap is neither True nor False"):
                io.read(path, unwrap=unwrap)


@pytest.mark.parametrize("false", [False, np.False_, 0])
def test_every_false_leaves_the_clock_wrapped(false, tmp_path):
    path = tmp_path / "a.bin"
    io.write(path, Event([1, 1], [1, 1], [1, 1], [8000.0, 9000.0]))
    assert io.read(path, unwrap=false).t.tolist() == [8000.0, pytest.approx(9000 - PERIOD_MS)]


def test_wrong_arguments(tmp_path):
    io.write(tmp_path / "a.npz", Event([0], None, [0], [0]))
    with pytest.raises(FormatError, match=r"is a \.npz file"):
        io.read_np_spikes(tmp_path / "a.npz")
    with pytest.raises(ArgumentError, match="fmt is unknown"):
        io.read_np_spikes(tmp_path / "a.npz", fmt="txyp")
    with pytest.raises(ArgumentError, match="time_unit is out of range"):
        io.read(tmp_path / "a.npz", time_unit=-1)
    with pytest.raises(FormatError, match="the array lacks the field t, x, p"):
        io.from_structured(np.zeros(3))
    with pytest.raises(FileNotFoundError, match=r"missing.bin"):
        io.read(tmp_path / "missing.bin")


SUFFIXES = [".npz", ".npy", ".bin", ".bs2", ".bs1"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_or_wrong_path_is_named(suffix, tmp_path):
    event = Event([], None if suffix == ".bs1" else [], [], [])
    with pytest.raises(MissingFileError, match=r"'.*no/a\..*' cannot be written; .* mkdir -p .*no\.$") as caught:
        io.write(tmp_path / "no" / f"a{suffix}", event)
    assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"expected the folder '.*file', got a file"):
        io.write(tmp_path / "file" / f"a{suffix}", event)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(FileError, match="is a folder; expected a file"):
        io.write(tmp_path / f"folder{suffix}", event)
    with pytest.raises(FileError, match="is a folder; expected a file"):
        io.read(tmp_path / f"folder{suffix}")
    with pytest.raises(MissingFileError, match=r"there is no file '.*missing\..*'; expected a file, got no such file"):
        io.read(tmp_path / f"missing{suffix}")


def test_io_needs_no_torch():
    program = "import sys, slayerloss.io; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_all_recordings_of_nmnist_are_read_and_counted(shared: Path):
    files = sorted((shared / "data" / "NMNIST").rglob("*.bin"))
    assert len(files) == 900
    for path in files:
        event = io.read(path)
        assert len(event) == path.stat().st_size // 5
        assert io.to_frames(event, (2, 34, 34), step_ms=10, count=True).sum() == len(event)


def test_written_recordings_are_the_files_they_came_from(shared: Path, tmp_path):
    for path in [
        *sorted((shared / "data" / "NMNIST" / "Test").rglob("*.bin"))[::10],
        *(shared / "data").rglob("*.bs1"),
    ]:
        io.write(tmp_path / path.name, io.read(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
