"""The resonate-and-fire neurons: a complex state turns by an angle in every step, and shrinks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from slayerloss.netx.limits import STATE
from slayerloss.netx.runtime.arctan2 import arctan2
from slayerloss.netx.runtime.neurons import Chunk
from slayerloss.netx.runtime.synapse import Array, wrap_32


@dataclass(frozen=True)
class Resonator:
    """The neurons of a layer.

    `sin` and `cos` are of the angle, times what a step leaves, in 1/4096. `threshold` is in the units of the states.
    With `resets` (RF_IZ) a neuron spikes where the imaginary part reaches the threshold, and is set back; without (RF),
    where it passes zero upwards while the real part is at the threshold or above.
    """

    names: ClassVar[tuple[str, ...]] = ("real", "imag")
    binary: ClassVar[bool] = True
    sin: Array
    cos: Array
    threshold: int
    resets: bool

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`.

        re' = trunc(cos re / 4096) - trunc(sin im / 4096) + 64 a_re; im' = trunc(sin re / 4096) + trunc(cos im / 4096)
        + 64 a_im; both cut off at 24 bits.
        """
        real, imag = (chunk.states[name].astype(np.float64) for name in self.names)
        cos, sin = self.cos / 4096, self.sin / 4096
        sent = np.empty(chunk.shape, np.bool_)
        for t, sums in enumerate(zip(*chunk.arriving, strict=True)):
            to_real, to_imag = (wrap_32(64.0 * part, 64 * chunk.highest) for part in sums)
            turned_real = np.trunc(cos * real) - np.trunc(sin * imag) + to_real
            turned_imag = np.trunc(sin * real) + np.trunc(cos * imag) + to_imag
            before, real, imag = imag, *(np.clip(part, 1 - STATE, STATE - 1) for part in (turned_real, turned_imag))
            if self.resets:
                fired = imag >= self.threshold
                real[fired], imag[fired] = 0, np.int64(self.threshold - 1).astype(np.int32)  # which may wrap
            else:
                fired = (real >= self.threshold) & (imag >= 0) & (before < 0)
            sent[t] = fired
            chunk.keep(t, real=real, imag=imag)
        chunk.states["real"][...], chunk.states["imag"][...] = real, imag
        return sent


def turn(sin: Array, cos: Array) -> tuple[Array, Array]:
    """What Lava makes of the file's numbers: a period and a decay, and of those integers, cut off.

    Example:
        >>> turn(np.array([1848]), np.array([3425]))
        (array([1847], dtype=int32), array([3424], dtype=int32))
        >>> turn(np.array([1848.5]), np.array([3425.5]))
        (array([1848], dtype=int32), array([3425], dtype=int32))

    Note:
        What Lava computes of integers depends on the processor: this is what it does with AVX512; without it, one in
        five of them comes out otherwise by 1. Of an integer and a half it makes the integer on every processor, since
        the rounding of its float64, below 1e-11, is far from the half that is cut off: `export` writes those.
    """
    turned = [_turn(s / 4096, c / 4096) for s, c in zip(*np.broadcast_arrays(sin, cos), strict=True)]
    as_columns = np.array(turned, np.int32).reshape(-1, 2).T
    return as_columns[0], as_columns[1]


@lru_cache(maxsize=4096)
def _turn(sin: float, cos: float) -> tuple[int, int]:
    """One neuron's; the order of the operations is Lava's."""
    angle = arctan2(sin, cos)
    period = 1 / (angle / 2 / math.pi) if angle else math.inf
    kept = 1 - (1 - math.sqrt(sin**2 + cos**2))
    around = math.pi * 2 * 1 / period
    return int(kept * math.sin(around) * 4096), int(kept * math.cos(around) * 4096)
