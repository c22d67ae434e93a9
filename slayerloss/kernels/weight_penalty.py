"""Sums of elementwise penalties as a torch operator with gradients, on tensors of any shape of float32 or float64.

All terms of a call share one pass over the memory of the tensor, and their gradients another one, which those of other
calls can share, too.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import memory, threads, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, operator

BLOCK = 2**15
"""Elements of a block; as in src/weight_penalty.cpp."""

SLOTS = 16
"""Terms whose gradients a pass can take."""

EXPONENT_LIMIT = 32.0
"""Of an exponential; from there on it goes on as a straight line with the slope that it has reached."""

LARGEST_EXCESS = 1e14
"""In scales. What is further out costs as much; the sum of billions of these stays finite in float32."""

_kernel = Kernel("weight_penalty", "pipippip")
_gradient_kernel = Kernel("weight_penalty_gradient", "pipippipp")


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
    if reference is not None and term.kind in ("agreement", "conflict"):
        agreement = x * reference.sign()
        return agreement if term.kind == "agreement" else (-agreement).clamp_min(0)
    return of_excess(x, term.lower, term.upper, term.kind, term.scale)


def slope(x: Tensor, term: Term, reference: Tensor | None) -> Tensor:
    """The derivative of `penalty`."""
    if term.kind == "magnitude":
        return x.sign()
    if term.kind == "square":
        return 2 * x
    if reference is not None and term.kind in ("agreement", "conflict"):
        sign = reference.sign().to(x.dtype)
        return sign if term.kind == "agreement" else torch.where(x * sign < 0, -sign, 0.0)
    excess = (x - x.clamp(term.lower, term.upper)) / term.scale
    size = excess.abs()
    growth = 2 * size if term.kind == "squared" else size.clamp(max=EXPONENT_LIMIT).exp()
    return torch.where(size < LARGEST_EXCESS, excess.sign() * growth / term.scale, 0.0)


def sums(x: Tensor, terms: Sequence[Term], reference: Tensor | None = None) -> Tensor:
    """The sum of each term over all elements, added in float64.

    Args:
        x: any shape, float32 or float64.
        terms: from one to `SLOTS`.
        reference: of the shape of x, whose signs the terms compare with; None if they do not. int8 is read fastest. It
            gets no gradient.

    Returns:
        (len(terms),) float64.

    Example:
        >>> sums(torch.tensor([1.0, -3.0]), [Term("magnitude"), Term("square"), Term("squared", upper=0.5)])
        tensor([ 4.0000, 10.0000,  0.2500], dtype=torch.float64)
    """
    if reference is not None and reference.requires_grad:
        reference = reference.detach()
    if not tiles.is_fused(x):
        return _composed(x, reference, terms)
    values: Tensor = _forward(x.detach(), reference, *_packed(terms))
    return values + _slots(x, reference, terms) if x.requires_grad and torch.is_grad_enabled() else values


@dataclass
class _Pass:
    """What is done in one pass over a tensor: the gradients of these terms are added up."""

    terms: list[Term]
    reference: Tensor | None
    of: Tensor | None
    """The tensor if calls share the pass: a penalty may go back through it for itself, before all of them do."""


class _Open(threading.local):
    passes: list[tuple[Tensor, _Pass, Tensor]] | None = None
    """Those that take more terms, each with its tensor and its slots; None outside of `shared_gradients`."""
    values: dict[Any, Any] | None = None
    """What `shared_values` gives."""


_open = _Open()


@contextmanager
def shared_gradients() -> Iterator[None]:
    """Inside, all calls of `sums` on the same tensor share the pass of their gradients; only a sum of them may leave.

    Apart, each call has a gradient of its own, and autograd adds these up, which takes longer than to compute them.
    """
    before = _open.passes, _open.values
    if _open.passes is None:
        _open.passes, _open.values = [], {}
    try:
        yield
    finally:
        if before[1] is None and _open.values is not None:
            _open.values.clear()  # which what came out of here may still know
        _open.passes, _open.values = before


def shared_values() -> dict[Any, Any] | None:
    """What is computed once inside of `shared_gradients`, by any key; None outside of it, and while torch compiles."""
    return None if torch.compiler.is_compiling() else _open.values


def _slots(x: Tensor, reference: Tensor | None, terms: Sequence[Term]) -> Tensor:
    """(len(terms),) zeros that stand for the terms in a pass: their gradient is that of the sums."""
    passes = None if torch.compiler.is_compiling() else _open.passes
    for of, taken, slots in passes or []:
        first, fits = len(taken.terms), reference is None or taken.reference is None or taken.reference is reference
        if of is x and fits and first + len(terms) <= SLOTS:
            taken.terms += terms
            taken.reference = taken.reference if reference is None else reference
            return slots[first : first + len(terms)]
    new = _Pass([*terms], reference, None if passes is None else x)
    slots = _Slots.apply(x, new)
    if passes is not None:
        passes.append((x, new, slots))
    return slots[: len(terms)]


class _Slots(torch.autograd.Function):
    """Zeros, of which the first stand for the terms that the pass has when the gradients come."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, own: _Pass) -> Tensor:
        ctx.own, ctx.version = own, 0 if own.of is None else x._version
        if own.of is None:
            ctx.save_for_backward(x)
        return torch.zeros(SLOTS, dtype=torch.float64, device=x.device)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, terms, reference = ctx.own.of, ctx.own.terms, ctx.own.reference
        if x is None:
            (x,) = ctx.saved_tensors
        elif x._version != ctx.version:
            raise RuntimeError("a tensor was changed in place between its penalty and the backward pass")
        grad = grad[: len(terms)]
        if torch.is_grad_enabled():
            return differentiable_gradients(_composed, [x, reference, terms], [True, False, False], grad)[0], None
        return _backward(grad, x, reference, *_packed(terms)), None


def _composed(x: Tensor, reference: Tensor | None, terms: Sequence[Term]) -> Tensor:
    return torch.stack([penalty(x, term, reference).sum(dtype=torch.float64) for term in terms])


def _packed(terms: Sequence[Term]) -> tuple[list[str], list[float]]:
    """As operators take them: the kinds, and the numbers of all terms."""
    return [term.kind for term in terms], [number for term in terms for number in term[1:]]


def _terms(kinds: Sequence[str], numbers: Sequence[float]) -> list[Term]:
    return [Term(kind, *numbers[3 * k : 3 * k + 3]) for k, kind in enumerate(kinds)]


def _arguments(x: Tensor, reference: Tensor | None, kinds: Sequence[str], numbers: Sequence[float]) -> list[Any]:
    """What both kernels are told, of an x that is dense."""
    if reference is not None:
        reference = tiles.dense_as(x, reference if reference.dtype == torch.int8 else reference.to(x.dtype))
    bytes_ = reference is not None and reference.dtype == torch.int8
    codes = torch.tensor([KINDS.index(kind) for kind in kinds])
    rows = [(term.lower, term.upper, 1 / term.scale) for term in _terms(kinds, numbers)]
    return [x, x.numel(), reference, bytes_, codes, torch.tensor(rows, dtype=torch.float64), len(kinds)]


def _work(x: Tensor) -> dict[str, int]:
    return {"blocks": -(-x.numel() // BLOCK), "elements": x.numel() // threads.LIGHT}


def _dense(x: Tensor) -> Tensor:
    """x itself if its memory has no gaps and nothing twice, in whatever order, else a copy."""
    return x if x.stride() == torch.empty_like(x, device="meta").stride() else torch.empty_like(x).copy_(x)


def _totals(x: Tensor, reference: Tensor | None, kinds: Sequence[str], numbers: Sequence[float]) -> Tensor:
    if not runs_on_cpu_kernels(x):
        return _composed(x, reference, _terms(kinds, numbers))
    x = _dense(x)
    work = _work(x)
    of_blocks = torch.zeros(work["blocks"], len(kinds), dtype=torch.float64)
    _kernel(x.dtype, *_arguments(x, reference, kinds, numbers), of_blocks, **work)
    return of_blocks.sum(0)


def _gradient(
    grad: Tensor, x: Tensor, reference: Tensor | None, kinds: Sequence[str], numbers: Sequence[float]
) -> Tensor:
    if not runs_on_cpu_kernels(x):
        parts = [each * slope(x, term, reference) for each, term in zip(grad, _terms(kinds, numbers), strict=True)]
        return torch.empty_like(x).copy_(torch.stack(parts).sum(0))
    x = _dense(x)
    grad_x = memory.empty_like(x)
    _gradient_kernel(x.dtype, *_arguments(x, reference, kinds, numbers), grad.contiguous(), grad_x, **_work(x))
    return grad_x


_forward = operator(
    "weight_penalty(Tensor x, Tensor? reference, str[] kinds, float[] numbers) -> Tensor",
    _totals,
    lambda x, reference, kinds, numbers: x.new_empty(len(kinds), dtype=torch.float64),
)
_backward = operator(
    "weight_penalty_gradient(Tensor grad, Tensor x, Tensor? reference, str[] kinds, float[] numbers) -> Tensor",
    _gradient,
    lambda grad, x, *_: torch.empty_like(x),
)
