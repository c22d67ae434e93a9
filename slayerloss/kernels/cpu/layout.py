"""The two memory orders of an event tensor that the kernels take as they are."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NARROW, WIDE = 64, 192
"""Rows of a block where time is last in memory, and where it is first; as in src/population.h."""


class Signal(NamedTuple):
    """How (N, C, ..., T) lies in memory: rows of samples x channels x space, over steps."""

    rows: int
    steps: int
    time_first: bool
    inner: int
    """Positions in space."""

    @property
    def width(self) -> int:
        """Rows of a block."""
        return WIDE if self.time_first else NARROW

    @property
    def blocks(self) -> int:
        """Of rows."""
        return -(-self.rows // self.width)


def is_time_first(x: Tensor) -> bool:
    """Whether each step of (N, C, ..., T) is contiguous."""
    return x.movedim(-1, 0).is_contiguous()


def dense(x: Tensor) -> Tensor:
    """x itself if its memory is in one of the two orders, else a contiguous copy."""
    return x if is_time_first(x) else x.contiguous()


def in_order(x: Tensor, time_first: bool) -> Tensor:
    """x itself if its memory is in this order, else a copy that is."""
    if time_first == is_time_first(x):
        return dense(x)
    return x.movedim(-1, 0).contiguous().movedim(0, -1) if time_first else x.contiguous()


def empty_like(x: Tensor) -> Tensor:
    """An empty tensor in the memory order of `dense(x)`."""
    return torch.empty_like(x) if is_time_first(x) else torch.empty(x.shape, dtype=x.dtype, device=x.device)


def signal(x: Tensor) -> Signal:
    """The layout of a dense (N, C, ..., T)."""
    steps = x.shape[-1]
    return Signal(x[..., 0].numel(), steps, is_time_first(x), math.prod(x.shape[2:-1]))


def in_order_of(like: Tensor, x: Tensor) -> Tensor:
    """x in the memory order of `dense(like)`."""
    if is_time_first(x) == is_time_first(like) and (is_time_first(x) or x.is_contiguous()):
        return x
    return empty_like(like).copy_(x)
