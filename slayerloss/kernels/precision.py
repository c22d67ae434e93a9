"""Half precision, and how to keep it out of numbers and arithmetic that have to be exact."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast does not round products on the device of `x` to half precision.

    It leaves TF32 alone, whose switches are of the whole process and would break a compiled graph. Products of
    quantised weights and binary spikes fit into its 11 bits; docs/numbers.md says what does not.

    Example:
        >>> x = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), full_precision(x):
        ...     (x @ x).dtype
        torch.float32
    """
    return nullcontext() if x.device.type == "meta" else torch.autocast(x.device.type, enabled=False)


def kept_wide(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What a `Module._apply` passes on so that `half()` and its like leave the parameters as wide as they are.

    Args:
        change: what is done to each tensor: a device, a dtype, or both.

    Returns:
        The same, but a change to half precision changes the device only.

    Example:
        >>> kept_wide(torch.Tensor.half)(torch.ones(2)).dtype, kept_wide(torch.Tensor.double)(torch.ones(2)).dtype
        (torch.float32, torch.float64)
    """

    def wide(tensor: Tensor) -> Tensor:
        result = change(tensor)
        return tensor.to(result.device) if result.dtype in (torch.float16, torch.bfloat16) else result

    return wide
