"""Sums of elementwise penalties: the C++ kernel against the reference, which is checked against formulas."""

from __future__ import annotations

import math

import pytest
import torch
from filter_cases import assert_near, both, check_operator, needs_kernels, needs_operators
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import use_backend
from slayerloss.kernels import weight_penalty as kernel
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.penalty_terms import EXPONENT_LIMIT, KINDS, LARGEST_EXCESS, Term, slope
from slayerloss.kernels.weight_penalty import shared_passes, sums

FLOATS = st.sampled_from([torch.float32, torch.float64])
TERMS = st.lists(
    st.one_of(
        st.sampled_from(KINDS[:4]).map(lambda kind: Term(kind)),
        st.builds(
            Term,
            st.sampled_from(KINDS[4:]),
            st.sampled_from([-math.inf, -1.0, 0.0]),
            st.sampled_from([math.inf, 1.0, 0.1]),
            st.sampled_from([0.01, 1.0, 30.0]),
        ),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda term: term.kind,
)
EVERY_TERM = [*map(Term, KINDS[:4]), *(Term(kind, -0.5, 0.25, 0.3) for kind in KINDS[4:])]


def numbers(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_formulas():
    x, signs = [-1.5, -0.25, 0.0, 0.75], [1, -1, 1, 0]
    outside = [e for e in (max(0.0, value - 0.25, -0.5 - value) / 0.3 for value in x) if e > 0]
    expected = [
        sum(abs(value) for value in x),
        sum(value**2 for value in x),
        sum(value * sign for value, sign in zip(x, signs, strict=True)),
        sum(max(0.0, -value * sign) for value, sign in zip(x, signs, strict=True)),
        sum(e**2 for e in outside),
        sum(math.expm1(e) for e in outside),
        sum(math.exp(e) for e in outside),
    ]
    for reference in (torch.tensor(signs, dtype=torch.int8), 0.2 * torch.tensor(signs)):
        torch.testing.assert_close(sums(torch.tensor(x), EVERY_TERM, reference), torch.tensor(expected).double())


@needs_kernels
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(1, 12), max_size=4),
    order=st.randoms(use_true_random=False),
    dtype=FLOATS,
    terms=TERMS,
    of_bytes=st.booleans(),
)
def test_equal_to_the_reference(seed, shape, order, dtype, terms, of_bytes):
    axes = list(range(len(shape)))
    order.shuffle(axes)
    x = numbers(seed, *shape, dtype=dtype).permute(axes)
    reference = numbers(seed + 1, *x.shape, dtype=dtype)
    reference = reference.sign().to(torch.int8) if of_bytes else reference
    found, expected = both(lambda x: sums(x, terms, reference).to(dtype), [x], 1)
    slopes = 2 * sum(slope(x, term, reference).abs() for term in terms)  # the weights of `both` are at most 2
    assert_near(found[:1], expected[:1], times=10)
    assert_near(found[1:], expected[1:], times=10, terms=float(slopes.max()))


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [2**15 - 1, 2**15 + 2**11, 3 * 2**15 + 5])
def test_blocks(dtype, size):
    x, reference = numbers(0, size, dtype=dtype), numbers(1, size, dtype=dtype)
    found, expected = both(lambda x: sums(x, EVERY_TERM, reference).to(dtype), [x], 2)
    assert_near(found, expected, times=10)
    assert all(map(torch.equal, found, both(lambda x: sums(x, EVERY_TERM, reference).to(dtype), [x], 1)[0]))


def test_nothing_costs_nothing():
    x = torch.zeros(3, 0, requires_grad=True)
    total = sums(x, EVERY_TERM, x.detach())
    total.sum().backward()
    assert total.tolist() == [0.0] * len(EVERY_TERM)
    assert x.grad.shape == (3, 0)


@needs_kernels
def test_sums_are_exact():
    x = torch.full((2**20 + 1,), 0.1)
    with use_backend("cpu"):
        total = float(sums(x, [Term("magnitude")]))
    assert total == pytest.approx(float(x[0]) * len(x), rel=1e-14)


@needs_kernels
def test_memory_without_gaps_is_not_copied():
    x = numbers(0, 6, 5, 4, dtype=torch.float32)
    for permuted in (x, x.permute(2, 0, 1), x.transpose(0, 1), x[2:5]):
        assert kernel._dense(permuted) is permuted
        assert kernel._gradient(torch.ones(1).double(), permuted, None, ["square"], [0.0, 0.0, 1.0]).stride() == (
            permuted.stride()
        )
    assert kernel._dense(x[:, ::2]) is not x


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_both_orders(kind, backend):
    x, term = numbers(0, 3, 4).requires_grad_(), Term(kind, -0.5, 0.7, 0.8)
    reference = numbers(1, 3, 4)
    with use_backend(backend):
        assert torch.autograd.gradcheck(lambda x: sums(x, [term], reference), x)
        assert torch.autograd.gradgradcheck(lambda x: sums(x, [term], reference).square(), x)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("kind", KINDS[4:])
@pytest.mark.parametrize("excess", [1e-12, 1.0, EXPONENT_LIMIT - 1, EXPONENT_LIMIT + 5, 1e10, 1e30])
def test_excess_of_any_size(kind, excess, backend):
    x = torch.tensor([excess, -excess], dtype=torch.float64, requires_grad=True)
    with use_backend(backend):
        total = sums(x, [Term(kind, 0.0, 0.0, 1.0)])
    (slope,) = torch.autograd.grad(total[0], x)
    far, limit = min(excess, LARGEST_EXCESS), math.exp(EXPONENT_LIMIT)
    if kind == "squared":
        value, expected = far**2, 2 * far
    elif far < EXPONENT_LIMIT:
        value, expected = math.expm1(far) + (kind == "exp"), math.exp(far)
    else:
        value, expected = limit * (1 + far - EXPONENT_LIMIT) - (kind == "expm1"), limit
    assert float(total.detach()) == pytest.approx(2 * value, rel=1e-12)
    expected = 0.0 if excess > LARGEST_EXCESS else expected
    assert slope.tolist() == pytest.approx([expected, -expected], rel=1e-12)


@pytest.mark.parametrize("kind", ["conflict", *KINDS[4:]])
def test_what_penalizes_nothing_has_a_gradient_of_zeros(kind):
    x = torch.full((300, 200), 0.5, requires_grad=True)
    sums(x, [Term(kind, 0.0, 0.5)], torch.ones(300, 200, dtype=torch.int8)).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    x.grad.add_(1)  # memory of its own
    assert float(x.grad.sum()) == x.numel()


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_nan_is_passed_on(kind, backend):
    x = torch.zeros(70)
    x[3] = math.nan
    with use_backend(backend):
        assert sums(x, [Term(kind, upper=1.0)], torch.ones(70)).isnan()


def test_calls_that_share_their_gradients():
    x, y = (numbers(seed, 40, 30).requires_grad_() for seed in (0, 1))
    r, other = (numbers(seed, 40, 30).sign().to(torch.int8) for seed in (2, 3))
    terms = [Term("squared", -0.5, 0.5), Term("square")], [Term("agreement"), Term("square")], [Term("conflict")]

    def total():
        first, second, third = terms
        parts = [
            2 * sums(x, first),
            sums(y, first),
            3 * sums(x, second, r),
            5 * sums(x, third, other),
            sums(x, third, r),
        ]
        return sum(part.sum() for part in parts).square()

    expected, gradients = total(), torch.autograd.grad(total(), (x, y))
    owner = torch.nn.Identity()
    with shared_passes(owner):
        with shared_passes(torch.nn.Identity()):
            shared = total()
        passes = kernel._open.shared.gradients  # of x, y, and x with the other signs
        assert len(passes) == (3 if runs_on_cpu_kernels(x) else 0)
    with shared_passes(owner):
        many = sum(sums(x, EVERY_TERM, r).sum() for _ in range(5))
    assert kernel._open.shared is None
    assert torch.equal(shared, expected)
    found = torch.autograd.grad(shared, (x, y), create_graph=True)
    assert_near(found, gradients)
    assert_near(torch.autograd.grad(shared, (x, y)), gradients)
    assert_near(torch.autograd.grad(many, x), torch.autograd.grad(5 * sums(x, EVERY_TERM, r).sum(), x))


def test_values_follow_the_references():
    x, references = numbers(0, 50), [numbers(seed, 50) for seed in (1, 2)]
    terms = [Term("magnitude"), Term("conflict")]
    expected = [sums(x, terms, reference) for reference in [*references, -references[0]]]
    owner = torch.nn.Identity()
    for _ in range(3):
        r, other = references[0].clone(), references[1].clone()
        with shared_passes(owner):
            found = [sums(x, terms, r), sums(x, terms, other), sums(x, terms, r.neg_())]
        assert_near(found, expected)
    with shared_passes(owner):  # what was asked the last time is about tensors of another shape
        y, reference = numbers(3, 20), numbers(4, 20)
        found = [sums(y, [Term("square")]), sums(y, terms, reference)]
    assert_near(found, [sums(y, [Term("square")]), sums(y, terms, reference)])


def test_references_that_are_made_anew_are_not_taken_for_others():
    x, signs = torch.ones(4), [float(sign) for sign in torch.randint(-1, 2, (500,))]
    with shared_passes(torch.nn.Identity()):
        found = [float(sums(x, [Term("agreement")], torch.tensor([sign] * 4))) for sign in signs]
    assert found == [4 * sign for sign in signs]


def test_a_reference_gets_no_gradient():
    x, reference = numbers(0, 5).requires_grad_(), numbers(1, 5).requires_grad_()
    sums(x, [Term("agreement")], reference).sum().backward()
    assert reference.grad is None or not reference.grad.any()


@needs_kernels
def test_compiles():
    x, reference = numbers(0, 3, 40).requires_grad_(), numbers(1, 3, 40)
    compiled = torch.compile(sums, backend="aot_eager", fullgraph=True)
    found, expected = (f(x, EVERY_TERM, reference) for f in (compiled, sums))
    assert_near([found], [expected])
    weights = torch.arange(1.0, 8.0)
    assert_near(*(torch.autograd.grad((weights * y).sum(), x) for y in (found, expected)))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_transforms():
    x, reference = numbers(0, 3, 4, 5), numbers(1, 4, 5)
    gradient = torch.func.grad(lambda x: sums(x, EVERY_TERM, reference).square().sum())
    batched = torch.func.vmap(gradient)(x)
    for sample, found in zip(x, batched, strict=True):
        own = sample.clone().requires_grad_()
        y = sums(own, EVERY_TERM, reference)
        torch.testing.assert_close(found, torch.autograd.grad(y.square().sum(), own, retain_graph=True)[0])
        torch.testing.assert_close(
            torch.autograd.grad(y, own, torch.eye(7).double(), is_grads_batched=True, retain_graph=True)[0],
            torch.stack([torch.autograd.grad(each, own, retain_graph=True)[0] for each in y]),
        )


@needs_operators
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_operators_are_what_torch_expects_of_operators(backend):
    kinds, numbers_of_terms = kernel._packed(EVERY_TERM)
    whole = torch.rand(2, 3, 5)
    with use_backend(backend):
        for x in (whole, whole.permute(2, 0, 1), whole[:, ::2]):
            given = (x, x.sign(), kinds, numbers_of_terms)
            check_operator(kernel._forward.default, given)
            check_operator(kernel._backward.default, (torch.ones(7).double(), *given))
