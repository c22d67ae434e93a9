"""Dale's law, ratios, distances: values, gradients, invariances, what is refused; and the weights that keep the law."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import (
    dale_,
    dale_hinge,
    dale_law,
    dale_law_l2,
    excitatory_ratio,
    lp_norm,
    ratio_loss,
    weights_distance,
)

GENERATOR = torch.Generator().manual_seed(6)
SHAPES = [(), (5,), (3, 4), (2, 3, 2, 2, 1), (0, 3)]
NUMBERS = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=8)
PENALTIES = [
    dale_law,
    dale_law_l2,
    dale_hinge,
    weights_distance,
    lambda weight, reference: ratio_loss(weight, 0.8),
    lambda weight, reference: ratio_loss(weight, 0.8, form="softsign"),
]


def normal(*shape: int) -> torch.Tensor:
    """Numbers away from 0, where a sign has no slope."""
    x = torch.randn(shape, generator=GENERATOR, dtype=torch.float64)
    return x + 0.1 * x.sign()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_sign_is_one_however_small(dtype: torch.dtype) -> None:
    w = torch.tensor([1.0, -2.0, 4.0], dtype=dtype)
    for reference in (torch.tensor([-1e-60, 1e-300, 0.0], dtype=torch.float64), torch.tensor([-5, 2**40, 0])):
        assert dale_hinge(w, reference).item() == 3
        assert dale_law(w, reference).item() == 3
        assert dale_law_l2(w, reference, alpha=0).item() == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_values_of_any_shape(shape: tuple[int, ...]) -> None:
    w, r = normal(*shape), normal(*shape)
    right = torch.where(r > 0, w, -w)
    for reference in (r, r.sign().to(torch.int8)):
        torch.testing.assert_close(dale_law(w, reference), -right.sum())
        torch.testing.assert_close(dale_law_l2(w, reference), (0.8 * w * w - 0.2 * right).sum())
        torch.testing.assert_close(dale_hinge(w, reference), -right[right < 0].sum())
    torch.testing.assert_close(dale_law_l2(w, r, alpha=0), dale_law(w, r))
    torch.testing.assert_close(dale_law_l2(w, r, alpha=1), lp_norm(w, squared=True))
    torch.testing.assert_close(weights_distance(w, r), (w - r).abs().sum())
    torch.testing.assert_close(weights_distance(w, r, p=2), (w - r).square().sum().sqrt())
    for penalty in PENALTIES:
        x = w.clone().requires_grad_()
        loss = penalty(x, r)
        assert loss.ndim == 0
        loss.backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_trace_form_of_matrices() -> None:
    """As NeuroTorch writes it."""
    w, r = normal(4, 3), normal(4, 3)
    expected = torch.trace(w.T @ (0.8 * w - 0.2 * r.sign()))
    torch.testing.assert_close(dale_law_l2(w, r), expected)


@pytest.mark.parametrize("penalty", PENALTIES[:4])
def test_gradients(penalty: Any) -> None:
    w, r = normal(3, 4), normal(3, 4)
    assert torch.autograd.gradcheck(lambda w: penalty(w, r), w.clone().requires_grad_())
    softsign = lambda w: ratio_loss(w, 0.8, form="softsign")  # noqa: E731
    assert torch.autograd.gradcheck(softsign, w.clone().requires_grad_())
    assert torch.autograd.gradgradcheck(softsign, w.clone().requires_grad_())


def test_the_sign_is_reported_and_its_smooth_form_trained() -> None:
    w = normal(3, 4).requires_grad_()
    true = (w.detach() > 0).double().mean()
    torch.testing.assert_close(ratio_loss(w, 0.9), (2 * true - 1.8).abs().detach())
    (gradient,) = torch.autograd.grad(ratio_loss(w, 0.9, temperature=0.5), w)
    (expected,) = torch.autograd.grad(((w / 0.5).tanh().mean() + 1 - 1.8).abs(), w)
    torch.testing.assert_close(gradient, expected)
    assert (gradient < 0).all()  # more excitation
    (gradient,) = torch.autograd.grad(ratio_loss(w, 0.9), w)
    (expected,) = torch.autograd.grad(((w / w.detach().abs().mean()).tanh().mean() + 1 - 1.8).abs(), w)
    torch.testing.assert_close(gradient, expected)
    zeros = torch.zeros(3, requires_grad=True)
    ratio_loss(zeros, 0.9).backward()
    torch.testing.assert_close(zeros.grad, torch.full((3,), -1 / 3))
    torch.testing.assert_close(excitatory_ratio(w), true)
    assert not excitatory_ratio(w).requires_grad
    assert excitatory_ratio(torch.zeros(3)).item() == 0.5
    assert excitatory_ratio(torch.ones(3)).item() == 1
    assert ratio_loss(torch.ones(3), 1.0).item() == 0
    assert ratio_loss(-torch.ones(3), 0.0).item() == 0


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scale", [1e-4, 0.1, 1e4])
def test_a_descent_comes_to_the_ratio(target: float, scale: float) -> None:
    w = (scale * torch.randn(1000, generator=GENERATOR)).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=100 * scale**2)
    for _ in range(400):
        optimizer.zero_grad()
        ratio_loss(w, target).backward()
        optimizer.step()
    assert excitatory_ratio(w).item() == pytest.approx(target, abs=0.02)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_hinge_is_bounded_and_the_law_is_not(scale: float) -> None:
    w, r = scale * normal(3, 4), normal(3, 4)
    assert dale_hinge(w.abs() * r.sign(), r) == 0
    assert dale_hinge(w.abs() * -r.sign(), r) == pytest.approx(float(w.abs().sum()))
    assert dale_law(w.abs() * r.sign(), r) == pytest.approx(-float(w.abs().sum()))


@given(NUMBERS, st.randoms(), st.floats(0.1, 10), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_order_and_scale(values: list[float], random: Any, c: float, alpha: float) -> None:
    w = torch.tensor(values, dtype=torch.float64)
    r = torch.tensor([random.choice([-1.0, 0.0, 2.0]) for _ in values], dtype=torch.float64)
    order = random.sample(range(len(values)), len(values))
    for penalty in PENALTIES:
        torch.testing.assert_close(penalty(w[order], r[order]), penalty(w, r), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(dale_law_l2(-w, -r, alpha), dale_law_l2(w, r, alpha))
    torch.testing.assert_close(dale_hinge(c * w, r), c * dale_hinge(w, r))
    torch.testing.assert_close(dale_law(c * w, r), c * dale_law(w, r))
    torch.testing.assert_close(ratio_loss(c * w, alpha), ratio_loss(w, alpha))
    assert dale_hinge(w, r) >= 0
    assert dale_hinge(w - c * r.sign(), r) >= dale_hinge(w, r)
    assert weights_distance(w, w) == 0
    if alpha > 1e-3:
        best = (1 - alpha) / (2 * alpha) * r.sign()
        assert dale_law_l2(best, r, alpha) <= dale_law_l2(w, r, alpha) + 1e-9 * w.square().sum() + 1e-9


def test_half_precision_and_references_without_gradient() -> None:
    w = torch.full((100, 100), -0.25, dtype=torch.bfloat16, requires_grad=True)
    r = torch.ones(100, 100, requires_grad=True)
    for penalty in PENALTIES:
        loss = penalty(w, r)
        assert loss.dtype == torch.float32
        loss.backward()
    assert r.grad is None
    assert dale_hinge(w, r).item() == 2500


@pytest.mark.parametrize("penalty", PENALTIES)
def test_they_compile(penalty: Any) -> None:
    torch.compiler.reset()
    w, r = normal(3, 4).requires_grad_(), normal(3, 4)
    loss = torch.compile(penalty, backend="aot_eager", fullgraph=True)(w, r)
    torch.testing.assert_close(loss, penalty(w, r))
    torch.testing.assert_close(*(torch.autograd.grad(value, w)[0] for value in (loss, penalty(w, r))))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_many_at_once(penalty: Any) -> None:
    """vmap and grad of torch.func."""
    w, r = normal(4, 3), normal(4, 3)
    values, slopes = torch.func.vmap(lambda w, r: (penalty(w, r), torch.func.grad(penalty)(w, r)))(w, r)
    x = w.clone().requires_grad_()
    expected = torch.stack([penalty(*row) for row in zip(x, r, strict=True)])
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(slopes, torch.autograd.grad(expected.sum(), x)[0])


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda w: dale_law(w, w[0]), ShapeError, "reference does not match weight"),
    (lambda w: dale_hinge(w, torch.full_like(w, math.nan)), ArgumentError, "reference holds 12 NaN"),
    (lambda w: dale_law_l2(math.inf * w, w), ArgumentError, "weight holds 12 NaN"),
    (lambda w: dale_law_l2(w, w, alpha=2), ArgumentError, "alpha is out of range"),
    (lambda w: dale_law_l2(w, w, alpha="a"), DtypeError, "alpha is not a number"),
    (lambda w: dale_law(w, w.to("meta")), ArgumentError, "reference is not where weight is"),
    (lambda w: weights_distance(w.to("meta"), w), ArgumentError, "reference is not where weight is"),
    (lambda w: ratio_loss(w, 1.1), ArgumentError, "target is out of range"),
    (lambda w: ratio_loss(w, 0.5, temperature=0), ArgumentError, "temperature is out of range"),
    (lambda w: ratio_loss(w, 0.5, form="tanh"), ArgumentError, "form is unknown"),
    (lambda w: weights_distance(w, w[:1]), ShapeError, "reference does not match weight"),
    (lambda w: weights_distance(w, w, p=0.5), ArgumentError, "p is out of range"),
    (lambda w: excitatory_ratio([1.0]), DtypeError, "weight is not a tensor"),
    (lambda w: excitatory_ratio(math.nan * w), ArgumentError, "weight holds 12 NaN"),
    (lambda w: dale_(w.to(torch.int64)), DtypeError, "tensor is not of floats"),
    (lambda w: dale_(torch.tensor(1.0)), ShapeError, "too few dimensions"),
    (lambda w: dale_(w, rho=1.1), ArgumentError, "rho is out of range"),
    (lambda w: dale_(w, -0.1), ArgumentError, "inh_ratio is out of range"),
    (lambda w: dale_(w, dim=2), ArgumentError, "dim is out of range"),
    (lambda w: dale_(w, seed=0.5), DtypeError, "seed is not an integer"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_what_is_wrong_is_said(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(normal(3, 4))


@pytest.mark.parametrize("shape", [(4, 4), (2, 6), (6, 2), (7,), (4, 3, 2, 2), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("rho", [0.0, 1e-300, 0.5, 0.99, 1.0])
def test_random_weights_of_any_shape(shape: tuple[int, ...], dtype: torch.dtype, rho: float) -> None:
    for dim in range(-len(shape), len(shape)):
        tensor = torch.full(shape, math.nan, dtype=dtype)
        assert dale_(tensor, 0.5, rho, dim=dim) is tensor
        assert tensor.isfinite().all()
        assert int((tensor == 0).sum()) == int(tensor.numel() * (1 - rho) + 1e-9)
        neurons = tensor.movedim(dim, 0).reshape(shape[dim], -1) if tensor.numel() else tensor.new_zeros(2, 0)
        inhibitory = len(neurons) // 2
        assert (neurons[:inhibitory] <= 0).all()
        assert (neurons[inhibitory:] >= 0).all()


def test_random_weights_follow_their_seed_and_leave_torchs() -> None:
    before = torch.get_rng_state()
    a, b, c, d = (dale_(torch.empty(20, 20), seed=seed) for seed in (3, 3, None, None))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a, b)
    assert not torch.equal(c, d)
    assert not torch.equal(a, c)


def test_random_weights_in_place_of_a_parameter() -> None:
    linear = torch.nn.Linear(10, 4)
    assert dale_(linear.weight, 0.29, rho=1, dim=1) is linear.weight
    assert linear.weight.is_leaf
    assert linear.weight.requires_grad
    assert (linear.weight.sign() == torch.tensor([-1.0] * 2 + [1.0] * 8)).all()
    assert int((dale_(torch.empty(100, 2), 0.29)[:, 0] < 0).sum()) in (28, 29)  # one may be missing


def test_random_inhibitory_neurons() -> None:
    w = dale_(torch.empty(1000, 3), 0.2, 1.0, inh_first=False, seed=1)
    signs = w.sign()
    assert (signs == signs[:, :1]).all()
    assert int((signs[:, 0] < 0).sum()) == 200
    assert 70 < int((signs[:500, 0] < 0).sum()) < 130  # about half of them


@pytest.mark.parametrize("rho", [0.3, 0.99, 1.0])
def test_the_size_of_random_weights(rho: float) -> None:
    w = dale_(torch.empty(400, 400, dtype=torch.float64), rho=rho, seed=0)
    variance = 1 / (400 * (rho * (1 - rho) if rho < 1 else 1))
    assert w[w != 0].square().mean().item() == pytest.approx(variance, rel=0.02)
