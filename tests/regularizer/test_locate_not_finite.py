"""Which penalty is not finite, and where."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from slayerloss import ArgumentError, block
from slayerloss.functional import lp_norm, operator_norm
from slayerloss.regularizer import (
    L1,
    L2,
    BaseRegularization,
    LayerActivity,
    MembraneExcursion,
    NotFinite,
    Penalty,
    Regularized,
    WeightSchedule,
    locate_not_finite,
)

NEURON = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.1, "scale_grad": 3, "requires_grad": True}
EVENTS = (torch.rand(3, 6, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
TARGET = torch.zeros(3, 3)


class Total(BaseRegularization):
    """A function of each parameter, summed over all."""

    def __init__(self, params: Any, function: Any, *, names: Any = None) -> None:
        super().__init__(params, names=names)
        self.function = function

    def forward(self) -> Tensor:
        return self.total(self.function(x).sum() for x in self.params)


def squared(spikes: Tensor, target: Tensor) -> Tensor:
    return (spikes.mean(-1) - target).square().mean()


def rates(activity: LayerActivity) -> Tensor:
    return activity.spikes.mean()


def root(activity: LayerActivity) -> Tensor:
    """Its slope is infinite at 0."""
    return (0 * activity.spikes.sum()).sqrt()


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"first": (6, 5), "second": (5, 4), "last": (4, 3)}
    model = torch.nn.Sequential()
    for name, each in sizes.items():
        model.add_module(name, block.cuba.Dense(NEURON, *each, weight_scale=4, weight_norm=name == "second"))
    return model


def make(model: torch.nn.Module, loss: Any = squared, **penalties: Any) -> Regularized:
    good = {"rates": rates, "size": Total(model, torch.square)}
    regularized = Regularized(loss, {**good, **penalties}, model)
    regularized(model(EVENTS), TARGET)
    return regularized


def poison(parameter: Tensor, value: float = math.nan) -> None:
    with torch.no_grad():
        parameter.flatten()[:2] = value


def test_all_is_well(model: torch.nn.Module) -> None:
    assert locate_not_finite(make(model)) is None
    assert locate_not_finite(Regularized(squared, {})) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_parameter_is_named(model: torch.nn.Module, value: float) -> None:
    regularized = make(model)
    poison(model.last.synapse.weight, value)
    found = locate_not_finite(regularized)
    assert found == NotFinite("size", "parameter", "last.synapse.weight", 2)
    assert str(found) == "the parameter 'last.synapse.weight', which penalty 'size' is on, is not finite"


def test_a_bad_parameter_of_a_plain_function_is_named(model: torch.nn.Module) -> None:
    regularized = Regularized(squared, {"size": lambda: model.last.synapse.weight.square().sum()}, model)
    poison(model.last.synapse.weight)
    assert locate_not_finite(regularized) == NotFinite("size", "parameter", "last.synapse.weight", 2)


def test_an_infinite_gradient_is_named_with_its_parameter(model: torch.nn.Module) -> None:
    with torch.no_grad():
        model.second.synapse.weight_g[0] = 0.0  # so are weights
    regularized = make(model, steep=Total(model, lambda x: x.abs().sqrt(), names="*.weight"))
    found = locate_not_finite(regularized)
    assert found is not None
    assert (found.penalty, found.what, found.where) == ("steep", "gradient", "second.synapse.weight")
    assert found.count > 0
    assert str(found) == "the gradient of penalty 'steep' at 'second.synapse.weight' is not finite"


def test_a_value_out_of_range_is_named_with_its_parameter(model: torch.nn.Module) -> None:
    regularized = make(model, steep=Total(model, lambda x: torch.exp(1000 * x.abs()), names="first.synapse.*"))
    found = locate_not_finite(regularized)
    assert found == NotFinite("steep", "value", "first.synapse.weight", 1)
    assert str(found) == "the value of penalty 'steep' at 'first.synapse.weight' is not finite"


def test_decays_are_called_what_the_penalty_calls_them(model: torch.nn.Module) -> None:
    flat = Total(model, lambda x: (0 * x).sqrt(), names="*_decay")
    found = locate_not_finite(make(model, flat=flat))
    assert found is not None
    assert (found.what, found.where) == ("gradient", "first.neuron.current_decay")


def test_the_layer_of_a_bad_activity_is_named(model: torch.nn.Module) -> None:
    found = locate_not_finite(make(model, root=Penalty(root, layers="second")))
    assert found is not None
    assert (found.penalty, found.what, found.where) == ("root", "gradient", "second")
    found = locate_not_finite(make(model, log=lambda activity: (0 * activity.spikes.mean()).log()))
    assert found == NotFinite("log", "value", "first", 1)
    assert str(found) == "the value of penalty 'log' at 'first' is not finite"


def test_bad_spikes_are_named() -> None:
    class Root(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - 0.5).sqrt()

    model = torch.nn.Sequential(Root(), torch.nn.Linear(12, 12))
    regularized = Regularized(torch.nn.MSELoss(), {"rates": Penalty(rates, layers="0")}, model)
    regularized(model(EVENTS), EVENTS)
    found = locate_not_finite(regularized)
    assert found is not None
    assert (found.penalty, found.what, found.where) == ("rates", "spikes", "0")
    assert str(found) == "the spikes of layer '0', which penalty 'rates' is on, are not finite"


def test_a_bad_parameter_that_no_penalty_is_on_is_named_also_where_the_model_refuses_it(model: torch.nn.Module) -> None:
    regularized = Regularized(squared, {"rates": rates}, model)
    poison(model.first.synapse.weight)
    with pytest.raises(ArgumentError, match="weight"):
        model(EVENTS)
    found = locate_not_finite(regularized)
    assert found is not None
    assert (found.penalty, found.what, found.count) == ("loss", "parameter", 2)
    assert str(found) == "the parameter 'first.synapse.weight' is not finite"


def test_names_are_those_of_a_model_that_is_not_compiled() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.compile(torch.nn.Linear(2, 2), backend="eager"))
    poison(model[1].bias)
    for compiled in (model, torch.compile(model, backend="eager")):
        penalty = L1(compiled, names="1.*")
        assert penalty.parameter_names() == ["1.weight", "1.bias"]
        found = locate_not_finite(Regularized(torch.nn.MSELoss(), {"size": penalty}, compiled))
        assert found is not None
        assert (found.penalty, found.where) == ("size", "1.bias")


def test_a_bad_loss_with_good_penalties_is_the_loss(model: torch.nn.Module) -> None:
    found = locate_not_finite(make(model, loss=lambda spikes, target: (spikes.sum() + 1) * 1e38 * 1e38))
    assert found == NotFinite("loss", "value", "", 1)
    assert str(found) == "the loss without its penalties is not finite"


def test_the_first_penalty_is_named_and_what_does_not_count_is_not(model: torch.nn.Module) -> None:
    later = Penalty(root, schedule=WeightSchedule(begin=0.5))
    regularized = Regularized(squared, {"root": later, "log": lambda a: (-1 - a.spikes.mean()).log()}, model)
    for progress, name in ((0.2, "log"), (0.8, "root")):
        regularized.progress = progress
        regularized(model(EVENTS), TARGET)
        found = locate_not_finite(regularized)
        assert found is not None
        assert found.penalty == name


def test_it_works_in_a_plain_loop_after_backward_and_step(model: torch.nn.Module) -> None:
    regularized = make(model, root=root)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = regularized(model(EVENTS), TARGET)
    total.backward()
    assert total.isfinite()
    assert not model.first.synapse.weight.grad.isfinite().all()
    found = locate_not_finite(regularized)
    assert found is not None
    assert found.penalty == "root"
    optimizer.step()
    found = locate_not_finite(regularized)
    assert found is not None
    assert (found.penalty, found.what) == ("size", "parameter")


def test_activity_is_needed(model: torch.nn.Module) -> None:
    with pytest.raises(ArgumentError, match="the model has sent nothing"):
        locate_not_finite(Regularized(squared, {"rates": rates}, model))


def test_a_penalty_of_the_library_that_refuses_what_is_not_finite_is_named(model: torch.nn.Module) -> None:
    poison(model.second.synapse.weight_g, 1e30)
    regularized = Regularized(squared, {"size": L2(model, names="*.weight", squared=True)}, model)
    with pytest.raises(ArgumentError, match=r"penalty 'size', L2 of second\.synapse\.weight, lp_norm: x is too large"):
        regularized(model(EVENTS), TARGET)
    assert locate_not_finite(regularized) == NotFinite("size", "value", "second.synapse.weight", 1)


def test_a_function_that_refuses_a_bad_parameter_is_named(model: torch.nn.Module) -> None:
    poison(model.last.synapse.weight)
    weight = model.last.synapse.weight
    regularized = Regularized(squared, {"size": lambda: lp_norm(weight)}, model)
    assert locate_not_finite(regularized) == NotFinite("size", "parameter", "last.synapse.weight", 2)
    regularized = Regularized(squared, {"size": lambda: operator_norm(weight.flatten(1))}, model)
    assert locate_not_finite(regularized) == NotFinite("size", "value", "", 1)  # there are no singular values at all


class Cell(torch.nn.Module):
    """Of someone else: its voltage may be infinite, its spikes never are."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x > 1).float(), 2 * x


@pytest.mark.parametrize(("value", "what", "said"), [(3e38, "voltage", "is"), (math.inf, "inputs", "are")])
def test_what_a_layer_was_given_and_its_voltage_are_named(value: float, what: str, said: str) -> None:
    cells = torch.nn.Sequential(Cell())
    penalty = Penalty(MembraneExcursion(upper=1.0), layers="0")
    regularized = Regularized(lambda sent, target: sent[0].mean(), {"voltage": penalty}, cells)
    sent = cells(torch.full((1, 2, 3), value))
    with pytest.raises(ArgumentError, match="penalty 'voltage', layer '0', membrane_excursion: voltage holds 6 NaN"):
        regularized(sent, None)
    found = locate_not_finite(regularized)
    assert found == NotFinite("voltage", what, "0", 6)
    assert str(found) == f"the {what} of layer '0', which penalty 'voltage' is on, {said} not finite"


def test_a_refusal_for_another_reason_is_one(model: torch.nn.Module) -> None:
    regularized = make(model)
    regularized.add("voltage", Penalty(lambda activity: MembraneExcursion(upper=1.0)(activity), layers="second"))
    with pytest.raises(ArgumentError, match="penalty 'voltage', layer 'second', MembraneExcursion: second has no volt"):
        locate_not_finite(regularized)
