"""Norms of parameters as penalties: over all elements, or of a matrix as an operator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_choice, check_flag, check_range
from slayerloss.functional._penalty import PENALTY_REDUCTIONS
from slayerloss.functional._tree import Patterns, Tree
from slayerloss.functional.norms import LARGEST_P, check_operator_p, check_weight, lp_norm, operator_norm
from slayerloss.regularizer._each import one_for_each, total_of_each
from slayerloss.regularizer.base import BaseRegularization


class Lp(BaseRegularization):
    r"""Penalize the p-norm of each parameter, over all of its elements, `lp_norm`.

    .. math::
        L = \lambda \sum_k \Big( \sum_i w_{ki} |p_{ki}|^p \Big)^{1/p}

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        Lambda: factor of the penalty.
        p: in [1, 1000].
        names: which parameters, as patterns such as ``"*.weight"``; None for all.
        weights: w, at least 0: one number for all; or for each parameter a number, or a tensor that broadcasts to it,
            as a sequence in their order or a mapping by their names. They are buffers: saved and moved.
        reduction: "sum" as above; "mean" divides the inner sum by the number of elements of the parameter.
        squared: penalize the squares of the norms.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 0.0], [0.0, -4.0]]))
        >>> Lp(weight, Lambda=0.5, p=2)()
        tensor(2.5000, grad_fn=<MulBackward0>)

    Note:
        NeuroTorch takes operator norms of matrices (`OperatorNorm`) and nothing of more dimensions, and skips
        parameters without a gradient and those of one number.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.Lp``.
    """

    def __init__(
        self,
        params: Tree,
        Lambda: float = 1.0,
        p: float = 1.0,
        *,
        names: Patterns | None = None,
        weights: Any = None,
        reduction: str = "sum",
        squared: bool = False,
    ) -> None:
        super().__init__(params, Lambda, names=names)
        function = type(self).__name__
        check_choice(function, "reduction", reduction, PENALTY_REDUCTIONS)
        self.p = check_range(function, "p", p, 1.0, LARGEST_P)
        self.reduction, self.squared = reduction, check_flag(function, "squared", squared)
        self._num_weights = 0
        if weights is not None:
            self._set_weights(weights)

    def _set_weights(self, weights: Any) -> None:
        tensors = self.named()
        everywhere = not isinstance(weights, (Tensor, Iterable, torch.nn.Module))
        given = [weights] * len(tensors) if everywhere else weights
        for i, weight in enumerate(one_for_each(self, "weights", given)):
            name, tensor = list(tensors.items())[i]
            check_weight(type(self).__name__, f"weight of {name or 'the parameter'}", weight, tensor)
            self.register_buffer(f"weight_{i}", weight.detach().clone().to(tensor.device))
        self._num_weights = len(tensors)

    @property
    def weights(self) -> list[Tensor | None]:
        """The weights of each parameter."""
        if not self._num_weights:
            return [None] * len(self.parameter_names())
        return [self.get_buffer(f"weight_{i}") for i in range(self._num_weights)]

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(self, self._norm, self.weights)

    def _norm(self, tensor: Tensor, weight: Tensor | None) -> Tensor:
        return lp_norm(tensor, self.p, weight=weight, reduction=self.reduction, squared=self.squared)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p:g}{', squared' if self.squared else ''}"


class L1(Lp):
    r"""Penalize the sum of magnitudes of each parameter, which makes it sparse.

    .. math::
        L = \lambda \sum_k \sum_i w_{ki} |p_{ki}|

    Args:
        params, Lambda, names, weights, reduction: as of `Lp`.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> L1([torch.tensor([[3.0, 0.0], [0.0, -4.0]]), torch.tensor(1.0)], weights=[1, 2])()
        tensor(9., grad_fn=<MulBackward0>)

    Note:
        As of `Lp`.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.L1``.
    """

    def __init__(
        self,
        params: Tree,
        Lambda: float = 1.0,
        *,
        names: Patterns | None = None,
        weights: Any = None,
        reduction: str = "sum",
    ) -> None:
        super().__init__(params, Lambda, 1.0, names=names, weights=weights, reduction=reduction)


class L2(Lp):
    r"""Penalize the Euclidean length of each parameter, or its square, which is weight decay.

    .. math::
        L = \lambda \sum_k \sqrt{\sum_i w_{ki} \, p_{ki}^2} \quad\text{or}\quad \lambda \sum_k \sum_i w_{ki} \, p_{ki}^2

    Args:
        params, Lambda, names, weights, reduction, squared: as of `Lp`.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> weight = torch.tensor([[3.0, 0.0], [0.0, -4.0]])
        >>> L2(weight)(), L2(weight, squared=True)()
        (tensor(5., grad_fn=<MulBackward0>), tensor(25., grad_fn=<MulBackward0>))

    Note:
        As of `Lp`.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.L2``.
    """

    def __init__(
        self,
        params: Tree,
        Lambda: float = 1.0,
        *,
        names: Patterns | None = None,
        weights: Any = None,
        reduction: str = "sum",
        squared: bool = False,
    ) -> None:
        super().__init__(params, Lambda, 2.0, names=names, weights=weights, reduction=reduction, squared=squared)


class OperatorNorm(BaseRegularization):
    r"""Penalize by how much each parameter, as a matrix, can stretch a vector, `operator_norm`.

    .. math::
        L = \lambda \sum_k \max_{v \ne 0} \frac{\|W_k v\|_p}{\|v\|_p}

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. A vector is a matrix with one
            column; of more dimensions, the first counts the rows.
        Lambda: factor of the penalty.
        p: 1, 2 or inf; of vectors any from 1 on.
        names: which parameters, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 0.0], [3.0, -4.0]]))
        >>> OperatorNorm(weight, p=1)()
        tensor(6., grad_fn=<MulBackward0>)

    Note:
        What NeuroTorch's ``L1`` (p = 1), ``L2`` (p = 2) and ``Lp`` are, which sum the norms of vectors and matrices.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.Lp``.
    """

    def __init__(self, params: Tree, Lambda: float = 1.0, p: float = 2.0, *, names: Patterns | None = None) -> None:
        super().__init__(params, Lambda, names=names)
        self.p = check_operator_p("OperatorNorm", p, max((x.ndim for x in self.params), default=0))

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(self, lambda tensor: operator_norm(tensor, self.p))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p:g}"
