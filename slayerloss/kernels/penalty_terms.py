"""Penalties of single elements, and their slopes, in plain torch: what src/weight_penalty.cpp computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

EXPONENT_LIMIT = 32.0
"""Of an exponential; from there on it goes on as a straight line with the slope that it has reached."""

LARGEST_EXCESS = 1e14
"""In scales. What is further out costs as much; the sum of billions of these stays finite in float32."""


class Term(NamedTuple):
    """A penalty of each element x, which is compared with the sign s of a reference, or with bounds.

    The excess is how far x is outside of [lower, upper], in units of the scale.
    """

    kind: str
    """"magnitude" |x|, "square" x^2, "agreement" x s, "conflict" max(0, -x s); "squared", "expm1" and "exp" are those
    functions of the excess."""
    lower: float = -math.inf
    upper: float = math.inf
    scale: float = 1.0


KINDS = ("magnitude", "square", "agreement", "conflict", "squared", "expm1", "exp")
"""In the order of src/weight_penalty.cpp."""
COMPARED = ("agreement", "conflict")
"""Those that look at a reference."""


def of_excess(x: Tensor, lower: Any, upper: Any, kind: str, scale: float = 1.0) -> Tensor:
    """A function of the excess of each element, float64 of the shape of x.

    Args:
        x: floating.
        lower, upper: both numbers, or both tensors; infinities are no bounds.
        kind: "squared", "expm1", or "exp", which is zero inside and jumps at the bound.
        scale: the excess that counts as one.
    """
    excess = ((x - x.clamp(lower, upper)).abs().double() / scale).clamp(max=LARGEST_EXCESS)
    if kind == "squared":
        return excess.square()
    near = excess.clamp(max=EXPONENT_LIMIT)
    line = near.exp() * (excess - near)  # beyond the limit
    if kind == "expm1":
        return near.expm1() + line
    return torch.where(excess == 0, 0.0, near.exp() + line)


def penalty(x: Tensor, term: Term, reference: Tensor | None) -> Tensor:
    """A term of each element, of the shape of x, floating."""
    if term.kind == "magnitude":
        return x.abs()
    if term.kind == "square":
        return x.double().square()  # which does not overflow
    if reference is not None and term.kind in COMPARED:
        agreement = x * reference.sign()
        return agreement if term.kind == "agreement" else (-agreement).clamp_min(0)
    return of_excess(x, term.lower, term.upper, term.kind, term.scale)


def slope(x: Tensor, term: Term, reference: Tensor | None) -> Tensor:
    """The derivative of `penalty`."""
    if term.kind == "magnitude":
        return x.sign()
    if term.kind == "square":
        return 2 * x
    if reference is not None and term.kind in COMPARED:
        sign = reference.sign().to(x.dtype)
        return sign if term.kind == "agreement" else torch.where(x * sign < 0, -sign, 0.0)
    excess = (x - x.clamp(term.lower, term.upper)) / term.scale
    size = excess.abs()
    growth = 2 * size if term.kind == "squared" else size.clamp(max=EXPONENT_LIMIT).exp()
    return torch.where(size < LARGEST_EXCESS, excess.sign() * growth / term.scale, 0.0)


def composed(x: Tensor, reference: Tensor | None, terms: Sequence[Term]) -> Tensor:
    """The sum of each term over all elements, in plain torch: (len(terms),) float64."""
    return torch.stack([penalty(x, term, reference).sum(dtype=torch.float64) for term in terms])
