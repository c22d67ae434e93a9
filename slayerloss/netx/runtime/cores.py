"""Parts of a run side by side on the processor's cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock, get_native_id
from typing import Any, TypeVar

Part = TypeVar("Part")


@cache
def count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Do `work` for each part, as many at once as there are cores. numpy lets other threads run while it computes."""
    if len(parts) == 1 or count() == 1:
        for part in parts:
            work(part)
        return
    free = iter(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ())
    with ThreadPoolExecutor(min(count(), len(parts)), initializer=lambda: _stay_on(next(free, None))) as pool:
        list(pool.map(work, parts))


def _stay_on(core: int | None) -> None:
    """Keep this thread on a core: those that wait for each other's turn in Python may be put on one and stay there."""
    if core is not None:
        os.sched_setaffinity(get_native_id(), {core})


_lock = Lock()
_inside = 0
_limit: Any = None


@contextmanager
def products_on_one_core() -> Iterator[None]:
    """Let no product of matrices be shared between cores: its parts wait for each other, and long on a busy machine.

    The setting is the process's: the first of several runs at once makes it, and the last takes it back.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0 and _controller() is not None:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                _limit.restore_original_limits()
                _limit = None


@cache
def _controller() -> Any:
    """What sets the cores of numpy's products; None where threadpoolctl is not installed, as on a small machine."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
