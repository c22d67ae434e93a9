"""Writing events into a tensor of the user's, of numpy or of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, message
from slayerloss.io._values import sums


def random_shift_of(first: int, last: int, num_steps: int, rng: np.random.Generator | None) -> int:
    """A shift from [-first, num_steps - 1 - last], which keeps all events inside; the ends swap if they do not fit."""
    if rng is None:
        rng = np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002  (lava-dl's users seed numpy's global one)
    low, high = sorted((-first, num_steps - 1 - last))
    return int(rng.integers(low, high, endpoint=True))


def check_writable(function: str, tensor: Any) -> None:
    """Raise ArgumentError unless each element has memory of its own, and may be written to."""
    got = ""
    if isinstance(tensor, np.ndarray):
        strides, width = tensor.strides, tensor.itemsize
        got = "" if tensor.flags.writeable else "a read-only array"
    else:
        import torch

        strides, width = tensor.stride(), 1
        leaf = tensor._base if tensor._is_view() else tensor
        if leaf.is_leaf and leaf.requires_grad and torch.is_grad_enabled():
            got = "a leaf that requires grad"
        elif tensor.is_inference() and not torch.is_inference_mode_enabled():
            got = "a tensor made in inference mode"
    if not got and _overlaps(tuple(tensor.shape), strides, width):
        got = "an expanded one"
    if got:
        rule, way_out = "one that can be filled in place", "Give a new one, such as torch.zeros(shape)"
        raise ArgumentError(message(function, "empty_tensor cannot be written to", rule, got, way_out))


def _overlaps(shape: tuple[int, ...], strides: tuple[int, ...], width: int) -> bool:
    """Whether elements of `width` may share memory: a dimension's stride does not reach over the smaller strides."""
    reach = width
    for stride, size in sorted((abs(stride), size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride < reach and 0 not in shape:
            return True
        reach += stride * (size - 1)
    return False


def sums_held(
    array: NDArray[Any], index: tuple[NDArray[np.int64], ...], values: NDArray[Any]
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[Any]]:
    """The bins that events fall into, and the sums of what they hold and the events' values."""
    bins, cell = np.unique(np.ravel_multi_index(index, array.shape), return_inverse=True)
    filled = np.unravel_index(bins, array.shape)
    return filled, array[filled] + sums(values, cell, len(bins))


def put(tensor: Any, index: tuple[NDArray[np.int64], ...], values: NDArray[Any], add: bool) -> None:
    if not isinstance(tensor, np.ndarray):
        import torch

        places = tuple(torch.from_numpy(axis).to(tensor.device) for axis in index)
        tensor.index_put_(places, torch.as_tensor(values).to(tensor), accumulate=add)
    elif add:
        np.add.at(tensor, index, values.astype(tensor.dtype))
    else:
        tensor[index] = values
