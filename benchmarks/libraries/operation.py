"""What is timed: a forward and a backward on tensors that exist already."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ORDERS = {"NCT": (0, 1, 2), "TNC": (2, 0, 1), "NTC": (0, 2, 1)}
"""The axes of (N, C, T) in the order of a library."""


def nothing() -> None:
    """What an operation without a state does before a call."""


@dataclass
class Operation:
    """One call of a library's function, to be repeated."""

    forward: Callable[[], Tensor]
    leaves: Sequence[Tensor] = ()
    """What the backward differentiates by; it does not run without any."""
    prepare: Callable[[], object] = nothing
    """Resets a state before the call; not timed."""
    data: Tensor | None = None
    """What all libraries are given alike: its sum is compared."""
    gradient: Tensor | None = None
    """Of the output; made at the first backward, which is not timed with it."""
    value: float = float("nan")
    """The mean of the last output: a loss, or a rate of spikes."""

    def call(self) -> tuple[float, float]:
        """Seconds of the forward and of the backward."""
        self.prepare()
        start = time.perf_counter()
        output = self.forward()
        forward = time.perf_counter() - start
        backward = 0.0
        if self.leaves:
            if output.ndim and self.gradient is None:
                self.gradient = torch.ones_like(output)
            start = time.perf_counter()
            gradients = torch.autograd.grad(output, self.leaves, self.gradient)
            backward = time.perf_counter() - start
            del gradients
        self.value = output.detach().mean().item()
        return forward, backward


def random_input(shape: Sequence[int], order: str = "NCT", *, first: str = "N") -> Tensor:
    """A neuron's input, the same numbers in every library, (N, C, T) in the axis order of the library.

    `first="T"` keeps the axes and has the memory of time first.
    """
    x = torch.empty(*shape).normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    x = x.permute(ORDERS[order]).contiguous()
    return x.movedim(-1, 0).contiguous().movedim(0, -1) if first == "T" else x


def random_spikes(shape: Sequence[int], seed: int = 0) -> Tensor:
    """(N, C, T), one of ten steps with a spike."""
    return torch.empty(*shape).bernoulli_(0.1, generator=torch.Generator().manual_seed(seed))


def random_labels(shape: Sequence[int], *, every_step: bool) -> Tensor:
    """(N,), or with `every_step` (N, T)."""
    size = (shape[0], shape[2]) if every_step else (shape[0],)
    return torch.randint(shape[1], size, generator=torch.Generator().manual_seed(2))
