"""How Lava packs a dense layer's weights into the chip's synapses, and what gets lost on the way.

netx shifts the weights up until they fill 8 bits, and Lava shifts the sums down again. In between Lava clips the
shifted weights and clears their low bits, by a sign mode that it finds anew. Nearly all matrices come through whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """Weights in the synapse: the input of the neurons is (weight @ spikes) >> shift, shifted after the sum."""

    weight: IntArray
    shift: int


def pack(*matrices: IntArray) -> tuple[Packed, ...]:
    """Pack the matrices of one layer (two of a recurrent one) with a common scale.

    Args:
        matrices: (out, in) integers, not all of them zero.

    Returns:
        One Packed for each.

    Example:
        >>> pack(np.array([[1, -3]]))[0]
        Packed(weight=array([[  64, -192]]), shift=6)
    """
    low = min(int(m.min()) for m in matrices)
    high = max(int(m.max()) for m in matrices)
    if (high > 254 and low < 0) or (low < -256 and high > 0):
        matrices = tuple(np.clip(m, -256, 254) for m in matrices)
        low, high = max(low, -256), min(high, 254)
    mixed = low < 0 <= high
    largest = max(high / 127, low / -128) if mixed else max(high / 255, low / -256)
    shift = math.floor(math.log2(1 / largest)) + mixed
    if shift < 0:  # a shift by a negative count, of which numpy makes zero
        return tuple(Packed(np.zeros_like(m), 0) for m in matrices)
    zeros = next((n for n in range(8, 0, -1) if not any(np.any(m % (1 << n)) for m in matrices)), 0)
    spare = shift + zeros - mixed  # low bits that netx declares to be unused
    return tuple(Packed(_in_synapse(m << shift, spare), shift) for m in matrices)


def lossless(packed: Packed, matrix: IntArray) -> bool:
    """Whether the synapse computes matrix @ spikes, whatever the spikes.

    Example:
        >>> weights = np.array([[-128, -3]])
        >>> lossless(*pack(weights), weights)
        False
    """
    return bool(np.array_equal(packed.weight, matrix << packed.shift))


def plain(packed: Packed) -> Packed:
    """The same synapse without a shift, where no bit under it is set."""
    if np.any(packed.weight % (1 << packed.shift)):
        return packed
    return Packed(packed.weight >> packed.shift, 0)


def _in_synapse(weight: IntArray, spare: int) -> IntArray:
    """Clip to 8 bits and clear the low bits, by Lava's own sign mode."""
    if weight.min() >= 0:
        return _clear(np.clip(weight, 0, 255), spare)
    if weight.max() <= 0:
        return -_clear(np.clip(-weight, 0, 255), spare)
    return _clear(np.clip(weight, -256, 255), spare + 1)


def _clear(weight: IntArray, bits: int) -> IntArray:
    # A negative count again: numpy shifts everything out.
    return weight >> bits << bits if bits >= 0 else np.zeros_like(weight)
