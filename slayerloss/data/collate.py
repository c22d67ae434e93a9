"""Samples to batches, with time first in memory, as blocks prefer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    ShapeError,
    check_integer,
    check_sequence,
    check_tensor,
    message,
)
from slayerloss.functional.sparse import batched, check_coordinates, is_sparse


def collate(samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, Tensor]:
    """Batch samples of one length; a `collate_fn` for torch's DataLoader.

    Args:
        samples: (spikes (C, ..., T), label or target (..., T)) each: an integer label in every sample, or a target in
            every sample. T is at least 1; the spikes are of one dtype, and the targets of one. Spikes may be sparse,
            in every sample.

    Returns:
        Spikes (N, C, ..., T), in memory with time first, or sparse as the samples are, and labels (N,), or targets
        stacked as the spikes are.

    Raises:
        ShapeError: the samples differ in shape, one has no step, or a target another T than its spikes.
        DtypeError: the samples differ in dtype, or some have a label and some a target.

    Example:
        >>> spikes, labels = collate([(torch.zeros(2, 5), 3), (torch.ones(2, 5), 4)])
        >>> spikes.shape, labels
        (torch.Size([2, 2, 5]), tensor([3, 4]))
    """
    spikes, labels = _checked("collate", samples)
    if len({x.shape for x in spikes}) != 1:
        way_out = "Give the dataset num_steps, or use collate_padded"
        got = sorted({tuple(x.shape) for x in spikes})
        raise ShapeError(message("collate", "the samples differ in shape", "one shape", got, way_out))
    return _padded("collate", "spikes", spikes), _labels("collate", labels)


def collate_padded(samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, Tensor, Tensor]:
    """Batch samples of different length; a `collate_fn` for torch's DataLoader.

    Args:
        samples: as `collate` takes them; T may differ from sample to sample.

    Returns:
        Spikes (N, C, ..., T), zero after the end of each sample, and as `collate` gives them; labels (N,), or targets
        padded as dense spikes are; lengths (N,) int64.

    Raises:
        ShapeError, DtypeError: as `collate`; samples that differ in T only are well.

    Example:
        >>> spikes, labels, lengths = collate_padded([(torch.ones(2, 5), 3), (torch.ones(2, 7), 4)])
        >>> spikes.shape, lengths
        (torch.Size([2, 2, 7]), tensor([5, 7]))
    """
    spikes, labels = _checked("collate_padded", samples)
    lengths = torch.tensor([x.shape[-1] for x in spikes])
    return _padded("collate_padded", "spikes", spikes), _labels("collate_padded", labels), lengths


def _checked(function: str, samples: Sequence[tuple[Tensor, Any]]) -> tuple[list[Tensor], list[Any]]:
    """The samples' spikes, and their labels as int or targets, if there are any and they are of one kind."""
    rule = "(spikes, label) each, at least one"
    all_spikes, labels = [], []
    for sample in check_sequence(function, "samples", samples, rule=rule):
        spikes, label = check_sequence(function, "samples", sample, 2, rule)
        check_tensor(function, "spikes", spikes, min_ndim=1, layout="(C, ..., T)", sparse=True)
        if is_sparse(spikes):
            check_coordinates(function, spikes, "spikes")
        if spikes.shape[-1] == 0:
            raise ShapeError(message(function, "spikes has no time steps", "T of at least 1", tuple(spikes.shape)))
        if isinstance(label, Tensor) and label.ndim > 0:
            check_tensor(function, "target", label)
            if label.shape[-1] != spikes.shape[-1]:
                expected = f"(..., {spikes.shape[-1]}), as many steps as the spikes"
                raise ShapeError(message(function, "target has the wrong shape", expected, tuple(label.shape)))
        else:
            label = check_integer(function, "label", label)
        all_spikes.append(spikes)
        labels.append(label)
    if not all_spikes:
        raise ArgumentError(message(function, "samples is empty", rule, "none"))
    if len({isinstance(label, int) for label in labels}) != 1:
        got = f"{sum(isinstance(label, int) for label in labels)} labels in {len(labels)} samples"
        raise DtypeError(message(function, "labels and targets are mixed", "a label for each sample or for none", got))
    return all_spikes, labels


def _labels(function: str, labels: list[Any]) -> Tensor:
    return torch.tensor(labels) if isinstance(labels[0], int) else _padded(function, "targets", labels)


def _padded(function: str, name: str, tensors: list[Tensor]) -> Tensor:
    shapes = {tuple(x.shape[:-1]) for x in tensors}
    if len(shapes) != 1:
        raise ShapeError(message(function, f"the {name} differ in shape", "one shape (C, ...)", sorted(shapes)))
    dtypes = {str(x.dtype) for x in tensors}
    if len(dtypes) != 1:
        raise DtypeError(message(function, f"the {name} differ in dtype", "one dtype", ", ".join(sorted(dtypes))))
    num_steps = max(x.shape[-1] for x in tensors)
    sparse = sum(is_sparse(x) for x in tensors)
    if sparse:
        if sparse < len(tensors):
            problem, got = f"dense and sparse {name} are mixed", f"{sparse} sparse ones of {len(tensors)}"
            raise DtypeError(message(function, problem, "all dense or all sparse", got, "Use to_dense()"))
        return batched(tensors, (*shapes.pop(), num_steps))
    batch = torch.zeros(num_steps, len(tensors), *shapes.pop(), dtype=tensors[0].dtype)
    for row, x in enumerate(tensors):
        batch[: x.shape[-1], row] = x.movedim(-1, 0)
    return batch.movedim(0, -1)
