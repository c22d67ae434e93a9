"""What all penalties on parameters share."""

from __future__ import annotations

import copy

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.regularizer import L1, BaseRegularization, Bounds, OperatorNorm, RegularizationList, WeightsDistance


class Squares(BaseRegularization):
    """Sum of squares of the distance to the references, if there are any."""

    def __init__(self, params, Lambda=1.0, *, names=None, references=None):
        super().__init__(params, Lambda, names=names)
        if references is not None:
            self.set_references(references)

    def forward(self):
        others = self.references or [0.0] * len(self.params)
        return self.total((w - other).square().sum() for w, other in zip(self.params, others, strict=True))


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def test_the_factor_is_on_the_call_and_not_on_forward():
    penalty = Squares(torch.tensor([1.0, 2.0]), 0.5)
    assert (penalty.forward().item(), penalty().item()) == (5.0, 2.5)


@pytest.mark.parametrize("kind", [lambda t: t, lambda t: [t], lambda t: {"a": t}, lambda t: iter([t]), lambda t: (t,)])
def test_parameters_come_in_many_forms(kind):
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    penalty = Squares(kind(weight))
    penalty().backward()
    assert weight.grad.item() == 6.0
    assert not list(penalty.parameters())
    assert not penalty.state_dict()


def test_pairs_of_names_and_tensors_are_named():
    model = linear()
    for pairs in (model.named_parameters(), list(model.named_parameters()), tuple(model.named_parameters())):
        assert list(Squares(pairs).named()) == ["weight", "bias"]
    assert list(Squares(model.named_parameters(), names="bias").named()) == ["bias"]
    backwards = reversed([(name, 2 * value.detach()) for name, value in model.named_parameters()])
    assert WeightsDistance(model, backwards)().item() == pytest.approx(L1(model)().item())


def test_printing_a_penalty_computes_no_parameter():
    model = torch.nn.utils.parametrizations.spectral_norm(linear())
    penalties = [Squares(model), L1(model), Bounds(model, 0.0, names="*weight"), OperatorNorm(model)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert all("weight" in repr(penalty) and penalty.parameter_names() for penalty in penalties)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_a_modules_parameters_are_looked_up_at_every_call():
    model = linear()
    penalty = Squares(model, names="weight")
    model.load_state_dict({name: torch.ones_like(value) for name, value in model.state_dict().items()}, assign=True)
    assert penalty().item() == 6.0
    assert penalty.named()["weight"] is model.weight


def test_a_copy_of_both_stays_together():
    pair = torch.nn.ModuleList([model := linear(), Squares(model)])
    other = copy.deepcopy(pair)
    assert other[1].named()["weight"] is other[0].weight


def test_references_are_saved_moved_and_counted():
    model = linear()
    penalty = Squares(model, names="weight", references=[torch.ones(2, 3)])
    assert list(penalty.state_dict()) == ["reference_0"]
    fresh = Squares(model, names="weight", references=[torch.zeros(2, 3)])
    fresh.load_state_dict(penalty.state_dict())
    assert fresh().item() == penalty().item()
    assert penalty.double().references[0].dtype == torch.float64
    with pytest.raises(ArgumentError, match=r"reference_weights do not match the parameters; expected 1, .* got 2"):
        Squares(model, names="weight", references=[torch.ones(2, 3)] * 2)
    with pytest.raises(ShapeError, match=r"reference of weight has the wrong shape; expected \(2, 3\), got \(3, 2\)"):
        Squares(model, names="weight", references=[torch.ones(3, 2)])


def test_no_parameters_cost_nothing_and_support_backward():
    for penalty in (Squares([]), RegularizationList(), RegularizationList([Squares([])])):
        value = penalty()
        value.backward()
        assert value.shape == ()
        assert value.item() == 0


def test_a_list_adds_penalties_of_any_iterable():
    weight = torch.tensor([1.0, 2.0])
    penalties = RegularizationList(Squares(weight, factor) for factor in (1.0, 10.0))
    penalties.append(Squares(weight, 100.0))
    assert penalties().item() == 555.0
    assert len(list(penalties)) == len(penalties) == 3
    with pytest.raises(DtypeError, match="regularization is of the wrong type"):
        RegularizationList([3.0])


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match=r"Squares: '\*\.wight' names no parameter"):
        Squares(linear(), names="*.wight")
    with pytest.raises(ArgumentError, match="Squares: Lambda is out of range"):
        Squares(linear(), float("nan"))
    with pytest.raises(DtypeError, match="Squares: 0 is not a tensor"):
        Squares(["weight"])
    with pytest.raises(TypeError, match="abstract"):
        BaseRegularization(linear())


def test_parameters_that_are_gone_are_missed() -> None:
    model = torch.nn.Linear(2, 2)
    parameters = model.parameters()
    assert L1(parameters)() > 0
    with pytest.raises(ArgumentError, match=r"there are no parameters.*may have given them before"):
        L1(parameters)
    with pytest.raises(ArgumentError, match=r"there are no parameters; expected at least one, got none\.$"):
        L1(torch.nn.ReLU())
