"""Filters of finite impulse response as modules, with lava-dl's names, arguments and state dicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slayerloss import functional
from slayerloss._check import (
    DtypeError,
    check_integer,
    check_range,
    check_sequence,
    check_signal,
    check_tensor,
    message,
)
from slayerloss.functional.events import LARGEST_SIZE
from slayerloss.functional.filters import LONGEST_TIME_CONSTANT
from slayerloss.kernels.filters import LONGEST_FILTER


def _response(given: Tensor | npt.NDArray[Any] | Sequence[float]) -> Tensor:
    """An impulse response (L,) as a tensor of its own, in the default dtype."""
    if not isinstance(given, Tensor) and not hasattr(given, "__array__"):
        for value in check_sequence("FIR", "fir_response", given):
            check_range("FIR", "fir_response", value)
    elif not isinstance(given, Tensor):
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            raise DtypeError(message("FIR", "fir_response does not hold numbers", "real numbers", array.dtype))
    response = torch.as_tensor(given)
    check_tensor("FIR", "fir_response", response)
    response = response.detach().to(torch.get_default_dtype()).flatten().clone()
    check_signal("FIR", response, "fir_response")
    return response


class FIR(torch.nn.Module):
    """A filter with a fixed impulse response, exponential unless another is given.

    y[t] = sampling_time sum_k filter[k] x[t-k],  filter[k] = exp(-k/time_constant)

    Args:
        fir_response: (L,), the impulse response; None: an exponential one.
        time_constant: of the exponential, in steps, above 0.
        length: of the exponential, in steps, in [1, 2^24].
        sampling_time: a factor on the output, above 0.

    Raises:
        ArgumentError: a number out of range, or an impulse response with NaN or infinity.
        ShapeError: an impulse response without a step.
        DtypeError: length is not an integer.

    Example:
        >>> FIR(time_constant=2, length=2)(torch.tensor([[[1.0, 0.0, 0.0]]]))
        tensor([[[1.0000, 0.6065, 0.0000]]])

    Note:
        lava-dl's, with every dtype. `ExponentialFilter` is not cut at `length` and costs less.
    """

    filter: Tensor

    def __init__(
        self,
        fir_response: Tensor | npt.NDArray[Any] | Sequence[float] | None = None,
        time_constant: float = 1,
        length: int = 20,
        sampling_time: float = 1,
    ) -> None:
        super().__init__()
        check_range("FIR", "sampling_time", sampling_time, 0, low_open=True)
        if fir_response is None:
            check_range("FIR", "time_constant", time_constant, 0, LONGEST_TIME_CONSTANT, low_open=True)
            length = check_integer("FIR", "length", length, 1, LONGEST_FILTER)
            response = functional.exponential_kernel(float(time_constant), length)
        else:
            response = _response(fir_response)
        self.register_buffer("filter", response)
        self.sampling_time = sampling_time

    def forward(self, input: Tensor) -> Tensor:
        """Filter (N, C, ..., T); see `functional.causal_conv`."""
        y: Tensor = functional.causal_conv(input, self.filter)
        return y if self.sampling_time == 1 else y * self.sampling_time


class FIRBank(torch.nn.Module):
    """Several filters whose impulse responses are learned step by step.

    y[n, f, c, t] = sampling_time sum_k weight[f, L-1-k] x[n, c, t-k]

    Args:
        num_filter: F, at least 1.
        filter_length: in units of sampling_time; L = int(filter_length / sampling_time) steps, at least 1.
        sampling_time: a factor on the output, above 0.
        scale: a factor on the initial weights, which are uniform in +-scale/sqrt(L).

    Raises:
        ArgumentError: a number out of range.
        DtypeError: num_filter is not an integer.

    Example:
        >>> FIRBank(num_filter=3, filter_length=20)(torch.zeros(8, 10, 100)).shape
        torch.Size([8, 30, 100])

    Note:
        lava-dl's, whose `weight` (F, 1, 1, 1, L) has the latest step last; it fails for a sampling_time other than 1.
    """

    def __init__(self, num_filter: int, filter_length: float, sampling_time: float = 1, scale: float = 1) -> None:
        super().__init__()
        num_filter = check_integer("FIRBank", "num_filter", num_filter, 1, LARGEST_SIZE)
        check_range("FIRBank", "sampling_time", sampling_time, 0, low_open=True)
        check_range("FIRBank", "filter_length", filter_length, sampling_time, LONGEST_FILTER * sampling_time)
        check_range("FIRBank", "scale", scale)
        self.weight = torch.nn.Parameter(torch.empty(num_filter, 1, 1, 1, int(filter_length / sampling_time)))
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch initialises a convolution
        with torch.no_grad():
            self.weight.mul_(scale)
        self.sampling_time = sampling_time

    def forward(self, input: Tensor) -> Tensor:
        """Filter (N, C, ..., T) to (N, F*C, ..., T), filter by filter."""
        check_tensor("FIRBank", "input", input, min_ndim=3, layout="(N, C, ..., T)")
        kernels = self.weight.flatten(1).flip(-1)
        copies = input[:, None].expand(input.shape[0], self.num_filter, *input.shape[1:])
        y: Tensor = functional.causal_conv(copies, kernels).flatten(1, 2)
        return y if self.sampling_time == 1 else y * self.sampling_time

    @property
    def num_filter(self) -> int:
        """The number of filters F."""
        return self.weight.shape[0]

    @property
    def filter_length(self) -> int:
        """The steps L of an impulse response."""
        return self.weight.shape[-1]

    @property
    def impulse_response(self) -> npt.NDArray[np.floating[Any]]:
        """(F, L) numpy array: the impulse responses, the response in the same step first."""
        response: npt.NDArray[np.floating[Any]] = self.weight.detach().flatten(1).flip(-1).cpu().numpy()
        return response
