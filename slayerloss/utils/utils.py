"""Small helpers of lava-dl."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import check_integer
from slayerloss.functional.rate import event_rate

__all__ = ["diagonal_mask", "dotdict", "event_rate", "staticproperty"]

LARGEST_MASK = 1 << 15
"""Rows: 4 GiB of float32."""


def diagonal_mask(dim: int, num_diagonals: int) -> Tensor:
    """Make a square mask with ones on the diagonals nearest to the main one.

    m[i, j] = [|i - j| <= floor(num_diagonals / 2)]

    Args:
        dim: rows and columns, at most 2^15.
        num_diagonals: at least 1, the main diagonal alone; an even number counts as the next odd one.

    Returns:
        (dim, dim), of the default float dtype.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> diagonal_mask(3, 3)
        tensor([[1., 1., 0.],
                [1., 1., 1.],
                [0., 1., 1.]])
    """
    dim = check_integer("diagonal_mask", "dim", dim, 1, LARGEST_MASK)
    reach = check_integer("diagonal_mask", "num_diagonals", num_diagonals, 1) // 2
    place = torch.arange(dim)
    return ((place[:, None] - place).abs() <= reach).to(torch.get_default_dtype())


class dotdict(dict[str, Any]):
    """A dict whose entries are attributes, too; what is not in it is None.

    Example:
        >>> params = dotdict(threshold=1.25)
        >>> params.tau_grad = 0.03
        >>> params.threshold, params["tau_grad"], params.missing
        (1.25, 0.03, None)

    Note:
        Names between double underscores are never entries, so that a dotdict can be copied and pickled.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]


class staticproperty(property):
    """A property of a class, from a function without arguments.

    Example:
        >>> class Chip:
        ...     @staticproperty
        ...     def bits():
        ...         return 24
        >>> Chip.bits, Chip().bits
        (24, 24)
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        function: Any = self.fget
        return function()
