"""Bounds as they are given: numbers, tensors or nothing, each checked, and paired with tensors by name."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_range,
    check_same_device,
    check_tensor,
    check_type,
    message,
    values_are_checked,
)
from slayerloss.functional import _tree
from slayerloss.functional._tree import Tree
from slayerloss.functional.events import promote

Bound = float | Tensor | None
Bounded = tuple[Tensor, Any, Any]
"""A tensor with its lower and its upper bound, both numbers or both tensors, infinite where there is none."""


def bounded_leaves(function: str, params: Tree, lower_bounds: Any, upper_bounds: Any) -> dict[str, Bounded]:
    """The tensors of a tree that have bounds, by name, each with its two bounds; see `bounds_cost`.

    Args:
        function: for errors.
        params: a tree of tensors.
        lower_bounds, upper_bounds: as in `bounds_cost`.
    """
    tensors = _tree.leaves(function, params)
    sides: list[Mapping[str, Bound]] = []
    for what, bounds in (("lower_bounds", lower_bounds), ("upper_bounds", upper_bounds)):
        if bounds is None:
            sides.append({})
        elif isinstance(params, torch.nn.Module):
            sides.append(bounds_by_name(function, what, list(tensors), bounds))
        else:
            sides.append(_tree.matched(function, list(tensors), bounds, what))
    return pair_up(function, tensors, *sides)


def bounds_by_name(function: str, what: str, names: list[str], bounds: Any) -> dict[str, Bound]:
    """The bounds of names from those of patterns; of several that match, the last one counts.

    Raises:
        ArgumentError: a pattern matches none of the names.
        DtypeError: `bounds` is no mapping.
    """
    rule = "a mapping of names or patterns to bounds"
    check_type(function, what, bounds, Mapping, rule)
    patterns = _tree.flat(function, bounds)
    _tree.chosen(function, names, list(patterns))
    return {n: bound for pattern, bound in patterns.items() for n in names if fnmatch.fnmatchcase(n, pattern)}


def pair_up(
    function: str, tensors: Mapping[str, Tensor], lower: Mapping[str, Bound], upper: Mapping[str, Bound]
) -> dict[str, Bounded]:
    """The tensors that are named on either side, each with its two bounds, checked."""
    paired = {}
    for name, tensor in tensors.items():
        if name not in lower and name not in upper:
            continue
        of = f" of {name}" if name else ""
        value = promote(tensor)
        what = name or "params", f"the lower bound{of}", f"the upper bound{of}"
        paired[name] = value, *check_bounds(function, what, value, lower.get(name), upper.get(name))
    return paired


def check_bounds(
    function: str, what: tuple[str, str, str], data: Tensor, lower: Bound, upper: Bound
) -> tuple[Any, Any]:
    """Return the bounds of `data` as two numbers or two tensors, infinite where there is none.

    Args:
        function: for errors.
        what: the names of data, lower and upper in errors.
        data: floating.
        lower, upper: as `bounds_penalty` takes them.
    """
    data_name, low_name, high_name = what
    low = _bound(function, low_name, lower, -math.inf, data, data_name)
    high = _bound(function, high_name, upper, math.inf, data, data_name)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low, high = (torch.as_tensor(bound, dtype=data.dtype, device=data.device) for bound in (low, high))
        crossed = values_are_checked(low) and bool((low > high).any())
    else:
        crossed = low > high
    if crossed:
        problem, way_out = f"{low_name} lies above {high_name}", "Exchange them"
        got = "above it in some places" if isinstance(low, Tensor) else f"{low:g} and {high:g}"
        raise ArgumentError(message(function, problem, "a lower bound of at most the upper one", got, way_out))
    return low, high


def _bound(function: str, name: str, value: Bound, none: float, data: Tensor, data_name: str) -> float | Tensor:
    """One bound as a number or a tensor; `none` where there is none."""
    if value is None:
        return none
    way_out = f"No bound on this side is None or {none}"
    if not isinstance(value, Tensor):
        number = check_range(function, name, value, infinite=True, way_out=way_out)
        if number == -none:
            raise ArgumentError(message(function, f"{name} leaves no value", "a finite number", number, way_out))
        return number
    check_tensor(function, name, value)
    check_same_device(function, name, value, data_name, data)
    extra = value.ndim > data.ndim
    if extra or any(own not in (1, size) for own, size in zip(value.shape[::-1], data.shape[::-1], strict=False)):
        rule = f"a shape that broadcasts to {tuple(data.shape)}"
        raise ShapeError(message(function, f"{name} does not fit {data_name}", rule, tuple(value.shape)))
    value = value.detach().to(data.dtype)
    if values_are_checked(value) and bool((value.isnan() | (value == -none)).any()):
        raise ArgumentError(message(function, f"{name} holds NaN or {-none}", "numbers", tuple(value.shape), way_out))
    return value
