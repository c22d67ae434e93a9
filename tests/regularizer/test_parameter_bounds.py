"""Bounds of a model's parameters, by name: the penalty, the projection, what is printed and what is refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError, block
from slayerloss.functional import bounds_penalty
from slayerloss.regularizer import Bounds, ParameterBoundaryRegularizer

NEURON = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.25, "requires_grad": True}


def model(**options: Any) -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(*(block.cuba.Dense(NEURON, 3, 3, **options) for _ in range(2)))


@pytest.mark.parametrize("kind", ["squared", "expm1"])
def test_it_is_the_sum_of_its_tensors(kind: str) -> None:
    params = {"a": torch.tensor([-1.0, 3.0]), "b": [torch.tensor([[5.0]])]}
    penalty = Bounds(params, 0.0, {"a": 2.0, "b.*": 1.0}, 0.5, kind=kind, scale=2.0)
    expected = bounds_penalty(params["a"], 0, 2, kind=kind, scale=2) + bounds_penalty(
        params["b"][0], 0, 1, kind=kind, scale=2
    )
    torch.testing.assert_close(penalty().detach(), 0.5 * expected)


def test_decays_of_any_network_are_bounded_as_fractions_and_learn() -> None:
    net = model(weight_norm=True)
    penalty = Bounds(net, lower=0.01, upper=0.1, names="*.voltage_decay")
    assert list(penalty.named()) == ["0.neuron.voltage_decay", "1.neuron.voltage_decay"]
    assert penalty().item() == pytest.approx(2 * 0.15**2)
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert all(0.01 < layer.neuron.decays[1].item() < 0.101 for layer in net)


def test_the_last_pattern_that_names_a_parameter_counts_and_others_are_free() -> None:
    penalty = Bounds(model(), upper={"*_decay": 1.0, "1.*.voltage_decay": 0.1})
    assert penalty().item() == pytest.approx(0.15**2)
    assert repr(penalty).startswith(
        "Bounds(0.neuron.current_decay in [-inf, 1], 0.neuron.voltage_decay in [-inf, 1], 1."
    )
    assert "synapse" not in repr(penalty)


def test_nothing_bounded_is_zero_and_supports_backward() -> None:
    for penalty in (Bounds(model(), upper={"*": None}), Bounds([], 0.0)):
        loss = penalty()
        loss.backward()
        assert (loss.item(), loss.ndim) == (0.0, 0)
    frozen = Bounds(torch.ones(2), upper=0.5)()
    frozen.backward()
    assert frozen.item() == 0.5


@pytest.mark.parametrize("none", [{}, {"upper": {}}, {"lower": None, "upper": None}])
def test_bounds_that_are_none_are_refused(none: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="there is no bound; expected lower, upper or both"):
        Bounds(model(), **none)


def test_bounds_are_tensors_that_move_and_are_not_saved() -> None:
    weight = torch.nn.Parameter(torch.tensor([-1.0, 1.0]))
    penalty = Bounds(weight, lower=torch.tensor([0.0, 2.0]), upper=3.0)
    assert penalty().item() == 2.0
    assert repr(penalty) == "Bounds(in [tensor (2,), 3], kind='squared', scale=1, Lambda=1)"
    assert (penalty.state_dict(), list(penalty.parameters())) == ({}, [])
    assert {buffer.dtype for buffer in penalty.double().buffers()} == {torch.float64}
    assert penalty().dtype == torch.float32
    seed = ParameterBoundaryRegularizer(torch.tensor([0.0, 2.0]))
    assert seed(weight).item() == pytest.approx(2 * math.e)
    assert repr(seed) == "ParameterBoundaryRegularizer([tensor (2,), inf])"


def test_it_follows_what_is_loaded() -> None:
    net = model()
    penalty = Bounds(net, upper={"0.synapse.weight": 0.0})
    state = {
        name: torch.full_like(value, 2.0) if "weight" in name else value for name, value in net.state_dict().items()
    }
    net.load_state_dict(copy.deepcopy(state), assign=True)
    assert penalty().item() == 9 * 4.0


def test_parameters_are_clipped_in_place() -> None:
    net = model()
    before = net[1].synapse.weight.detach().clone()
    penalty = Bounds(net, lower={"0.synapse.weight": 0.0}, upper={"0.synapse.weight": 0.1})
    weight = net[0].synapse.weight
    assert penalty() > 0
    penalty.clip_()
    assert net[0].synapse.weight is weight
    assert (weight.min().item(), weight.max().item()) == (0.0, pytest.approx(0.1))
    assert penalty() == 0
    assert torch.equal(net[1].synapse.weight, before)


@pytest.mark.parametrize("name", ["*.voltage_decay", "*.weight"])
def test_what_is_computed_cannot_be_clipped(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"Bounds.clip_: 0\..* cannot be set.*Penalize them"):
        Bounds(model(weight_norm=True), upper={name: 0.1}).clip_()
    with pytest.raises(ArgumentError, match="cannot be set"):
        Bounds(torch.ones(2, requires_grad=True) * 2, upper=1.0).clip_()


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"lower": 1.0, "upper": 0.0}, ArgumentError, r"the lower bound of 0\.neuron\.current_decay lies above"),
    ({"upper": {"*.volts": 1.0}}, ArgumentError, r"'\*\.volts' names no parameter"),
    ({"names": "*.volts"}, ArgumentError, r"'\*\.volts' names no parameter"),
    ({"upper": {"*.weight": torch.ones(7)}}, ShapeError, r"the upper bound of 0\.synapse\.weight does not fit"),
    ({"upper": {"*.weight": "a"}}, DtypeError, "is not a number"),
    ({"upper": [1.0]}, DtypeError, "is not a number"),
    ({"kind": "exp"}, ArgumentError, "kind is unknown"),
    ({"scale": -1.0}, ArgumentError, "scale is out of range"),
    ({"Lambda": math.nan}, ArgumentError, "Lambda"),
]


@pytest.mark.parametrize(("bad", "error", "words"), WRONG, ids=[str([*bad]) for bad, *_ in WRONG])
def test_what_is_wrong_is_said_at_once(bad: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Bounds(model(), **bad)


def test_the_seeds_penalty_refuses_bounds_at_once() -> None:
    with pytest.raises(ArgumentError, match="lower_bound lies above upper_bound"):
        ParameterBoundaryRegularizer(1.0, 0.0)
    with pytest.raises(DtypeError, match="upper_bound is not a number"):
        ParameterBoundaryRegularizer(upper_bound="a")  # type: ignore[arg-type]
