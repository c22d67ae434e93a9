"""Event tensors as lists of events, `torch.sparse_coo_tensor`: synapses whose cost follows the number of events."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    check_events,
    message,
    values_are_checked,
)
from slayerloss.functional.rate import count
from slayerloss.kernels.row_sum import row_sum
from slayerloss.kernels.sparse_conv import Axis, sparse_conv


def is_sparse(x: object) -> bool:
    """Whether `x` is a tensor of coordinates and values.

    Example:
        >>> is_sparse(torch.eye(2)), is_sparse(torch.eye(2).to_sparse())
        (False, True)
    """
    return isinstance(x, Tensor) and x.layout == torch.sparse_coo


def check_input(function: str, x: Tensor, argument: str = "x") -> None:
    """Check events (N, C, ..., T) as `check_events`; they may be sparse."""
    check_events(function, x, argument, sparse=True)
    if is_sparse(x):
        check_coordinates(function, x, argument)


def check_coordinates(function: str, x: Tensor, argument: str) -> None:
    """Check that sparse events lie inside of the tensor's shape: torch lets any coordinates pass.

    Raises DtypeError if a dimension is not sparse, ArgumentError if an event lies outside.
    """
    if x.dense_dim():
        got, way_out = f"{x.dense_dim()} dense dimensions", "Use to_dense().to_sparse()"
        raise DtypeError(message(function, f"{argument} is sparse in part", "every dimension sparse", got, way_out))
    indices = x._indices()
    if not values_are_checked(indices) or not indices.shape[1]:
        return
    bounds = zip(x.shape, indices.amin(1).tolist(), indices.amax(1).tolist(), strict=True)
    for axis, (size, low, high) in enumerate(bounds):
        if low < 0 or high >= size:
            problem = f"{argument} has events outside of its shape {tuple(x.shape)}"
            rule = f"coordinates from 0 to {size - 1} in dimension {axis}"
            raise ArgumentError(message(function, problem, rule, f"{low} to {high}"))


def coordinates(x: Tensor) -> tuple[Tensor, Tensor]:
    """The coordinates (dimensions, E) and the values (E,) of a sparse tensor, which the gradient reaches.

    An event may be there more than once; its values add up. Those of integers and bool are added up here.
    """
    if _is_whole(x):
        x = x.coalesce()
    return x._indices(), x.values() if x.requires_grad else x._values()  # views of it break torch's compiler


def joined(x: Tensor) -> Tensor:
    """(N, C, ..., T) -> (N, C ..., T): channels and space in one dimension, in this order; still sparse.

    Example:
        >>> joined(torch.ones(1, 2, 3, 4, 5).to_sparse()).shape
        torch.Size([1, 24, 5])
    """
    if x.ndim == 3:
        return x
    indices, values = coordinates(x)
    flat = torch.stack([indices[0], _linear(indices[1:-1], x.shape[1:-1]), indices[-1]])
    size = (x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])
    return torch.sparse_coo_tensor(flat, values, size, is_coalesced=_is_whole(x), check_invariants=False)


def batched(samples: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Sparse samples (C, ..., T) -> (N, C, ..., T), sparse, of the shape that is given without N.

    Example:
        >>> batched([torch.eye(2).to_sparse(), torch.eye(2).to_sparse()], (2, 3)).shape
        torch.Size([2, 2, 3])
    """
    parts = [coordinates(x) for x in samples]
    sizes = torch.tensor([len(values) for _, values in parts], device=samples[0].device)
    row = torch.arange(len(parts), device=sizes.device).repeat_interleave(sizes)
    indices = torch.cat([row[None], torch.cat([indices for indices, _ in parts], 1)])
    whole = all(_is_whole(x) for x in samples)
    values = torch.cat([values for _, values in parts])
    size = (len(parts), *shape)
    return torch.sparse_coo_tensor(indices, values, size, is_coalesced=whole, check_invariants=False)


def _is_whole(x: Tensor) -> bool:
    """Whether what `coordinates` gives is in order, and nothing is in it twice."""
    return x.is_coalesced() or x.requires_grad or not x.dtype.is_floating_point


def _linear(indices: Tensor, shape: torch.Size) -> Tensor:
    """(E,), the position of each event in contiguous memory of a shape."""
    place = indices[0]
    for index, size in zip(indices[1:], shape[1:], strict=True):
        place = place * size + index
    return place


def event_count(x: Tensor, lengths: Tensor | None = None, *, positive: bool = False) -> Tensor:
    """How many values are not zero, of dense events or of sparse ones, in the first `lengths` steps of each sample.

    With `positive`, how many are above zero.

    Example:
        >>> event_count(torch.eye(3)[None]), event_count(torch.eye(3)[None].to_sparse(), torch.tensor([2]))
        (tensor(3.), tensor(2.))
    """
    if not is_sparse(x):
        return count(x > 0 if positive else x != 0, lengths=lengths).sum()
    x = x.detach().coalesce()
    sent = x.values() > 0 if positive else x.values() != 0
    if lengths is not None:
        sent = sent & (x.indices()[-1] < lengths[x.indices()[0]])
    return sent.sum().to(torch.get_default_dtype())


def dense(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """`functional.dense` of sparse events, whose arguments are checked: weight's column c for each event of channel c.

    In memory time comes first, then the batch, then the neurons.
    """
    (n, c, t), values = coordinates(joined(x))
    size, num_steps = x.shape[0], x.shape[-1]
    y = row_sum(weight.to(dtype).t(), values.to(dtype), c, t * size + n, num_steps * size)
    return y.unflatten(0, (num_steps, size)).permute(1, 2, 0)


def conv(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    dtype: torch.dtype,
) -> Tensor:
    """`functional.conv` of sparse events, whose arguments are checked: each event reaches a few places of the output.

    In memory time comes first, then the batch, then channels and space.
    """
    (n, c, h, w, t), values = coordinates(x)
    size, num_steps, images = x.shape[0], x.shape[-1], t * x.shape[0] + n
    axes = zip(x.shape[2:4], weight.shape[2:], stride, padding, dilation, strict=True)
    height, width = (Axis(*axis) for axis in axes)
    y = sparse_conv(values.to(dtype), weight.to(dtype), (c, h, w), images, num_steps * size, (height, width), groups)
    return y.unflatten(0, (num_steps, size)).permute(1, 2, 3, 4, 0)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    dtype: torch.dtype,
) -> Tensor:
    """`functional.conv_transpose` of sparse events, whose arguments are checked.

    It is a convolution with the kernel turned round, of an image with the events `stride` apart.
    """
    indices, values = coordinates(x)
    apart = torch.stack([indices[0], indices[1], indices[2] * stride[0], indices[3] * stride[1], indices[4]])
    size = (*x.shape[:2], *((x.shape[2 + i] - 1) * stride[i] + 1 for i in range(2)), x.shape[-1])
    events = torch.sparse_coo_tensor(apart, values, size, is_coalesced=_is_whole(x), check_invariants=False)
    turned = weight.flip(2, 3).unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    outside = tuple(dilation[i] * (weight.shape[2 + i] - 1) - padding[i] for i in range(2))
    return conv(events, turned, (1, 1), (outside[0], outside[1]), dilation, groups, dtype)
