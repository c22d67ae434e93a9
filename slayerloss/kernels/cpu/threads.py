"""Shares the blocks of a kernel between threads, as many as torch uses.

All threads make the same call, and take the next block from a counter that they share. The kernel runs without the
interpreter's lock, in torch's own threads where they can be had: those of its OpenMP runtime go on spinning for
milliseconds after each operation of torch, and would keep other threads from their cores.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch

SMALLEST_SHARE = 2**15
"""Elements below which another thread costs more time than it saves."""
LIGHT = 4
"""Elements that a kernel without a state goes through in the time of one of a neuron."""


class Call(ctypes.Structure):
    """What the threads of one call share; as in src/kernel.h.

    Args:
        arguments: eight bytes for each.
    """

    _fields_ = (("arguments", ctypes.c_char_p), ("next", ctypes.c_int64), ("found", ctypes.c_int32))


_pool: ThreadPoolExecutor | None = None
_is_forked = False


def _forget_threads() -> None:
    """A forked process has none of its parent's threads, and OpenMP's runtime would wait for them."""
    global _pool, _is_forked
    _pool, _is_forked = None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _parallel() -> Any:
    """What starts a parallel region in the OpenMP runtime that torch is linked to; None where that is not known."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        parallel = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


def run(function: Callable[[Any], object], call: Call, blocks: int, elements: int) -> None:
    """Call `function` with the address of `call`, in one thread or in all.

    Args:
        function: takes blocks by counting `call.next` up, until there are none.
        call: its arguments.
        blocks: how many there are.
        elements: of the whole work; a small one stays in this thread.
    """
    threads = torch.get_num_threads()
    if min(threads, blocks, elements // SMALLEST_SHARE) <= 1:
        function(ctypes.byref(call))
    elif _is_forked or _parallel() is None:
        _run_in_pool(function, call, threads)
    else:  # with all threads, as torch: another number of them would end some, and start them anew for the next call
        _parallel()(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(call), threads, 0)  # type: ignore[arg-type]


def _run_in_pool(function: Callable[[Any], object], call: Call, threads: int) -> None:
    global _pool
    if _pool is None or _pool._max_workers < threads - 1:
        _pool = ThreadPoolExecutor(threads - 1, "slayerloss")
    others: list[Future[object]] = []
    try:
        with suppress(RuntimeError):  # where the interpreter ends, it takes no more work
            for _ in range(threads - 1):
                others.append(_pool.submit(function, ctypes.byref(call)))
        function(ctypes.byref(call))
    finally:  # also where a signal ends this thread's part: the others still write into the caller's tensors
        for other in others:
            if not other.cancel():  # one that has not begun finds no block
                other.result()
