"""Handwritten digits as a simulated event camera sees them: the dataset that the package brings along."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slayerloss._check import check_flag, check_integer
from slayerloss.data.dataset import EventDataset, Transform
from slayerloss.data.digits_camera import SENSOR, Recordings, simulate
from slayerloss.io import Event


class Digits(EventDataset):
    """The UCI handwritten digits seen by a simulated event camera of 34 x 34 pixels during three saccades, 300 ms.

    1442 recordings to train with and 355 to test on, of about 3000 events; the split is fixed, and each class gives a
    fifth to the test. Nothing is downloaded; the first use of a seed simulates the recordings, which takes a few
    seconds.

    Args:
        train: True takes the training split, False the test split.
        num_steps: T; events after it are left out. None gives each recording its own length: use `collate_padded`.
        step_ms: the width of a time step in ms, above 0.
        seed: fixes the simulated camera and its noise.
        count: True counts the events in each bin, False marks the bins that hold any.
        flatten: True gives (2312, T), False (2, 34, 34, T).
        rounding: "floor", or "nearest" as lava-dl bins.
        indices: positions within the split; None takes all. `stratified_split` makes them.
        transform: function(event, generator) -> event, or a sequence of them; see `slayerloss.data.augment`.
        augment_seed: fixes what `transform` draws, together with the epoch and the position.
        sparse: True gives sparse tensors of the bins that are not zero.

    Attributes:
        labels: (N,) int64, the class of each item.

    Raises:
        ArgumentError: an option is out of range.

    Example:
        >>> digits = Digits(train=False, num_steps=30, step_ms=10, indices=range(3))
        >>> spikes, label = digits[0]
        >>> spikes.shape, label
        (torch.Size([2, 34, 34, 30]), 1)

    References:
        Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository (1998),
        https://doi.org/10.24432/C50P49.
    """

    num_classes = 10

    def __init__(
        self,
        train: bool = True,
        num_steps: int | None = 300,
        step_ms: float = 1.0,
        seed: int = 0,
        *,
        count: bool = False,
        flatten: bool = False,
        rounding: str = "floor",
        indices: ArrayLike | None = None,
        transform: Transform | Sequence[Transform] | None = None,
        augment_seed: int = 0,
        sparse: bool = False,
    ) -> None:
        self.seed = check_integer("Digits", "seed", seed, 0)
        self.train = check_flag("Digits", "train", train)
        super().__init__(
            _images(self.train)[1],
            (2, SENSOR, SENSOR),
            num_steps=num_steps,
            step_ms=step_ms,
            count=count,
            flatten=flatten,
            rounding=rounding,
            indices=indices,
            transform=transform,
            augment_seed=augment_seed,
            sparse=sparse,
        )

    def read(self, position: int) -> Event:
        """The recording at a position of the split."""
        return _recordings(self.train, self.seed).event(position)


@functools.lru_cache(maxsize=2)
def _images(train: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 8, 8), labels and numbers of a split."""
    with resources.files("slayerloss.data").joinpath("digits.npz").open("rb") as handle, np.load(handle) as held:
        ids = np.flatnonzero(held["test"] != train)
        return held["images"][ids], held["labels"][ids], ids


@functools.lru_cache(maxsize=2)
def _recordings(train: bool, seed: int) -> Recordings:
    images, _, ids = _images(train)
    return simulate(images, ids, seed)
