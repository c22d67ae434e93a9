"""Weights as a connectome: neurons that excite or inhibit (Dale's law), in what ratio, and how far from a reference."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import (
    check_choice,
    check_finite,
    check_range,
    check_same_device,
    check_same_shape,
    check_tensor,
)
from slayerloss.functional._penalty import in_floats, said_if_not_finite
from slayerloss.functional.norms import lp_norm_of_floats
from slayerloss.kernels.penalty_terms import Term
from slayerloss.kernels.weight_penalty import sums

RATIO_FORMS = ("sign", "softsign")
SMALLEST_TEMPERATURE = 1e-30
"""By which a weight can be divided."""


def dale_law_l2(weight: Tensor, reference: Tensor, alpha: float = 0.8) -> Tensor:
    r"""Between small weights and weights of the signs of a reference.

    .. math::
        L = \sum_i \alpha w_i^2 - (1 - \alpha) \, w_i \, \text{sign}(r_i)

    It is least, and negative, at w = (1 - alpha) / (2 alpha) sign(r).

    Args:
        weight: w, any shape and dtype. Half precision is summed in float32.
        reference: r, of the same shape; only its signs count, and int8 is enough. 0 asks for no sign.
        alpha: in [0, 1]. 1 leaves the sum of the squares, 0 the signs alone (`dale_law`).

    Returns:
        0-d, float32, or float64 for float64.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> dale_law_l2(torch.tensor([2.0, -1.0]), torch.tensor([1, 1]), alpha=0.5)
        tensor(2.)

    Note:
        NeuroTorch takes the trace of a product of matrices, which is the same sum, and takes matrices only.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.DaleLawL2``.
    """
    alpha = check_range("dale_law_l2", "alpha", alpha, 0.0, 1.0)
    w, r = _paired("dale_law_l2", weight, reference)
    squares, agreement = sums(w, [Term("square"), Term("agreement")], r)
    return said_if_not_finite("dale_law_l2", (alpha * squares - (1 - alpha) * agreement).to(w.dtype), weight=w)


def dale_law(weight: Tensor, reference: Tensor) -> Tensor:
    r"""How far weights go in the direction of the signs of a reference, negative.

    .. math::
        L = -\sum_i w_i \, \text{sign}(r_i)

    It rewards growth and has no least value; `dale_hinge` has.

    Args:
        weight: w, any shape and dtype. Half precision is summed in float32.
        reference: r, of the same shape; only its signs count, and int8 is enough. 0 asks for no sign.

    Returns:
        0-d, float32, or float64 for float64.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> dale_law(torch.tensor([2.0, -1.0]), torch.tensor([1, 1]))
        tensor(-1.)

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.DaleLaw``.
    """
    w, r = _paired("dale_law", weight, reference)
    return said_if_not_finite("dale_law", -sums(w, [Term("agreement")], r)[0].to(w.dtype), weight=w)


def dale_hinge(weight: Tensor, reference: Tensor) -> Tensor:
    r"""The magnitude of all weights of the wrong sign.

    .. math::
        L = \sum_i \max(0, -w_i \, \text{sign}(r_i))

    It is 0 where Dale's law holds, and says nothing about weights of the right sign.

    Args:
        weight: w, any shape and dtype. Half precision is summed in float32.
        reference: r, of the same shape; only its signs count, and int8 is enough. 0 asks for no sign.

    Returns:
        0-d, float32, or float64 for float64, at least 0. The gradient is -sign(r) of what has the wrong sign, else 0.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> dale_hinge(torch.tensor([2.0, -1.0]), torch.tensor([1, 1]))
        tensor(1.)
    """
    w, r = _paired("dale_hinge", weight, reference)
    return said_if_not_finite("dale_hinge", sums(w, [Term("conflict")], r)[0].to(w.dtype), weight=w)


def _paired(function: str, weight: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """The weights as floats, and the reference as int8 or floats."""
    w = in_floats(function, "weight", weight)
    check_tensor(function, "reference", reference)
    r = reference.detach() if reference.requires_grad else reference  # itself, if it can be, for it is known by that
    r = r if r.dtype == torch.int8 else in_floats(function, "reference", r)
    check_same_shape(function, "weight", w, "reference", r)
    check_same_device(function, "reference", r, "weight", w)
    check_finite(function, "reference", r)  # the sign of NaN is 0
    return w, r if r.dtype in (torch.int8, w.dtype) else signs(r)


def signs(reference: Tensor) -> Tensor:
    """-1, 0 or 1 of each element, int8, taken before a cast could lose small ones.

    Example:
        >>> signs(torch.tensor([-1e-300, 0.0, 2.0], dtype=torch.float64))
        tensor([-1,  0,  1], dtype=torch.int8)
    """
    signed = reference if reference.is_floating_point() else reference.long()  # torch has no signs of all integers
    return signed.sign().to(torch.int8)


def excitatory_ratio(weight: Tensor) -> Tensor:
    r"""The share of excitatory weights.

    .. math::
        q = \frac{1}{2n} \sum_{i=1}^n \text{sign}(w_i) + 1

    Args:
        weight: w, any shape and dtype. One of 0 counts as half excitatory, half inhibitory.

    Returns:
        0-d in [0, 1], float32, or float64 for float64, without a gradient; of no weights 0.5.

    Raises:
        ArgumentError, DtypeError: `weight` is no real tensor, or holds NaN or infinity.

    Example:
        >>> excitatory_ratio(torch.tensor([0.1, 0.1, 0.2, -5.0]))
        tensor(0.7500)

    Note:
        NeuroTorch reports the mean of w / (1 + abs(w)) in place of signs: of weights of +0.1 only, a share of 0.545.
    """
    w = in_floats("excitatory_ratio", "weight", weight.detach() if isinstance(weight, Tensor) else weight)
    check_finite("excitatory_ratio", "weight", w)
    return (_mean(w.sign()) + 1) / 2


def ratio_loss(weight: Tensor, target: float, *, form: str = "sign", temperature: float | None = None) -> Tensor:
    r"""How far the share of excitatory weights is from a target.

    .. math::
        L = \Big| \frac{1}{n} \sum_{i=1}^n f(w_i) + 1 - 2 q \Big|

    Args:
        weight: w, any shape and dtype. Half precision is summed in float32.
        target: q, the share of excitatory weights, in [0, 1].
        form: "sign": f is the sign, and its gradient that of tanh(w / temperature): weights near 0 turn first.
            "softsign": f is w / (1 + abs(w)), as NeuroTorch has it; large weights count more.
        temperature: above 0, of the unit of the weights; for the form "sign". None for their mean magnitude.

    Returns:
        0-d, float32, or float64 for float64, in [0, 2]. The gradient is 0 where the target is met.

    Raises:
        ArgumentError, DtypeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> weight = torch.tensor([0.1, 0.1, 0.1, 0.1], requires_grad=True)
        >>> ratio_loss(weight, 0.99), ratio_loss(weight, 0.99, form="softsign")
        (tensor(0.0200, grad_fn=<AbsBackward0>), tensor(0.8891, grad_fn=<AbsBackward0>))

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.ExcRatioTargetRegularization``.
    """
    target = check_range("ratio_loss", "target", target, 0.0, 1.0)
    check_choice("ratio_loss", "form", form, RATIO_FORMS)
    check_sign_temperature("ratio_loss", temperature)
    w = in_floats("ratio_loss", "weight", weight)
    signs = torch.nn.functional.softsign(w) if form == "softsign" else _trainable_sign(w, temperature)
    return said_if_not_finite("ratio_loss", (_mean(signs) + (1 - 2 * target)).abs(), weight=w)


def check_sign_temperature(function: str, temperature: float | None) -> None:
    """Check the temperature of a sign that is trained."""
    if temperature is not None:
        check_range(function, "temperature", temperature, SMALLEST_TEMPERATURE, way_out="0 has no gradient")


def _trainable_sign(w: Tensor, temperature: float | None) -> Tensor:
    """sign(w), with the gradient of tanh(w / temperature)."""
    if temperature is None:
        magnitude = (sums(w.detach(), [Term("magnitude")])[0] / max(w.numel(), 1)).to(w.dtype)
        smooth = torch.tanh(w / torch.where(magnitude > SMALLEST_TEMPERATURE, magnitude, torch.ones_like(magnitude)))
    else:
        smooth = torch.tanh(w / temperature)
    return w.detach().sign() + (smooth - smooth.detach())


def _mean(x: Tensor) -> Tensor:
    """The mean, 0 of nothing."""
    return x.sum() / max(x.numel(), 1)


def weights_distance(weight: Tensor, reference: Tensor, p: float = 1.0) -> Tensor:
    r"""How far weights are from a reference, over all elements.

    .. math::
        L = \Big( \sum_i |w_i - r_i|^p \Big)^{1/p}

    Args:
        weight: w, any shape and dtype. Half precision is summed in float32.
        reference: r, of the same shape. It gets no gradient.
        p: in [1, 1000].

    Returns:
        0-d, float32, or float64 if one of them is float64, at least 0.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> weights_distance(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))
        tensor(3.)

    Note:
        Of matrices NeuroTorch takes the operator norm of the difference, and it broadcasts the reference.

    References:
        NeuroTorch 0.0.2, ``neurotorch.regularization.connectome.WeightsDistance``.
    """
    w, r = in_floats("weights_distance", "weight", weight), in_floats("weights_distance", "reference", reference)
    check_same_shape("weights_distance", "weight", w, "reference", r)
    check_same_device("weights_distance", "reference", r, "weight", w)
    return said_if_not_finite(
        "weights_distance", lp_norm_of_floats("weights_distance", w - r.detach(), p), weight=w, reference=r
    )
