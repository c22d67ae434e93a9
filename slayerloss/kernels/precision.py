"""Autocast, and how to keep it out of arithmetic that has to be exact."""

from __future__ import annotations

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
