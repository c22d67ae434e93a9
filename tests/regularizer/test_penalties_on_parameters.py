"""Norms, Dale's law, ratios and distances of a model's parameters: what counts, what is saved and refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError, block, synapse
from slayerloss import regularizer as r

NEURON = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1, "requires_grad": True}
MAKE: dict[str, Any] = {
    "L1": r.L1,
    "L2": r.L2,
    "L2 squared": lambda params, **options: r.L2(params, squared=True, **options),
    "Lp": lambda params, **options: r.Lp(params, p=3, **options),
    "OperatorNorm": r.OperatorNorm,
    "DaleLaw": r.DaleLaw,
    "DaleLawL2": r.DaleLawL2,
    "DaleHinge": r.DaleHinge,
    "ExcRatio": r.ExcRatioTargetRegularization,
    "InhRatio": r.InhRatioTargetRegularization,
    "SignRatio": r.SignRatio,
    "WeightsDistance": lambda params, **options: r.WeightsDistance(params, [torch.ones(2, 3)], **options),
}
DALE = [r.DaleLaw, r.DaleLawL2, r.DaleHinge]


def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_penalty_follows_the_model(make: Any) -> None:
    model = linear()
    penalty = make(model, Lambda=0.5, names="weight")
    loss = penalty()
    assert loss.ndim == 0
    loss.backward()
    assert model.weight.grad is not None
    assert model.weight.grad.isfinite().all()
    assert model.bias.grad is None
    assert not list(penalty.parameters())
    assert loss.item() == pytest.approx(0.5 * penalty.forward().item())
    model.double()
    penalty.to(torch.float64)
    assert penalty().item() == pytest.approx(loss.item(), rel=1e-6)
    assert penalty().dtype == torch.float64
    assert type(penalty).__name__ in repr(penalty)
    with torch.no_grad():
        model.weight.fill_(1.0)
    other = make(torch.nn.Parameter(torch.ones(2, 3)), Lambda=0.5)
    other.load_state_dict(penalty.state_dict())
    assert other().item() == pytest.approx(penalty().item(), rel=1e-6)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_weights_of_0_are_no_trouble(make: Any) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    loss = make([weight])()
    loss.backward()
    assert loss.isfinite()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_nan_is_found_in_its_parameter(make: Any) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    penalty = make({"layer": weight})
    with torch.no_grad():
        weight[0, 0] = math.nan
    with pytest.raises(ArgumentError, match=f"{type(penalty).__name__} of layer, .* holds 1 NaN"):
        penalty()


@pytest.mark.parametrize("name", ["Lp", "DaleLawL2", "SignRatio"])
def test_penalties_compile(name: str) -> None:
    torch.compiler.reset()
    penalty = MAKE[name]([torch.nn.Parameter(torch.randn(2, 3, generator=torch.Generator().manual_seed(0)))])
    compiled = torch.compile(lambda: penalty(), backend="aot_eager")
    (expected,) = torch.autograd.grad(penalty(), penalty.params)
    (got,) = torch.autograd.grad(compiled(), penalty.params)
    torch.testing.assert_close(compiled(), penalty())
    torch.testing.assert_close(got, expected)


def test_blocks_are_penalized_for_what_their_parameters_mean() -> None:
    dense = block.cuba.Dense(NEURON, 3, 2, weight_norm=True)
    penalty = r.L1(dense, names="*.voltage_decay")
    assert penalty().item() == pytest.approx(0.1, abs=1e-3)
    law = r.DaleHinge(dense, names="*.weight", seed=0)
    assert [tuple(reference.shape) for reference in law.references] == [tuple(law.params[0].shape)]
    law().backward()


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_weights_per_parameter_and_per_element(reduction: str) -> None:
    a, b = torch.tensor([[3.0, -1.0], [0.0, 2.0]]), torch.tensor([1.0, -4.0])
    count = (4, 2) if reduction == "mean" else (1, 1)
    per_element = torch.tensor([1.0, 10.0])
    for weights in ([2.0, per_element], iter([2, per_element]), {"1": per_element, "0": torch.tensor(2.0)}):
        penalty = r.L1([a, b], weights=weights, reduction=reduction)
        assert penalty().item() == pytest.approx(12 / count[0] + 41 / count[1])
    assert penalty.state_dict().keys() == {"weight_0", "weight_1"}
    assert r.L1([a, b], weights=3, reduction=reduction)().item() == pytest.approx(18 / count[0] + 15 / count[1])
    squared = r.L2([a, b], weights=[2.0, per_element], squared=True, reduction=reduction)
    assert squared().item() == pytest.approx(28 / count[0] + 161 / count[1])
    assert r.Lp(b, p=3, weights=per_element)().item() == pytest.approx(641 ** (1 / 3))


def test_references_by_order_by_name_and_of_a_model() -> None:
    model, other = linear(), torch.nn.Linear(3, 2)
    expected = (model.weight - other.weight).abs().sum() + (model.bias - other.bias).abs().sum()
    by_name = dict(other.named_parameters())
    for references in (other, list(by_name.values()), iter(by_name.values()), dict(reversed(by_name.items()))):
        torch.testing.assert_close(r.WeightsDistance(model, references)(), expected)
    torch.testing.assert_close(
        r.WeightsDistance(model, other, names="bias", p=2)(), torch.linalg.vector_norm(model.bias - other.bias)
    )
    single = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    assert r.WeightsDistance(single, torch.tensor([0.0, 1.0]))().item() == 3
    with torch.no_grad():
        reference = model.weight.clone()
        penalty = r.WeightsDistance(model, [reference], names="weight")
        reference.fill_(9.0)  # a copy is kept
    assert penalty().item() == 0


@pytest.mark.parametrize("penalty", DALE)
def test_signs_are_kept_in_a_byte_each(penalty: Any) -> None:
    reference = torch.tensor([1e-60, -3.0, 0.0], dtype=torch.float64)
    made = penalty([torch.ones(3)], reference_weights=[reference])
    assert made.references[0].dtype == torch.int8
    assert made.references[0].tolist() == [1, -1, 0]
    made.to(torch.float64)
    assert made.references[0].dtype == torch.int8
    assert made.state_dict().keys() == {"reference_0"}


@pytest.mark.parametrize("penalty", DALE)
@pytest.mark.parametrize("shape", [(5,), (4, 6), (6, 4), (8, 2, 3, 3, 1)])
def test_signs_of_its_own_keep_the_law(penalty: Any, shape: tuple[int, ...]) -> None:
    for dim in range(len(shape)):
        made = penalty(torch.ones(shape), inh_ratio=0.25, rho=0.9, dim=dim)
        signs = made.references[0].movedim(dim, 0).reshape(shape[dim], -1)
        inhibitory = int(0.25 * shape[dim])
        assert (signs[:inhibitory] <= 0).all()
        assert (signs[inhibitory:] >= 0).all()
    ones = torch.ones(50, 50)
    assert torch.equal(*(penalty(ones, inh_first=False, seed=1).references[0] for _ in range(2)))
    assert not torch.equal(*(penalty(ones, inh_first=False).references[0] for _ in range(2)))


OF_ONE_SIGN = [
    (torch.nn.Linear(6, 8), 1),
    (torch.nn.Conv2d(6, 8, 3), 1),
    (torch.nn.ConvTranspose1d(6, 8, 3), 0),
    (torch.nn.ConvTranspose2d(6, 8, 3), 0),
    (torch.nn.ConvTranspose3d(6, 8, 3), 0),
    (synapse.Dense(6, 8, weight_norm=True), 1),
    (synapse.Conv(6, 8, 3), 1),
    (synapse.ConvTranspose(6, 8, 3, weight_norm=True), 0),
    (torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(6, 8, 3)), 0),
]


@pytest.mark.parametrize("penalty", DALE)
@pytest.mark.parametrize(("layer", "dim"), OF_ONE_SIGN)
def test_what_a_neuron_sends_has_one_sign(penalty: Any, layer: torch.nn.Module, dim: int) -> None:
    """The law is one on presynaptic neurons, of which these layers have 6."""
    signs = penalty(torch.nn.Sequential(layer), names="0.weight", rho=1.0, seed=0).references[0].movedim(dim, 0)
    assert [set(neuron.flatten().tolist()) for neuron in signs] == [{-1}] * 3 + [{1}] * 3
    other = penalty(layer, names="weight", rho=1.0, seed=0, dim=1 - dim).references[0].movedim(1 - dim, 0)
    assert [set(neuron.flatten().tolist()) for neuron in other] == [{-1}] * 4 + [{1}] * 4
    of_tensor = penalty([layer.weight.detach()], rho=1.0, seed=0).references[0]
    assert len(set(of_tensor[0].flatten().tolist())) == 1


def test_a_descent_on_the_hinge_comes_to_the_law_and_stops() -> None:
    layer = torch.nn.Linear(20, 10)
    penalty = r.DaleHinge(layer, Lambda=0.1, names="weight", rho=1.0)
    sizes = layer.weight.detach().abs()
    right = layer.weight.detach().sign() == penalty.references[0]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert penalty().item() == 0
    assert ((layer.weight > 0) == (penalty.references[0] > 0)).all()
    assert torch.equal(layer.weight.detach().abs()[right], sizes[right])  # as they were


def test_ratios_are_reported_by_sign() -> None:
    params = [torch.tensor([0.1, 0.2, 0.3, -9.0]), torch.tensor([-1.0, 0.0])]
    for penalty in (r.ExcRatioTargetRegularization, r.InhRatioTargetRegularization, r.SignRatio):
        assert penalty(params).get_params_exc_ratio() == [0.75, 0.25]
        assert penalty(params).get_params_inh_ratio() == [0.25, 0.75]
    assert r.SignRatio(params, 0.75)().item() == pytest.approx(1.0)
    exc, inh = r.ExcRatioTargetRegularization(params, 0.7), r.InhRatioTargetRegularization(params, 0.3)
    assert exc().item() == pytest.approx(inh().item())


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda w: r.Lp(w, p=0.5), ArgumentError, "Lp: p is out of range"),
    (lambda w: r.L1(w, reduction="none"), ArgumentError, "L1: reduction is unknown"),
    (
        lambda w: r.L1(w, weights=[1.0]),
        ArgumentError,
        "L1: weights do not match the parameters; expected 2, one for each",
    ),
    (lambda w: r.L1(w, weights=-1.0), ArgumentError, "L1: weight of a is out of range"),
    (lambda w: r.L1(w, weights={"a": 1.0}), ArgumentError, "without b"),
    (lambda w: r.L1(w, weights=[torch.ones(4), 1.0]), ArgumentError, "L1: weight of a does not broadcast"),
    (lambda w: r.L2(w, squared=2), DtypeError, "L2: squared is neither True nor False"),
    (lambda w: r.L2(w, weights="a"), DtypeError, "L2: weights are no tensors"),
    (lambda w: r.OperatorNorm(w, p=3), ArgumentError, "OperatorNorm: p is none that a matrix can have"),
    (lambda w: r.OperatorNorm([], p=-3), ArgumentError, "OperatorNorm: p is out of range"),
    (lambda w: r.OperatorNorm([], p="x"), DtypeError, "OperatorNorm: p is not a number"),
    (lambda w: r.DaleLaw(w, [w["a"]]), ArgumentError, "reference_weights do not match the parameters; expected 2"),
    (lambda w: r.DaleLaw(w, [w["a"], w["a"]]), ShapeError, "DaleLaw: reference of b has the wrong shape"),
    (lambda w: r.DaleLaw(w, [w["a"], "b"]), DtypeError, "DaleLaw"),
    (lambda w: r.DaleLaw(w, [w["a"], math.nan * w["b"]]), ArgumentError, "DaleLaw: a reference holds 3 NaN"),
    (lambda w: r.DaleLaw(w, rho=2), ArgumentError, "rho is out of range"),
    (lambda w: r.DaleLawL2(w, alpha=-0.1), ArgumentError, "DaleLawL2: alpha is out of range"),
    (lambda w: r.SignRatio(w, 1.1), ArgumentError, "SignRatio: exc_target_ratio is out of range"),
    (lambda w: r.SignRatio(w, temperature=0), ArgumentError, "SignRatio: temperature is out of range"),
    (lambda w: r.InhRatioTargetRegularization(w, -0.1), ArgumentError, "inh_target_ratio is out of range"),
    (lambda w: r.WeightsDistance(w, {"a": w["a"], "c": w["b"]}), ArgumentError, "without b and with c"),
    (lambda w: r.WeightsDistance(w, torch.nn.Linear(2, 2)), ArgumentError, "without a, b"),
    (lambda w: r.WeightsDistance(w, w, p=math.nan), ArgumentError, "WeightsDistance: p is out of range"),
    (lambda w: r.WeightsDistance(w, None), DtypeError, "WeightsDistance: reference_weights are no tensors"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_what_is_wrong_is_said(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call({"a": torch.ones(2, 3), "b": torch.ones(3)})
