"""How the kernels of filters and windows cut a signal into blocks of rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.operator import is_transformed

FEW, MANY = 16, 64
"""Rows of a block; as in src/tiles.h."""
SMALLEST_TILE_ROWS = 192
"""Rows from which blocks of many leave enough of them for every thread."""
SHORT = 512
"""Steps up to which rows that are contiguous are fetched faster in blocks of many."""

NOT_FINITE, TOO_LARGE, NO_MEMORY = 1, 2, 4
"""What a kernel may find."""


def is_fused(x: Tensor, *others: Tensor) -> bool:
    """Whether an operator with a C++ kernel computes floats of this dtype, and not a composition of torch operations.

    While compiling it always does on the CPU, where it chooses once it runs. Where `is_transformed` it never does.
    """
    if torch.compiler.is_compiling():
        return x.device.type == "cpu"
    return not is_transformed() and runs_on_cpu_kernels(x, *others)


class Rows(NamedTuple):
    """A dense signal as the kernels take it: they get the fields in this order."""

    rows: int
    steps: int
    time_first: bool
    width: int
    """Rows of a block."""

    @property
    def blocks(self) -> int:
        """Of rows."""
        return -(-self.rows // self.width)


def rows_of(x: Tensor) -> Rows:
    """The rows of (..., T), whose memory is dense with time last or first."""
    steps = x.shape[-1]
    rows = x.numel() // steps
    time_first = rows > 1 and not x.is_contiguous()
    wide = rows >= SMALLEST_TILE_ROWS and (time_first or steps <= SHORT)
    return Rows(rows, steps, time_first, MANY if wide else FEW)


def check_memory(status: int) -> int:
    """Raise MemoryError where a kernel had none; give back what else it found."""
    if status & NO_MEMORY:
        raise MemoryError("a kernel of slayerloss found no memory for its tiles")
    return status


def dense_as(like: Tensor, x: Tensor) -> Tensor:
    """x in the memory order of `like`, which is dense."""
    return x if x.stride() == like.stride() else torch.empty_like(like).copy_(x)
