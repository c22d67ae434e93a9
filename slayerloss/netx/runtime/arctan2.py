"""The arctangent with which Lava computes the decays of resonators, to the last bit, on every machine.

Lava takes numpy 1.26's arctan2, and cuts off what it computes from it: the last bit decides whether a decay loses
1/4096. On processors with AVX512 this is not the C library's function, but one that divides the smaller absolute value
by the larger one and sums up a series, every product rounded together with its sum.
"""

from __future__ import annotations

import math
from fractions import Fraction

_SERIES = (
    -0.3333333333333111,
    0.19999999999696316,
    -0.14285714269196445,
    0.11111110634359174,
    -0.09090900647684413,
    0.076922076093376,
    -0.06665825857290697,
    0.05877142369044074,
    -0.052386340991051356,
    0.04672288106685626,
    -0.040890779973668384,
    0.03400874285883992,
    -0.025751168869183702,
    0.016904062013301985,
    -0.009130331732910191,
    0.0038271503181785626,
    -0.0011535851065971401,
    0.00022068738617221664,
    -2.001862183482302e-05,
)
"""c1, c2, ... of arctan(q) = q + q (c1 q^2 + c2 q^4 + ...), for q in [-1, 1]."""


def arctan2(y: float, x: float) -> float:
    """The angle of the point (x, y), in radians.

    Args:
        y, x: float64, finite and neither huge nor tiny.

    Returns:
        float64, in [-pi, pi]; within a few units in the last place of math.atan2.

    Example:
        >>> arctan2(0.25, 0.5) == math.atan2(0.25, 0.5)
        False
        >>> abs(arctan2(0.25, 0.5) - math.atan2(0.25, 0.5)) < 1e-15
        True
    """
    rise, run = abs(y), abs(x)
    if rise == 0 or run == 0:
        return math.atan2(y, x)
    quotient, base = (rise / run, 0.0) if rise < run else (-run / rise, math.pi / 2)
    angle = math.copysign(_fma(_series(quotient), quotient, quotient) + base, x)
    if x < 0:
        angle += math.pi
    return math.copysign(angle, y)


def _series(quotient: float) -> float:
    """c1 q^2 + c2 q^4 + ..., as four series in q^8 side by side."""
    square = quotient * quotient
    fourth = square * square
    eighth = fourth * fourth
    first, second, third, last = (_horner(_SERIES[start::4], eighth) for start in range(4))
    upper = _fma(third, square, second)
    lower = _fma(first, square, last * eighth)
    return _fma(upper, fourth, lower)


def _horner(coefficients: tuple[float, ...], x: float) -> float:
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = _fma(value, x, coefficient)
    return value


def _fma(a: float, b: float, c: float) -> float:
    """a * b + c, rounded once."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))
