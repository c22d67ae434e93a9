"""What the figures take: torch tensors or arrays, one sample or one of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    ShapeError,
    check_finite,
    check_integer,
    check_lengths,
    check_range,
    message,
)


def to_tensor(function: str, argument: str, value: Any) -> Tensor:
    """Copy a tensor, an array or nested lists of real, finite numbers into a float32 tensor on the CPU."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        real = not tensor.is_complex()
    else:
        array = np.asarray(value)
        real = array.dtype.kind in "biuf"
        tensor = torch.from_numpy(array.astype(np.float32)) if real else torch.empty(0)
    if not real:
        raise DtypeError(message(function, f"{argument} does not hold real numbers", "numbers", type(value).__name__))
    tensor = tensor.to(torch.float32)
    check_finite(function, argument, tensor)
    return tensor


def one_sample(
    function: str, value: Any, *, sample: int = 0, lengths: Any = None, argument: str = "spikes", flatten: bool = True
) -> Tensor:
    """Pick one sample of an event tensor, without its padding.

    Args:
        function: whose argument it is, for errors.
        value: (C, T) or (C, H, W, T), one sample; (N, C, T) or (N, C, H, W, T), a batch.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch; None for all.
        argument: the argument's name, for errors.
        flatten: whether C, H and W become one dimension.

    Returns:
        (C, T) float32, or (C, H, W, T) without `flatten`.
    """
    tensor = to_tensor(function, argument, value)
    if tensor.ndim not in (2, 3, 4, 5) or 0 in tensor.shape:
        layouts = "(C, T), (C, H, W, T), (N, C, T) or (N, C, H, W, T), nothing empty"
        raise ShapeError(message(function, f"{argument} is no event tensor", layouts, tuple(tensor.shape)))
    if tensor.ndim in (2, 4):
        tensor, sample = tensor[None], 0
        lengths = None if lengths is None else torch.as_tensor(lengths).reshape(-1)
    check_integer(function, "sample", sample, 0, tensor.shape[0] - 1)
    num_steps = tensor.shape[-1]
    if lengths is not None:
        lengths = torch.as_tensor(lengths).cpu()
        check_lengths(function, lengths, tensor)
        num_steps = int(lengths[sample])
    tensor = tensor[sample, ..., :num_steps]
    return tensor.reshape(-1, num_steps) if flatten else tensor


def label_per_step(
    function: str, label: Any, *, batch: int | None, sample: int, num_classes: int, num_steps: int
) -> Tensor:
    """The true class at every step of one sample, (T,) int64; negative where there is none.

    Args:
        function: whose argument it is, for errors.
        label: one class, or one per step (T,); for a batch also (N,) or (N, T).
        batch: N, or None if the events are those of one sample.
        sample: which of a batch.
        num_classes: labels lie below it.
        num_steps: T, without padding.
    """
    tensor = torch.as_tensor(label).cpu()
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise DtypeError(message(function, "label is not of an integer type", "class indices", tensor.dtype))
    shape = tuple(tensor.shape)
    if batch is not None and tensor.ndim > 0 and shape[0] == batch:
        tensor = tensor[sample]
    if tensor.ndim > 1 or (tensor.ndim == 1 and tensor.shape[0] < num_steps):
        rule = "one class or (T,)" if batch is None else f"one class, ({batch},) or ({batch}, T)"
        raise ShapeError(message(function, "label has the wrong shape", f"{rule} with T of {num_steps}", shape))
    tensor = (tensor if tensor.ndim == 0 else tensor[:num_steps]).expand(num_steps).long()
    if int(tensor.max()) >= num_classes:
        raise ArgumentError(
            message(function, "label is out of range", f"classes in [0, {num_classes - 1}]", int(tensor.max()))
        )
    return tensor


def batch_size(value: Any) -> int | None:
    """N of a batch (N, C, T) or (N, C, H, W, T); None for one sample."""
    shape = tuple(np.shape(value))
    return shape[0] if len(shape) in (3, 5) else None


def step_unit(function: str, step_ms: float | None) -> float:
    """What one step counts on a time axis: `step_ms`, or 1."""
    if step_ms is None:
        return 1.0
    check_range(function, "step_ms", step_ms, 0, low_open=True)
    return float(step_ms)


def check_names(function: str, names: Any, count: int) -> list[str] | None:
    """`names` as strings, if there are `count` of them; None stays None."""
    if names is None:
        return None
    texts = [str(name) for name in names]
    if len(texts) != count:
        raise ArgumentError(message(function, "names has the wrong length", f"{count} names", len(texts)))
    return texts
