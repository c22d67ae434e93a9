"""The weight of a penalty over a training."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError
from slayerloss.regularizer import WeightSchedule


def test_a_ramp_is_a_straight_line() -> None:
    ramp = WeightSchedule("ramp", begin=0.25, end=0.75)
    assert [ramp(x) for x in (0, 0.25, 0.375, 0.5, 0.75, 1)] == [0, 0, 0.25, 0.5, 1, 1]


def test_a_cosine_is_half_a_cosine() -> None:
    cosine = WeightSchedule("cosine", end=0.5)
    assert [cosine(x) for x in (0, 0.25, 0.5, 1)] == pytest.approx([0, 0.5, 1, 1])
    assert cosine(0.1) == pytest.approx((1 - math.cos(0.2 * math.pi)) / 2)


def test_a_constant_begins_at_once_or_later() -> None:
    assert [WeightSchedule()(x) for x in (0, 0.5, 1)] == [1, 1, 1]
    assert [WeightSchedule(begin=0.5)(x) for x in (0, 0.49, 0.5, 1)] == [0, 0, 1, 1]
    assert not WeightSchedule().changes
    assert WeightSchedule(begin=0.1).changes
    assert WeightSchedule("ramp").changes


@given(
    st.sampled_from(["constant", "ramp", "cosine"]),
    st.floats(0, 0.5),
    st.floats(0.6, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_it_never_falls_and_stays_in_its_range(kind: str, begin: float, end: float, one: float, other: float) -> None:
    schedule = WeightSchedule(kind, begin, end)
    low, high = schedule(min(one, other)), schedule(max(one, other))
    assert 0 <= low <= high <= 1
    assert schedule(1.0) == 1


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"type": "rampe"}, ArgumentError, "type is unknown.*Did you mean 'ramp'"),
        ({"begin": -0.1}, ArgumentError, r"begin is out of range; expected a number in \[0, 1\], got -0.1"),
        ({"begin": 0.5, "end": 0.5}, ArgumentError, r"end is out of range; expected a number in \(0.5, 1\], got 0.5"),
        ({"end": "late"}, DtypeError, "end is not a number"),
    ],
)
def test_what_is_no_schedule_is_refused(options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^WeightSchedule: {said}"):
        WeightSchedule(**options)
