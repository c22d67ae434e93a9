"""The C++ kernel of the exponential low-pass against the reference, and the reference's adjoint of a leaky filter."""

from __future__ import annotations

import math

import pytest
import torch
from filter_cases import (
    DTYPES,
    ORDERS,
    SHAPES,
    assert_near,
    both,
    check_operator,
    events,
    in_order,
    needs_kernels,
    needs_operators,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, use_backend
from slayerloss.functional import exponential_filter, filter_bank
from slayerloss.kernels import low_pass as kernel
from slayerloss.kernels import reference


@needs_kernels
@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=ORDERS,
    dtype=DTYPES,
    time_constant=st.sampled_from([0.01, 1.0, 20.0, 1e6]),
    per_channel=st.booleans(),
    filter_order=st.integers(1, 2),
    normalize=st.sampled_from(["peak", "area"]),
    threads=st.integers(1, 2),
)
def test_equal_to_the_reference(
    seed, shape, order, dtype, time_constant, per_channel, filter_order, normalize, threads
):
    x = in_order(events(seed, shape, dtype, False), order)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    taus = time_constant * torch.linspace(0.5, 1.5, shape[1] if per_channel else 1, dtype=wide)
    state = events(seed + 1, (*shape[:-1], filter_order), wide, False)

    def run(x, taus, state):
        taus = taus if per_channel else taus[0]
        return exponential_filter(x, taus, filter_order, normalize=normalize, state=state)

    found, expected = both(run, [x, taus, state], threads)
    assert_near(found[:1], expected[:1])
    assert_near(found[1:-2] + found[-1:], expected[1:-2] + expected[-1:], times=100)
    # the gradient of a time constant is a sum over all results, in which terms of about this size cancel
    terms = 0.02 * float(expected[0].double().abs().nan_to_num(posinf=0).sum() / taus.min().clamp(min=1))
    assert_near(found[-2:-1], expected[-2:-1], times=100, terms=terms)


@needs_kernels
def test_a_bank_equals_the_reference():
    x, taus = events(0, (2, 7, 33), torch.float32, False), torch.tensor([1.0, 5.0, 30.0])
    assert_near(*both(lambda x, taus: filter_bank(x, taus, normalize="area"), [x, taus], 2), times=5)


@needs_kernels
@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.integers(1, 30), min_size=1, max_size=4), filter_order=st.integers(1, 3))
def test_runs_with_state_equal_one_run(parts, filter_order):
    x = events(0, (2, 9, sum(parts)), torch.float64, False)
    with use_backend("cpu"):
        whole = exponential_filter(x, 7.0, filter_order)
        state, chunks = None, []
        for chunk in x.split(parts, dim=-1):
            y, state = exponential_filter(chunk, 7.0, filter_order, state=state, return_state=True)
            chunks.append(y)
    assert_near([torch.cat(chunks, dim=-1)], [whole])


@needs_kernels
@pytest.mark.parametrize("time_constant", [5.0, 1e4, 1e6])
def test_rounding_does_not_grow_with_time(time_constant):
    x = torch.rand(1, 4, 20000)
    exact = exponential_filter(x.double(), time_constant)
    error = (exponential_filter(x, time_constant) - exact).abs() / exact
    assert float(error.max()) < 1e-7


@needs_kernels
@pytest.mark.parametrize("order", ["time last", "time first"])
def test_numbers_of_threads_give_the_same_bits(order):
    x, taus = in_order(events(0, (4, 300, 90), torch.float32, False), order), torch.linspace(1, 50, 300)
    one, two = (both(lambda x, taus: exponential_filter(x, taus), [x, taus], threads)[0] for threads in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[0].stride() == x.stride()


@needs_kernels
def test_gradients_of_both_orders():
    x = events(0, (2, 3, 7), torch.float64, False).requires_grad_()
    taus = torch.tensor([1.0, 3.0, 9.0], dtype=torch.float64, requires_grad=True)
    state = events(1, (2, 3, 2), torch.float64, False).requires_grad_()

    def run(x, taus, state):
        return exponential_filter(x, taus, 2, state=state)

    assert torch.autograd.gradcheck(run, (x, taus, state))
    assert torch.autograd.gradgradcheck(run, (x, taus, state))
    assert torch.autograd.gradgradcheck(lambda x: run(x, taus.detach(), state).square(), x)


@needs_kernels
def test_not_finite():
    for value in (math.nan, math.inf, -math.inf):
        x = torch.zeros(2, 3, 40)
        x[1, 2, 30] = value
        with pytest.raises(ArgumentError, match=r"exponential_filter: x holds 1 NaN or infinite values"):
            exponential_filter(x, 4.0, 2)


@needs_kernels
def test_compiles():
    x = events(0, (2, 3, 30), torch.float32, False).requires_grad_()
    taus = torch.tensor([1.0, 3.0, 9.0], requires_grad=True)
    compiled = torch.compile(exponential_filter, backend="aot_eager", fullgraph=True)
    found, expected = (f(x, taus, 2, normalize="peak") for f in (compiled, exponential_filter))
    assert_near([found], [expected])
    gradients = [torch.autograd.grad(y.square().sum(), (x, taus)) for y in (found, expected)]
    assert_near(*gradients, times=5)


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_operators_are_what_torch_expects_of_operators(order, backend):
    x, taus, state = in_order(torch.rand(2, 3, 5), order), torch.rand(3) + 1, torch.rand(2, 3)
    with use_backend(backend):
        for operator, given in (
            (kernel._forward, (x, taus, state, "f")),
            (kernel._backward, (x, taus, state, None)),
            (kernel._backward, (x, taus, state, x)),
        ):
            check_operator(operator.default, given)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 150), per_channel=st.booleans())
def test_the_references_adjoint_is_the_loop(seed, steps, per_channel):
    grad = events(seed, (steps, 2, 3, 2), torch.float64, False)
    keep = torch.tensor([0.0, 0.7, 1.0], dtype=torch.float64)
    keep = keep.reshape(3, 1) if per_channel else keep[seed % 3].reshape(1)
    expected, later = [], torch.zeros_like(grad[0])
    for step in grad.flip(0):
        later = step + keep * later
        expected.append(later)
    assert_near([reference.leaky_adjoint(grad, keep)], [torch.stack(expected).flip(0)])
