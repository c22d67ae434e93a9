"""Quantisation under lava-dl's names."""

from __future__ import annotations

import enum

from torch import Tensor

from slayerloss import functional
from slayerloss.functional.quantize import quantize_weight

__all__ = ["MODE", "quantize", "quantize_hook_fx"]


class MODE(enum.IntEnum):
    """What `quantize` takes as its mode beside "round" and "floor"; `utils.QUANTIZE_MODE` is the same.

    Example:
        >>> import torch
        >>> quantize(torch.tensor([0.7]), 1.0, MODE.FLOOR)
        tensor([0.])
    """

    ROUND = 0
    FLOOR = 1


def quantize(input: Tensor, step: float = 1, mode: MODE | int | str = MODE.ROUND) -> Tensor:
    """Bring values to multiples of a step, `functional.quantize` under lava-dl's names of arguments.

    Args:
        input: any shape, any real dtype.
        step: above 0.
        mode: a member of MODE or its number, or "round", "floor" or "truncate".

    Returns:
        Of the shape and dtype of the input; integers and bool give the default float dtype. Gradient 1.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> import torch
        >>> quantize(torch.tensor([0.24, 0.26, 0.5]), 0.5)
        tensor([0.0000, 0.5000, 0.5000])
    """
    name = MODE(mode).name.lower() if isinstance(mode, int) and mode in (0, 1) else mode
    return functional.quantize(input, step, name)  # type: ignore[arg-type]  # which refuses any other


def quantize_hook_fx(x: Tensor, scale: int = 64, num_bits: int = 8, descale: bool = False) -> Tensor:
    """Bring weights to what the chip holds, `functional.quantize_weight` in lava-dl's order of arguments.

    Args:
        x: any shape, float.
        scale: weight LSBs per unit.
        num_bits: of a weight; as all are even, 8 bits reach from -256 to 254.
        descale: return the integers, not the integers over `scale`.

    Returns:
        Of the shape and dtype of x. Gradient 1; 0 for a saturated weight that the gradient would push further.

    Raises:
        ArgumentError: a scale that is not positive, or no bits.

    Example:
        >>> import torch
        >>> quantize_hook_fx(torch.tensor([0.1, 10.0, -10.0]), descale=True)
        tensor([   6.,  254., -256.])

    Note:
        lava-dl's range is one bit wider than it says, [-512, 510] for 8 bits.
    """
    return quantize_weight(x, scale, descale, num_bits)
