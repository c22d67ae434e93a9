"""Penalties that shape a connectome: the share of excitatory weights, and the distance from a reference."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor

from slayerloss._check import check_finite, check_range
from slayerloss.functional._tree import Patterns, Tree
from slayerloss.functional.connectome import (
    check_sign_temperature,
    excitatory_ratio,
    ratio_loss,
    weights_distance,
)
from slayerloss.functional.norms import LARGEST_P
from slayerloss.regularizer._each import one_for_each, total_of_each
from slayerloss.regularizer.base import BaseRegularization


class _Ratio(BaseRegularization, abc.ABC):
    """Parameters and the share of excitatory weights that each should have."""

    form = "softsign"

    def __init__(
        self,
        params: Tree,
        target: float,
        Lambda: float,
        *,
        temperature: float | None = None,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(params, Lambda, names=names)
        self.exc_target_ratio = target
        check_sign_temperature(type(self).__name__, temperature)
        self.temperature = temperature

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(self, self._loss)

    def _loss(self, weight: Tensor) -> Tensor:
        return ratio_loss(weight, self.exc_target_ratio, form=self.form, temperature=self.temperature)

    def get_params_exc_ratio(self) -> list[float]:
        """The true share of excitatory weights of each parameter; a weight of 0 counts half."""
        return [float(excitatory_ratio(weight)) for weight in self.params]

    def get_params_inh_ratio(self) -> list[float]:
        """The true share of inhibitory weights of each parameter; a weight of 0 counts half."""
        return [1 - ratio for ratio in self.get_params_exc_ratio()]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, exc_target_ratio={self.exc_target_ratio:g}"


class ExcRatioTargetRegularization(_Ratio):
    r"""Bring the share of excitatory weights to a target, in NeuroTorch's form.

    .. math::
        L = \lambda \sum_k \Big| \frac{1}{n_k} \sum_i \frac{w_{ki}}{1 + |w_{ki}|} + 1 - 2 q \Big|

    Large weights count more than small ones, so that the target is met at another share; `SignRatio` counts signs.

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        exc_target_ratio: q, in [0, 1].
        Lambda: factor of the penalty.
        names: which parameters, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> import torch
        >>> penalty = ExcRatioTargetRegularization(torch.tensor([1.0, 1.0, 1.0, -1.0]), exc_target_ratio=0.75)
        >>> penalty(), penalty.get_params_exc_ratio()
        (tensor(0.2500, grad_fn=<MulBackward0>), [0.75])

    Note:
        NeuroTorch reports the share that this form sees; here the reports count signs.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.ExcRatioTargetRegularization``.
    """

    def __init__(
        self, params: Tree, exc_target_ratio: float = 0.8, Lambda: float = 1.0, *, names: Patterns | None = None
    ) -> None:
        target = check_range("ExcRatioTargetRegularization", "exc_target_ratio", exc_target_ratio, 0.0, 1.0)
        super().__init__(params, target, Lambda, names=names)


class InhRatioTargetRegularization(_Ratio):
    r"""Bring the share of inhibitory weights to a target, in NeuroTorch's form.

    `ExcRatioTargetRegularization` with what is left of 1.

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        inh_target_ratio: in [0, 1].
        Lambda: factor of the penalty.
        names: which parameters, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> import torch
        >>> penalty = InhRatioTargetRegularization(torch.tensor([1.0, 1.0, 1.0, -1.0]), inh_target_ratio=0.25)
        >>> penalty(), penalty.get_params_inh_ratio()
        (tensor(0.2500, grad_fn=<MulBackward0>), [0.25])

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.InhRatioTargetRegularization``.
    """

    def __init__(
        self, params: Tree, inh_target_ratio: float = 0.2, Lambda: float = 1.0, *, names: Patterns | None = None
    ) -> None:
        target = check_range("InhRatioTargetRegularization", "inh_target_ratio", inh_target_ratio, 0.0, 1.0)
        super().__init__(params, 1 - target, Lambda, names=names)


class SignRatio(_Ratio):
    r"""Bring the share of excitatory weights to a target, counted by their signs, `ratio_loss`.

    .. math::
        L = \lambda \sum_k \Big| \frac{1}{n_k} \sum_i \text{sign}(w_{ki}) + 1 - 2 q \Big|

    The gradient is that of tanh(w / temperature) in place of the sign, so that the weights nearest to 0 turn first.

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        exc_target_ratio: q, in [0, 1].
        Lambda: factor of the penalty.
        temperature: above 0, of the unit of the weights; None for the mean magnitude of those of each parameter.
        names: which parameters, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> import torch
        >>> SignRatio(torch.tensor([0.1, 0.1, 0.1, -0.1]), exc_target_ratio=0.75)()
        tensor(0., grad_fn=<MulBackward0>)
    """

    form = "sign"

    def __init__(
        self,
        params: Tree,
        exc_target_ratio: float = 0.8,
        Lambda: float = 1.0,
        *,
        temperature: float | None = None,
        names: Patterns | None = None,
    ) -> None:
        target = check_range("SignRatio", "exc_target_ratio", exc_target_ratio, 0.0, 1.0)
        super().__init__(params, target, Lambda, temperature=temperature, names=names)


class WeightsDistance(BaseRegularization):
    r"""Keep weights near a reference, over all elements, `weights_distance`.

    .. math::
        L = \lambda \sum_k \Big( \sum_i |w_{ki} - r_{ki}|^p \Big)^{1/p}

    Args:
        params: a tensor; nested dictionaries or lists of tensors; or a torch.nn.Module. Any shapes.
        reference_weights: a tensor for each parameter, of its shape: a sequence in their order, a mapping by their
            names, or a module with parameters of these names. They are copied into buffers: saved and moved.
        Lambda: factor of the penalty.
        p: in [1, 1000].
        names: which parameters, as patterns such as ``"*.weight"``; None for all.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit; references are missing, too many, or of another
            shape.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> penalty = WeightsDistance(layer, layer)
        >>> with torch.no_grad():
        ...     _ = layer.bias.add_(1)
        >>> penalty()
        tensor(2..., grad_fn=<MulBackward0>)

    Note:
        Of matrices NeuroTorch takes the operator norm of the difference.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.WeightsDistance``.
    """

    def __init__(
        self,
        params: Tree,
        reference_weights: Any,
        Lambda: float = 1.0,
        p: float = 1.0,
        *,
        names: Patterns | None = None,
    ) -> None:
        super().__init__(params, Lambda, names=names)
        self.p = check_range("WeightsDistance", "p", p, 1.0, LARGEST_P)
        references = one_for_each(self, "reference_weights", reference_weights)
        for reference in references:
            check_finite("WeightsDistance", "a reference", reference)
        self.set_references(references)

    def forward(self) -> Tensor:
        """The penalty, 0-d."""
        return total_of_each(
            self, lambda weight, reference: weights_distance(weight, reference, self.p), self.references
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p:g}"
