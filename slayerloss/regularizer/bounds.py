"""Penalties on parameters outside of their bounds: the seed's for one tensor, and one for a model's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, check_choice, check_tensor, message
from slayerloss.functional._bounds import Bound, Bounded, bounds_by_name, check_bounds, pair_up
from slayerloss.functional._tree import Patterns, Tree
from slayerloss.functional.bounds import KINDS, check_scale, summed_exp_boundary_loss, total_of
from slayerloss.regularizer.base import BaseRegularization


class ParameterBoundaryRegularizer(torch.nn.Module):
    """Sum up the exponentials of how far the values of a tensor lie outside of bounds, `summed_exp_boundary_loss`.

    Args:
        lower_bound, upper_bound: numbers, or tensors that broadcast to what the penalty is called with; None for none.

    Raises:
        ArgumentError: a bound is NaN, or the lower bound lies above the upper one.
        DtypeError: a bound is no number.

    Example:
        >>> penalty = ParameterBoundaryRegularizer(0.0, 1.0)
        >>> penalty(torch.tensor([-0.5, 0.5, 2.0]))  # e^0.5 + e^1
        tensor(4.3670)

    Note:
        rockpool's gives (penalty, {}, {}). `Bounds` holds the parameters, and is continuous at the bounds.

    References:
        rockpool 3.1.0, ``rockpool.training.torch_loss.ParameterBoundaryRegularizer``.
    """

    lower_bound: Bound
    upper_bound: Bound

    def __init__(self, lower_bound: Bound = None, upper_bound: Bound = None) -> None:
        super().__init__()
        _check_numbers("ParameterBoundaryRegularizer", ("lower_bound", "upper_bound"), lower_bound, upper_bound)
        _keep(self, "lower_bound", lower_bound)
        _keep(self, "upper_bound", upper_bound)

    def forward(self, data: Tensor) -> Tensor:
        """The penalty of a tensor of any shape, 0-d."""
        return summed_exp_boundary_loss(data, self.lower_bound, self.upper_bound)

    def extra_repr(self) -> str:
        return _interval(self.lower_bound, self.upper_bound)


class Bounds(BaseRegularization):
    r"""Penalize parameters outside of their bounds, from zero on, in units of a scale, `bounds_penalty`.

    .. math::
        L = \lambda \sum_y f(\max(0, y - u, l - y) / \text{scale}), \qquad f(e) = e^2 \;\text{or}\; \exp(e) - 1

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module, whose parameters are bounded as
            what they mean: decays as fractions in [0, 1].
        lower, upper: l and u of all parameters, a number, a tensor that broadcasts, or None; or a mapping of names or
            patterns to these: of several that match, the last one counts, and what none of them names has no bound.
        Lambda: factor of the penalty.
        names: which parameters, as patterns; None for all.
        kind: "squared" or "expm1".
        scale: the excess that counts as one, in [1e-18, 1e18].

    Raises:
        ArgumentError: there are no bounds, a pattern names nothing, a bound is NaN, a lower bound
            lies above the upper one, or an option does not fit.
        DtypeError, ShapeError: a bound is no number, or does not broadcast.

    Example:
        >>> from slayerloss import block
        >>> neuron = dict(threshold=1, current_decay=0.5, voltage_decay=0.25, requires_grad=True)
        >>> penalty = Bounds(block.cuba.Dense(neuron, 3, 2), upper={"*.voltage_decay": 0.05}, scale=0.1)
        >>> penalty
        Bounds(neuron.voltage_decay in [-inf, 0.05], kind='squared', scale=0.1, Lambda=1)
        >>> penalty()  # (0.2 / 0.1)^2
        tensor(4., grad_fn=<MulBackward0>)
    """

    def __init__(
        self,
        params: Tree,
        lower: Bound | Mapping[str, Any] = None,
        upper: Bound | Mapping[str, Any] = None,
        Lambda: float = 1.0,
        *,
        names: Patterns | None = None,
        kind: str = "squared",
        scale: float = 1.0,
    ) -> None:
        super().__init__(params, Lambda, names=names)
        check_choice("Bounds", "kind", kind, KINDS)
        self.kind, self.scale = kind, check_scale("Bounds", scale)
        self._keys = {}
        for side, bounds in (("lower", lower), ("upper", upper)):
            by_name = self._by_name(side, bounds)
            self._keys[side] = {name: f"{side}_{i}" for i, name in enumerate(by_name)}
            for name, key in self._keys[side].items():
                _keep(self, key, by_name[name])
        if all(side is None or (isinstance(side, Mapping) and not side) for side in (lower, upper)):
            raise ArgumentError(message("Bounds", "there is no bound", "lower, upper or both", "neither"))
        self._bounded()  # checks them

    def _by_name(self, side: str, bounds: Any) -> dict[str, Bound]:
        names = self.parameter_names()
        if isinstance(bounds, Mapping):
            return bounds_by_name("Bounds", side, names, bounds)
        return dict.fromkeys([] if bounds is None else names, bounds)

    def _bounds(self, side: str) -> dict[str, Bound]:
        return {name: getattr(self, key) for name, key in self._keys[side].items()}

    def _bounded(self) -> dict[str, Bounded]:
        return pair_up("Bounds", self.named(), self._bounds("lower"), self._bounds("upper"))

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of("Bounds", self._bounded(), self.kind, self.scale)

    @torch.no_grad()
    def clip_(self) -> None:
        """Bring the parameters into their bounds, in place: the projection after a step of an optimiser.

        Raises:
            ArgumentError: what is bounded is not stored so, as decays, of which the logarithm is stored.

        Example:
            >>> weight = torch.nn.Parameter(torch.tensor([-1.0, 0.5]))
            >>> Bounds(weight, lower=0.0).clip_()
            >>> weight.data
            tensor([0.0000, 0.5000])
        """
        bounded, tensors = self._bounded(), self.named()
        computed = [name for name in bounded if not self._is_stored(name, tensors[name])]
        if computed:
            problem, rule = f"{', '.join(computed)} cannot be set", "parameters that are stored as they are"
            way_out = "Penalize them, or choose the others with names"
            raise ArgumentError(message("Bounds.clip_", problem, rule, "values computed from the stored ones", way_out))
        for name, (_, low, high) in bounded.items():
            tensors[name].clamp_(low, high)

    def _is_stored(self, name: str, tensor: Tensor) -> bool:
        if self._places is None:
            return tensor.is_leaf
        place = self._places[name]
        return tensor is place.module._parameters.get(place.own)

    def extra_repr(self) -> str:
        lower, upper = self._bounds("lower"), self._bounds("upper")
        intervals = [
            f"{name} in {_interval(lower.get(name), upper.get(name))}".lstrip()  # a tensor has no name
            for name in self.parameter_names()
            if name in lower or name in upper
        ]
        options = f"kind={self.kind!r}, scale={self.scale:g}, Lambda={self.Lambda:g}"
        return f"{', '.join(intervals) or 'nothing'}, {options}"


def _check_numbers(function: str, names: tuple[str, str], lower: Bound, upper: Bound) -> None:
    """Check bounds before there is a tensor to bound: numbers fully, tensors as such."""
    for name, bound in zip(names, (lower, upper), strict=True):
        if isinstance(bound, Tensor):
            check_tensor(function, name, bound)
    if not isinstance(lower, Tensor) and not isinstance(upper, Tensor):
        check_bounds(function, ("data", *names), torch.zeros(()), lower, upper)


def _keep(module: torch.nn.Module, name: str, bound: Bound) -> None:
    """An attribute; a tensor moves with the module, and is not saved with it."""
    if isinstance(bound, Tensor):
        module.register_buffer(name, bound.detach().clone(), persistent=False)
    else:
        setattr(module, name, bound)


def _interval(lower: Bound, upper: Bound) -> str:
    """Bounds, for printing."""
    sides = -math.inf if lower is None else lower, math.inf if upper is None else upper
    low, high = (f"tensor {tuple(side.shape)}" if isinstance(side, Tensor) else f"{side:g}" for side in sides)
    return f"[{low}, {high}]"
