"""Dale's law as a penalty: the weights of a neuron should have one sign."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_finite, check_range
from slayerloss.functional._tree import Patterns, Tree
from slayerloss.functional.connectome import dale_hinge, dale_law, dale_law_l2, signs
from slayerloss.functional.dale import dale_
from slayerloss.regularizer._each import one_for_each, total_of_each
from slayerloss.regularizer.base import BaseRegularization
from slayerloss.synapse import ConvTranspose

_TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d, ConvTranspose)


def _presynaptic(module: torch.nn.Module | None, ndim: int) -> int:
    """The dimension of a module's weight, or of a tensor that no module holds, that counts presynaptic neurons."""
    return 0 if module is None or isinstance(module, _TRANSPOSED) or ndim < 2 else 1


class _Dale(BaseRegularization):
    """Parameters and the signs that they should have, as int8 buffers."""

    def __init__(
        self,
        params: Tree,
        reference_weights: Any = None,
        Lambda: float = 1.0,
        *,
        names: Patterns | None = None,
        inh_ratio: float = 0.5,
        rho: float = 0.99,
        inh_first: bool = True,
        seed: int | None = None,
        dim: int | None = None,
    ) -> None:
        super().__init__(params, Lambda, names=names)
        if reference_weights is None:
            like = [torch.empty(tensor.shape) for tensor in self.params]
            owners = [None] * len(like) if self._places is None else [place.module for place in self._places.values()]
            own = [_presynaptic(owner, x.ndim) if dim is None else dim for owner, x in zip(owners, like, strict=True)]
            drawn = zip(like, own, strict=True)
            reference_weights = [dale_(x, inh_ratio, rho, inh_first, seed, dim=along) for x, along in drawn]
        references = one_for_each(self, "reference_weights", reference_weights)
        for reference in references:
            check_finite(type(self).__name__, "a reference", reference)
        self.set_references([signs(reference) for reference in references])


class DaleLawL2(_Dale):
    r"""Keep weights small and of the signs of a reference, `dale_law_l2`.

    .. math::
        L = \lambda \sum_k \sum_i \alpha w_{ki}^2 - (1 - \alpha) \, w_{ki} \, \text{sign}(r_{ki})

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        alpha: in [0, 1]. 1 leaves the sum of the squares, 0 the signs alone.
        reference_weights: a tensor for each parameter, of its shape: a sequence in their order, a mapping by their
            names, or a module with parameters of these names. Their signs are kept, as int8 buffers: saved and moved.
            None for the signs of `dale_`.
        Lambda: factor of the penalty.
        names: which parameters, as patterns such as ``"*.weight"``; None for all.
        inh_ratio, rho, inh_first, seed: of `dale_`.
        dim: where the presynaptic neurons are, for `dale_`. None: of a weight that a module holds in dimension 1, of a
            transposed convolution, a vector, and a tensor that was given as such in dimension 0.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit; references are missing, too many, or of another
            shape.

    Example:
        >>> penalty = DaleLawL2(torch.tensor([2.0, -1.0]), 0.5, [torch.tensor([0.3, 0.1])])
        >>> penalty(), penalty.references
        (tensor(2., grad_fn=<MulBackward0>), [tensor([1, 1], dtype=torch.int8)])

    Note:
        NeuroTorch takes matrices only, has references of its own for square ones only, and drops parameters for which
        there are none. Its references are not saved.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.DaleLawL2``.
    """

    def __init__(
        self,
        params: Tree,
        alpha: float = 0.8,
        reference_weights: Any = None,
        Lambda: float = 1.0,
        *,
        names: Patterns | None = None,
        inh_ratio: float = 0.5,
        rho: float = 0.99,
        inh_first: bool = True,
        seed: int | None = None,
        dim: int | None = None,
    ) -> None:
        options: dict[str, Any] = {"inh_ratio": inh_ratio, "rho": rho, "inh_first": inh_first, "seed": seed, "dim": dim}
        super().__init__(params, reference_weights, Lambda, names=names, **options)
        self.alpha = check_range("DaleLawL2", "alpha", alpha, 0.0, 1.0)

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(self, lambda weight, sign: dale_law_l2(weight, sign, self.alpha), self.references)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, alpha={self.alpha:g}"


class DaleLaw(_Dale):
    r"""Reward weights in the direction of the signs of a reference, `dale_law`.

    .. math::
        L = -\lambda \sum_k \sum_i w_{ki} \, \text{sign}(r_{ki})

    It has no least value: weights of the right sign grow. `DaleHinge` only turns those of the wrong one.

    Args:
        params, reference_weights, Lambda, names, inh_ratio, rho, inh_first, seed, dim: as of `DaleLawL2`.

    Raises:
        ArgumentError, DtypeError, ShapeError: as of `DaleLawL2`.

    Example:
        >>> DaleLaw(torch.tensor([2.0, -1.0]), [torch.tensor([0.3, 0.1])])()
        tensor(-1., grad_fn=<MulBackward0>)

    Note:
        As of `DaleLawL2`.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.DaleLaw``.
    """

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(self, dale_law, self.references)


class DaleHinge(_Dale):
    r"""Penalize weights of the wrong sign, and nothing else, `dale_hinge`.

    .. math::
        L = \lambda \sum_k \sum_i \max(0, -w_{ki} \, \text{sign}(r_{ki}))

    Args:
        params, reference_weights, Lambda, names, inh_ratio, rho, inh_first, seed, dim: as of `DaleLawL2`.

    Raises:
        ArgumentError, DtypeError, ShapeError: as of `DaleLawL2`.

    Example:
        >>> layer = torch.nn.Linear(4, 3)
        >>> penalty = DaleHinge(layer, names="weight", inh_ratio=0.25)
        >>> _ = dale_(layer.weight, inh_ratio=0.25, dim=1)
        >>> penalty().item()
        0.0
    """

    def forward(self) -> Tensor:
        """The penalty, 0-d, at least 0 for a Lambda of at least 0."""
        return total_of_each(self, dale_hinge, self.references)
