"""The sums of weights that spikes send to the next layer, for whole recordings at once.

Inside the runtime space comes before channels, (T, N, H, W, C): then a convolution is one product of matrices, and its
result lies as the next layer reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slayerloss.netx.description import Layer
from slayerloss.netx.runtime.packing import IntArray, Packed, plain

Array = NDArray[Any]

_CHUNK = 1 << 19  # elements of a temporary array: small enough to stay near the processor
EXACT_IN_FLOAT32 = 1 << 24
"""Up to here every integer is itself in float32."""

_EXACT = {np.float32: EXACT_IN_FLOAT32, np.float64: 1 << 53}


class Synapse(Protocol):
    """What a layer receives from the one before, or from itself."""

    bound: int
    """The largest sum of absolute weights of a neuron."""

    reach: int
    """Steps until the last of a message has arrived: 1, and the longest delay."""

    def deliver(self, sent: Array, arriving: Array) -> None:
        """Put what the messages (T, N, ...) cause into (T + reach, N, ...), row t of them into the rows after t.

        The first `reach` rows hold what was on its way before; the others are written here.
        """


def integers(values: Any) -> IntArray:
    """The integers that Lava reads from a field: fractions are cut off toward zero."""
    return np.asarray(values).astype(np.int64)


def weight_matrix(layer: Layer, values: Any = None) -> IntArray:
    """(out, in) integers, which old files store in one row."""
    weight = integers(layer.fields["weight"] if values is None else values)
    return weight if weight.ndim == 2 else weight.reshape(int(np.prod(layer.shape)), -1)


def pair(values: Any) -> tuple[int, int]:
    """(H, W) of a field that holds one value for both, or two."""
    array = np.asarray(values).reshape(-1)
    return int(array[0]), int(array[-1])


def delay_matrix(delay: Any, weight: IntArray, longest: int | None) -> IntArray:
    """(out, in) steps from one value, one a neuron, one an input, or all of them; none above `longest`."""
    steps = integers(delay if longest is None else np.minimum(delay, longest))
    if steps.ndim == 1 and len(steps) == len(weight):  # Lava looks at the neurons first
        steps = steps[:, None]
    return np.broadcast_to(steps, weight.shape)


class Dense:
    """Every input reaches every neuron: weight @ messages, one step and the synapse's delay later.

    Args:
        packed: the weights, (out, in) with the inputs in the order H, W, C.
        delays: (out, in) steps; None for none.
        products_wrap: whether products wrap to 32 bits each, rather than their sum.
    """

    def __init__(self, packed: Packed, delays: IntArray | None = None, products_wrap: bool = False) -> None:
        self._shift, self._up = packed.shift, 0
        if plain(packed).shift == 0:  # the same sums without a shift, up to an overflow
            self._up, packed = packed.shift, plain(packed)
        self._products_wrap = products_wrap
        self.bound = int(np.abs(packed.weight).sum(1).max(initial=0))
        self.reach = 1
        self._parts: list[tuple[int, Any, _Weights]] = []
        if delays is None:
            self._parts.append((0, slice(None), _Weights(packed.weight.T)))
        else:
            self._split(packed.weight, delays)

    def _split(self, weight: IntArray, delays: IntArray) -> None:
        """The synapses of one delay are summed, and moved, together; so are neurons whose synapses share theirs."""
        self.reach = 1 + int(delays.max())
        shared = np.all(delays == delays[:, :1], axis=1)
        for steps in np.unique(delays):
            whole = shared & (delays[:, 0] == steps)
            some = ~shared & np.any(delays == steps, axis=1)
            for rows, part in ((whole, weight), (some, np.where(delays == steps, weight, 0))):
                if rows.any():
                    neurons = slice(None) if rows.all() else np.flatnonzero(rows)
                    self._parts.append((int(steps), neurons, _Weights(part[rows].T)))

    def deliver(self, sent: Array, arriving: Array) -> None:
        """See `Synapse.deliver`."""
        messages = sent.reshape(len(sent) * sent.shape[1], -1)
        most = largest(messages)
        if len(self._parts) > 1:
            arriving[self.reach :] = 0
        for steps, neurons, weights in self._parts:
            later = arriving[1 + steps : 1 + steps + len(sent)].reshape(len(messages), -1)
            for part in _chunks(len(messages), weights.matrix.size if self._products_wrap else messages.shape[1]):
                alone = len(self._parts) == 1
                sums = self._sums(messages[part], weights, most, later[part] if alone else None)
                if not alone:
                    later[part, neurons] += sums.astype(later.dtype, copy=False)
                elif sums.base is not later.base:
                    later[part] = sums

    def _sums(self, messages: Array, weights: _Weights, most: int, out: Array | None = None) -> Array:
        """What arrives: (weight << up) @ messages >> shift, in 32 bits; into `out` where that is possible."""
        highest = self.bound * most
        if highest << self._up < 1 << 31:
            sums = weights.times(messages, highest, out)
            return sums if self._shift == self._up else sums.astype(np.int32) >> self._shift
        if not self._products_wrap:
            return to_int32(weights.times(messages, highest).astype(np.int64) << self._up) >> self._shift
        products = (messages[:, :, None].astype(np.int64) * weights.matrix << self._up).astype(np.int32)
        return to_int32(products.sum(1, dtype=np.int64) >> self._shift)

    def sums(self, messages: Array) -> Array:
        """weight @ messages (N, in), without a delay."""
        out = np.empty((1 + self.reach, len(messages), sum(weights.out for _, _, weights in self._parts)))
        out[: self.reach] = 0
        self.deliver(messages[None], out)
        return out[1]


@dataclass(frozen=True)
class Geometry:
    """Where a kernel meets its input, all as (H, W)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def patches(self, images: Array, size: tuple[int, int]) -> Array:
        """(B, H, W, C) -> a view (B, out H, out W, kH, kW, C): for each neuron what its kernel sees."""
        (pad_h, pad_w), (step_h, step_w), (gap_h, gap_w) = self.padding, self.stride, self.dilation
        if pad_h or pad_w:
            images = np.pad(images, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
        batch, row, column, channel = images.strides
        return np.lib.stride_tricks.as_strided(
            images,
            (len(images), *size, *self.kernel, images.shape[3]),
            (batch, row * step_h, column * step_w, row * gap_h, column * gap_w, channel),
            writeable=False,
        )


class Convolution:
    """A cross-correlation with zero padding, one step and the channel's delay later.

    Args:
        weight: (channels, channels of a group, kH, kW) integers.
        geometry: stride and the like.
        size: (H, W) of the output.
        groups: groups of channels that do not mix.
        delays: (channels,) steps.
        wraps: whether sums keep 24 bits, as on Lava.
    """

    def __init__(
        self,
        weight: IntArray,
        geometry: Geometry,
        size: tuple[int, int],
        groups: int,
        delays: IntArray,
        wraps: bool = True,
    ) -> None:
        self.bound = int(np.abs(weight).sum((1, 2, 3)).max(initial=0))
        self.reach = 1 + int(delays.max(initial=0))
        self._geometry, self._size, self._groups, self._delays = geometry, size, groups, delays
        self._wraps = wraps
        self._steps = np.unique(delays).tolist()
        # (groups, inputs of a neuron in the order kH, kW, C, neurons)
        kernels = weight.reshape(groups, -1, *weight.shape[1:]).transpose(0, 3, 4, 2, 1)
        matrices = kernels.reshape(groups, -1, kernels.shape[-1])
        self._weights = _Weights(matrices if groups > 1 else matrices[0])

    def deliver(self, sent: Array, arriving: Array) -> None:
        """See `Synapse.deliver`."""
        images = sent.reshape(-1, *sent.shape[2:])
        highest = self.bound * largest(images)
        if images.dtype != np.bool_:  # before each value comes into several patches
            images = images.astype(exact_dtype(highest), copy=False)
        per_image = self._size[0] * self._size[1]
        later = {
            steps: arriving[1 + steps : 1 + steps + len(sent)].reshape(len(images) * per_image, -1)
            for steps in self._steps
        }
        if len(later) > 1:
            arriving[self.reach :] = 0
        for part in _chunks(len(images), per_image * self._weights.matrix.shape[-2] * self._groups):
            patches = self._geometry.patches(images[part], self._size)
            rows = slice(part.start * per_image, (part.start + len(patches)) * per_image)
            for steps, target in later.items():
                sums = self._sums(patches, highest, target[rows] if len(later) == 1 else None)
                sums = wrap_24(sums, highest) if self._wraps else sums
                if len(later) > 1:
                    target[rows, self._delays == steps] = sums[:, self._delays == steps]
                elif sums.base is not target.base:
                    target[rows] = sums

    def _sums(self, patches: Array, highest: int, out: Array | None = None) -> Array:
        """(B, out H, out W, kH, kW, C) -> (B * out H * out W, channels)."""
        if self._groups == 1:
            return self._weights.times(patches.reshape(-1, math.prod(patches.shape[3:])), highest, out)
        apart = patches.reshape(*patches.shape[:5], self._groups, -1).transpose(5, 0, 1, 2, 3, 4, 6)
        sums = self._weights.times(apart.reshape(self._groups, math.prod(patches.shape[:3]), -1), highest)
        return sums.transpose(1, 0, 2).reshape(sums.shape[1], -1)


class _Weights:
    """A matrix (in, out), or (groups, in, out), in the dtypes that products ask for."""

    def __init__(self, matrix: IntArray) -> None:
        self.matrix = np.ascontiguousarray(matrix)
        self.out = matrix.shape[-1]
        self._cast: dict[type, Array] = {}

    def times(self, messages: Array, highest: int, out: Array | None = None) -> Array:
        """messages @ matrix, where no partial sum passes `highest`; into `out` where that has the dtype."""
        if messages.dtype == np.bool_ and messages.ndim == 2 and len(messages) > 1 and _fits_twice(highest):
            return self._times_in_pairs(messages, highest, out)
        dtype = exact_dtype(highest)
        into = out if out is not None and out.dtype == dtype else None
        product: Array = np.matmul(messages.astype(dtype, copy=False), self._in(dtype), out=into)
        return product

    def _times_in_pairs(self, messages: Array, highest: int, out: Array | None) -> Array:
        """The same of spikes, half the work: two rows ride in one, the second lifted above the sums of the first."""
        lift, half = float(_lift(highest)), len(messages) // 2
        pairs = messages[half:].astype(np.float32)
        pairs[:half] += np.multiply(messages[:half], lift, dtype=np.float32)
        sums = pairs @ self._in(np.float32)
        if out is None or out.dtype != np.float32:
            out = np.empty((len(messages), self.out), np.float32)
        first, second = out[:half], out[half:]
        np.rint(np.multiply(sums[:half], 1 / lift, out=first), out=first)
        np.multiply(first, -lift, out=second[:half])
        np.add(sums[:half], second[:half], out=second[:half])
        second[half:] = sums[half:]
        return out

    def _in(self, dtype: type) -> Array:
        if dtype not in self._cast:
            self._cast[dtype] = self.matrix.astype(dtype)
        return self._cast[dtype]


def _lift(highest: int) -> int:
    """A power of two above twice the highest sum, so that the lifted and the other can be told apart."""
    return 1 << (highest.bit_length() + 1)


def _fits_twice(highest: int) -> bool:
    """Whether a sum and a lifted one together are exact in float32."""
    return highest * (_lift(highest) + 1) <= EXACT_IN_FLOAT32


def largest(values: Array) -> int:
    """The largest absolute value."""
    if values.dtype == np.bool_:
        return 1
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def exact_dtype(highest: int) -> type:
    """The fastest dtype in which sums are exact in any order, if no partial sum can pass `highest`."""
    return next((dtype for dtype, limit in _EXACT.items() if highest <= limit), np.int64)


def to_int32(sums: Array) -> Array:
    """Exact sums as int32; what is larger wraps, as in Lava."""
    return sums.astype(np.int32) if sums.dtype == np.float32 else sums.astype(np.int64).astype(np.int32)


def wrap_32(sums: Array, highest: int) -> Array:
    """Keep the low 32 bits, as a signed number."""
    return sums if highest < 1 << 31 else to_int32(sums)


def wrap_24(sums: Array, highest: int) -> Array:
    """Keep the low 24 bits, as a signed number; of what passes 32 bits Lava makes zero."""
    if highest < 1 << 23:
        return sums
    return np.where(np.abs(sums) < 1 << 31, to_int32(sums) << 8 >> 8, 0)


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Cut `count` items of `size` elements each into slices of bounded memory."""
    step = max(1, _CHUNK // max(size, 1))
    return (slice(start, start + step) for start in range(0, count, step))


def to_space_first(weight: IntArray, shape: Sequence[int]) -> IntArray:
    """Columns in the order C, H, W of an image -> in the order H, W, C."""
    if len(shape) != 3:
        return weight
    return weight.reshape(len(weight), *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)
