"""Memory for large results, which is used again.

The C library gives large blocks back to the system when they are freed, and the system maps and clears each page that
is written for the first time: in fresh memory that takes longer than a kernel does. So on Linux blocks of large pages
are kept when their tensor is gone, for the next result of about that size.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

SMALLEST = 2**22
"""Bytes of a result; the C library keeps most of what is smaller."""
PAGE = 2**21
KEPT = 2**29
"""Bytes of free blocks that are kept at most."""

_free: list[mmap.mmap] = []
"""The oldest first. Tensors end in any thread and at any allocation of Python's, so that each step has to be atomic:
`list(_free)` is, `tuple(_free)` is not."""


def empty_like(x: Tensor) -> Tensor:
    """An uninitialised tensor of the shape, dtype and memory order of x.

    Example:
        >>> empty_like(torch.ones(2, 3).T).stride()
        (1, 3)
    """
    if not _is_kept(x.numel() * x.element_size(), x.device):
        return torch.empty_like(x)
    return _tensor(x.shape, torch.empty_like(x, device="meta").stride(), x.dtype)


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised contiguous tensor.

    Example:
        >>> empty((2, 3), torch.float32, torch.device("cpu")).shape
        torch.Size([2, 3])
    """
    if not _is_kept(math.prod(shape) * dtype.itemsize, device):
        return torch.empty(shape, dtype=dtype, device=device)
    return _tensor(shape, torch.empty(shape, device="meta").stride(), dtype)


def _is_kept(size: int, device: torch.device) -> bool:
    return size >= SMALLEST and device.type == "cpu" and sys.platform.startswith("linux")


def _tensor(shape: Sequence[int], stride: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor in a block that comes back when its storage ends."""
    count = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    block = _taken(count * dtype.itemsize)
    owner = (ctypes.c_char * (count * dtype.itemsize)).from_buffer(block)
    weakref.finalize(owner, _give_back, block).atexit = False
    return torch.frombuffer(owner, dtype=dtype).as_strided_(tuple(shape), tuple(stride))


def _taken(size: int) -> mmap.mmap:
    """A free block of this size or a little more, or a new one."""
    for block in list(_free):
        if size <= len(block) <= size + max(PAGE, size // 8):
            with suppress(ValueError):  # another thread has taken it
                _free.remove(block)
                return block
    try:
        return _new(size)
    except OSError:
        _free.clear()
    try:
        return _new(size)
    except OSError as error:
        raise MemoryError(f"slayerloss found no memory for a result of {size} bytes") from error


def _new(size: int) -> mmap.mmap:
    block = mmap.mmap(-1, -(-size // PAGE) * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system without large pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    if len(block) > KEPT:
        return
    _free.append(block)
    with suppress(IndexError):  # another thread has removed the last
        while sum(map(len, list(_free))) > KEPT:
            _free.pop(0)
