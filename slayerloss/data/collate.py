"""Samples to batches, with time first in memory, as blocks prefer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, ShapeError, check_integer, check_sequence, check_tensor, message


def collate(samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, Tensor]:
    """Batch samples of one length; a `collate_fn` for torch's DataLoader.

    Args:
        samples: (spikes (C, ..., T), label or target) each.

    Returns:
        Spikes (N, C, ..., T), in memory with time first, and labels (N,), or targets stacked as the spikes are.

    Raises:
        ShapeError: the samples differ in shape.

    Example:
        >>> spikes, labels = collate([(torch.zeros(2, 5), 3), (torch.ones(2, 5), 4)])
        >>> spikes.shape, labels
        (torch.Size([2, 2, 5]), tensor([3, 4]))
    """
    shapes = {tuple(spikes.shape) for spikes, _ in _pairs("collate", samples)}
    if len(shapes) != 1:
        way_out = "Give the dataset num_steps, or use collate_padded"
        raise ShapeError(message("collate", "the samples differ in shape", "one shape", sorted(shapes), way_out))
    spikes, labels, _ = collate_padded(samples)
    return spikes, labels


def collate_padded(samples: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, Tensor, Tensor]:
    """Batch samples of different length; a `collate_fn` for torch's DataLoader.

    Args:
        samples: (spikes (C, ..., T), label or target) each; T may differ.

    Returns:
        Spikes (N, C, ..., T), zero after the end of each sample and in memory with time first; labels (N,), or targets
        padded as the spikes are; lengths (N,) int64.

    Raises:
        ShapeError: the samples differ in more than T.

    Example:
        >>> spikes, labels, lengths = collate_padded([(torch.ones(2, 5), 3), (torch.ones(2, 7), 4)])
        >>> spikes.shape, lengths
        (torch.Size([2, 2, 7]), tensor([5, 7]))
    """
    spikes, labels = zip(*_pairs("collate_padded", samples), strict=True)
    targets = isinstance(labels[0], Tensor) and labels[0].ndim > 0
    lengths = torch.tensor([x.shape[-1] for x in spikes])
    return _padded(spikes), _padded(labels) if targets else torch.as_tensor(labels), lengths


def _pairs(function: str, samples: Sequence[tuple[Tensor, Any]]) -> list[tuple[Tensor, Any]]:
    """The samples, if there are any and they are what the functions above take."""
    rule = "(spikes, label) each, at least one"
    pairs = []
    for sample in check_sequence(function, "samples", samples, rule=rule):
        x, label = check_sequence(function, "samples", sample, 2, rule)
        check_tensor(function, "spikes", x, min_ndim=1, layout="(C, ..., T)")
        if not isinstance(label, Tensor):
            check_integer(function, "label", label)
        pairs.append((x, label))
    if not pairs:
        raise ArgumentError(message(function, "samples is empty", rule, "none"))
    return pairs


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(x.shape[:-1]) for x in tensors}
    if len(shapes) != 1:
        raise ShapeError(message("collate_padded", "the samples differ in shape", "one shape (C, ...)", sorted(shapes)))
    num_steps = max(x.shape[-1] for x in tensors)
    batch = torch.zeros(num_steps, len(tensors), *shapes.pop(), dtype=tensors[0].dtype)
    for row, x in enumerate(tensors):
        batch[: x.shape[-1], row] = x.movedim(-1, 0)
    return batch.movedim(0, -1)
