"""rockpool's bounds: its values and gradients where they are right, and what is right where they are not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.functional import _tree
from slayerloss.regularizer import (
    ParameterBoundaryRegularizer,
    bounds_clip,
    bounds_cost,
    make_bounds,
    summed_exp_boundary_loss,
)

Case = dict[str, Any]
NAMES = ("summed_exp_boundary_loss", "ParameterBoundaryRegularizer", "make_bounds", "bounds_cost", "bounds_clip")


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Case]:
    golden = json.loads((shared / "golden" / "regularizers.json").read_text(encoding="utf-8"))
    of_bounds = [case for case in golden["cases"] if case["fn"].rpartition(".")[2] in NAMES]
    return {case["id"]: case for case in of_bounds if case["fn"].startswith("rockpool.")}


def tensor(values: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    if isinstance(values, list):
        return torch.stack([tensor(value, dtype) for value in values])
    return torch.tensor(float(values), dtype=dtype)


def tree(values: Any) -> Any:
    """Golden numbers as they were given: in a dictionary lists are tensors, texts are infinities."""
    if isinstance(values, dict):
        return {name: tree(part) for name, part in values.items()}
    return tensor(values) if isinstance(values, list) else float(values)


def parameters(values: Any) -> Any:
    made = tree(values)
    for leaf in _tree.flat("golden", made).values():
        if isinstance(leaf, torch.Tensor):
            leaf.requires_grad_()
    return made


def value_and_gradient(case: Case) -> tuple[torch.Tensor, Any]:
    """What ours gives for the arguments of a case."""
    given, name = case["inputs"], case["fn"].rpartition(".")[2]
    if name == "summed_exp_boundary_loss":
        data = tensor(given["data"], getattr(torch, given.get("dtype", "torch.float64")[6:])).requires_grad_()
        bounds = [given.get(side) for side in ("lower_bound", "upper_bound")]
        low, high = (tensor(bound, data.dtype) if isinstance(bound, list) else bound for bound in bounds)
        loss = summed_exp_boundary_loss(data, low, high)
        assert torch.equal(ParameterBoundaryRegularizer(low, high)(data), loss)
        loss.backward()
        return loss, data.grad
    params = parameters(given["params"])
    loss = bounds_cost(params, tree(given["lower_bounds"]), tree(given["upper_bounds"]))
    loss.backward()
    return loss, _tree.mapped("here", params, lambda name, leaf: leaf.grad)


def assert_values(case: Case) -> None:
    """Of a case with a value: ours is the same, and so is its gradient."""
    tolerance = 1e-5 if case["inputs"].get("dtype") == "torch.float32" else 1e-6
    loss, gradient = value_and_gradient(case)
    assert (loss.ndim, loss.requires_grad) == (0, True)
    torch.testing.assert_close(loss, tensor(case["out"], loss.dtype), rtol=tolerance, atol=0, msg=case["id"])
    wanted = tree(case["grad"]) if isinstance(case["grad"], dict) else None
    ours, theirs = _tree.flat("golden", gradient), _tree.flat("golden", wanted)
    if theirs == {"": None}:
        theirs = {"": tensor(case["grad"], loss.dtype)}
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=0, msg=case["id"])


def assert_bounds_made(case: Case) -> None:
    assert list(make_bounds(parameters(case["inputs"]["params"]))) == [tree(side) for side in case["out"]]


def assert_clipped(case: Case) -> None:
    params, low, high = (tree(case["inputs"][name]) for name in ("params", "lo", "hi"))
    torch.testing.assert_close(bounds_clip(params, low, high), tree(case["out"]), rtol=0, atol=0)
    assert torch.equal(params["w"], tensor(case["inputs"]["params"]["w"]))


def refused(match: str) -> Callable[[Case], None]:
    """A check that the arguments are refused, in words that `match` is found in."""

    def check(case: Case) -> None:
        with pytest.raises(ArgumentError, match=match):
            value_and_gradient(case)

    return check


def gives(value: float, gradient: Any) -> Callable[[Case], None]:
    """A check of value and gradient."""

    def check(case: Case) -> None:
        assert_values({**case, "out": value, "grad": gradient})

    return check


def test_every_value_is_rockpools(cases: dict[str, Case]) -> None:
    values = {name: case for name, case in cases.items() if case["expect"] == "value"}
    assert len(values) == 23
    special = {"make_bounds": assert_bounds_made, "bounds_clip": assert_clipped}
    for case in values.values():
        if "error" in case:  # theirs names no parameter
            refused("without l1.tau")(case)
        else:
            special.get(case["fn"].rpartition(".")[2], assert_values)(case)


def assert_finite_beyond_float32(case: Case) -> None:
    loss, gradient = value_and_gradient(case)
    assert bool(loss.isfinite())
    assert loss > 1e10
    assert bool(gradient.isfinite().all())
    assert gradient > 0


def assert_called_for_its_value(case: Case) -> None:
    given = case["inputs"]
    data = tensor(given["input"]).requires_grad_()
    loss = ParameterBoundaryRegularizer(given["lower_bound"], given["upper_bound"])(data)
    torch.testing.assert_close(loss, tensor(case["out"][0]), rtol=1e-6, atol=0)
    loss.backward()  # theirs is a triple, which has none
    assert data.grad is not None


def assert_number_for_a_tensor(case: Case) -> None:
    assert bounds_cost(
        case["inputs"]["params"], case["inputs"]["lower_bounds"], case["inputs"]["upper_bounds"]
    ).item() == (pytest.approx(math.exp(0.5)))


E, E2 = math.e, math.e**2
BELOW_0 = [-E2, -E, -math.exp(0.5), 0.0, 0.0, 0.0, 0.0, 0.0]
ABOVE_0 = [0.0, 0.0, 0.0, 0.0, math.exp(0.5), E, E2, math.exp(3.5)]
ABOVE_1 = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, E, math.exp(2.5)]
FIXED: dict[str, Callable[[Case], None]] = {
    "sebl_none": gives(0.0, [0.0] * 8),
    "sebl_upper0": gives(sum(ABOVE_0), ABOVE_0),
    "sebl_lower0": gives(-sum(BELOW_0), BELOW_0),
    "sebl_lower0_upper1": gives(sum(ABOVE_1) - sum(BELOW_0), [a + b for a, b in zip(ABOVE_1, BELOW_0, strict=True)]),
    "sebl_f32_lost": gives(1.0, [1.0]),
    "sebl_f32_overflow": assert_finite_beyond_float32,
    "sebl_nan": refused("data holds 1 NaN"),
    "sebl_swapped": refused("lower_bound lies above upper_bound"),
    "sebl_tensor_bound_vec": gives(2 * E, [E, E]),
    "sebl_tensor_bound_zero": gives(2 * E2, [E2, E2]),
    "pbr": assert_called_for_its_value,
    "tbc_missing_upper": refused("upper_bounds .* without l1.tau"),
    "tbc_missing_both": refused("without l1.tau"),
    "tbc_key_order": gives(0.0, {"a": [0.0], "b": [0.0]}),
    "tbc_wrong_keys": refused("without a and with zzz"),
    "tbc_nan": refused("parameter a holds 1 NaN"),
    "tbc_empty": gives(0.0, {}),
    "jbc_missing_upper": refused("upper_bounds .* without l1.tau"),
    "jbc_missing_both": refused("without l1.tau"),
    "jbc_wrong_keys": refused("without a and with zzz"),
    "jbc_nan": refused("parameter a holds 1 NaN"),
    "jbc_empty": gives(0.0, {}),
    "tbc_float_leaf": assert_number_for_a_tensor,
}


def test_every_defect_has_a_check(cases: dict[str, Case]) -> None:
    assert set(FIXED) == {name for name, case in cases.items() if case["expect"] == "fixed"}


@pytest.mark.parametrize("name", FIXED)
def test_what_rockpool_gets_wrong_is_right(cases: dict[str, Case], name: str) -> None:
    FIXED[name](cases[name])
