"""Norms of tensors of any shape, and squared errors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    check_choice,
    check_finite,
    check_flag,
    check_range,
    check_same_device,
    check_same_shape,
    check_values,
    message,
    values_are_checked,
)
from slayerloss.functional._penalty import PENALTY_REDUCTIONS, in_floats, said_if_not_finite
from slayerloss.functional._tree import Tree, leaves, total
from slayerloss.kernels.penalty_terms import Term
from slayerloss.kernels.weight_penalty import sums

LARGEST_P = 1000.0
"""Of a norm; beyond it, only the largest element counts anyway."""


def lp_norm(
    x: Tensor,
    p: float = 2.0,
    *,
    weight: Tensor | float | None = None,
    reduction: str = "sum",
    squared: bool = False,
) -> Tensor:
    r"""The p-norm of all elements of a tensor, whatever its shape.

    .. math::
        \|x\|_p = \Big( \sum_i w_i |x_i|^p \Big)^{1/p}

    Args:
        x: any shape and dtype. Half precision is summed in float32.
        p: in [1, 1000].
        weight: w, at least 0: a number, or a tensor that broadcasts to `x`; None for 1. It gets no gradient.
        reduction: "sum" as above; "mean" divides the sum by the number of elements.
        squared: return the square of the norm; with p = 2 the sum, or the mean, of the squares.

    Returns:
        0-d, float32, or float64 for float64, at least 0. Its gradient is 0 where `x` is, also at x = 0.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> weight = torch.tensor([[3.0, 0.0], [0.0, -4.0]])
        >>> lp_norm(weight, 1), lp_norm(weight, 2), lp_norm(weight, 2, reduction="mean", squared=True)
        (tensor(7.), tensor(5.), tensor(6.2500))

    Note:
        NeuroTorch's norms of matrices are operator norms (`operator_norm`); it has none of more dimensions.
    """
    check_choice("lp_norm", "reduction", reduction, PENALTY_REDUCTIONS)
    values = in_floats("lp_norm", "x", x)
    return said_if_not_finite("lp_norm", lp_norm_of_floats("lp_norm", values, p, weight, reduction, squared), x=values)


def lp_norm_of_floats(
    function: str,
    x: Tensor,
    p: float,
    weight: Tensor | float | None = None,
    reduction: str = "sum",
    squared: bool = False,
) -> Tensor:
    """`lp_norm` of floats, for another function's errors."""
    p = check_range(function, "p", p, 1.0, LARGEST_P)
    degree = 2 if check_flag(function, "squared", squared) else 1
    w = _weight(function, x, weight)
    scale = x.new_ones((), dtype=torch.float64)
    powers = _sum_in_one_pass(x, p, w)
    if powers is None or not _is_ordinary(powers, x.dtype, rooted=degree < p):
        scale = _largest(x, w)  # powers of what is at most 1 are finite
        each = (x.double() / scale).abs().clamp(max=1).pow(p)  # more is only what a weight of 0 leaves out
        powers = (each if w is None else w * each).sum()
    if reduction == "mean":
        powers = powers / max(x.numel(), 1)
    return (scale**degree * _power(powers, degree / p)).to(x.dtype)


def _sum_in_one_pass(x: Tensor, p: float, w: Tensor | float | None) -> Tensor | None:
    """The sum of w |x|^p over all elements, float64, if there is a kernel for it."""
    if p not in (1, 2) or (isinstance(w, Tensor) and w.ndim > 0):
        return None
    powers = sums(x, [Term("magnitude" if p == 1 else "square")])[0]
    return powers if w is None else w * powers


def _is_ordinary(powers: Tensor, dtype: torch.dtype, rooted: bool) -> bool:
    """Whether a sum lost nothing, and its slope, where a root of it is taken, can be held in the dtype."""
    if not values_are_checked(powers):
        return not rooted
    limits = torch.finfo(dtype)
    return (limits.tiny**0.9 if rooted else 0) <= float(powers.detach()) <= limits.max**0.9


def _power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent of x >= 0, whose slope at 0 is 0 where it would be infinite."""
    if exponent == 1:
        return x
    return torch.where(x == 0, 0 * x, torch.where(x == 0, torch.ones_like(x), x).pow(exponent))


def _largest(x: Tensor, w: Tensor | float | None) -> Tensor:
    """The largest |x| with a weight, float64, 1 if all are 0; a constant, for the norm of x / c is that of x over c."""
    sizes = x.detach().abs()
    sizes = sizes * (w > 0) if isinstance(w, Tensor) else sizes
    largest = sizes.amax().double() if x.numel() else x.new_zeros((), dtype=torch.float64)
    return torch.where(largest == 0, torch.ones_like(largest), largest)


def _weight(function: str, x: Tensor, weight: Tensor | float | None) -> Tensor | float | None:
    """The checked weights of the elements of `x`."""
    if weight is None:
        return None
    if not isinstance(weight, Tensor):
        return check_range(function, "weight", weight, 0.0)
    check_weight(function, "weight", weight, x)
    check_same_device(function, "weight", weight, "x", x)
    return weight.detach().double()


def check_weight(function: str, argument: str, weight: Tensor, x: Tensor) -> None:
    """Raise unless the tensor `weight` is at least 0, finite, and broadcasts to the shape of `x`."""
    in_floats(function, argument, weight)
    fits = weight.ndim <= x.ndim and all(
        own in (1, size) for own, size in zip(reversed(weight.shape), reversed(x.shape), strict=False)
    )
    if not fits:
        problem = f"{argument} does not broadcast to x"
        raise ArgumentError(message(function, problem, str(tuple(x.shape)), tuple(weight.shape)))
    check_finite(function, argument, weight)
    check_values(function, argument, weight, 0.0, math.inf)


def operator_norm(x: Tensor, p: float = 2.0) -> Tensor:
    r"""The most by which a matrix can stretch a vector, in the p-norm.

    .. math::
        \|W\|_p = \max_{v \ne 0} \frac{\|W v\|_p}{\|v\|_p}

    For p = 1 the largest sum of magnitudes of a column, for p = inf of a row, for p = 2 the largest singular value.

    Args:
        x: a matrix. A tensor of more dimensions is the matrix (its first dimension, all others), a vector is a matrix
            with one column, and a number is one by one. Half precision is computed in float32.
        p: 1, 2 or inf; of a vector any from 1 on.

    Returns:
        0-d, float32, or float64 for float64. The gradient is 0 at x = 0.

    Raises:
        ArgumentError, DtypeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> weight = torch.tensor([[3.0, 0.0], [3.0, -4.0]])
        >>> operator_norm(weight, 1), operator_norm(weight, math.inf), operator_norm(weight)
        (tensor(6.), tensor(7.), tensor(5.3890))

    Note:
        What NeuroTorch's ``L1``, ``L2``, ``Lp`` and ``WeightsDistance`` compute of a matrix. The singular values take
        far longer than a pass over the elements.
    """
    matrix = in_floats("operator_norm", "x", x)
    p = check_operator_p("operator_norm", p, matrix.ndim)
    check_finite("operator_norm", "x", matrix)
    if p < math.inf and matrix.ndim < 2:
        return lp_norm_of_floats("operator_norm", matrix, p)
    if matrix.numel() == 0:
        return matrix.sum()
    matrix = matrix.reshape(matrix.shape[0], -1) if matrix.ndim else matrix.reshape(1, 1)
    norm = torch.linalg.matrix_norm(matrix, p)
    return torch.where(norm > 0, norm, 0 * norm)


def check_operator_p(function: str, p: float, ndim: int) -> float:
    """Return the `p` of an operator norm; raise ArgumentError if a tensor of `ndim` dimensions has none."""
    p = check_range(function, "p", p, 1.0, infinite=True)
    if p not in (1, 2, math.inf) and ndim > 1:
        problem, way_out = "p is none that a matrix can have", "lp_norm takes any p, of all elements"
        raise ArgumentError(message(function, problem, "1, 2 or inf", p, way_out))
    return check_range(function, "p", p, 1.0, LARGEST_P) if p < math.inf else p


def l2sqr_norm(params: Tree) -> Tensor:
    r"""The mean over tensors of the mean of their squares.

    .. math::
        L = \frac{1}{K} \sum_{k=1}^K \frac{1}{n_k} \sum_{i=1}^{n_k} p_{ki}^2

    Args:
        params: a tensor, nested dictionaries or lists of tensors, or a torch.nn.Module; K tensors of n_k elements.

    Returns:
        0-d, float32, or float64 for float64; 0 of nothing. A tensor of one element weighs as much as a large one.

    Raises:
        ArgumentError, DtypeError: `params` holds something else than finite tensors.

    Example:
        >>> l2sqr_norm({"weight": torch.tensor([1.0, 3.0]), "bias": torch.tensor(2.0)})
        tensor(4.5000, grad_fn=<DivBackward0>)

    Note:
        rockpool passes over NaN; here it is an error.

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.l2sqr_norm``.
    """
    means = [_mean_square(name or "params", tensor) for name, tensor in leaves("l2sqr_norm", params).items()]
    return total(means) / max(len(means), 1)


def _mean_square(name: str, x: Tensor) -> Tensor:
    x = in_floats("l2sqr_norm", name, x)
    return said_if_not_finite(
        "l2sqr_norm", lp_norm_of_floats("l2sqr_norm", x, 2.0, reduction="mean", squared=True), **{name: x}
    )


def l0_norm_approx(params: Tree, sigma: float = 1e-4) -> Tensor:
    r"""About the share of parameters that are not 0.

    .. math::
        L = \frac{1}{K} \sum_{k=1}^K \frac{1}{n_k} \sum_{i=1}^{n_k} \frac{p_{ki}^4}{p_{ki}^4 + \sigma}

    Args:
        params: a tensor, nested dictionaries or lists of tensors, or a torch.nn.Module; K tensors of n_k elements.
        sigma: above 0. A parameter of magnitude sigma^(1/4), 0.1 by default, counts as half of one; a smaller sigma is
            nearer to a count. At 0 the gradient is 0.

    Returns:
        0-d in [0, 1], float32, or float64 for float64; 0 of nothing.

    Raises:
        ArgumentError, DtypeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> l0_norm_approx(torch.tensor([0.0, 0.0, 0.1, 5.0]))
        tensor(0.3750, grad_fn=<DivBackward0>)

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.l0_norm_approx``.
    """
    half = check_range("l0_norm_approx", "sigma", sigma, 0.0, low_open=True) ** 0.25
    means = [_mean_not_0(name or "params", tensor, half) for name, tensor in leaves("l0_norm_approx", params).items()]
    return total(means) / max(len(means), 1)


def _mean_not_0(name: str, x: Tensor, half: float) -> Tensor:
    """The mean of z^4 / (z^4 + 1), z = x / half."""
    x = in_floats("l0_norm_approx", name, x)
    check_finite("l0_norm_approx", name, x)
    z = (x / max(half, torch.finfo(x.dtype).tiny)).clamp(-1e8, 1e8)  # beyond, z^4 + 1 is z^4
    return (1 - 1 / (z**4 + 1)).sum() / max(x.numel(), 1)


def sse(output: Tensor, target: Tensor) -> Tensor:
    r"""The sum of squared errors.

    .. math::
        L = \sum_i (o_i - t_i)^2

    Args:
        output: o, any shape and dtype. Half precision is summed in float32.
        target: t, of the same shape.

    Returns:
        0-d, float32, or float64 if one of them is float64.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> sse(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0]))
        tensor(5.)

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.sse``.
    """
    return _squared_error("sse", output, target, "sum")


def mse(output: Tensor, target: Tensor) -> Tensor:
    r"""The mean of squared errors.

    .. math::
        L = \frac{1}{n} \sum_{i=1}^n (o_i - t_i)^2

    Args:
        output: o, any shape and dtype. Half precision is summed in float32.
        target: t, of the same shape.

    Returns:
        0-d, float32, or float64 if one of them is float64; 0 of nothing.

    Raises:
        ArgumentError, DtypeError, ShapeError: an argument does not fit, or holds NaN or infinity.

    Example:
        >>> mse(torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0]))
        tensor(2.5000)

    Note:
        rockpool broadcasts a target of another shape without a word; here it is an error.

    References:
        rockpool 3.1.0, ``rockpool.training.jax_loss.mse``.
    """
    return _squared_error("mse", output, target, "mean")


def _squared_error(function: str, output: Tensor, target: Tensor, reduction: str) -> Tensor:
    o, t = in_floats(function, "output", output), in_floats(function, "target", target)
    check_same_shape(function, "output", o, "target", t)
    check_same_device(function, "target", t, "output", o)
    error = lp_norm_of_floats(function, o - t, 2.0, reduction=reduction, squared=True)
    return said_if_not_finite(function, error, output=o, target=t)
