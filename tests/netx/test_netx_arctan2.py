"""The arctangent of Lava's numpy; `tests/interop/test_arctan2_on_lava.py` holds it against the original."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slayerloss.netx.runtime.arctan2 import arctan2

# Recorded with numpy 1.26.4 on a processor with AVX512; in the first four it is not the C library's.
RECORDED = [
    (1848 / 4096, 3425 / 4096, "0x1.faab4f600a530p-2"),
    (-3911 / 4096, 2523 / 4096, "-0x1.fee8f104d0a55p-1"),
    (-2877 / 4096, 4090 / 4096, "-0x1.39ddb3acce9a7p-1"),
    (-1784 / 4096, -533 / 4096, "-0x1.dc72735513b56p+0"),
    (1399 / 4096, 2499 / 4096, "0x1.054d27d3854a5p-1"),
    (-255 / 4096, 126 / 4096, "-0x1.1ca33a682da83p+0"),
    (1067 / 4096, -1755 / 4096, "0x1.4c33b6df2e227p+1"),
    (3929 / 4096, -3655 / 4096, "0x1.28f86e46a404cp+1"),
]


@pytest.mark.parametrize(("y", "x", "angle"), RECORDED)
def test_recorded_values(y: float, x: float, angle: str) -> None:
    assert arctan2(y, x) == float.fromhex(angle)


def test_it_is_an_arctangent_to_a_few_units_in_the_last_place() -> None:
    rng = np.random.default_rng(0)
    for y, x in rng.uniform(-1, 1, (500, 2)).tolist():
        expected = math.atan2(y, x)
        assert abs(arctan2(y, x) - expected) <= 4 * math.ulp(expected)
        assert arctan2(-y, x) == -arctan2(y, x)


@pytest.mark.parametrize("y", [-1.0, -0.0, 0.0, 1.0])
@pytest.mark.parametrize("x", [-1.0, -0.0, 0.0, 1.0])
def test_axes_and_diagonals(y: float, x: float) -> None:
    assert arctan2(y, x) == math.atan2(y, x)
    assert math.copysign(1, arctan2(y, x)) == math.copysign(1, math.atan2(y, x))
