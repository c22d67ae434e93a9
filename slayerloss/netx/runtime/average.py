"""The average layer of old files: neurons in groups, of each of which the spikes are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from slayerloss.netx.runtime.neurons import Chunk
from slayerloss.netx.runtime.stage import outward
from slayerloss.netx.runtime.synapse import Array


@dataclass(frozen=True)
class Average:
    """Sends how many spikes each group sends in a step, in the same step: the average, times the size of the group.

    `before` is the shape (C,) or (C, H, W) of the layer before, whose neurons follow each other in that order.
    """

    names: ClassVar[tuple[str, ...]] = ()
    binary: ClassVar[bool] = False
    groups: int
    before: tuple[int, ...]

    def run(self, chunk: Chunk) -> Array:
        """See `Neurons.run`."""
        messages = outward(chunk.arriving[0], self.before)
        in_groups = messages.reshape(*messages.shape[:2], self.groups, math.prod(self.before) // self.groups)
        return in_groups.sum(-1, dtype=np.int32)
