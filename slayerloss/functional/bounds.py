"""Penalties on parameters that leave their bounds: the seeds' sum of exponentials, and continuous ones with a scale.

All of them are a cost of the excess, the distance of a value to the interval that its bounds span:

    e = |y - clip(y, lower, upper)|,  which is 0 inside and at a bound.

The functions on trees take a tensor, nested dictionaries and lists of tensors or numbers, or a torch.nn.Module, whose
bounds are named by patterns; of a module they see what its parameters mean, decays as fractions in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_choice, check_finite, check_range
from slayerloss.functional import _tree
from slayerloss.functional._bounds import Bound, Bounded, bounded_leaves, check_bounds
from slayerloss.functional._penalty import PENALTY_REDUCTIONS, in_floats, said_if_not_finite
from slayerloss.functional._tree import Tree
from slayerloss.kernels.penalty_terms import Term, of_excess
from slayerloss.kernels.weight_penalty import sums

SMALLEST_SCALE, LARGEST_SCALE = 1e-18, 1e18
"""Between which the gradient of the largest excess is finite in float32."""

KINDS = ("squared", "expm1")


def summed_exp_boundary_loss(data: Tensor, lower_bound: Bound = None, upper_bound: Bound = None) -> Tensor:
    r"""Sum up the exponentials of how far values lie outside of their bounds.

    .. math::
        L = \sum_{y > u} e^{y - u} + \sum_{y < l} e^{l - y}

    Args:
        data: any shape, any real dtype. Half precision is computed in float32.
        lower_bound, upper_bound: l and u, numbers or tensors that broadcast to `data`; 0.0 is a bound. None, or
            infinity on its side, is none.

    Returns:
        0-d, float32, or float64 for float64 data. Zero inside and at the bounds. Beyond an excess of 32 the
        exponential goes on as a straight line, so that value and gradient are finite.

    Raises:
        ArgumentError: data holds NaN, a bound is NaN, or a lower bound lies above the upper one.
        DtypeError, ShapeError: an argument is no real tensor, or a bound does not broadcast.

    Example:
        >>> summed_exp_boundary_loss(torch.tensor([-0.5, 0.5, 2.0]), 0.0, 1.0)  # e^0.5 + e^1
        tensor(4.3670)

    Note:
        It jumps from 0 to 1 at a bound, whatever the unit of the values: `bounds_penalty` does not. rockpool's takes
        0.0 for no bound, loses what float32 cannot tell from one in the exponential, overflows, and ignores NaN.

    References:
        rockpool 3.1.0, ``rockpool.training.torch_loss.summed_exp_boundary_loss``.
    """
    function, what = "summed_exp_boundary_loss", ("data", "lower_bound", "upper_bound")
    data = in_floats(function, "data", data)
    return _total(function, "data", data, *check_bounds(function, what, data, lower_bound, upper_bound), "exp")


def bounds_penalty(
    data: Tensor,
    lower: Bound = None,
    upper: Bound = None,
    *,
    kind: str = "squared",
    scale: float = 1.0,
    reduction: str = "sum",
) -> Tensor:
    r"""Penalize values outside of their bounds, from zero on, in units of a scale.

    .. math::
        L = \sum_y f(e(y) / \text{scale}), \qquad e(y) = \max(0, y - u, l - y), \qquad
        f(e) = e^2 \;\text{(squared)} \;\text{or}\; \exp(e) - 1 \;\text{(expm1)}

    Args:
        data: any shape, any real dtype. Half precision is computed in float32.
        lower, upper: l and u, numbers or tensors that broadcast to `data`; 0.0 is a bound. None, or infinity on its
            side, is none.
        kind: "squared", or "expm1", whose slope begins at one.
        scale: the excess that counts as one, in the unit of the data, in [1e-18, 1e18]: 1e-9 for nanoamperes.
        reduction: "sum", or "mean" over all values.

    Returns:
        0-d, float32, or float64 for float64 data. Zero inside and at the bounds, and continuous there. Beyond 32 scales
        expm1 goes on as a straight line; beyond 1e14 scales nothing grows.

    Raises:
        ArgumentError: data holds NaN, a bound is NaN, a lower bound lies above the upper one, or an option
            does not fit.
        DtypeError, ShapeError: an argument is no real tensor, or a bound does not broadcast.

    Example:
        >>> current = torch.tensor([4e-9, 2e-9, 1e-9])
        >>> bounds_penalty(current, upper=2e-9, scale=1e-9)
        tensor(4.0000)
        >>> bounds_penalty(torch.tensor([-1.0, 0.5]), lower=0.0, reduction="mean")
        tensor(0.5000)
    """
    check_choice("bounds_penalty", "kind", kind, KINDS)
    check_choice("bounds_penalty", "reduction", reduction, PENALTY_REDUCTIONS)
    scale = check_scale("bounds_penalty", scale)
    data = in_floats("bounds_penalty", "data", data)
    low, high = check_bounds("bounds_penalty", ("data", "lower", "upper"), data, lower, upper)
    total = _total("bounds_penalty", "data", data, low, high, kind, scale)
    return total / max(data.numel(), 1) if reduction == "mean" else total


def make_bounds(params: Tree) -> tuple[Any, Any]:
    """Bounds for a tree that bound nothing yet, to be filled in.

    Args:
        params: a tree of tensors.

    Returns:
        Two of the same structure, -inf in each place of the first and +inf in each place of the second. Of a module,
        dictionaries by name.

    Raises:
        DtypeError: something in it is neither a tensor nor a number.

    Example:
        >>> lower, upper = make_bounds({"weight": torch.ones(2, 2), "neuron": {"tau": torch.ones(2)}})
        >>> upper["neuron"]["tau"] = 0.1
        >>> lower, upper
        ({'weight': -inf, 'neuron': {'tau': -inf}}, {'weight': inf, 'neuron': {'tau': 0.1}})

    References:
        rockpool 3.1.0, ``rockpool.training.torch_loss.make_bounds``.
    """
    lower = _tree.mapped("make_bounds", params, lambda name, tensor: -math.inf)
    return lower, _tree.mapped("make_bounds", params, lambda name, tensor: math.inf)


def bounds_cost(params: Tree, lower_bounds: Any, upper_bounds: Any) -> Tensor:
    r"""Sum `summed_exp_boundary_loss` over a tree.

    .. math::
        L = \sum_{y > u} e^{y - u} + \sum_{y < l} e^{l - y}

    Args:
        params: a tree of tensors.
        lower_bounds, upper_bounds: of the same structure, a number, tensor or None in each place, as `make_bounds`
            gives them; the order of names does not matter. Of a module, names or patterns with their bounds; what none
            of them names has no bound, and the last one that names a parameter counts. None: no bounds on this side.

    Returns:
        0-d; 0 for an empty tree.

    Raises:
        ArgumentError: names are missing or too many, a pattern names nothing, or as `summed_exp_boundary_loss`.
        DtypeError, ShapeError: as `summed_exp_boundary_loss`.

    Example:
        >>> bounds_cost({"tau": torch.tensor([0.05, 0.2])}, {"tau": 0.1}, {"tau": 1.0})  # e^0.05
        tensor(1.0513, grad_fn=<AddBackward0>)
        >>> from slayerloss import block
        >>> neuron = dict(threshold=1, current_decay=0.5, voltage_decay=0.25, requires_grad=True)
        >>> bounds_cost(block.cuba.Dense(neuron, 3, 2), None, {"*.voltage_decay": 0.1}).detach()  # e^0.15
        tensor(1.1618)

    Note:
        rockpool's takes bounds by their place and not by their name, drops what has no partner, and ignores NaN.

    References:
        rockpool 3.1.0, ``rockpool.training.torch_loss.bounds_cost``, ``rockpool.training.jax_loss.bounds_cost``.
    """
    bounded = bounded_leaves("bounds_cost", params, lower_bounds, upper_bounds)
    return total_of("bounds_cost", bounded, "exp")


def bounds_clip(params: Tree, lower_bounds: Any, upper_bounds: Any) -> Any:
    """Clip a tree to its bounds.

    y = min(max(y, lower), upper)

    Args:
        params: a tree of tensors, which stays as it is.
        lower_bounds, upper_bounds: as in `bounds_cost`.

    Returns:
        The same structure with new tensors; of a module, a dictionary by name. Differentiable.

    Raises:
        ArgumentError, DtypeError, ShapeError: as `bounds_cost`.

    Example:
        >>> bounds_clip({"tau": torch.tensor([-2.0, 0.5])}, {"tau": 0.0}, {"tau": None})
        {'tau': tensor([0.0000, 0.5000])}

    Note:
        `slayerloss.regularizer.Bounds` clips parameters in place.

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.bounds_clip``.
    """
    bounded = bounded_leaves("bounds_clip", params, lower_bounds, upper_bounds)
    for name, (tensor, _, _) in bounded.items():
        check_finite("bounds_clip", name or "params", tensor)
    return _tree.mapped(
        "bounds_clip", params, lambda name, tensor: _clipped(*bounded[name]) if name in bounded else tensor.clone()
    )


def total_of(function: str, bounded: Mapping[str, Bounded], kind: str, scale: float = 1.0) -> Tensor:
    """The cost of all tensors, each with its bounds, by name; `function` is for errors."""
    costs = []
    for name, (tensor, low, high) in bounded.items():
        what = f"parameter {name}" if name else "params"
        costs.append(_total(function, what, in_floats(function, what, tensor), low, high, kind, scale))
    return _tree.total(costs)


def _total(function: str, name: str, data: Tensor, low: Any, high: Any, kind: str, scale: float = 1.0) -> Tensor:
    if isinstance(low, Tensor):
        total = of_excess(data, low, high, kind, scale).sum(dtype=torch.float64)
    else:
        total = sums(data, [Term(kind, low, high, scale)])[0]
    return said_if_not_finite(function, total.to(data.dtype), **{name: data})


def _clipped(data: Tensor, low: Any, high: Any) -> Tensor:
    return data.clamp(low, high)


def check_scale(function: str, scale: float) -> float:
    """Return the scale of a penalty; raise ArgumentError or DtypeError if it is none."""
    return check_range(function, "scale", scale, SMALLEST_SCALE, LARGEST_SCALE)
