"""The sigma-delta neurons: they send how much their value has changed, once it is enough, and sum up such changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from slayerloss.netx.runtime.neurons import Chunk, States, share
from slayerloss.netx.runtime.synapse import Array

STATE_EXP = 6
"""Binary places that the states have and messages do not."""


@dataclass(frozen=True)
class Sigma:
    """Neurons that sum up the changes, and send the sum in every step."""

    names: ClassVar[tuple[str, ...]] = ("sigma",)
    binary: ClassVar[bool] = False

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`. sigma = sigma + a, in 32 bits."""
        sent = np.empty(chunk.shape, np.int32)
        sigma = chunk.states["sigma"]
        for t, sums in enumerate(chunk.arriving[0]):
            chunk.feed_back(sent, t)
            sigma += sums.astype(np.int32)
            sent[t] = sigma
        chunk.keep(..., sigma=sent)
        return sent


@dataclass(frozen=True)
class Delta:
    """The neurons of an input layer: they send how much the input has changed.

    `threshold` is in the units of the states, 2^-(spike_exp + 6) of an input.
    """

    names: ClassVar[tuple[str, ...]] = ("act", "residue")
    binary: ClassVar[bool] = False
    threshold: Array
    spike_exp: int

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`, and `_delta`, of x = a * 2^(spike_exp + 6)."""
        shift = self.spike_exp + STATE_EXP

        def value(sums: Array, states: States, columns: slice) -> Array:
            return sums.astype(np.int32) << shift

        return _delta(self.names, self.threshold, value, chunk)


@dataclass(frozen=True)
class SigmaDelta:
    """The neurons of a hidden layer: they sum up, rectify, and send how much the result has changed.

    `bias` and `threshold` are in the units of the states.
    """

    names: ClassVar[tuple[str, ...]] = ("sigma", "act", "residue")
    binary: ClassVar[bool] = False
    bias: Array
    threshold: Array

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`, and `_delta`, of x = max(sigma + bias, 0) with sigma = sigma + a."""

        def value(sums: Array, states: States, columns: slice) -> Array:
            sigma = states["sigma"]
            sigma += sums.astype(np.int32)
            x: Array = sigma + share(self.bias, columns, np.int32)
            return np.maximum(x, 0, out=x)

        return _delta(self.names, self.threshold, value, chunk)


def _delta(
    names: tuple[str, ...],
    threshold: Array,
    value: Callable[[Array, States, slice], Array],
    chunk: Chunk,
) -> Array:
    """Send changes of x: d = x - act + residue; y = d where |d| >= threshold, else 0; residue = d - y; act = x.

    What is sent is y without the binary places of the states, rounded down. All is int32, and wraps.

    Args:
        names: of the states.
        threshold: in the units of the states.
        value: x from the sums (N, neurons), the states, which it may change, and the columns that these are of.
        chunk: the steps.
    """
    sent = np.empty(chunk.shape, np.int32)
    (arriving,) = chunk.arriving
    for here in chunk.blocks():
        own = {name: chunk.states[name][here] for name in names}
        act, residue = own["act"], own["residue"]
        limit = share(threshold, here[1], np.int32)
        size, sending = np.empty_like(act), np.empty(act.shape, np.bool_)
        for t in range(len(arriving)):
            at = (t, *here)
            chunk.feed_back(sent, t)
            x = value(arriving[at], own, here[1])
            np.subtract(residue, act, out=residue)
            np.add(residue, x, out=residue)  # d
            act[...] = x
            np.greater_equal(np.abs(residue, out=size), limit, out=sending)
            y = np.multiply(residue, sending, out=size)
            np.subtract(residue, y, out=residue)
            np.right_shift(y, STATE_EXP, out=sent[at])
            chunk.keep(at, **own)
    return sent
