"""The chip's division by a power of two."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._check import DtypeError, check_integer, check_tensor, message

__all__ = ["right_shift_to_zero"]

BITS = {torch.int32: 32, torch.int64: 64}


def right_shift_to_zero(x: Tensor, bits: int) -> Tensor:
    """Divide integers by a power of two and cut toward zero, as the chip cuts a product.

    y = sign(x) floor(|x| / 2^bits)

    Args:
        x: any shape, int32 or int64.
        bits: at least 0, and fewer than x has.

    Returns:
        Of the shape and dtype of x. No gradient.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> right_shift_to_zero(torch.tensor([-5, -4, 5]), 2)
        tensor([-1, -1,  1])
    """
    check_tensor("right_shift_to_zero", "x", x)
    if x.dtype not in BITS:
        raise DtypeError(message("right_shift_to_zero", "x has the wrong dtype", "int32 or int64", x.dtype))
    bits = check_integer("right_shift_to_zero", "bits", bits, 0, BITS[x.dtype] - 1)
    low_bits = (1 << bits) - 1
    return (x + ((x >> (BITS[x.dtype] - 1)) & low_bits)) >> bits  # >> cuts downward: what is below zero is lifted first
