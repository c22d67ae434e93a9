"""Shares the blocks of a kernel between threads, as many as torch uses.

All threads make the same call, and take the next block from a counter that they share. The kernel runs without the
interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch

SMALLEST_SHARE = 2**15
"""Elements below which another thread costs more time than it saves."""

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    """A forked process has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def run(function: Callable[..., int], arguments: Sequence[Any], blocks: int, elements: int) -> int:
    """Call `function(*arguments, counter)` in one thread or several.

    Args:
        function: takes blocks by counting the counter up, until there are none; returns a status.
        arguments: numbers and addresses.
        blocks: how many there are.
        elements: of the whole work, from which the number of threads follows.

    Returns:
        The statuses, or-ed.
    """
    global _pool
    threads = min(torch.get_num_threads(), blocks, elements // SMALLEST_SHARE)
    counter = ctypes.c_int64(0)
    call = ctypes.byref(counter)
    if threads <= 1:
        return function(*arguments, call)
    if _pool is None or _pool._max_workers < threads - 1:
        _pool = ThreadPoolExecutor(threads - 1, "slayerloss")
    others: list[Future[int]] = []
    try:
        with suppress(RuntimeError):  # where the interpreter ends, it takes no more work
            for _ in range(threads - 1):
                others.append(_pool.submit(function, *arguments, call))
        status = function(*arguments, call)
    finally:  # also where a signal ends this thread's part: the others still write into the caller's tensors
        parts = [other.result() for other in others if not other.cancel()]  # one that has not begun finds no block
    for part in parts:
        status |= part
    return status
