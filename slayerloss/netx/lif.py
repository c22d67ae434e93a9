"""The leaky integrate-and-fire neuron of the chip, in its integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss.netx.description import Tree

_LIMIT = 1 << 23  # u and v have 24 bits
Array = NDArray[Any]


@dataclass(frozen=True)
class LIF:
    """The parameters of a layer's neurons, each broadcast over (C, H, W).

    `current` and `voltage` are what a step leaves of u and v, in 1/4096. `bias` and `threshold` are in the units of v.
    Before the update of the steps t with t % interval == offset % interval, u and v are set to zero.
    """

    current: Array
    voltage: Array
    bias: Array
    threshold: Array
    interval: int | None = None
    offset: int = 0

    def run(
        self, inputs: Array, feedback: Callable[[Array], Array] | None = None, states: bool = False
    ) -> tuple[Array, Array | None, Array | None]:
        """Run from zero states over all steps.

        u = trunc(current * u / 4096) + 64 a, wrapped to 24 bits; v = trunc(voltage * v / 4096) + u + bias, cut off at
        24 bits; a spike where v > threshold, and v = 0 there.

        Args:
            inputs: (T, N, *shape) int32, the sum of the weights that arrive in step t = 1..T, at index t-1.
            feedback: the spikes (N, *shape) of one step -> what they add to the input of the next.
            states: also return u and v.

        Returns:
            Spikes (T, N, *shape) int8, and u and v (T, N, *shape) int32, v after the reset, or None.
        """
        spikes = np.empty(inputs.shape, np.int8)
        all_u, all_v = (np.empty(inputs.shape, np.int32) if states else None for _ in range(2))
        # A decay times a state of 24 bits is exact in float64, and the cast to integer truncates as the chip does.
        keep_u, keep_v = self.current / 4096, self.voltage / 4096
        u, v = (np.zeros(inputs.shape[1:], np.int32) for _ in range(2))
        for t, current in enumerate(inputs, start=1):
            if self.interval is not None and t % self.interval == self.offset % self.interval:
                u, v = np.zeros_like(u), np.zeros_like(v)
            if feedback is not None and t > 1:
                current = current + feedback(spikes[t - 2])
            u = (u * keep_u).astype(np.int32) + (current << 6)
            if u.max() > _LIMIT or u.min() <= -_LIMIT:
                u = np.where(u > _LIMIT, u - 2 * _LIMIT, np.where(u <= -_LIMIT, u + 2 * _LIMIT, u))
            v = np.clip((v * keep_v).astype(np.int32) + u + self.bias, 1 - _LIMIT, _LIMIT - 1)
            spike = v > self.threshold
            v[spike] = 0
            spikes[t - 1] = spike
            if all_u is not None and all_v is not None:
                all_u[t - 1], all_v[t - 1] = u, v
        return spikes, all_u, all_v


def lif(neuron: Tree, bias: Any, shape: tuple[int, ...], interval: int | None, offset: int) -> LIF:
    """Make the neurons of a layer from its fields.

    Args:
        neuron: the fields of a CUBA or LOIHI neuron.
        bias: the layer's bias as the file has it, or None: one value, one a channel, or (W, H, C).
        shape: (C, H, W) or (N,).
        interval, offset: of the reset; None for no reset.
    """
    mantissa = np.asarray(0 if bias is None else bias).astype(np.int64).astype(np.int16)  # as Lava stores it
    mantissa = mantissa.T if mantissa.ndim == 3 else _per_channel(mantissa, shape)
    decay_u, decay_v, threshold = (np.asarray(neuron[name], np.int64) for name in ("iDecay", "vDecay", "vThMant"))
    return LIF(
        current=_per_channel(4096 - decay_u, shape),
        voltage=_per_channel(4096 - decay_v, shape),
        bias=mantissa.astype(np.int32) << 6,
        threshold=_per_channel(np.clip(threshold, -_LIMIT, _LIMIT).astype(np.int32), shape) << 6,
        interval=interval,
        offset=offset,
    )


def _per_channel(values: Array, shape: tuple[int, ...]) -> Array:
    """Line one value, or one a channel, up with (C, H, W) or (N,)."""
    return values.reshape(-1, *[1] * (len(shape) - 1))
