"""Quantisation that gradients pass through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    check_choice,
    check_finite,
    check_flag,
    check_integer,
    check_range,
    check_tensor,
    values_are_checked,
)
from slayerloss.functional.events import promote
from slayerloss.kernels.operator import is_transformed

MOST_BITS = 31
"""Of a weight, far beyond the chip's 8."""
MODES = {"round": torch.round, "floor": torch.floor, "truncate": torch.trunc}


class _Round(torch.autograd.Function):
    @classmethod
    def apply(cls, *args: Any) -> Any:
        if not is_transformed():
            return super().apply(*args)
        x, step, mode = args
        return MODES[mode](x.detach() / step) * step + (x - x.detach())

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, mode: str) -> Tensor:
        return MODES[mode](x / step) * step

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, None, None


class _QuantizeWeight(torch.autograd.Function):
    @classmethod
    def apply(cls, *args: Any) -> Any:
        return _QuantizeWeights.apply(*args) if is_transformed() else super().apply(*args)

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float, low: float, high: float) -> Tensor:
        q = (x / step).round_().mul_(step)
        if q.numel() and values_are_checked(q):
            smallest, largest = q.aminmax()
            if low <= smallest and largest <= high:  # nothing to clamp, and nothing to keep for the gradient
                return q
        ctx.save_for_backward((q < low).to(torch.int8) - (q > high).to(torch.int8))
        return q.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        for side in ctx.saved_tensors:
            grad = grad.masked_fill(side * grad > 0, 0)
        return grad, None, None, None


class _QuantizeWeights(torch.autograd.Function):
    """The same for torch.func: the gradient depends on its own sign, so that no torch operations have it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, step: float, low: float, high: float) -> Tensor:
        return ((x / step).round() * step).clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.step, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q = (ctx.saved_tensors[0] / ctx.step).round() * ctx.step
        further = ((q < ctx.low) & (grad > 0)) | ((q > ctx.high) & (grad < 0))
        return grad.masked_fill(further, 0), None, None, None


def quantize(x: Tensor, step: float = 1.0, mode: str = "round") -> Tensor:
    """Bring values to multiples of a step; the gradient passes as if nothing had happened.

    q = step round(x / step), halves to the even multiple; or floor or truncation toward zero in place of round

    Args:
        x: any shape, any real dtype.
        step: above 0.
        mode: "round", "floor" or "truncate".

    Returns:
        Of the shape and dtype of x; integers and bool give the default float dtype. Gradient 1.

    Raises:
        ArgumentError: unknown mode, a step that is not positive, or NaN or infinity.
        DtypeError: x is no real tensor.

    Example:
        >>> quantize(torch.tensor([0.24, 0.26, 0.5]), 0.5)
        tensor([0.0000, 0.5000, 0.5000])
    """
    mode = str(getattr(mode, "name", mode)).lower()  # lava-dl passes a member of its MODE
    check_choice("quantize", "mode", mode, MODES)
    check_range("quantize", "step", step, 0, low_open=True)
    check_tensor("quantize", "x", x)
    check_finite("quantize", "x", x)
    q: Tensor = _Round.apply(promote(x), step, mode)
    return q


def quantize_weight(weight: Tensor, scale: int = 64, descale: bool = False, num_bits: int = 8) -> Tensor:
    """Bring weights to what the chip holds: even integers in [-256, 254], over `scale`.

    q = clamp(2 round(w scale / 2), -2^num_bits, 2^num_bits - 2) / scale

    Args:
        weight: any shape, any real dtype.
        scale: weight LSBs per unit, 64 in lava-dl.
        descale: return the integers, not the integers over `scale`.
        num_bits: of a weight, at most 31; as all are even, 8 bits reach from -256 to 254.

    Returns:
        Of the shape and dtype of the weight; integers and bool give the default float dtype. Gradient 1; 0 for a
        saturated weight that the gradient would push further.

    Raises:
        ArgumentError: a scale that is not positive, no bits or too many, or NaN or infinity.
        DtypeError: the weight is no real tensor.

    Example:
        >>> quantize_weight(torch.tensor([0.1, 10.0, -10.0]))
        tensor([ 0.0938,  3.9688, -4.0000])
        >>> quantize_weight(torch.tensor([0.1, 10.0, -10.0]), descale=True)
        tensor([   6.,  254., -256.])

    Note:
        lava-dl stops the gradient of every saturated weight, so that it never comes back.
    """
    check_range("quantize_weight", "scale", scale, 0, low_open=True)
    check_flag("quantize_weight", "descale", descale)
    check_integer("quantize_weight", "num_bits", num_bits, 1, MOST_BITS)
    check_tensor("quantize_weight", "weight", weight)
    check_finite("quantize_weight", "weight", weight)
    low, high = -(2**num_bits) / scale, (2**num_bits - 2) / scale
    q: Tensor = _QuantizeWeight.apply(promote(weight), 2 / scale, low, high)
    return q * scale if descale else q
