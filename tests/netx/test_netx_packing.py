"""Weights in the chip's synapse: what comes through, and what is lost, as in Lava."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from slayerloss.netx.runtime.packing import lossless, pack


@settings(deadline=None)
@given(
    arrays(
        np.int64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.integers(-127, 127).map(lambda w: 2 * w)
    )
)
def test_trained_weights_lose_nothing(matrix: np.ndarray) -> None:
    if matrix.max() > 0:  # without a positive weight, -2^k as the lowest one is clipped
        assert lossless(*pack(matrix), matrix)


@pytest.mark.parametrize(
    ("matrix", "spikes", "expected"),
    [
        ([[300, 10], [20, 600]], [1, 1], [0, 0]),  # a shift by -1 makes zero
        ([[-256, -2]], [1, 0], [-254]),
        ([[-2]], [1], [0]),
        ([[-256, -2, 0]], [1, 0, 0], [-255]),
        ([[-256, -3, 0]], [1, 0, 0], [0]),  # clearing -1 bits makes zero
        ([[-128, -3]], [1, 0], [-127]),
        ([[-128, -2]], [1, 0], [-126]),
        ([[400, -2]], [1, 1], [252]),
        ([[-300, 254]], [1, 1], [-2]),
    ],
)
def test_extreme_weights_change_as_in_lava(matrix: Any, spikes: Any, expected: Any) -> None:
    (packed,) = pack(np.array(matrix))
    np.testing.assert_array_equal((packed.weight @ spikes) >> packed.shift, expected)
