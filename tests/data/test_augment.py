"""Augmentation of events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.data.augment import Drop, Elastic, Jitter, Rotate, Scale, Shift
from slayerloss.io import Event, to_frames

ALL = [Shift(4), Rotate(5), Scale(0.2), Elastic(1.0), Jitter(2.0), Drop(0.5)]


def recording(payload: bool = False) -> Event:
    rng = np.random.default_rng(1)
    places = [rng.integers(0, size, 400) for size in (34, 34, 2)]
    return Event(*places, np.sort(rng.uniform(0, 300, 400)), np.arange(400) if payload else None)


@pytest.mark.parametrize("augment", ALL, ids=repr)
@given(st.integers(0, 1000))
def test_generator_fixes_the_result_and_the_recording_stays(augment, seed):
    event, before = recording(payload=True), recording(payload=True)
    first, again = (augment(event, np.random.default_rng(seed)) for _ in range(2))
    for name in ("x", "y", "c", "t", "p"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(event, name), getattr(before, name))


@pytest.mark.parametrize("augment", ALL, ids=repr)
def test_empty_recording(augment):
    assert len(augment(Event([], [], [], []), np.random.default_rng(0))) == 0


@pytest.mark.parametrize("augment", [Shift(0), Rotate(0), Scale(0), Elastic(0), Jitter(0), Drop(0)], ids=repr)
def test_nothing_is_nothing(augment):
    event = recording()
    same = augment(event, np.random.default_rng(0))
    for name in ("x", "y", "c", "t"):
        np.testing.assert_array_equal(getattr(same, name), getattr(event, name))


def test_shift_takes_every_value_up_to_its_limit():
    event = Event([10], [20], [0], [0])
    shifted = [Shift(2)(event, np.random.default_rng(seed)) for seed in range(200)]
    assert {int(one.x[0]) for one in shifted} == {8, 9, 10, 11, 12}
    assert {int(one.y[0]) for one in shifted} == {18, 19, 20, 21, 22}
    assert Shift(2)(Event([3], None, [0], [0]), np.random.default_rng(0)).dim == 1


@given(st.integers(0, 1000), st.floats(0, 30))
def test_rotation_keeps_the_distance_to_the_centre(seed, degrees):
    event = recording()
    turned = Rotate(degrees)(event, np.random.default_rng(seed))
    before, after = (np.hypot(one.x - 16.5, one.y - 16.5) for one in (event, turned))
    assert np.abs(before - after).max() <= np.hypot(0.5, 0.5) + 1e-9
    cosine = (event.x - 16.5) * (turned.x - 16.5) + (event.y - 16.5) * (turned.y - 16.5)
    angle = np.degrees(np.arccos(np.clip(cosine / (before * after), -1, 1)))
    assert angle[before > 10].max() <= degrees + 5


def test_scale_stays_within_its_limits():
    event = Event([0, 33], [0, 33], [0, 0], [0, 0])
    widths = [np.ptp(Scale(0.2)(event, np.random.default_rng(seed)).x) for seed in range(100)]
    assert min(widths) >= 0.8 * 33 - 1
    assert max(widths) <= 1.2 * 33 + 1
    assert max(widths) - min(widths) > 8


def test_jitter_and_drop():
    event = recording()
    moved = Jitter(2.0)(event, np.random.default_rng(0)).t - event.t
    assert 1.5 < moved.std() < 2.5
    assert (event.t + moved).min() >= 0
    kept = [len(Drop(0.5)(event, np.random.default_rng(seed))) for seed in range(50)]
    assert min(kept) > 140
    assert max(kept) > 380


def test_wrong_arguments():
    flat = Event([1], None, [0], [0])
    for augment in (Rotate(5), Scale(0.1)):
        with pytest.raises(ShapeError, match="the recording has one spatial dimension"):
            augment(flat, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="Shift: max_pixels is out of range"):
        Shift(-1)
    with pytest.raises(DtypeError, match="Shift: max_pixels is not an integer"):
        Shift(1.5)
    with pytest.raises(ArgumentError, match="Drop: max_probability is out of range"):
        Drop(2)
    with pytest.raises(ArgumentError, match="Scale: amount is out of range"):
        Scale(1)


def test_elastic_moves_neighbours_together_and_as_far_as_it_says():
    event = Event(np.repeat(np.arange(34), 34), np.tile(np.arange(34), 34), np.zeros(1156), np.zeros(1156))
    moves = []
    for seed in range(60):
        bent = Elastic(1.5)(event, np.random.default_rng(seed))
        dx = (bent.x - event.x).reshape(34, 34)
        assert np.abs(np.diff(dx, axis=0)).max() < 1.5, "a field that jumps from pixel to pixel is not smooth"
        moves.append(dx[::33, ::33])  # at the corners, which are nodes of the grid
    assert np.std(moves) == pytest.approx(1.5, rel=0.15)


def test_coordinates_are_rounded_once_where_events_are_binned():
    real = Rotate(10)(Event([10], [20], [0], [0.0]), np.random.default_rng(3))
    kept = real
    for augment in (Shift(0), Jitter(0.0), Drop(0.0)):
        kept = augment(kept, np.random.default_rng(0))
    assert kept.x[0] == real.x[0] != round(real.x[0])
    assert to_frames(kept, (1, 34, 34), 1)[0, round(real.y[0]), round(real.x[0]), 0] == 1
