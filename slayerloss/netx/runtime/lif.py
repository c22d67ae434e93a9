"""The leaky integrate-and-fire neuron of the chip, in its integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from slayerloss.netx.limits import STATE
from slayerloss.netx.runtime.neurons import Chunk, States, decay_and_add, share
from slayerloss.netx.runtime.synapse import EXACT_IN_FLOAT32, Array, largest, to_int32


@dataclass(frozen=True)
class LIF:
    """The neurons of a layer; each parameter is one value, or one a neuron, in the order H, W, C.

    `current_kept` and `voltage_kept` are what a step leaves of u and v, in 1/4096. `bias` and `threshold` are in the
    units of v. Before the steps t with t % interval == offset % interval, u and v are set to zero. Neurons that are not
    `binary` send v in place of 1, and those that receive such messages have a `gain` of 1/64.
    """

    names: ClassVar[tuple[str, ...]] = ("u", "v")
    current_kept: Array
    voltage_kept: Array
    bias: Array
    threshold: Array
    interval: int | None = None
    offset: int = 0
    binary: bool = True
    gain: float = 64.0

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`.

        u = trunc(current_kept * u / 4096) + trunc(gain * a), wrapped to 24 bits; v = trunc(voltage_kept * v / 4096) +
        u + bias, cut off at 24 bits; a spike where v > threshold, and v = 0 there.
        """
        (sums,), states = chunk.arriving, chunk.states
        largest_u, largest_v = self._bounds(chunk.highest, states, len(sums))
        in_float32 = max(largest_u * self._odds[0], largest_v * self._odds[1]) <= EXACT_IN_FLOAT32
        dtype = np.float32 if in_float32 else np.float64
        sent = np.empty(sums.shape, np.bool_ if self.binary else np.int32)
        for here in chunk.blocks():
            u, v = (states[name][here].astype(dtype) for name in self.names)
            step = self._step(u, v, here[1], wraps=largest_u >= STATE, saturates=largest_v >= STATE)
            for t in range(len(sums)):
                at = (t, *here)
                if self.interval is not None and (chunk.first + t) % self.interval == self.offset % self.interval:
                    u[...], v[...] = 0, 0
                chunk.feed_back(sent, t)
                step(sums[at], sent[at])
                chunk.keep(at, u=u, v=v)
            states["u"][here], states["v"][here] = u, v
        return sent

    def _step(self, u: Array, v: Array, columns: slice, wraps: bool, saturates: bool) -> Callable[[Array, Array], None]:
        """One step of some neurons, in place: (the sums, where the spikes go)."""
        kept_u, kept_v = (share(kept / 4096, columns, u.dtype.type) for kept in (self.current_kept, self.voltage_kept))
        bias, threshold = (share(values, columns, u.dtype.type) for values in (self.bias, self.threshold))
        forgets = isinstance(kept_u, float) and kept_u == 0
        current, quiet = u if forgets else np.empty_like(u), np.empty(u.shape, np.bool_)

        def step(sums: Array, sent: Array) -> None:
            np.multiply(sums, self.gain, out=current, dtype=u.dtype, casting="unsafe")
            if self.gain < 1:
                np.trunc(current, out=current)
            if not forgets:
                decay_and_add(u, kept_u, current)
            if wraps:
                _wrap_once(u)
            decay_and_add(v, kept_v, u)
            np.add(v, bias, out=v)
            if saturates:
                np.clip(v, 1 - STATE, STATE - 1, out=v)
            np.less_equal(v, threshold, out=quiet)
            if self.binary:
                np.logical_not(quiet, out=sent)
            else:
                sent[...] = v
                sent[quiet] = 0
            np.multiply(v, quiet, out=v)

        return step

    @cached_property
    def _odds(self) -> tuple[int, int]:
        return _odd(self.current_kept), _odd(self.voltage_kept)

    @cached_property
    def _most(self) -> tuple[int, int, int]:
        return largest(self.current_kept), largest(self.voltage_kept), largest(self.bias)

    def _bounds(self, highest: int, states: States, num_steps: int) -> tuple[float, float]:
        """The largest |u| and |v| that `num_steps` steps can reach, neither wrapped nor cut off."""
        kept_u, kept_v, bias = self._most
        largest_u = largest(states["u"]) + self.gain * highest * _summed(kept_u, num_steps)
        return largest_u, largest(states["v"]) + (largest_u + bias) * _summed(kept_v, num_steps)


def _summed(kept: int, num_steps: int) -> float:
    """1 + k + k^2 + ..., for what a step leaves: what a constant input adds up to, at most."""
    return num_steps if kept >= 4096 else min(num_steps, 4096 / (4096 - kept))


def _odd(kept: Array) -> int:
    """The largest odd part of the numbers: the bits that a product gains."""
    numbers = np.abs(kept[kept != 0])
    return int((numbers // (numbers & -numbers)).max(initial=1))


def _wrap_once(u: Array) -> None:
    """Bring u back into 24 bits by one turn, as Lava does, after the 32 bits that it is kept in."""
    if largest(u) >= 1 << 31:
        u[...] = to_int32(u)
    u[u > STATE] -= 2 * STATE
    u[u <= -STATE] += 2 * STATE
