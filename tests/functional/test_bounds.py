"""Penalties outside of bounds: formula, gradients, what bounds mean, trees, modules, invariances, what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError, block
from slayerloss.functional import bounds_clip, bounds_cost, bounds_penalty, make_bounds, summed_exp_boundary_loss
from slayerloss.kernels.penalty_terms import EXPONENT_LIMIT, LARGEST_EXCESS

X = torch.tensor([[-3.0, -1.0, -0.25], [0.5, 1.0, 4.0]], dtype=torch.float64)
COSTS = {
    "exp": lambda e: torch.where(e > 0, e.exp(), 0.0),
    "expm1": torch.expm1,
    "squared": torch.square,
}
NUMBERS = st.lists(st.floats(-20, 20), min_size=1, max_size=8)
BOUNDS = [
    (-1.0, 1.0),
    (0.0, None),
    (None, 0.0),
    (0.0, 0.0),
    (torch.tensor([-1.0, -2.0, 0.0]), torch.tensor([[0.0], [3.0]])),
]


def penalty(kind: str, data: torch.Tensor, lower: Any = None, upper: Any = None, **options: Any) -> torch.Tensor:
    if kind == "exp":
        return summed_exp_boundary_loss(data, lower, upper)
    return bounds_penalty(data, lower, upper, kind=kind, **options)


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize(("lower", "upper"), BOUNDS)
def test_a_penalty_is_its_formula(kind: str, lower: Any, upper: Any) -> None:
    low = -math.inf if lower is None else lower
    high = math.inf if upper is None else upper
    excess = torch.maximum(torch.as_tensor(low) - X, X - torch.as_tensor(high)).clamp_min(0)
    torch.testing.assert_close(penalty(kind, X, lower, upper), COSTS[kind](excess).sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize(("lower", "upper"), BOUNDS)
def test_gradients(kind: str, lower: Any, upper: Any) -> None:
    x = (X + 0.1).requires_grad_()  # away from the bounds
    assert torch.autograd.gradcheck(lambda x: penalty(kind, x, lower, upper), x)
    assert torch.autograd.gradgradcheck(lambda x: penalty(kind, x, lower, upper), x)


def test_no_bound_is_none_or_infinity_on_its_side_and_backward_applies() -> None:
    for kind in COSTS:
        for bounds in ((None, None), (-math.inf, math.inf), (torch.tensor(-math.inf), None)):
            x = X.clone().requires_grad_()
            loss = penalty(kind, x, *bounds)
            loss.backward()
            assert (loss.item(), loss.ndim, loss.dtype) == (0.0, 0, torch.float64)
            assert x.grad is not None
            assert not x.grad.any()


@pytest.mark.parametrize("kind", ["squared", "expm1"])
def test_the_penalty_is_continuous_at_a_bound_and_the_gradient_zero_there(kind: str) -> None:
    x = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    loss = bounds_penalty(x, -1.0, 1.0, kind=kind)
    loss.backward()
    assert loss == 0
    assert not x.grad.any()
    assert 0 < bounds_penalty(x.detach() * (1 + 1e-9), -1.0, 1.0, kind=kind) < 1e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nanoamperes_are_seen(dtype: torch.dtype) -> None:
    x = torch.tensor([5e-8, 1e-8], dtype=dtype, requires_grad=True)
    summed_exp_boundary_loss(x, upper_bound=1e-8).backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 0.0], dtype=dtype), rtol=1e-6, atol=0)
    for kind, expected in (("squared", 16.0), ("expm1", math.expm1(4.0))):
        assert bounds_penalty(x, upper=1e-8, kind=kind, scale=1e-8).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("far", [90.0, 1e12, 3e38])
def test_far_out_value_and_gradient_are_finite(kind: str, far: float) -> None:
    x = torch.full((1000,), far, requires_grad=True)
    loss = penalty(kind, x, -3e38, 1.0)
    loss.backward()
    assert bool(loss.isfinite())
    assert loss > 1000
    assert bool(x.grad.isfinite().all())
    assert bool((x.grad > 0).all()) == (far < LARGEST_EXCESS)
    if kind != "exp":
        for scale in (1e-18, 1e18):
            x.grad = None
            bounds_penalty(x, -3e38, 1.0, kind=kind, scale=scale).backward()
            assert bool(x.grad.isfinite().all())


def test_the_sum_of_billions_of_values_far_out_is_finite() -> None:
    costliest = max(LARGEST_EXCESS**2, math.exp(EXPONENT_LIMIT) * LARGEST_EXCESS)
    assert costliest * 1e10 < torch.finfo(torch.float32).max


def test_the_exponential_goes_on_straight_and_smoothly() -> None:
    x = torch.tensor([EXPONENT_LIMIT, EXPONENT_LIMIT + 2], dtype=torch.float64, requires_grad=True)
    top = math.exp(EXPONENT_LIMIT)
    for kind, at_limit in (("exp", top), ("expm1", top - 1)):
        x.grad = None
        loss = penalty(kind, x, upper=0.0)
        loss.backward()
        assert loss.item() == pytest.approx(2 * at_limit + 2 * top, rel=1e-12)
        torch.testing.assert_close(x.grad, torch.full((2,), top, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int32, torch.uint16, torch.bool])
def test_other_dtypes_are_computed_in_float32(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 1, 1], dtype=dtype)
    for kind in COSTS:
        loss = penalty(kind, x, upper=0.5)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, penalty(kind, x.float(), upper=0.5))


@given(NUMBERS, st.floats(-5, 0), st.floats(0, 5), st.randoms())
@settings(max_examples=40, deadline=None)
def test_inside_it_is_zero_outside_it_grows_and_order_does_not_matter(
    numbers: list[float], low: float, high: float, random: Any
) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    for kind in COSTS:
        loss = penalty(kind, x, low, high)
        assert penalty(kind, x.clamp(low, high), low, high) == 0
        assert penalty(kind, x, low - 1, high + 1) <= loss
        further = x + (x > high).double() - (x < low).double()
        assert (penalty(kind, further, low, high) > loss) == bool(((x > high) | (x < low)).any())
        shuffled = x[random.sample(range(len(x)), len(x))]
        torch.testing.assert_close(penalty(kind, shuffled, low, high), loss, rtol=1e-12, atol=1e-12)
        mirrored = penalty(kind, -x, -high, -low)
        torch.testing.assert_close(mirrored, loss, rtol=1e-12, atol=1e-12)


@given(NUMBERS, st.sampled_from([1e-9, 1e-3, 4.0, 1e9]))
@settings(max_examples=40, deadline=None)
def test_a_scale_is_a_unit(numbers: list[float], unit: float) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    for kind in ("squared", "expm1"):
        in_unit = bounds_penalty(x * unit, -unit, unit, kind=kind, scale=unit)
        torch.testing.assert_close(in_unit, bounds_penalty(x, -1.0, 1.0, kind=kind), rtol=1e-9, atol=1e-9)
        mean = bounds_penalty(x, -1.0, 1.0, kind=kind, reduction="mean")
        torch.testing.assert_close(mean * len(x), bounds_penalty(x, -1.0, 1.0, kind=kind))


def test_nothing_costs_nothing() -> None:
    for reduction in ("sum", "mean"):
        assert bounds_penalty(torch.zeros(0, 3), 1.0, reduction=reduction) == 0


@given(st.lists(NUMBERS, max_size=4))
@settings(max_examples=20, deadline=None)
def test_a_tree_costs_what_its_leaves_cost(rows: list[list[float]]) -> None:
    params = {"a": [torch.tensor(row, dtype=torch.float64) for row in rows], "b": {"c": 7.0}}
    lower, upper = make_bounds(params)
    assert bounds_cost(params, lower, upper) == 0
    lower["a"], upper["b"]["c"] = [-1.0] * len(rows), 5.0
    expected = sum((summed_exp_boundary_loss(row, -1.0) for row in params["a"]), torch.tensor(math.exp(2.0)))
    torch.testing.assert_close(bounds_cost(params, lower, upper).double(), expected.double(), rtol=1e-6, atol=1e-9)
    clipped = bounds_clip(params, lower, upper)
    assert all(torch.equal(new, old.clamp(min=-1)) for new, old in zip(clipped["a"], params["a"], strict=True))
    assert (clipped["b"]["c"], params["b"]["c"]) == (5.0, 7.0)


def test_a_clipped_tree_has_the_same_structure_and_gradients() -> None:
    params = {
        "a": (torch.tensor([-2.0, 2.0], requires_grad=True), [torch.ones(1)]),
        "b": torch.tensor(3, dtype=torch.int32),
    }
    clipped = bounds_clip(params, {"a": (-1, [2]), "b": None}, None)
    assert [type(part) for part in (clipped, clipped["a"], clipped["a"][1])] == [dict, tuple, list]
    torch.testing.assert_close(clipped["a"][1][0], torch.tensor([2.0]))
    clipped["a"][0].sum().backward()
    assert params["a"][0].grad.tolist() == [0.0, 1.0]


def model() -> torch.nn.Module:
    neuron = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.25, "requires_grad": True}
    return torch.nn.Sequential(*(block.cuba.Dense(neuron, 3, 3, weight_norm=i > 0) for i in range(2)))


def test_bounds_of_a_module_go_by_name_or_pattern_and_mean_what_its_parameters_mean() -> None:
    net = model()
    lower, upper = make_bounds(net)
    assert set(lower.values()) == {-math.inf}
    assert list(upper) == [
        f"{i}.{name}" for i in range(2) for name in ("neuron.current_decay", "neuron.voltage_decay", "synapse.weight")
    ]
    assert bounds_cost(net, lower, upper) == 0
    loss = bounds_cost(net, {"1.synapse.weight": 5.0}, {"*.voltage_decay": 0.1, "1.*.voltage_decay": 0.5})
    expected = math.exp(0.15) + (5 - net[1].synapse.weight).exp().sum().item()
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    moved = [name for name, parameter in net.named_parameters() if parameter.grad is not None]
    assert moved == ["0.neuron.voltage_decay", "1.neuron.voltage_decay", "1.synapse.weight_g", "1.synapse.weight_v"]
    clipped = bounds_clip(net, None, {"*decay": 0.1})
    assert clipped["0.neuron.current_decay"].item() == pytest.approx(0.1)
    assert net[0].neuron.current_decay.exp().item() == pytest.approx(0.5)


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (bounds_penalty, {"lower": 1, "upper": 0}, ArgumentError, "lower lies above upper"),
    (bounds_penalty, {"lower": torch.ones(3), "upper": 0}, ArgumentError, "lower lies above upper"),
    (bounds_penalty, {"lower": math.nan}, ArgumentError, "lower is out of range"),
    (bounds_penalty, {"upper": torch.tensor(math.nan)}, ArgumentError, "upper holds NaN"),
    (bounds_penalty, {"lower": math.inf}, ArgumentError, "leaves no value.* None or -inf"),
    (bounds_penalty, {"upper": torch.tensor([1.0, -math.inf, 1.0])}, ArgumentError, "upper holds NaN or -inf"),
    (bounds_penalty, {"upper": torch.ones(2)}, ShapeError, r"upper does not fit data.* \(2, 3\), got \(2,\)"),
    (bounds_penalty, {"upper": torch.ones(1, 2, 3)}, ShapeError, "upper does not fit"),
    (bounds_penalty, {"upper": "1"}, DtypeError, "upper is not a number"),
    (bounds_penalty, {"kind": "square"}, ArgumentError, "Did you mean 'squared'"),
    (bounds_penalty, {"scale": 0}, ArgumentError, "scale is out of range"),
    (bounds_penalty, {"reduction": "none"}, ArgumentError, "'sum', 'mean'"),
    (bounds_penalty, {"data": [1.0]}, DtypeError, "data is not a tensor"),
    (bounds_penalty, {"data": X / 0 * 0}, ArgumentError, "data holds 6 NaN"),
    (summed_exp_boundary_loss, {"lower_bound": 1, "upper_bound": 0}, ArgumentError, "lower_bound lies above"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "bad", "error", "words"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_is_wrong_is_said(call: Any, bad: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(**{"data": X, **bad})


def test_a_tree_names_what_does_not_fit() -> None:
    params = {"l1": {"tau": torch.ones(2)}, "w": torch.ones(2)}
    lower, upper = make_bounds(params)
    with pytest.raises(ArgumentError, match=r"bounds_clip: upper_bounds .* without l1.tau"):
        bounds_clip(params, lower, {"w": 1.0})
    with pytest.raises(ArgumentError, match=r"with l1\.rho"):
        bounds_cost(params, {"l1": {"tau": 0.0, "rho": 1.0}, "w": 0.0}, upper)
    with pytest.raises(ArgumentError, match=r"lower bound of l1\.tau lies above the upper bound of l1\.tau"):
        bounds_cost(params, {"l1": {"tau": 2.0}, "w": 0.0}, {"l1": {"tau": 1.0}, "w": 1.0})
    with pytest.raises(ArgumentError, match=r"'\*.voltage' names no parameter.*Did you mean '1.neuron.voltage_decay'"):
        bounds_cost(model(), None, {"*.voltage": 1.0})
    with pytest.raises(DtypeError, match="lower_bounds is of the wrong type; expected a mapping"):
        bounds_cost(model(), 1.0, None)
    with pytest.raises(ArgumentError, match="w holds 1 NaN"):
        bounds_clip({"w": torch.tensor([math.nan])}, {"w": 0}, {"w": 1})


def test_it_compiles_and_batches() -> None:
    call = torch.compile(
        lambda x: bounds_penalty(x, -1.0, torch.ones(3, dtype=x.dtype)), backend="eager", fullgraph=True
    )
    assert call(X) == bounds_penalty(X, -1.0, 1.0)
    each = torch.func.vmap(torch.func.grad(lambda x: summed_exp_boundary_loss(x, -1.0, 1.0)))(X)
    torch.testing.assert_close(each, torch.func.grad(lambda x: summed_exp_boundary_loss(x, -1.0, 1.0))(X))
