"""Norms of any shape, squared errors and the approximate count: values, gradients, invariances, what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import l0_norm_approx, l2sqr_norm, lp_norm, mse, operator_norm, sse

GENERATOR = torch.Generator().manual_seed(6)
X = torch.randn(3, 4, 2, 5, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.rand(4, 1, 5, generator=GENERATOR, dtype=torch.float64)
PS = [1.0, 1.5, 2.0, 3.0, 40.0]
NUMBERS = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=8)


def away_from_0(x: torch.Tensor) -> torch.Tensor:
    return (x + 0.1 * x.sign()).requires_grad_()


@pytest.mark.parametrize("p", PS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("squared", [False, True])
def test_a_norm_is_its_formula(p: float, weighted: bool, reduction: str, squared: bool) -> None:
    w = WEIGHT if weighted else torch.ones(())
    expected = (w * X.abs() ** p).sum() / (X.numel() if reduction == "mean" else 1)
    expected = expected ** ((2 if squared else 1) / p)
    got = lp_norm(X, p, weight=w if weighted else None, reduction=reduction, squared=squared)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("p", PS)
@pytest.mark.parametrize("squared", [False, True])
def test_gradients_of_norms(p: float, squared: bool) -> None:
    x = away_from_0(X[0, 0])
    for weight in (None, 0.5, WEIGHT[0]):
        call = lambda x, weight=weight: lp_norm(x, p, weight=weight, squared=squared)  # noqa: E731
        assert torch.autograd.gradcheck(call, x)
        assert torch.autograd.gradgradcheck(call, x)


@pytest.mark.parametrize("p", PS)
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 2, 2), (0, 3)])
def test_the_gradient_at_0_is_0(p: float, squared: bool, shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, requires_grad=True)
    for norm in (lp_norm(x, p, squared=squared), lp_norm(x, p, weight=2.0, reduction="mean", squared=squared)):
        assert norm.ndim == 0
        assert norm.item() == 0
        (gradient,) = torch.autograd.grad(norm, x)
        assert torch.equal(gradient, torch.zeros(shape))


def test_a_number_weighs_as_a_tensor_of_it() -> None:
    torch.testing.assert_close(
        lp_norm(X, 3, weight=0.7), lp_norm(X, 3, weight=torch.full((5,), 0.7)), rtol=1e-7, atol=0
    )
    assert lp_norm(X, 1, weight=torch.zeros(5)).item() == 0


@given(NUMBERS, st.sampled_from(PS), st.randoms(), st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_order_and_signs_do_not_matter_and_a_norm_scales(values: list[float], p: float, random: Any, c: float) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    norm = lp_norm(x, p)
    shuffled = random.sample(values, len(values))
    torch.testing.assert_close(lp_norm(-torch.tensor(shuffled, dtype=torch.float64), p), norm, rtol=1e-9, atol=0)
    torch.testing.assert_close(lp_norm(-c * x, p), c * norm, rtol=1e-9, atol=1e-200)
    assert lp_norm(torch.cat([x, x[:1]]), p) >= norm * (1 - 1e-12)


@given(NUMBERS, NUMBERS, st.sampled_from(PS))
@settings(max_examples=50, deadline=None)
def test_the_way_round_is_longer(a: list[float], b: list[float], p: float) -> None:
    length = min(len(a), len(b))
    x, y = (torch.tensor(values[:length], dtype=torch.float64) for values in (a, b))
    assert lp_norm(x + y, p) <= (lp_norm(x, p) + lp_norm(y, p)) * (1 + 1e-9) + 1e-150


FAR_OUT = [
    *[(torch.float32, size) for size in (1e-40, 1e-35, 1e-30, 1e-20, 1e20, 1e30, 5e37)],
    *[(torch.float64, size) for size in (1e-300, 1e-200, 1e-160, 1e160, 1e200, 1e300)],
]


@pytest.mark.parametrize(("dtype", "size"), FAR_OUT)
@pytest.mark.parametrize("p", [1, 1.5, 2, 4, 1000])
@pytest.mark.parametrize("weight", [None, 1.0, torch.ones(()), torch.ones(4), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])])
def test_norms_neither_vanish_nor_overflow(p: float, weight: Any, dtype: torch.dtype, size: float) -> None:
    x = torch.full((4,), size, dtype=dtype)
    if isinstance(weight, torch.Tensor) and len(weight.shape) and len(weight) > 4:
        x = torch.cat([x, torch.full((1,), torch.finfo(dtype).max, dtype=dtype)])  # which does not count
    x.requires_grad_()
    norm = lp_norm(x, p, weight=weight)
    assert norm.item() == pytest.approx(float(x.detach()[0]) * 4 ** (1 / p), rel=1e-6)
    norm.backward()
    assert x.grad is not None
    expected = torch.full((4,), 4 ** (1 / p - 1), dtype=dtype)
    torch.testing.assert_close(x.grad, torch.cat([expected, expected.new_zeros(len(x) - 4)]))
    mean = lp_norm(x.detach()[:4], p, reduction="mean")
    assert mean.item() == pytest.approx(float(x.detach()[0]), rel=1e-6)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 3e38), (torch.float64, 1.5e308)])
@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
def test_a_norm_of_one_number_is_its_size(p: float, dtype: torch.dtype, size: float) -> None:
    for value in (size, -size, torch.finfo(dtype).tiny, torch.finfo(dtype).max):
        x = torch.tensor([value, 0.0], dtype=dtype, requires_grad=True)
        norm = lp_norm(x, p)
        assert norm.item() == pytest.approx(abs(value), rel=1e-6)
        (gradient,) = torch.autograd.grad(norm, x)
        torch.testing.assert_close(gradient, torch.tensor([math.copysign(1.0, value), 0.0], dtype=dtype))


@pytest.mark.parametrize("size", [1e-30, 1e-17, 1.0, 1e17, 1e18])
def test_squares_have_their_slope_at_every_size(size: float) -> None:
    x = torch.tensor([size, -size], requires_grad=True)
    for weight in (None, torch.ones(2)):
        value = lp_norm(x, weight=weight, squared=True)
        assert value.item() == pytest.approx(2 * size**2, rel=1e-6, abs=1e-45)
        torch.testing.assert_close(torch.autograd.grad(value, x)[0], 2 * x.detach(), rtol=1e-6, atol=0)


def test_half_precision_is_summed_in_float32() -> None:
    x = torch.full((100, 100), 0.25, dtype=torch.float16, requires_grad=True)
    for norm, expected in ((lp_norm(x, 1), 2500), (lp_norm(x, 2, squared=True), 625), (operator_norm(x, 1), 25)):
        assert norm.dtype == torch.float32
        assert norm.item() == expected
    lp_norm(x).backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float16
    assert lp_norm(torch.tensor([[True, False], [True, True]]), 1).item() == 3


def test_strides_do_not_matter() -> None:
    assert lp_norm(X.permute(3, 1, 0, 2)[::2], 3).item() == pytest.approx(lp_norm(X[..., ::2].clone(), 3).item())
    torch.testing.assert_close(operator_norm(X[:, 0, 0].T), operator_norm(X[:, 0, 0].T.contiguous()))


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_an_operator_norm_is_what_it_stretches_by(p: float) -> None:
    matrix = X[:, :, 0, 0]
    norm = operator_norm(matrix, p)
    vectors = torch.randn(4, 1000, generator=GENERATOR, dtype=torch.float64)
    stretched = torch.linalg.vector_norm(matrix @ vectors, p, 0) / torch.linalg.vector_norm(vectors, p, 0)
    assert stretched.max() <= norm + 1e-12
    torch.testing.assert_close(norm, torch.linalg.matrix_norm(matrix, p))
    torch.testing.assert_close(operator_norm(X, p), operator_norm(X.flatten(1), p))
    assert operator_norm(matrix[:, 0], p) == pytest.approx(float(operator_norm(matrix[:, :1], p)), rel=1e-12)
    assert operator_norm(torch.tensor(-2.0), p).item() == 2
    assert torch.autograd.gradcheck(lambda x: operator_norm(x, p), away_from_0(matrix))


def test_operator_norms_at_0() -> None:
    for p in (1, 2, math.inf):
        for shape in ((), (3,), (2, 2), (2, 3, 2), (0, 2)):
            x = torch.zeros(shape, requires_grad=True)
            norm = operator_norm(x, p)
            assert norm.item() == 0
            (gradient,) = torch.autograd.grad(norm, x)
            assert torch.equal(gradient, torch.zeros(shape))


def test_l2sqr_norm_and_l0_norm_approx_are_means_of_means() -> None:
    params = {"a": [X[0], X[0, 0, 0, 0]], "b": {"c": X}}
    tensors = [X[0], X[0, 0, 0, 0], X]
    torch.testing.assert_close(l2sqr_norm(params), sum(t.square().mean() for t in tensors) / 3)
    fourth = [t**4 / (t**4 + 1e-4) for t in tensors]
    torch.testing.assert_close(l0_norm_approx(params), sum(t.mean() for t in fourth) / 3, rtol=1e-12, atol=0)
    linear = torch.nn.Linear(3, 2)
    expected = (linear.weight.square().mean() + linear.bias.square().mean()) / 2
    torch.testing.assert_close(l2sqr_norm(linear), expected)
    l0_norm_approx(linear).backward()
    assert linear.weight.grad is not None
    assert torch.autograd.gradcheck(l2sqr_norm, away_from_0(X[0, 0]))
    assert torch.autograd.gradcheck(lambda x: l0_norm_approx(x, 0.3), away_from_0(X[0, 0]))


def test_nothing_costs_nothing() -> None:
    for loss in (l2sqr_norm([]), l0_norm_approx({}), l2sqr_norm(torch.zeros(0)), l0_norm_approx(torch.zeros(2, 0))):
        assert loss.item() == 0
        loss.backward()
    assert mse(torch.zeros(0), torch.zeros(0)).item() == 0


@pytest.mark.parametrize("sigma", [1e-300, 1e-45, 1e-4, 1.0, 1e300])
def test_the_count_is_finite_for_all_numbers(sigma: float) -> None:
    x = torch.tensor([0.0, 1e-45, 1e-20, 0.1, 1e10, 3e38, -3e38], requires_grad=True)
    count = l0_norm_approx(x, sigma)
    count.backward()
    assert 0 <= count.item() <= 1
    assert x.grad is not None
    assert x.grad.isfinite().all()


@given(NUMBERS, st.floats(1e-8, 1.0))
@settings(max_examples=50, deadline=None)
def test_the_count_rises_with_magnitude(values: list[float], sigma: float) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    count = l0_norm_approx(x, sigma)
    assert 0 <= count <= 1
    assert l0_norm_approx(-2 * x, sigma) >= count
    assert l0_norm_approx(torch.zeros_like(x), sigma) == 0


def test_squared_errors() -> None:
    torch.testing.assert_close(mse(X, 2 * X), X.square().mean())
    torch.testing.assert_close(sse(X, 2 * X), X.square().sum())
    assert sse(X, X).item() == 0
    assert torch.autograd.gradcheck(mse, (away_from_0(X[0, 0]), away_from_0(X[1, 1])))


WRONG: list[tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (lp_norm, (X, 0.5), {}, ArgumentError, "p is out of range"),
    (lp_norm, (X, math.inf), {}, ArgumentError, "p is out of range"),
    (lp_norm, (X,), {"weight": -1.0}, ArgumentError, "weight is out of range"),
    (lp_norm, (X,), {"weight": torch.tensor([-1.0])}, ArgumentError, "weight is out of range"),
    (lp_norm, (X,), {"weight": torch.ones(3)}, ArgumentError, "weight does not broadcast"),
    (lp_norm, (X,), {"weight": torch.ones(1, 3, 4, 2, 5)}, ArgumentError, "weight does not broadcast"),
    (lp_norm, (X,), {"reduction": "none"}, ArgumentError, "reduction is unknown"),
    (lp_norm, (X,), {"squared": "no"}, DtypeError, "squared"),
    (lp_norm, (torch.tensor([math.nan]),), {}, ArgumentError, "x holds 1 NaN"),
    (lp_norm, ([1.0],), {}, DtypeError, "x is not a tensor"),
    (operator_norm, (X, 3), {}, ArgumentError, "p is none that a matrix can have"),
    (operator_norm, (X, 0.5), {}, ArgumentError, "p is out of range"),
    (operator_norm, (torch.tensor([[math.inf]]),), {}, ArgumentError, "x holds 1 NaN"),
    (l2sqr_norm, ({"a": torch.tensor([math.nan])},), {}, ArgumentError, "a holds 1 NaN"),
    (l2sqr_norm, ({"a": "b"},), {}, DtypeError, "a is not a tensor"),
    (l2sqr_norm, ([torch.tensor(1e30)],), {}, ArgumentError, "0 is too large"),
    (l0_norm_approx, (X, 0.0), {}, ArgumentError, "sigma is out of range"),
    (l0_norm_approx, ([torch.tensor([math.inf])],), {}, ArgumentError, "0 holds 1 NaN"),
    (mse, (X, X[0]), {}, ShapeError, "target does not match output"),
    (sse, (X, math.inf * X), {}, ArgumentError, "target holds"),
]


@pytest.mark.parametrize(("function", "args", "options", "error", "text"), WRONG)
def test_what_is_wrong_is_said(
    function: Any, args: tuple[Any, ...], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        function(*args, **options)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_norms_compile(p: float) -> None:
    torch.compiler.reset()
    compiled = torch.compile(lambda x: lp_norm(x, p, weight=0.5), backend="aot_eager", fullgraph=True)
    x = X.clone().requires_grad_()
    y = X.clone().requires_grad_()
    torch.testing.assert_close(compiled(x), lp_norm(y, p, weight=0.5))
    compiled(x).backward()
    lp_norm(y, p, weight=0.5).backward()
    torch.testing.assert_close(x.grad, y.grad)
