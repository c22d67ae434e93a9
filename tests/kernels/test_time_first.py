"""The rows of steps are those of torch, whatever the size, and so are their derivatives."""

from __future__ import annotations

import pytest
import torch
from filter_cases import ORDERS, both, check_operator, in_order, needs_kernels, needs_operators
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss.kernels import time_first as kernel
from slayerloss.kernels.magnitude import magnitude_sum
from slayerloss.kernels.time_first import rows_of_steps

pytestmark = needs_kernels
SHAPES = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(60, 70), st.integers(60, 140)),
    st.tuples(st.just(1), st.integers(1, 300), st.integers(1, 200)),
)


@settings(deadline=None)
@given(SHAPES, st.sampled_from([torch.float32, torch.float64]), ORDERS, st.integers(1, 3))
def test_equal_to_torch(shape, dtype, order, count):
    x = in_order(torch.arange(torch.Size(shape).numel(), dtype=dtype).reshape(shape), order)
    found, expected = both(rows_of_steps, [x], count)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(found[0], x.movedim(-1, 0).flatten(0, 1))
    assert rows_of_steps(x).is_contiguous()


def test_memory_in_this_order_is_not_copied():
    x = torch.ones(5, 2, 3).movedim(0, -1)
    assert rows_of_steps(x).data_ptr() == x.data_ptr()


def test_many_gradients_at_once():
    x = torch.randn(2, 3, 4)
    found = torch.autograd.functional.jacobian(rows_of_steps, x, vectorize=True)
    assert torch.equal(found, torch.autograd.functional.jacobian(rows_of_steps, x))


def test_derivatives():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rows_of_steps, x)
    assert torch.autograd.gradgradcheck(lambda x: rows_of_steps(x).square(), x)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_autograd_adds_to_the_gradient_in_place(order):
    x = torch.ones(4, 3, 5).permute(order).contiguous().permute(*map(order.index, range(3))).requires_grad_()
    events = x * 1
    product = (rows_of_steps(events) @ torch.ones(3, 2)).sum()
    penalty = magnitude_sum(events).sum()  # whose gradient would come first, in the order of autograd
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
        (product + penalty).backward()
    ways = [event.name for event in profile.events() if event.input_shapes[:2] == [[4, 3, 5]] * 2]
    assert [way for way in ways if way.startswith("aten::add")] == ["aten::add_"]
    assert torch.equal(x.grad, torch.full_like(x, 3))


@needs_operators
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_the_operator_is_what_its_fake_says(dtype):
    check_operator(kernel._operator.default, (torch.ones(2, 3, 4, dtype=dtype),))
