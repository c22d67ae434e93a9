"""Images whose channels lie side by side in memory, as convolutions on a CPU leave them.

What neurons and delays do is the same for every sample and place, so that places count as samples there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def channels_together(x: Tensor) -> bool:
    """Whether the memory of (N, C, ..., T) has time first and channels last, and no other order would do.

    Example:
        >>> x = torch.ones(2, 4, 3, 3, 5)
        >>> channels_together(x), channels_together(x.permute(4, 0, 2, 3, 1).contiguous().permute(1, 4, 2, 3, 0))
        (False, True)
    """
    steps = x.movedim(-1, 0)
    return x.ndim > 3 and not steps.is_contiguous() and steps.movedim(2, -1).is_contiguous()


def by_channel(run: Callable[..., Any], x: Tensor, *states: Tensor | None) -> Any:
    """run(x, *states), where channels lie together with each place as a sample of its own, so that nothing is copied.

    Args:
        run: of (N, C, ..., T) and states to one tensor or more, all of which have N and C in front.
        x: (N, C, ..., T).
        states: (N, C, ...) or (N, C, ..., S) or None each.

    Example:
        >>> x = torch.ones(5, 2, 3, 3, 4).permute(1, 4, 2, 3, 0)
        >>> y, first = by_channel(lambda x: (x, print(x.shape) or x[..., 0]), x)
        torch.Size([18, 4, 5])
        >>> y.shape, first.shape
        (torch.Size([2, 4, 3, 3, 5]), torch.Size([2, 4, 3, 3]))
    """
    if not channels_together(x):
        return run(x, *states)
    samples = x.shape[:1] + x.shape[2:-1]

    def there(y: Tensor) -> Tensor:
        return y.movedim(1, len(samples)).flatten(0, len(samples) - 1)

    def back(y: Tensor) -> Tensor:
        return y.unflatten(0, samples).movedim(len(samples), 1)

    results = run(there(x), *(None if state is None else there(state) for state in states))
    return back(results) if isinstance(results, Tensor) else tuple(back(result) for result in results)


def flat(x: Tensor) -> Tensor:
    """(N, C, ..., T) -> (N, C ..., T), with time first in memory where it is not last already.

    Example:
        >>> flat(torch.ones(1, 2, 3, 4, 5)).shape
        torch.Size([1, 24, 5])
    """
    if x.ndim == 3:
        return x
    if x.is_contiguous():
        return x.flatten(1, -2)
    return x.movedim(-1, 0).flatten(2).movedim(0, -1)


def images(x: Tensor) -> Tensor:
    """(N, C, H, W, T) -> (T N, C, H, W), of which a CPU convolves those fastest whose channels lie together."""
    steps = x.permute(4, 0, 1, 2, 3)
    if x.device.type != "cpu" or steps.is_contiguous() or channels_together(x):
        return steps.flatten(0, 1)
    return steps.movedim(2, -1).flatten(0, 1).contiguous().movedim(-1, 1)


def kernel(weight: Tensor) -> Tensor:
    """(O, C, height, width) in the memory order that makes a CPU put the channels of the result together."""
    return weight.contiguous(memory_format=torch.channels_last) if weight.device.type == "cpu" else weight
