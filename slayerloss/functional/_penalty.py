"""What the penalties on parameters share: in which floats they compute, and that a NaN is said, not passed on."""

from __future__ import annotations

import math

from torch import Tensor

from slayerloss._check import ArgumentError, check_finite, check_tensor, message, values_are_checked
from slayerloss.functional.events import accumulation_dtype

PENALTY_REDUCTIONS = ("sum", "mean")


def in_floats(function: str, argument: str, x: Tensor) -> Tensor:
    """The tensor in the dtype in which a penalty is computed: float32 for half precision, its own otherwise.

    Example:
        >>> import torch
        >>> in_floats("here", "x", torch.ones(1, dtype=torch.float16)).dtype
        torch.float32
    """
    check_tensor(function, argument, x)
    return x.to(accumulation_dtype(x))


def said_if_not_finite(function: str, value: Tensor, /, **made_of: Tensor) -> Tensor:
    """The value, if it is finite; else an error names the first argument that it was made of and that is not finite.

    Looking at one number costs less than a pass over the arguments.

    Raises:
        ArgumentError: an argument holds NaN or infinity, or is so large that the value is infinite.

    Example:
        >>> import torch
        >>> said_if_not_finite("here", torch.tensor(2.0), x=torch.ones(2))
        tensor(2.)
    """
    if values_are_checked(value) and not math.isfinite(float(value.detach())):
        for argument, x in made_of.items():
            check_finite(function, argument, x)
        problem, rule = f"{' or '.join(made_of)} is too large", f"a result that {value.dtype} can hold"
        raise ArgumentError(message(function, problem, rule, float(value.detach()), "Compute in float64"))
    return value
