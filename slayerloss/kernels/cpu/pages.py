"""Large memory pages for large results: the first touch of fresh memory costs more than a kernel does in it.

The system hands memory out in pages of 4 KiB, each of which it has to map and to clear when it is first written. Where
Linux may, it uses pages of 2 MiB for what it is told about.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from typing import Any

from torch import Tensor

SMALLEST = 2**25
"""Bytes; what is smaller is mostly memory that was used before, since the C library keeps it."""


@functools.cache
def _madvise() -> Any:
    """The system's call, or None where it has no such pages."""
    if not sys.platform.startswith("linux") or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    call = getattr(ctypes.CDLL(None), "madvise", None)
    if call is not None:
        call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return call


def prefer_large_pages(x: Tensor) -> None:
    """Ask for large pages where a tensor on the CPU will be written; a wish, which the system may ignore.

    Example:
        >>> import torch
        >>> prefer_large_pages(torch.empty(10))
    """
    size = x.numel() * x.element_size()
    call = _madvise() if size >= SMALLEST else None
    if call is not None:
        begin = -(-x.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (x.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        call(begin, end - begin, mmap.MADV_HUGEPAGE)
