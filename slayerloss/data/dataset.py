"""What all event datasets share: events to frames, augmentation that depends on seed, epoch and sample only."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    ShapeError,
    check_callable,
    check_choice,
    check_flag,
    check_integer,
    check_range,
    check_sequence,
    message,
)
from slayerloss.io import Event, crop, to_frames
from slayerloss.io.frames import to_bins

Transform = Callable[[Event, np.random.Generator], Event]


class EventDataset(Dataset[tuple[Tensor, int]], ABC):
    """Labelled recordings, each binned to frames when it is asked for.

    A subclass gives `read(position)`. Position counts through all recordings of the split; `indices` selects among
    them.

    Args:
        labels: the class of each recording of the split.
        shape: (C, Y, X) of the sensor.
        num_steps: T; events after it are left out. None gives each recording its own length: use `collate_padded`.
        step_ms: the width of a time step in ms, above 0.
        count: True counts the events in each bin, False marks the bins that hold any.
        flatten: True gives (C * Y * X, T), False (C, Y, X, T).
        sparse: True gives the same as a sparse tensor of the bins that are not zero, `torch.sparse_coo_tensor`, which
            the first layer takes at a cost that follows the number of events.
        rounding: "floor", or "nearest" as lava-dl bins.
        indices: the positions that this dataset shall have, in this order; None takes all.
        transform: function(event, generator) -> event, or a sequence of them, applied to the events before they are
            binned; see `slayerloss.data.augment`. Events that leave the sensor are dropped.
        augment_seed: with the epoch (`set_epoch`) and the position it fixes the generator: an item does not depend on
            what was asked for before, nor on the number of workers or processes. Where an epoch goes through the
            recordings more than once, ask for dataset[index, repeat]: repeat 0 is dataset[index].

    Raises:
        ArgumentError: an option or an index is out of range.
    """

    def __init__(
        self,
        labels: ArrayLike,
        shape: tuple[int, int, int],
        *,
        num_steps: int | None,
        step_ms: float,
        count: bool = False,
        flatten: bool = False,
        rounding: str = "floor",
        indices: ArrayLike | None = None,
        transform: Transform | Sequence[Transform] | None = None,
        augment_seed: int = 0,
        sparse: bool = False,
    ) -> None:
        name = type(self).__name__
        if num_steps is not None:
            check_integer(name, "num_steps", num_steps, 1)
        step_ms = check_range(name, "step_ms", step_ms, 0, low_open=True)
        count, flatten = check_flag(name, "count", count), check_flag(name, "flatten", flatten)
        check_choice(name, "rounding", rounding, ("floor", "nearest"))
        check_integer(name, "augment_seed", augment_seed, 0)
        all_labels = np.asarray(labels, np.int64)
        self.indices = np.arange(len(all_labels)) if indices is None else _indices(name, indices, len(all_labels))
        self.labels = torch.from_numpy(all_labels[self.indices])
        self.shape = shape
        self.num_steps = num_steps
        self.step_ms = step_ms
        self.count = count
        self.flatten = flatten
        self.sparse = check_flag(name, "sparse", sparse)
        self.rounding = rounding
        self.transforms = _transforms(name, transform)
        self.augment_seed = augment_seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that live on

    @abstractmethod
    def read(self, position: int) -> Event:
        """The recording at a position of the split, without augmentation."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the augmentation: call it before each epoch, also where data loader workers live on."""
        self._epoch.fill_(check_integer(f"{type(self).__name__}.set_epoch", "epoch", epoch, 0))

    def event(self, index: int, repeat: int = 0) -> Event:
        """The recording of an item, augmented, cropped to the sensor, times in ms; each repeat is augmented anew."""
        position = int(self.indices[index])
        event = self.read(position)
        if self.transforms:
            seed = (self.augment_seed, int(self._epoch), position)
            generator = np.random.default_rng((*seed, repeat) if repeat else seed)
            for transform in self.transforms:
                event = transform(event, generator)
            event = crop(event, self.shape)
        return event

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Tensor, int]:
        index, repeat = index if isinstance(index, tuple) else (index, 0)
        event = self.event(index, repeat)
        spikes = self._bins(event) if self.sparse else self._frames(event)
        return spikes, int(self.labels[index])

    def _frames(self, event: Event) -> Tensor:
        options: dict[str, Any] = {"count": self.count, "rounding": self.rounding}
        spikes = torch.from_numpy(to_frames(event, self.shape, self.num_steps, self.step_ms, **options))
        return spikes.flatten(0, -2) if self.flatten else spikes

    def _bins(self, event: Event) -> Tensor:
        """The same as a sparse tensor."""
        options: dict[str, Any] = {"count": self.count, "rounding": self.rounding}
        filled, values, num_steps = to_bins(event, self.shape, self.num_steps, self.step_ms, **options)
        shape = (*((math.prod(self.shape),) if self.flatten else self.shape), num_steps)
        places = torch.from_numpy(np.stack(np.unravel_index(filled, shape)))
        return torch.sparse_coo_tensor(
            places, torch.from_numpy(values), shape, is_coalesced=True, check_invariants=False
        )

    def __repr__(self) -> str:
        steps = "steps" if self.num_steps is None else f"{self.num_steps} steps"
        return f"{type(self).__name__}({len(self)} recordings, {steps} of {self.step_ms:g} ms)"


def stratified_split(labels: ArrayLike, fraction: float, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split a dataset such that each class gives the same part.

    Args:
        labels: (N,) the class of each sample; `dataset.labels`.
        fraction: the second part's share of each class, in [0, 1]; rounded to whole samples.
        seed: fixes the choice.

    Returns:
        The indices of the first and of the second part, each in ascending order.

    Raises:
        ArgumentError: `fraction` is not in [0, 1], or `seed` below 0.
        ShapeError, DtypeError: `labels` is no list of labels.

    Example:
        >>> train, valid = stratified_split([0, 0, 0, 0, 1, 1, 1, 1], 0.25)
        >>> len(train), len(valid)
        (6, 2)
    """
    fraction = check_range("stratified_split", "fraction", fraction, 0, 1)
    classes = _array("stratified_split", "labels", labels)
    if classes.ndim != 1:
        raise ShapeError(message("stratified_split", "labels has the wrong shape", "(N,)", classes.shape))
    rng = np.random.default_rng(check_integer("stratified_split", "seed", seed, 0))
    second = np.zeros(len(classes), bool)
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        second[members[: round(fraction * len(members))]] = True
    return np.flatnonzero(~second), np.flatnonzero(second)


def _transforms(function: str, transform: Transform | Sequence[Transform] | None) -> list[Transform]:
    each = [] if transform is None else transform if isinstance(transform, Sequence) else [transform]
    each = check_sequence(function, "transform", each, rule="a function, or a sequence of them")
    for one in each:
        check_callable(function, "transform", one)
    return each


def _array(function: str, argument: str, values: ArrayLike) -> NDArray[Any]:
    """The values as an array of numbers or texts."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        got = type(values).__name__
        raise DtypeError(message(function, f"{argument} is no list", "one number each", got)) from None
    if array.dtype.kind not in "biufUS":
        raise DtypeError(message(function, f"{argument} is no list of numbers", "one number each", array.dtype))
    return array


def _indices(function: str, indices: ArrayLike, size: int) -> NDArray[np.int64]:
    array = _array(function, "indices", indices)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ArgumentError(
            message(function, "indices is no list of positions", "whole numbers", f"{array.shape} {array.dtype}")
        )
    if array.size and (array.min() < 0 or array.max() >= size):
        raise ArgumentError(
            message(function, "indices is out of range", f"0 to {size - 1}", f"{array.min()} to {array.max()}")
        )
    return array.astype(np.int64)
