"""Layers without neurons, which are the same for every neuron."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_events,
    check_flag,
    check_integer,
    check_lengths,
    check_tensor,
    message,
)
from slayerloss.block._block import Layer
from slayerloss.functional._space import flat
from slayerloss.functional.events import LARGEST_SIZE, accumulation_dtype, mask_steps, promote
from slayerloss.functional.sparse import check_input, is_sparse, joined


class Flatten(Layer):
    """Put channels and space into one dimension, in the order C, H, W; what is flat already stays.

    Args:
        count_log: also return None, as lava-dl does.

    Example:
        >>> Flatten()(torch.zeros(1, 2, 3, 4, 5)).shape
        torch.Size([1, 24, 5])
    """

    def __init__(self, count_log: bool = False) -> None:
        super().__init__()
        self.count_log = check_flag("Flatten", "count_log", count_log)

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W, T) -> (N, C H W, T); with `count_log` also None."""
        check_input("Flatten", x)
        y = joined(x) if is_sparse(x) else flat(x)
        self.input_shape, self.shape = x.shape[1:-1], torch.Size([y.shape[1], 1, 1])
        return (y, None) if self.count_log else y

    def layer_fields(self) -> dict[str, Any]:
        return {"type": "flatten", "shape": self.known_shape()}


class Average(Layer):
    """Take the mean over each of `num_outputs` equal groups of neighbouring neurons.

    Args:
        num_outputs: how many groups; it divides the number of neurons.
        count_log: also return None, as lava-dl does.

    Example:
        >>> Average(2)(torch.tensor([[[0.0], [1.0], [1.0], [1.0]]]))
        tensor([[[0.5000],
                 [1.0000]]])
    """

    def __init__(self, num_outputs: int, count_log: bool = False) -> None:
        super().__init__()
        self.num_outputs = check_integer("Average", "num_outputs", num_outputs, 1)
        self.count_log = check_flag("Average", "count_log", count_log)
        self.shape = torch.Size([num_outputs, 1, 1])

    def forward(self, x: Tensor) -> Any:
        """(N, C, ..., T) -> (N, num_outputs, T); with `count_log` also None."""
        check_events("Average", x, "x")
        neurons = flat(promote(x))
        if neurons.shape[1] == 0 or neurons.shape[1] % self.num_outputs:
            rule = f"a multiple of {self.num_outputs} neurons"
            raise ShapeError(message("Average", "the groups would not be equal", rule, tuple(x.shape)))
        y = neurons.unflatten(1, (self.num_outputs, -1)).mean(2)
        return (y, None) if self.count_log else y

    def layer_fields(self) -> dict[str, Any]:
        return {"type": "average", "shape": self.known_shape()}


class TimeDecimation(Layer):
    """Take the mean over each of the bins of `factor` steps; steps that lack at the end count as silent.

    y[t] = (x[factor t] + ... + x[factor t + factor - 1]) / factor

    Args:
        factor: steps in a bin, a power of 2.
        count_log: also return None, as lava-dl does.

    Example:
        >>> TimeDecimation(2)(torch.tensor([[[1.0, 0.0, 1.0, 1.0, 1.0]]]))
        tensor([[[0.5000, 1.0000, 0.5000]]])

    Note:
        `lengths` (N,) of a padded batch become ceil(lengths / factor), which `lengths_after` gives.
    """

    def __init__(self, factor: int, count_log: bool = False) -> None:
        super().__init__()
        self.factor = check_integer("TimeDecimation", "factor", factor, 1, LARGEST_SIZE)
        if self.factor & (self.factor - 1):
            raise ArgumentError(message("TimeDecimation", "factor is wrong", "a power of 2", factor))
        self.count_log = check_flag("TimeDecimation", "count_log", count_log)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Any:
        """(N, C, ..., T) -> (N, C, ..., ceil(T / factor)); with `count_log` also None.

        What comes after the first `lengths` (N,) steps of a sample counts as silent.
        """
        check_events("TimeDecimation", x, "x")
        if lengths is not None:
            check_lengths("TimeDecimation", lengths, x)
        x = mask_steps(x.to(accumulation_dtype(x)), lengths)
        steps = torch.nn.functional.pad(x, (0, -x.shape[-1] % self.factor))
        y = steps.unflatten(-1, (-1, self.factor)).mean(-1)
        self.input_shape, self.shape = x.shape[1:-1], y.shape[1:-1]
        return (y, None) if self.count_log else y

    def lengths_after(self, lengths: Tensor) -> Tensor:
        """The steps of each sample that count after this block."""
        check_tensor("TimeDecimation", "lengths", lengths)
        return -(-lengths // self.factor)
