"""A layer of a network file as it runs: what it receives, and its neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slayerloss.netx.runtime.neurons import Chunk, Neurons, Record, States
from slayerloss.netx.runtime.synapse import EXACT_IN_FLOAT32, Array, Dense, Synapse, largest, wrap_32

_INT32 = 1 << 31


@dataclass(frozen=True)
class Stage:
    """A layer that runs.

    Attributes:
        index: its number in the file.
        shape: (C, H, W) or (C,).
        neurons: of the layer.
        synapses: from the layer before; two of a complex layer, none where the neurons take the input as it is.
        feedback: the synapse of a recurrent layer from itself.
        graded: whether the synapses multiply with what is sent; else any value other than 0 is a spike of 1.
    """

    index: int
    shape: tuple[int, ...]
    neurons: Neurons
    synapses: tuple[Synapse, ...] = ()
    feedback: Dense | None = None
    graded: bool = False

    @property
    def size(self) -> int:
        """How many neurons."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> type:
        """Of what it sends."""
        return np.bool_ if self.neurons.binary else np.int32

    @property
    def space_first(self) -> tuple[int, ...]:
        """(H, W, C), or (C,)."""
        return (*self.shape[1:], self.shape[0])

    @property
    def pending(self) -> Sequence[str]:
        """The names of what is on its way to the neurons."""
        return ("pending",) if len(self.synapses) == 1 else ("pending_real", "pending_imag")[: len(self.synapses)]

    def rest(self, num_samples: int) -> States:
        """The states before the first step: zero, and nothing on its way.

        States of neurons are (N, neurons), and `pending` (steps, N, neurons): the sums that the next steps receive.
        """
        states: States = {name: np.zeros((num_samples, self.size), np.int32) for name in self.neurons.names}
        for name, synapse in zip(self.pending, self.synapses, strict=True):
            states[name] = np.zeros((synapse.reach, num_samples, self.size), np.int32)
        return states

    def advance(self, sent: Array, states: States, first: int, record: Record | None = None) -> Array:
        """Run on over all steps of what the layer before sends.

        Args:
            sent: (T, N, ...) messages; or the input of neurons without synapses.
            states: as `rest` makes them; changed.
            first: the number of the first step.
            record: takes the states of the neurons after each step.

        Returns:
            What the layer sends, (T, N, H, W, C) or (T, N, C).
        """
        num_steps, num_samples = sent.shape[:2]
        if not self.synapses:
            arriving, highest = [sent.reshape(num_steps, num_samples, -1)], largest(sent)
        else:
            messages = sent if self.graded or sent.dtype == np.bool_ else sent != 0
            arriving, highest = self._arriving(messages, states)
        feedback = None if self.feedback is None else self._feed_back
        now = [sums[:num_steps] for sums in arriving]
        out = self.neurons.run(Chunk(now, highest, states, first, record, feedback))
        if self.feedback is not None:
            self._feed_back(out[-1], arriving[0][num_steps])
        for name, sums in zip(self.pending, arriving, strict=False):
            states[name][...] = sums[num_steps:]
        return out.reshape(num_steps, num_samples, *self.space_first)

    def _arriving(self, messages: Array, states: States) -> tuple[list[Array], int]:
        """What arrives in each step, with what is on its way after the last; and a bound of it."""
        most = largest(messages)
        bounds = [synapse.bound * most + largest(states[name]) for name, synapse in self._named()]
        highest = max(bounds)
        if self.feedback is not None:
            highest = highest + self.feedback.bound if self.neurons.binary else _INT32
        dtype = np.float32 if highest <= EXACT_IN_FLOAT32 else np.float64
        arriving = []
        for name, synapse in self._named():
            sums = np.empty((len(messages) + synapse.reach, messages.shape[1], self.size), dtype)
            sums[: synapse.reach] = states[name]
            synapse.deliver(messages, sums)
            arriving.append(wrap_32(sums, highest))
        return arriving, highest

    def _named(self) -> list[tuple[str, Synapse]]:
        return list(zip(self.pending, self.synapses, strict=True))

    def _feed_back(self, sent: Array, sums: Array) -> None:
        """Add what one step's spikes (N, neurons) cause to the sums (N, neurons) of the next."""
        assert self.feedback is not None
        messages = sent if self.graded or sent.dtype == np.bool_ else sent != 0
        sums[...] = wrap_32(sums + self.feedback.sums(messages), 0 if self.neurons.binary else _INT32)


def outward(array: Array, shape: tuple[int, ...]) -> Array:
    """(..., neurons) in the order H, W, C -> a view (..., C, H, W)."""
    if len(shape) == 1:
        return array
    return np.moveaxis(array.reshape(*array.shape[:-1], *shape[1:], shape[0]), -1, -3)


def inward(array: Array, shape: tuple[int, ...]) -> Array:
    """(..., C, H, W) -> (..., H, W, C): a view."""
    return array if len(shape) == 1 else np.moveaxis(array, -3, -1)
