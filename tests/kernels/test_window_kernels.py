"""The C++ kernel of moving windows against the reference."""

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
from slayerloss.functional import moving_window
from slayerloss.kernels import window as kernel

pytestmark = needs_kernels


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=ORDERS,
    dtype=DTYPES,
    window=st.one_of(st.integers(1, 40), st.sampled_from([255, 256, 257, 300, 700, 10**9])),
    reduce=st.sampled_from(["mean", "sum", "max"]),
    start=st.sampled_from(["zero", "seen"]),
    padded=st.booleans(),
    binary=st.booleans(),
    threads=st.integers(1, 2),
)
def test_equal_to_the_reference(seed, shape, order, dtype, window, reduce, start, padded, binary, threads):
    x = in_order(events(seed, shape, dtype, binary), order)
    lengths = torch.randint(1, shape[-1] + 1, shape[:1], dtype=torch.int32) if padded else None
    found, expected = both(lambda x: moving_window(x, window, reduce, start=start, lengths=lengths), [x], threads)
    if binary or reduce == "max":
        assert torch.equal(found[0], expected[0])
    assert_near(found, expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    parts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    window=st.integers(1, 40),
    reduce=st.sampled_from(["mean", "sum", "max"]),
    start=st.sampled_from(["zero", "seen"]),
)
def test_runs_with_state_equal_one_run(seed, parts, window, reduce, start):
    x = events(seed, (2, 9, sum(parts)), torch.float64, False)
    with use_backend("cpu"):
        whole = moving_window(x, window, reduce, start=start)
        state, chunks = None, []
        for chunk in x.split(parts, dim=-1):
            y, state = moving_window(chunk, window, reduce, start=start, state=state, return_state=True)
            chunks.append(y)
    assert_near([torch.cat(chunks, dim=-1)], [whole])


@pytest.mark.parametrize("time_first", [False, True])
def test_numbers_of_threads_give_the_same_bits(time_first):
    x = in_order(events(0, (4, 300, 90), torch.float32, False), "time first" if time_first else "time last")
    one, two = (both(lambda x: moving_window(x, 7), [x], threads)[0] for threads in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_rounding_stays_where_it_is_made():
    x = torch.rand(1, 3, 5000)
    x[0, 1, 100] = 1e30
    y = moving_window(x, 20, "sum")
    torch.testing.assert_close(y[..., 120:], moving_window(x[..., 101:], 20, "sum")[..., 19:], rtol=1e-6, atol=0)


def test_memory_order_is_kept():
    x = in_order(events(0, (2, 40, 33), torch.float32, False), "time first").requires_grad_()
    y = moving_window(x, 5)
    assert y.stride() == x.stride()
    y.sum().backward()
    assert x.grad.stride() == x.stride()


@pytest.mark.parametrize("start", ["zero", "seen"])
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_gradients_of_both_orders(reduce, start):
    x = events(0, (2, 3, 9), torch.float64, False).requires_grad_()
    lengths = torch.tensor([9, 4])

    def run(x):
        return moving_window(x, 4, reduce, start=start, lengths=lengths)

    assert torch.autograd.gradcheck(run, x)
    assert torch.autograd.gradgradcheck(run, x)
    assert torch.autograd.gradgradcheck(lambda x: run(x).square(), x)


def test_not_finite():
    for value in (math.nan, math.inf, -math.inf):
        x = torch.zeros(2, 3, 40)
        x[1, 2, 30] = value
        with pytest.raises(ArgumentError, match=r"moving_window: x holds 1 NaN or infinite values"):
            moving_window(x, 4)


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_compiles(reduce):
    x = events(0, (2, 3, 30), torch.float32, False).requires_grad_()
    compiled = torch.compile(moving_window, backend="aot_eager", fullgraph=True)
    for lengths in (None, torch.tensor([30, 4])):
        found, expected = (f(x, 6, reduce, start="seen", lengths=lengths) for f in (compiled, moving_window))
        assert torch.equal(found, expected)
        gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected)]
        assert_near(gradients[:1], gradients[1:])


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
def test_operators_are_what_torch_expects_of_operators(order):
    x, lengths = in_order(torch.rand(2, 3, 5), order), torch.tensor([5, 2])
    for operator, more in ((kernel._forward, ("f",)), (kernel._backward, ())):
        check_operator(operator.default, (x, 3, kernel.MEAN, lengths, *more))
