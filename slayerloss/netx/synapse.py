"""The sums of weights that the spikes of one layer send to the next, for whole recordings at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slayerloss.netx.description import Layer
from slayerloss.netx.packing import IntArray, Packed, pack, plain

Array = NDArray[Any]
Synapse = Callable[[Array], Array]
"""Spikes (T, N, ...) -> the inputs (T, N, ...) int32 of the neurons, one step and the layer's delay later."""

_CHUNK = 1 << 20  # elements of a temporary array: small enough to stay near the processor


def integers(values: Any) -> IntArray:
    """The integers that Lava reads from a field: fractions are cut off toward zero."""
    return np.asarray(values).astype(np.int64)


def dense(layer: Layer) -> tuple[Synapse, Synapse | None]:
    """The synapses of a dense or dense_rec layer: from the layer before, and from the layer itself."""
    weight = weight_matrix(layer)
    if layer.type == "dense_rec":
        forward, back = pack(weight, integers(layer.fields["weight_rec"]))
        return _delayed(forward, np.zeros_like(weight)), _sums(back)
    return _delayed(pack(weight)[0], delay_matrix(layer.fields.get("delay", 0), weight)), None


def weight_matrix(layer: Layer) -> IntArray:
    """(out, in) integers, which old files store in one row."""
    weight = integers(layer.fields["weight"])
    return weight if weight.ndim == 2 else weight.reshape(int(np.prod(layer.shape)), -1)


def delay_matrix(delay: Any, weight: IntArray) -> IntArray:
    """(out, in) delays of at most 62 steps, from one value, one a neuron, one an input, or all of them."""
    steps = integers(np.minimum(delay, 62))
    if steps.ndim == 1 and len(steps) == len(weight):  # Lava looks at the neurons first
        steps = steps[:, None]
    return np.broadcast_to(steps, weight.shape)


def _delayed(packed: Packed, delays: IntArray) -> Synapse:
    """A step of latency and the delays, around the sums."""
    if np.all(delays == delays[:, :1]):  # one delay a neuron: its sum waits
        sums = _sums(packed)
        return lambda spikes: _later(sums(spikes.reshape(*spikes.shape[:2], -1)), delays[:, 0])

    # Otherwise the synapses of one delay are summed, and shifted, on their own.
    parts = [
        (int(step), _sums(Packed(np.where(delays == step, packed.weight, 0), packed.shift)))
        for step in np.unique(delays)
    ]

    def synapse(spikes: Array) -> Array:
        flat = spikes.reshape(*spikes.shape[:2], -1)
        out = np.zeros((*flat.shape[:2], len(packed.weight)), np.int32)
        for step, sums in parts:
            out[step + 1 :] += sums(flat[: max(len(flat) - step - 1, 0)])
        return out

    return synapse


def _later(values: Array, delays: IntArray) -> Array:
    """Move each neuron's input (T, N, out) by its delay and one step more."""
    out = np.zeros_like(values)
    steps = np.unique(delays)
    for step in steps:
        neurons = delays == step if len(steps) > 1 else slice(None)
        out[step + 1 :, :, neurons] = values[: max(len(values) - step - 1, 0), :, neurons]
    return out


def _sums(packed: Packed) -> Synapse:
    """weight @ spikes over the last axis."""
    packed = plain(packed)
    bound = int(np.abs(packed.weight).sum(1).max())
    matrices: dict[type, Array] = {}

    def sums(spikes: Array) -> Array:
        dtype = exact_dtype(bound, spikes)
        if dtype not in matrices:
            matrices[dtype] = packed.weight.T.astype(dtype)
        matrix = matrices[dtype]
        rows = spikes.reshape(-1, spikes.shape[-1])
        out = np.empty((len(rows), matrix.shape[1]), np.int32)
        for part in _chunks(len(rows), sum(matrix.shape)):
            out[part] = to_int32(rows[part].astype(dtype) @ matrix) >> packed.shift
        return out.reshape(*spikes.shape[:-1], -1)

    return sums


def convolution(layer: Layer) -> Synapse:
    """The synapse of a conv layer: a cross-correlation with zero padding, wrapped to 24 bits."""
    weight = integers(layer.fields["weight"])
    weight = weight.reshape(weight.shape[:4])
    bound = int(np.abs(weight).sum((1, 2, 3)).max())
    groups = int(layer.fields["groups"])
    shape = layer.shape

    def synapse(spikes: Array) -> Array:
        dtype = exact_dtype(bound, spikes)
        # (groups, channels of the group, all inputs of one neuron)
        kernel: Array = weight.reshape(groups, shape[0] // groups, -1).astype(dtype)
        num_steps, num_samples = spikes.shape[:2]
        images = spikes[:-1].reshape(-1, *spikes.shape[2:])
        out = np.zeros((num_steps, num_samples, *shape), np.int32)
        later = out[1:].reshape(-1, *shape)
        for part in _chunks(len(images), weight[0].size * groups * shape[1] * shape[2]):
            patches = _patches(images[part].astype(dtype), layer, weight.shape[2:])
            columns: Array = patches.reshape(len(patches), groups, kernel.shape[2], -1)
            later[part] = _wrap_24(to_int32(np.matmul(kernel, columns))).reshape(-1, *shape)
        return out

    return synapse


def _patches(images: Array, layer: Layer, kernel: tuple[int, ...]) -> Array:
    """(B, C, H, W) -> (B, C, kH, kW, out H, out W): for each neuron what its kernel sees."""
    (step_h, step_w), (pad_h, pad_w), (gap_h, gap_w) = (
        pair(layer.fields[name]) for name in ("stride", "padding", "dilation")
    )
    images = np.pad(images, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
    batch, channels, row, column = images.strides
    return np.lib.stride_tricks.as_strided(
        images,
        (*images.shape[:2], *kernel, *layer.shape[1:]),
        (batch, channels, row * gap_h, column * gap_w, row * step_h, column * step_w),
        writeable=False,
    )


def pair(values: Any) -> tuple[int, int]:
    """(H, W) of a field that holds one value for both, or two."""
    array = np.asarray(values).reshape(-1)
    return int(array[0]), int(array[-1])


def exact_dtype(bound: int, spikes: Array) -> type:
    """The fastest dtype in which every partial sum is exact.

    Sums of integers are exact in any order while no partial sum can pass 2^24 in float32, or 2^53 in float64.

    Args:
        bound: the largest sum of absolute weights of a neuron.
        spikes: what they are multiplied with.
    """
    largest = bound * (int(np.abs(spikes).max()) if spikes.size else 0)
    if largest <= 1 << 24:
        return np.float32
    return np.float64 if largest <= 1 << 53 else np.int64


def to_int32(sums: Array) -> Array:
    """Exact sums as int32; what is larger wraps, as in Lava."""
    return sums.astype(np.int32) if sums.dtype == np.float32 else sums.astype(np.int64).astype(np.int32)


def _wrap_24(sums: Array) -> Array:
    """Keep the low 24 bits, as a signed number."""
    return sums << 8 >> 8


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Cut `count` items of `size` elements each into slices of bounded memory."""
    step = max(1, _CHUNK // max(size, 1))
    return (slice(start, start + step) for start in range(0, count, step))
