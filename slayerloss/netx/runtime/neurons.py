"""What the neurons of the runtime share.

A layer's neurons run over all steps of a chunk, a block of neurons at a time, so that their states stay near the
processor. Arithmetic is done in floating point, in which the integers of the chip are exact: a product of a state of 24
bits and a decay of 12 fits into float64, and where smaller bounds can be proven, into float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from slayerloss.netx.runtime.synapse import Array

States = dict[str, Array]
"""State name -> (N, neurons) int32."""

Record = dict[str, Array]
"""State name -> (T, N, neurons) int32, after each step."""

Feedback = Callable[[Array, Array], None]
"""Adds what the spikes (N, neurons) of a step cause to the sums (N, neurons) that arrive in the next."""

_BLOCK = 1 << 17


@dataclass(frozen=True)
class Chunk:
    """Some steps of a layer: what arrives at its neurons, and from where they go on.

    Attributes:
        arriving: (T, N, neurons) sums of weights; of complex neurons two of them.
        highest: no sum is larger, feedback included.
        states: of the names of the neurons; they are changed.
        first: the number of the first step.
        record: takes the states after each step.
        feedback: of a recurrent layer.
    """

    arriving: list[Array]
    highest: int
    states: States
    first: int
    record: Record | None = None
    feedback: Feedback | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, N, neurons)."""
        return self.arriving[0].shape

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Blocks of (N, neurons): some samples, or a part of the neurons of one; with feedback all of them."""
        samples, neurons = self.shape[1:]
        wide = neurons if self.feedback is not None else min(neurons, _BLOCK)
        tall = samples if self.feedback is not None else max(1, _BLOCK // neurons)
        for row in range(0, samples, tall):
            for column in range(0, neurons, wide):
                yield slice(row, row + tall), slice(column, column + wide)

    def feed_back(self, sent: Array, t: int) -> None:
        """Add to the sums of row t what the row before sent."""
        if self.feedback is not None and t > 0:
            self.feedback(sent[t - 1], self.arriving[0][t])

    def keep(self, at: Any, **states: Array) -> None:
        """Record states after a step."""
        if self.record is not None:
            for name, values in states.items():
                self.record[name][at] = values


class Neurons(Protocol):
    """The neurons of a layer."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of their states."""

    @property
    def binary(self) -> bool:
        """Whether they send 0 and 1."""

    def run(self, chunk: Chunk) -> Array:
        """Run on over all steps; what is sent, (T, N, neurons): bool, or int32 where it is not binary."""


def share(parameter: Array, columns: slice, dtype: type) -> Any:
    """A parameter of some neurons: a Python number where all have one value, which leaves the dtype to the states."""
    return parameter.item() if parameter.size == 1 else parameter[columns].astype(dtype)


def decay_and_add(state: Array, kept: Any, added: Array) -> None:
    """state = trunc(kept * state) + added, in place."""
    if isinstance(kept, float) and kept == 0:
        state[...] = added
        return
    if not (isinstance(kept, float) and kept == 1):
        np.multiply(state, kept, out=state)
        np.trunc(state, out=state)
    np.add(state, added, out=state)


def per_neuron(values: Any, shape: tuple[int, ...]) -> Array:
    """One value, one a channel, or one a neuron (W, H, C), as (1,) or (neurons,) in the order H, W, C."""
    array = np.asarray(values)
    if array.size == 1 or np.all(array == array.flat[0]):
        return array.reshape(-1)[:1]
    if array.ndim == 3:
        return array.transpose(1, 0, 2).reshape(-1)
    return array.reshape(-1) if len(shape) == 1 else np.tile(array.reshape(-1), shape[1] * shape[2])
