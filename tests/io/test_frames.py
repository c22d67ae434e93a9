"""Frames: every event counted, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.io import Event, bins, crop, from_frames, to_frames


@st.composite
def recordings(draw: st.DrawFn) -> Event:
    number, rng = draw(st.integers(0, 60)), np.random.default_rng(draw(st.integers(0, 10_000)))
    y = rng.integers(0, 3, number) if draw(st.booleans()) else None
    times = rng.integers(0, 20_000, number) / 1000
    payload = rng.integers(1, 9, number) if draw(st.booleans()) else None
    return Event(rng.integers(0, 4, number), y, rng.integers(0, 2, number), times, payload)


def shape_of(event: Event) -> tuple[int, ...]:
    return (2, 4) if event.y is None else (2, 3, 4)


@given(recordings(), st.sampled_from([0.1, 0.3, 1.0, 2.5]))
def test_counts_are_conserved(event, step_ms):
    frames = to_frames(event, shape_of(event), step_ms=step_ms, count=True)
    assert frames.sum() == (len(event) if event.p is None else event.p.sum())


@given(recordings())
def test_binary_frames_mark_the_counted_bins(event):
    event = Event(event.x, event.y, event.c, event.t)
    counts = to_frames(event, shape_of(event), 20, count=True)
    np.testing.assert_array_equal(to_frames(event, shape_of(event), 20), counts > 0)


@given(recordings(), st.sampled_from([0.1, 0.3, 1.0, 10]))
def test_frames_events_frames_is_identity(event, step_ms):
    frames = to_frames(event, shape_of(event), 25, step_ms, count=True)
    back = from_frames(frames, step_ms)
    assert (np.diff(back.t) >= 0).all()
    np.testing.assert_array_equal(to_frames(back, shape_of(event), 25, step_ms, count=True), frames)
    again = from_frames(torch.from_numpy(np.ascontiguousarray(frames)), step_ms)
    np.testing.assert_array_equal(again.t, back.t)


@given(st.lists(st.integers(0, 10**10), min_size=1), st.integers(1, 10**7))
def test_whole_microseconds_fall_exactly(times_us, step_us):
    found = bins(np.array(times_us) / 1000, step_us / 1000)
    assert found.tolist() == [time // step_us for time in times_us]


def test_nearest_is_lava_dl_s_rounding():
    t = np.array([0.49, 0.5, 0.51, 1.5, 2.5])
    assert bins(t, rounding="nearest").tolist() == np.round(t).tolist() == [0, 0, 1, 2, 2]


def test_order_and_memory():
    event = Event([2], [1], [1], [3.5])
    frames = to_frames(event, (2, 3, 4), 5)
    assert frames.shape == (2, 3, 4, 5)
    assert frames.dtype == np.float32
    assert np.argwhere(frames).tolist() == [[1, 1, 2, 3]]
    assert np.moveaxis(frames, -1, 0).flags.c_contiguous
    assert to_frames(event, (2, 3, 4), 5, dtype=np.uint8).dtype == np.uint8


def test_times_outside_are_left_out():
    event = Event([0, 0, 0], None, [0, 0, 0], [-0.5, 1.0, 5.0])
    assert to_frames(event, (1, 1), 5)[0, 0].tolist() == [0, 1, 0, 0, 0]
    assert to_frames(event, (1, 1))[0, 0].tolist() == [0, 1, 0, 0, 0, 1]


def test_empty():
    empty = Event([], None, [], [])
    assert to_frames(empty, (1, 2)).shape == (1, 2, 1)
    assert to_frames(empty, (1, 2), 7, count=True).sum() == 0
    assert len(from_frames(np.zeros((1, 2, 3)))) == 0
    assert len(crop(empty, (1, 1))) == 0


def test_real_coordinates_that_a_caller_puts_in_are_rounded():
    event = Event([1, 2], None, [0, 0], [0, 1])
    event.x = event.x * 0.9 - 1.4
    assert crop(event, (1, 2)) is event
    assert to_frames(event, (1, 2))[0].tolist() == [[1, 1], [0, 0]]


def test_crop():
    event = Event([-1, 0, 3, 4], [0, 0, 2, 0], [0, 1, 1, 0], [0, 1, 2, 3])
    assert crop(event, (2, 3, 4)).t.tolist() == [1, 2]
    inside = event[1:3]
    assert crop(inside, (2, 3, 4)) is inside


MANY = Event(np.zeros(2300, int), None, np.zeros(2300, int), np.full(2300, 0.5))


@pytest.mark.parametrize(("number", "dtype"), [(255, np.uint8), (300, np.float16), (2300, np.float32), (1, np.bool_)])
def test_a_count_that_fits_is_right(number, dtype):
    assert to_frames(MANY[np.arange(2300) < number], (1, 1), count=True, dtype=dtype).tolist() == [[[number]]]


@pytest.mark.parametrize(("number", "dtype"), [(300, np.uint8), (128, np.int8), (2049, np.float16), (2, np.bool_)])
def test_a_count_that_does_not_fit_is_refused(number, dtype):
    event = MANY[np.arange(2300) < number]
    with pytest.raises(ArgumentError, match=rf"{np.dtype(dtype)} does not hold a bin's sum; .* got {number}\. .*wider"):
        to_frames(event, (1, 1), count=True, dtype=dtype)
    assert to_frames(event, (1, 1), dtype=dtype).tolist() == [[[1]]]


def test_payloads_are_added_in_64_bits():
    event = Event([0, 0], None, [0, 0], [0.1, 0.2], [200, 100])
    assert to_frames(event, (1, 1)).tolist() == [[[300.0]]]
    assert to_frames(event, (1, 1), dtype=np.int64).tolist() == [[[300]]]
    with pytest.raises(ArgumentError, match="uint8 does not hold a bin's sum"):
        to_frames(event, (1, 1), dtype=np.uint8)
    half = Event([0], None, [0], [0.1], [0.25])
    assert to_frames(half, (1, 1)).tolist() == [[[0.25]]]
    with pytest.raises(ArgumentError, match=r"int32 does not hold a bin's sum; .*got 0.25"):
        to_frames(half, (1, 1), dtype=np.int32)


def test_frames_too_large_are_refused_with_a_word_on_the_unit():
    late = Event([0], [0], [0], [2e8])
    with pytest.raises(ArgumentError, match=r"frames \(200000001, 2, 34, 34\) are too large; .* unit of the times"):
        to_frames(late, (2, 34, 34))


def test_wrong_arguments():
    event = Event([0, 5], None, [0, 0], [0, 1])
    with pytest.raises(ArgumentError, match=r"x lies outside of shape \(1, 4\); expected 0 to 3, got 0 to 5. Leave"):
        to_frames(event, (1, 4))
    with pytest.raises(ShapeError, match=r"expected \(C, X\), got \(1, 4, 4\)"):
        to_frames(event, (1, 4, 4))
    with pytest.raises(ArgumentError, match="num_steps is out of range"):
        to_frames(event, (1, 6), 0)
    with pytest.raises(ArgumentError, match=r"rounding is unknown.*Did you mean 'floor'"):
        to_frames(event, (1, 6), rounding="flor")
    with pytest.raises(ArgumentError, match="step_ms is out of range"):
        from_frames(np.zeros((1, 1, 1)), -1)
    with pytest.raises(ShapeError, match="frames has the wrong shape"):
        from_frames(np.zeros((1, 1)))
    with pytest.raises(DtypeError, match="frames is no tensor"):
        from_frames("frames")
    with pytest.raises(ShapeError, match="crop: shape does not fit"):
        crop(event, (1, 2, 3))
