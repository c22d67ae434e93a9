"""The copy that puts time first is that of torch, whatever the size, and so are its derivatives."""

from __future__ import annotations

import pytest
import torch
from filter_cases import OPERATOR_TESTS, ORDERS, both, in_order, needs_kernels
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss.kernels import time_first as kernel
from slayerloss.kernels.time_first import time_first

pytestmark = needs_kernels
SHAPES = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(60, 70), st.integers(60, 140)),
    st.tuples(st.integers(1, 300), st.integers(1, 200)),
)


@settings(deadline=None)
@given(SHAPES, st.sampled_from([torch.float32, torch.float64]), ORDERS, st.integers(1, 3))
def test_equal_to_torch(shape, dtype, order, count):
    x = in_order(torch.arange(torch.Size(shape).numel(), dtype=dtype).reshape(shape), order)
    found, expected = both(time_first, [x], count)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(found[0], x.movedim(-1, 0))
    assert time_first(x).is_contiguous()


def test_memory_in_this_order_is_not_copied():
    x = torch.ones(5, 2, 3).movedim(0, -1)
    assert time_first(x).data_ptr() == x.data_ptr()


def test_derivatives():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(time_first, x)
    assert torch.autograd.gradgradcheck(lambda x: time_first(x).square(), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_the_operator_is_what_its_fake_says(dtype):
    torch.library.opcheck(kernel._operator.default, (torch.ones(2, 3, 4, dtype=dtype),), test_utils=OPERATOR_TESTS)
