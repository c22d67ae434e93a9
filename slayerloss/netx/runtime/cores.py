"""Parts of a run side by side on the processor's cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
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
    with ThreadPoolExecutor(min(count(), len(parts))) as pool:
        list(pool.map(work, parts))


def products_on_one_core() -> AbstractContextManager[Any]:
    """Let no product of matrices be shared between cores: its parts wait for each other, and long on a busy machine."""
    controller = _controller()
    return nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")


@cache
def _controller() -> Any:
    """What sets the cores of numpy's products; None where threadpoolctl is not installed, as on a small machine."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()
