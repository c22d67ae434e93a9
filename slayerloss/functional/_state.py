"""States that neurons and blocks keep: nested tuples of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def map_state(change: Callable[[Tensor], Tensor], state: Any) -> Any:
    """The same nested tuples with every tensor changed; what is no tensor stays."""
    if isinstance(state, Tensor):
        return change(state)
    if isinstance(state, tuple):
        parts = [map_state(change, part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def detached(state: Any) -> Any:
    """A copy that is cut off from the graph that made it; a view would keep all steps of the run alive."""
    return map_state(lambda tensor: tensor.detach().clone(), state)


def moved(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The state after `Module._apply(change)`: on the device that it leads to, in the dtype that it has.

    Half precision would cut the chip's integers, and every run takes a state of any float dtype.
    """

    def move(tensor: Tensor) -> Tensor:
        result = change(tensor)
        return result if result.dtype == tensor.dtype else tensor.to(result.device)

    return map_state(move, state)
