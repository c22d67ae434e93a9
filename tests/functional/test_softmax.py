"""Softmax over all of a tensor or along a dimension, at any temperature."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError
from slayerloss.functional import logsoftmax, softmax

X = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_values_and_gradients(temperature: float) -> None:
    torch.testing.assert_close(softmax(X, temperature).flatten(), torch.softmax(X.flatten() / temperature, 0))
    torch.testing.assert_close(logsoftmax(X, temperature).flatten(), torch.log_softmax(X.flatten() / temperature, 0))
    for dim in (0, 1, 2, -1):
        torch.testing.assert_close(softmax(X, temperature, dim=dim), torch.softmax(X / temperature, dim))
        torch.testing.assert_close(logsoftmax(X, temperature, dim=dim), torch.log_softmax(X / temperature, dim))
    for function in (softmax, logsoftmax):
        for dim in (None, 1):
            call = lambda x, function=function, dim=dim: function(x, max(temperature, 0.5), dim=dim)  # noqa: E731
            assert torch.autograd.gradcheck(call, X[0].clone().requires_grad_())


def test_the_hard_maximum() -> None:
    x = torch.tensor([[1.0, 3.0], [3.0, 0.0], [2.0, 2.0]], requires_grad=True)
    assert softmax(x, 0).tolist() == [[0, 0.5], [0.5, 0], [0, 0]]
    hard = softmax(x, 0.0, dim=1)
    assert hard.tolist() == [[0, 1], [1, 0], [0.5, 0.5]]
    hard[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.count_nonzero() == 0
    torch.testing.assert_close(softmax(x, 1e-4, dim=1), hard)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8), st.floats(1e-3, 1e3), st.randoms())
@settings(max_examples=50, deadline=None)
def test_shares_of_1_in_the_order_of_the_input(values: list[float], temperature: float, random: Any) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    y = softmax(x, temperature)
    assert y.sum().item() == pytest.approx(1)
    order = random.sample(range(len(values)), len(values))
    torch.testing.assert_close(softmax(x[order], temperature), y[order])
    torch.testing.assert_close(softmax(x + 7.0, temperature), y, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(logsoftmax(x, temperature).exp(), y)


@pytest.mark.parametrize("function", [softmax, logsoftmax])
def test_finite_at_the_ends(function: Any) -> None:
    x = torch.tensor([3e38, -3e38, 0.0], requires_grad=True)
    for temperature in (1e-6, 1.0, 1e30):
        y = function(x, temperature)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert y.isfinite().all()
        assert gradient.isfinite().all()
    assert function(torch.zeros(0)).shape == (0,)
    assert function(torch.zeros(2, 0), dim=1).shape == (2, 0)
    assert function(torch.tensor(3.0), dim=0).shape == ()
    assert function(torch.zeros(2, dtype=torch.float16)).dtype == torch.float32
    assert function(torch.zeros(2, dtype=torch.int64)).dtype == torch.float32


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ArgumentError, match="softmax has a hard maximum at temperature 0"):
        logsoftmax(X, 0)
    for function in (softmax, logsoftmax):
        with pytest.raises(ArgumentError, match="temperature is out of range"):
            function(X, -1)
        with pytest.raises(ArgumentError, match="temperature is out of range"):
            function(X, 1e-7)
        with pytest.raises(ArgumentError, match="dim is out of range"):
            function(X, dim=3)
        with pytest.raises(DtypeError, match="dim is not an integer"):
            function(X, dim=0.5)
        with pytest.raises(ArgumentError, match="x holds 1 NaN"):
            function(torch.tensor([0, math.nan]))
