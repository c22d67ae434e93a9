"""States that neurons and blocks keep: nested tuples of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, message


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


def is_rest(function: str, name: str, value: Tensor, rest: float) -> bool:
    """Whether a part of a state is given as (1,), which stands for rest as long as there is no shape.

    Raises:
        ArgumentError: it is, but with another value.
    """
    if value.shape not in ((), (1,)):
        return False
    if not bool((value == torch.full_like(value, rest)).all()):
        problem, rule = f"{name} is one number and nothing has run yet", f"{rest:g}, which is rest, or (N, C, ...)"
        raise ArgumentError(message(function, problem, rule, value.item()))
    return True
