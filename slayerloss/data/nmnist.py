"""N-MNIST in its official folder layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from slayerloss._check import FormatError, check_flag, message
from slayerloss._path import check_path
from slayerloss.data._near import did_you_mean
from slayerloss.data.dataset import EventDataset, Transform
from slayerloss.io import Event, read_2d_spikes

CLASSES = tuple(str(digit) for digit in range(10))
SENSOR = 34  # pixels in each direction


class NMNIST(EventDataset):
    """The recordings of N-MNIST: digits that an event camera of 34 x 34 pixels saw during three saccades, about 300 ms.

    Args:
        root: the folder that holds `Train` and `Test`, with `<digit>/<id>.bin` in each.
        train: True takes `Train`, False `Test`.
        num_steps: T; events after it are left out. None gives each recording its own length: use `collate_padded`.
        step_ms: the width of a time step in ms, above 0.
        count: True counts the events in each bin, False marks the bins that hold any.
        flatten: True gives (2312, T), False (2, 34, 34, T).
        rounding: "floor", or "nearest" as lava-dl bins.
        indices: positions among the recordings, which are in the order of their ids; None takes all. `stratified_split`
            makes them.
        transform: function(event, generator) -> event, or a sequence of them; see `slayerloss.data.augment`.
        augment_seed: fixes what `transform` draws, together with the epoch and the position.
        sparse: True gives sparse tensors of the bins that are not zero.

    Attributes:
        paths: the files, in the order of the ids, before `indices` selects.
        labels: (N,) int64, the class of each item.

    Raises:
        FormatError: the folder holds no recordings, or (when an item is read) a file is truncated or has events outside
            of the sensor.
        ArgumentError: an option is out of range.

    Example:
        >>> import tempfile
        >>> from slayerloss import io
        >>> folder = Path(tempfile.mkdtemp(), "Train", "7")
        >>> folder.mkdir(parents=True)
        >>> io.write(folder / "00001.bin", io.Event([3, 4], [5, 5], [0, 1], [0.5, 12.0]))
        >>> spikes, label = NMNIST(folder.parent.parent, num_steps=30, step_ms=10)[0]
        >>> spikes.shape, int(spikes.sum()), label
        (torch.Size([2, 34, 34, 30]), 2, 7)

    References:
        Orchard, Jayawant, Cohen, Thakor: Converting static image datasets to spiking neuromorphic datasets using
        saccades. Frontiers in Neuroscience 9, 437 (2015).
    """

    num_classes = 10

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        num_steps: int | None = 300,
        step_ms: float = 1.0,
        *,
        count: bool = False,
        flatten: bool = False,
        rounding: str = "floor",
        indices: ArrayLike | None = None,
        transform: Transform | Sequence[Transform] | None = None,
        augment_seed: int = 0,
        sparse: bool = False,
    ) -> None:
        part = "Train" if check_flag("NMNIST", "train", train) else "Test"
        folder = Path(check_path("NMNIST", "root", root)) / part
        found = [path for digit in CLASSES for path in (folder / digit).glob("*.bin")]
        if not found:
            here = any((Path(root) / name).is_dir() for name in ("Train", "Test"))
            near = "" if here else did_you_mean(Path(root), "Train", "Test")
            way_out = near or "See datasets/nmnist/README.md, and try `slayerloss data check` on the folder"
            got = "none" if folder.is_dir() else "no such folder"
            raise FormatError(message("NMNIST", f"'{folder}' holds no recordings", "<digit>/<id>.bin", got, way_out))
        self.paths = sorted(found, key=lambda path: (path.stem, path.parent.name))
        super().__init__(
            np.array([int(path.parent.name) for path in self.paths]),
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
        """The recording at a position of the split, as the file holds it."""
        path = self.paths[position]
        event = read_2d_spikes(path)
        for name, place in (("x", event.x), ("y", event.y)):
            if place is not None and place.max(initial=0) >= SENSOR:
                raise FormatError(message("NMNIST", f"{name} in '{path}' is off the sensor", "0 to 33", place.max()))
        return event
