"""Penalties that are added up go through the weights once for all of their values, and once for their gradients."""

from __future__ import annotations

import pytest
import torch

from slayerloss import block
from slayerloss.kernels import weight_penalty
from slayerloss.kernels.cpu import library
from slayerloss.regularizer import L1, L2, Bounds, DaleHinge, DaleLawL2, RegularizationList, Regularized


def penalties(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [
        Bounds(model, -0.1, 0.2, 3.0, names="*weight", scale=0.5),
        L2(model, 0.5, names="*weight", squared=True),
        DaleLawL2(model, names="*weight", seed=0),
        L2(model, 2.0, names="*weight"),
    ]


def grads(loss: torch.Tensor, model: torch.nn.Module) -> list[torch.Tensor | None]:
    return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


def added(model: torch.nn.Module) -> torch.Tensor:
    return RegularizationList(penalties(model))()


def regularized(model: torch.nn.Module) -> torch.Tensor:
    return as_regularized(penalties(model))(torch.ones(2), torch.ones(2))


def as_regularized(penalties: list[torch.nn.Module]) -> Regularized:
    named = {f"number{i}": penalty for i, penalty in enumerate(penalties)}
    return Regularized(lambda output, target: (output - target).sum(), named)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(30, 20)


@pytest.mark.parametrize("total", [added, regularized])
def test_the_gradient_is_the_sum_of_those_of_each(model, total):
    expected = sum(torch.autograd.grad(penalty(), model.weight)[0] for penalty in penalties(model))
    total(model).backward()
    torch.testing.assert_close(model.weight.grad, expected)


@pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")
@pytest.mark.parametrize("total", [added, regularized])
def test_one_pass_gives_it(model, total, monkeypatch):
    passes = []
    kernel = weight_penalty._gradient_kernel
    monkeypatch.setattr(weight_penalty, "_gradient_kernel", lambda *a, **k: passes.append(a) or kernel(*a, **k))
    total(model).backward()
    assert len(passes) == 1


@pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")
@pytest.mark.parametrize("form", [RegularizationList, as_regularized])
def test_values_share_a_pass_from_the_second_time_on(model, form, monkeypatch):
    passes = []
    kernel = weight_penalty._kernel
    monkeypatch.setattr(weight_penalty, "_kernel", lambda *a, **k: passes.append(a) or kernel(*a, **k))
    each = penalties(model)
    total = form(each)
    counts = []
    for _ in range(3):
        before = len(passes)
        value = total() if form is RegularizationList else total(torch.zeros(1), torch.zeros(1))
        counts.append(len(passes) - before)
        torch.testing.assert_close(value, sum(penalty() for penalty in each))
        with torch.no_grad():
            model.weight.mul_(1.5)  # the next values are others
    assert counts[1:] == [1, 1]


def test_what_is_asked_may_change(model):
    asked = [L1(model, names="weight")]

    class Changing(torch.nn.Module):
        def forward(self):
            return sum(penalty() for penalty in asked)

    total = RegularizationList([Changing()])
    signs = DaleHinge(model, names="weight", seed=1)
    for now in ([signs], [L2(model, names="weight"), *asked], asked[:1], [Bounds(model, 0, 1), signs]):
        asked[:] = now
        torch.testing.assert_close(total(), sum(penalty() for penalty in now))


def test_a_tensor_that_is_changed_between_two_penalties_is_looked_at_again(model):
    def change():
        with torch.no_grad():
            return model.weight.mul_(2).sum() * 0

    total = Regularized(lambda output, target: output.sum(), {"a": L1(model), "b": change, "c": L1(model)})
    for _ in range(2):
        total.eval(), total.train()
        before = L1(model)()
        total(torch.zeros(2), None)
        torch.testing.assert_close(total.terms["c"], total.terms["a"] + L1([model.weight / 2])())
        torch.testing.assert_close(total.terms["a"], before.detach())


def test_other_signs_have_a_pass_of_their_own(model):
    two = [DaleHinge(model, names="*weight", seed=seed) for seed in (1, 2)]
    expected = sum(torch.autograd.grad(penalty(), model.weight)[0] for penalty in two)
    RegularizationList(two)().backward()
    torch.testing.assert_close(model.weight.grad, expected)


def test_a_penalty_that_fails_leaves_nothing_open(model):
    def fails():
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        Regularized(lambda output, target: output.sum(), {"fails": fails})(torch.ones(2), None)
    assert weight_penalty._open.shared is None
    assert weight_penalty.shared_values() is None


@pytest.fixture
def normed() -> torch.nn.Module:
    """A block that computes its weight from a direction and a length."""
    torch.manual_seed(0)
    neuron = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1, "requires_grad": True}
    return block.cuba.Dense(neuron, 30, 20, weight_norm=True)


@pytest.mark.parametrize("total", [added, regularized])
@pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")
def test_a_computed_weight_is_computed_once_and_has_one_pass(normed, total, monkeypatch):
    each = [grads(penalty(), normed) for penalty in penalties(normed)]
    expected = [None if parts[0] is None else sum(parts) for parts in zip(*each, strict=True)]
    made = penalties(normed)
    monkeypatch.setitem(globals(), "penalties", lambda model: made)
    computed, passes = [], []
    compute, kernel = torch._weight_norm, weight_penalty._gradient_kernel
    monkeypatch.setattr(torch, "_weight_norm", lambda *a: computed.append(a) or compute(*a))
    monkeypatch.setattr(weight_penalty, "_gradient_kernel", lambda *a, **k: passes.append(a) or kernel(*a, **k))
    found = grads(total(normed), normed)
    assert (len(computed), len(passes)) == (1, 1)
    torch.testing.assert_close(found, expected)


def test_a_penalty_may_have_a_gradient_inside(model, normed):
    for of in (model, normed):

        def inside(of=of):
            size = L1(of, names="*weight")()
            assert all(g is None or g.isfinite().all() for g in grads(size, of))
            return L2(of, names="*weight")()

        after = [inside, L2(of, names="*weight", squared=True), L1(of, names="*weight")]
        terms = after if of is normed else [L1(of, names="*weight"), *after]
        named = {f"number{i}": term for i, term in enumerate(terms)}
        loss = Regularized(lambda output, target: output.sum(), named)(torch.zeros(2), None)
        each = [grads(term(), of) for term in terms]
        expected = [None if parts[0] is None else sum(parts) for parts in zip(*each, strict=True)]
        torch.testing.assert_close(grads(loss, of), expected)


def test_what_is_computed_without_a_gradient_is_not_taken_for_one_with_it(normed):
    def without():
        with torch.no_grad():
            return L2(normed, names="*weight")()

    loss = Regularized(lambda output, target: output.sum(), {"a": without, "b": L1(normed, names="*weight")})
    assert any(g is not None for g in grads(loss(torch.zeros(2), None), normed))


def test_a_change_in_place_before_the_backward_pass_is_an_error(model):
    loss = added(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
