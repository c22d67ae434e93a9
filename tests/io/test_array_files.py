"""Arrays and `.npz` files: what they hold, what is refused, and what other libraries and versions wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError, FormatError, io
from slayerloss.data import augment
from slayerloss.io import Event


def test_npz_files_hold_any_whole_coordinates(tmp_path):
    whole = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3)

    @given(whole, whole, st.one_of(whole, st.lists(st.integers(-1, 1), min_size=3, max_size=3)), st.booleans())
    def check(x, y, c, real):
        event = Event(x, y, c, [-0.25, 0.0, 1e300], np.array([1, 2, 255], np.uint8))
        if real:  # as after an augmentation, but whole
            event.x, event.y = event.x.astype(np.float64), event.y.astype(np.float64)
        io.write(tmp_path / "a.npz", event)
        back = io.read(tmp_path / "a.npz")
        for name in "xyctp":
            np.testing.assert_array_equal(getattr(back, name), getattr(event, name))
        assert (back.x.dtype, back.p.dtype) == (np.int64, np.uint8)

    check()


def test_files_of_earlier_versions_are_read_as_before(tmp_path):
    path = tmp_path / "a.npz"  # as written before files said who wrote them
    np.savez_compressed(path, time_unit=1e-3, t=[1.5, 2.0], x=[1, 2], y=[3, 4], p=[-1, 1])
    event = io.read(path)
    assert (event.t.tolist(), event.y.tolist(), event.c.tolist()) == ([1.5, 2.0], [3, 4], [0, 1])
    np.savez_compressed(path, time_unit=1e-3, t=[1.5, 2.0], x=[1, -2], p=[0, 1])
    with pytest.raises(FormatError, match="x is no coordinate; expected whole numbers from 0"):
        io.read(path)
    np.savez_compressed(path, format="slayerloss", time_unit=1e-3, t=[1.5], x=[0.5], p=[0])
    with pytest.raises(FormatError, match=r"x is no coordinate; .* from -2147483648 to 2147483647, got 0.5"):
        io.read(path)


@pytest.mark.parametrize(("p", "c"), [([-1, 1, -1], [0, 1, 0]), ([-1, -1, -1], [0, 0, 0]), ([1, 1, 1], [1, 1, 1])])
def test_polarities_are_mapped(p, c):
    for dtype in (int, float, np.int8):
        assert io.from_structured({"t": [1, 2, 3], "x": [1, 1, 1], "p": np.array(p, dtype)}).c.tolist() == c


@pytest.mark.parametrize("p", [[-1, 0, 3], [-1, 0, 1], [-1, 5, 1], [-2, 1, 1], [-1, 1, 0.5]])
def test_other_negative_channels_are_refused(p):
    match = r"p is no coordinate; expected whole numbers from 0 to 2147483647, or -1 and 1 only, got -"
    with pytest.raises(FormatError, match=match):
        io.from_structured({"t": [1, 2, 3], "x": [1, 1, 1], "p": p})


def test_events_and_files_take_the_same_coordinates(tmp_path):
    lowest, highest = -(2**31), 2**31 - 1
    io.write(tmp_path / "a.npz", Event([lowest, highest], None, [lowest, highest], [0, 1]))
    assert io.read(tmp_path / "a.npz").x.tolist() == [lowest, highest]
    for wrong in (lowest - 1, highest + 1):
        with pytest.raises(ArgumentError, match="x_event is too large; expected whole numbers of 32 bits"):
            Event([wrong], None, [0], [0])
        np.savez_compressed(tmp_path / "a.npz", format="slayerloss", t=[1.5], x=[wrong], p=[0])
        with pytest.raises(FormatError, match=rf"x is no coordinate; .* from {lowest} to {highest}, got {wrong} to"):
            io.read(tmp_path / "a.npz")


REAL = augment.Rotate(5)(Event([3], [4], [0], [1.0]), np.random.default_rng(0))


def test_real_coordinates_are_refused_at_writing(tmp_path):
    for suffix in io.SUFFIXES:
        event = Event([3], None if suffix == ".bs1" else [4], [0], [1.0])
        event.x = event.x - 0.75
        with pytest.raises(FormatError, match=rf"a{suffix}'.* got 2.25 to 2.25. Round them first.$"):
            io.write(tmp_path / f"a{suffix}", event)
        if suffix != ".bs1":
            with pytest.raises(FormatError, match="expected whole numbers from"):
                io.write(tmp_path / f"a{suffix}", REAL)
        event.x = np.array([np.nan])
        with pytest.raises(FormatError, match=f"a{suffix}'"):
            io.write(tmp_path / f"a{suffix}", event)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FormatError, match="x is no coordinate"):
        io.to_structured(REAL)


@pytest.mark.parametrize("event", [Event([-3], [4], [0], [1]), Event([3], [4], [-1], [1]), Event([3], [-4], [1], [1])])
def test_negative_coordinates_are_refused_where_reading_would_refuse_or_change_them(event, tmp_path):
    with pytest.raises(FormatError, match=r"is no coordinate; expected whole numbers from 0 to 2147483647, got -"):
        io.write(tmp_path / "a.npy", event)
    with pytest.raises(FormatError, match=r"the event: .* is no coordinate"):
        io.to_structured(event)
    with pytest.raises(ArgumentError, match="t is not finite"):
        io.encode_np_spikes(tmp_path / "a.npy", Event([3], [4], [0], [1e308]), time_unit=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_np_spikes_honour_time_unit(tmp_path):
    path = tmp_path / "a.npy"
    event = Event([300], [2], [1], [1.5])
    io.encode_np_spikes(path, event, time_unit=1e-6)
    assert np.load(path).tolist() == [[300, 2, 1, 1500]]
    assert io.read_np_spikes(path, time_unit=1e-6).t.tolist() == [1.5]
    io.encode_np_spikes(str(tmp_path / "b"), event)
    assert io.read(tmp_path / "b.npy").t.tolist() == [1.5]


def test_arrays_of_other_libraries(tmp_path):
    fields = np.array([(7, 8, 1500, True), (1, 2, 2500, False)], [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    np.save(tmp_path / "a.npy", fields)
    event = io.read(tmp_path / "a.npy")
    assert (event.t.tolist(), event.c.tolist()) == ([1.5, 2.5], [1, 0])
    assert io.read(tmp_path / "a.npy", time_unit=1e-3).t.tolist() == [1500, 2500]
    assert io.from_structured({"t": [1], "x": [3], "p": [-1]}).c.tolist() == [0]
    np.savez(tmp_path / "a.npz", t=[1000], x=[1], p=[1])
    assert io.read(tmp_path / "a.npz").t.tolist() == [1.0]


@pytest.mark.parametrize(
    ("held", "match"),
    [
        (np.zeros((3, 5)), r"does not hold events; expected columns x, p, t or x, y, p, t, got shape \(3, 5\)"),
        (np.zeros(3), "does not hold events"),
        (np.array([[0.5, 0, 0]]), "x is no coordinate; expected whole numbers from 0 to 2147483647, got 0.5 to 0.5"),
        (np.array([[-2, 0, 0]]), "x is no coordinate"),
        (np.array([[0, 1e30, 0]]), "p is no coordinate"),
        (np.array([[0, 0, np.nan]]), "t is not finite"),
        (np.array([[np.nan, 0, 0]]), "x is not finite"),
        (np.array([["a", "b", "c"]]), "a.npy"),
        (
            np.zeros(2, [("x", int), ("t", int)]),
            r"lacks the field p; expected fields t, x, p and perhaps y, got \['x', 't'\]",
        ),
        (np.array([{"x": 1}], dtype=object), "truncated or no numpy file"),
    ],
)
def test_wrong_numpy_files(held, match, tmp_path):
    np.save(tmp_path / "a.npy", held)
    with pytest.raises(FormatError, match=match) as caught:
        io.read(tmp_path / "a.npy")
    assert "a.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "got"),
    [
        ("us", "<U2 us"),
        (1 + 2j, r"complex128 \(1\+2j\)"),
        (-1.0, "float64 -1.0"),
        (0, "int64 0"),
        (np.nan, "float64 nan"),
        (5e-324, "float64 5e-324"),
        ([1e-3, 1e-6], "2 values"),
        ([], "0 values"),
        (np.datetime64("2026-01-01"), "datetime64"),
    ],
)
def test_a_stored_time_unit_that_is_none_is_refused(stored, got, tmp_path):
    np.savez(tmp_path / "a.npz", t=[1000], x=[1], p=[1], time_unit=stored)
    match = rf"time_unit of '.*a.npz' is no unit; expected one number of seconds above 0, got {got}.* Give read the"
    with pytest.raises(FormatError, match=match):
        io.read(tmp_path / "a.npz")
    assert io.read(tmp_path / "a.npz", time_unit=1e-6).t.tolist() == [1.0]


@pytest.mark.parametrize("stored", [1e-6, [1e-6], "1e-6", np.float32(1e-6)])
def test_a_stored_time_unit(stored, tmp_path):
    np.savez(tmp_path / "a.npz", t=[1000], x=[1], p=[1], time_unit=stored)
    assert io.read(tmp_path / "a.npz").t.tolist() == pytest.approx([1.0])


@pytest.mark.parametrize(
    "fields",
    [
        np.zeros((), [("t", "i8"), ("x", "i4"), ("p", "i4")]),
        np.zeros(2, [("t", "i8"), ("x", "i4"), ("p", "i4")])[0],
        {"t": 1, "x": 2, "p": 1},
        {"t": [[1], [1, 2]], "x": [2], "p": [1]},
        {"t": [1], "x": [2], "p": [[0], [1, 2]]},
        {"t": [1], "x": [[0], [1, 2]], "p": [1]},
        {"t": ["a"], "x": [2], "p": [1]},
        {"t": [1], "x": [2], "p": ["a"]},
        {"t": [1], "x": [2], "p": [1j]},
        {"t": [None], "x": [2], "p": [1]},
        {"t": [1], "x": [2, 3], "p": [1]},
        {"t": [1], "x": [2], "p": [1], "payload": [[1], [1, 2]]},
    ],
)
def test_fields_that_are_no_columns_are_refused(fields):
    with pytest.raises(FormatError, match=r"^the array: .*; expected .*, got "):
        io.from_structured(fields)
