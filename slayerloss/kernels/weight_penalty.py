"""Sums of elementwise penalties as a torch operator with gradients, on tensors of any shape of float32 or float64.

All terms of a call share one pass over the memory of the tensor, and their gradients another one, which those of other
calls can share, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import memory, threads, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, operator
from slayerloss.kernels.penalty_terms import COMPARED, KINDS, Term, composed, slope

BLOCK = 2**15
"""Elements of a block; as in src/weight_penalty.cpp."""

SLOTS = 16
"""Terms whose gradients a pass can take."""

_kernel = Kernel("weight_penalty", "pipippip")
_gradient_kernel = Kernel("weight_penalty_gradient", "pipippipp")


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
        return composed(x, reference, terms)
    shared = _shared()
    if shared is None or x.is_inference():
        values: Tensor = _forward(x.detach(), reference, *_packed(terms))
    else:
        values = shared.look(x).values(reference, terms)
    return values + _slots(x, reference, terms) if x.requires_grad and torch.is_grad_enabled() else values


@dataclass
class _Pass:
    """What is done in one pass over a tensor: the gradients of these terms are added up."""

    terms: list[Term]
    reference: Tensor | None
    of: Tensor | None
    """The tensor if calls share the pass: a penalty may go back through it for itself, before all of them do."""


class _Asked(NamedTuple):
    """What was asked about a tensor."""

    shape: torch.Size
    terms: dict[Term, None]
    reference: Tensor | None

    def fits(self, x: Tensor) -> bool:
        return self.shape == x.shape and (self.reference is None or self.reference.device == x.device)


class _Look:
    """What is known of a tensor. The first pass over it also gives what was asked about its like the last time."""

    def __init__(self, x: Tensor, last: _Asked | None) -> None:
        self.x, self.version = x, x._version
        self.asked = _Asked(x.shape, {}, None)
        self.last = last if last is not None and last.fits(x) else _Asked(x.shape, {}, None)
        self.known: dict[Any, Tensor] = {}
        self.references: list[Tensor | None] = []
        """All that were given: as long as they are here, no other has the id of one."""

    def values(self, reference: Tensor | None, terms: Sequence[Term]) -> Tensor:
        """(len(terms),) float64."""
        self.references.append(reference)
        self.asked.terms.update(dict.fromkeys(terms))
        self.asked = self.asked._replace(reference=self.asked.reference if reference is None else reference)
        unknown = [term for term in terms if _key(term, reference) not in self.known]
        if unknown:
            self._find(unknown, reference)
        return torch.stack([self.known[_key(term, reference)] for term in terms])

    def _find(self, terms: Sequence[Term], reference: Tensor | None) -> None:
        signs = self.last.reference if reference is None else reference
        others = [term for term in self.last.terms if term.kind not in COMPARED or signs is self.last.reference]
        keys = [_key(term, signs) for term in dict.fromkeys([*terms, *others])]
        keys = [key for key in keys if key not in self.known]
        found = _forward(self.x.detach(), signs, *_packed([term for term, *_ in keys]))
        self.known.update(zip(keys, found, strict=True))


def _key(term: Term, reference: Tensor | None) -> tuple[Term, int, int]:
    """What a value depends on, beside the tensor."""
    if reference is None or term.kind not in COMPARED:
        return term, 0, 0
    return term, id(reference), 0 if reference.is_inference() else reference._version


class _Shared:
    """What the calls in `shared_passes` share."""

    def __init__(self, last: Sequence[_Asked]) -> None:
        self.last = last
        self.looks: list[_Look] = []
        self.gradients: list[tuple[_Pass, Tensor]] = []
        """The passes that take more terms, with the slots of these."""
        self.values: dict[Any, Any] = {}

    def look(self, x: Tensor) -> _Look:
        """That at this tensor as it is now."""
        for look in self.looks:
            if look.x is x and look.version == x._version:
                return look
        last = self.last[len(self.looks)] if len(self.looks) < len(self.last) else None
        self.looks.append(_Look(x, last))
        return self.looks[-1]


class _Open(threading.local):
    shared: _Shared | None = None


_open = _Open()
_asked: WeakKeyDictionary[Any, list[_Asked]] = WeakKeyDictionary()
"""What each owner of penalties asked the last time about the first tensor, the second, ..."""


@contextmanager
def shared_passes(owner: Any) -> Iterator[None]:
    """Inside, all calls of `sums` on the same tensor share a pass for their gradients; only a sum of them may leave.

    Apart, each call has a gradient of its own, and autograd adds these up, which takes longer than to compute them.
    From the owner's second time on they also share a pass for their values, as far as they ask what they asked before.
    """
    if _open.shared is not None or torch.compiler.is_compiling():
        yield
        return
    shared = _open.shared = _Shared(_asked.get(owner, ()))
    try:
        yield
    finally:
        _open.shared = None
        _asked[owner] = [look.asked for look in shared.looks]
        shared.values.clear()  # which what came out of here may still know


def _shared() -> _Shared | None:
    return None if torch.compiler.is_compiling() else _open.shared


def shared_values() -> dict[Any, Any] | None:
    """What is computed once inside of `shared_passes`, by any key; None outside of it, and while torch compiles."""
    shared = _shared()
    return None if shared is None else shared.values


def _slots(x: Tensor, reference: Tensor | None, terms: Sequence[Term]) -> Tensor:
    """(len(terms),) zeros that stand for the terms in a pass: their gradient is that of the sums."""
    shared = _shared()
    for taken, slots in [] if shared is None else shared.gradients:
        first, fits = len(taken.terms), reference is None or taken.reference is None or taken.reference is reference
        if taken.of is x and fits and first + len(terms) <= SLOTS:
            taken.terms += terms
            taken.reference = taken.reference if reference is None else reference
            return slots[first : first + len(terms)]
    new = _Pass([*terms], reference, None if shared is None else x)
    slots = _Slots.apply(x, new)
    if shared is not None:
        shared.gradients.append((new, slots))
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
            return differentiable_gradients(composed, [x, reference, terms], [True, False, False], grad)[0], None
        return _backward(grad, x, reference, *_packed(terms)), None


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
        return composed(x, reference, _terms(kinds, numbers))
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
