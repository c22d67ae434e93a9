"""The data module: batches that depend on the seed, the epoch and the step, not on the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from slayerloss._check import ArgumentError, FormatError, SlayerError, check_integer, message
from slayerloss.data import EventDataset, collate, collate_padded

Samples = Dataset[Any]


class Order(Sampler[int | tuple[int, int]]):
    """The order of an epoch, a function of the seed and the epoch; lightning calls `set_epoch` before each.

    Args:
        dataset: what it is the order of; its own `set_epoch`, which chooses the augmentation, is called as well.
        shuffle: False keeps the dataset's order.
        passes: how often the dataset is gone through in one epoch, each time in another order. An
            `EventDataset` is asked for (index, pass) after the first, so that it augments each pass anew.
        seed: of the shuffling.
    """

    def __init__(self, dataset: Samples, shuffle: bool = False, passes: int = 1, seed: int = 0) -> None:
        self.dataset, self.shuffle, self.passes, self.seed = dataset, shuffle, passes, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return self.passes * len(self.dataset)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int | tuple[int, int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        size = len(self.dataset)  # type: ignore[arg-type]
        for repeat in range(self.passes):
            order = (rng.permutation(size) if self.shuffle else np.arange(size)).tolist()
            anew = repeat > 0 and isinstance(self.dataset, EventDataset)
            yield from ((index, repeat) for index in order) if anew else order


class Batches(Sampler[list[int]]):
    """The part of every batch that one of several processes works on.

    Process r takes the samples r, r + P, ... of each batch, so that the P processes together work on what one process
    would have worked on. A batch ends with its pass, so that no recording is in it twice: the last batch of a pass may
    be smaller, and a process may even get nothing of it.

    Args:
        sampler: indices in the order of the epoch.
        batch_size: samples of a batch, of all processes together.
        rank: which of the processes this is.
        processes: how many there are.
        passes: of how many equally long passes the sampler consists.

    Example:
        >>> [list(Batches(range(5), batch_size=4, rank=rank, processes=2)) for rank in range(2)]
        [[[0, 2], [4]], [[1, 3], []]]
        >>> list(Batches([0, 1, 2, 1, 2, 0], batch_size=2, passes=2))
        [[0, 1], [2], [1, 2], [0]]
    """

    def __init__(self, sampler: Any, batch_size: int, rank: int = 0, processes: int = 1, passes: int = 1) -> None:
        self.sampler = sampler
        self.batch_size = check_integer("Batches", "batch_size", batch_size, 1)
        self.rank, self.processes, self.passes = rank, processes, passes

    def __len__(self) -> int:
        return self.passes * -(-len(self.sampler) // self.passes // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        size = len(self.sampler) // self.passes
        for _ in range(self.passes):
            one_pass = islice(indices, size)
            while batch := list(islice(one_pass, self.batch_size)):
                yield batch[self.rank :: self.processes]


class EventData(pl.LightningDataModule):
    """Training, validation and test recordings in batches.

    Args:
        train: items (spikes (C, ..., T), label or target).
        valid: the same, to choose the epoch by; None for none.
        test: the same, to be looked at once; None for none. A function is called when the recordings are wanted.
        batch_size: samples of a step, of all processes together.
        eval_batch_size: the same for validation and test; None for batch_size.
        shuffle: draw a new order for each epoch.
        passes: passes over `train` in one epoch; each is divided into batches by itself.
        workers: processes that read ahead; 0 reads in the training process.
        padded: the recordings differ in length; batches come with `lengths`.
        seed: of the shuffling.

    Raises:
        FormatError: a dataset is empty.

    Note:
        A Trainer for several processes needs use_distributed_sampler=False: the batches are divided here.
    """

    def __init__(
        self,
        train: Samples,
        valid: Samples | None = None,
        test: Samples | Callable[[], Samples] | None = None,
        *,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        shuffle: bool = True,
        passes: int = 1,
        workers: int = 0,
        padded: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, dataset in (("train", train), ("valid", valid), ("test", test)):
            if isinstance(dataset, Sequence | Dataset) and len(dataset) == 0:  # type: ignore[arg-type]
                raise FormatError(message("EventData", f"{name} is empty", "at least one recording", "none"))
        self.train, self.valid, self._test = train, valid, test
        self.batch_size = check_integer("EventData", "batch_size", batch_size, 1)
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.shuffle, self.passes, self.workers, self.padded, self.seed = shuffle, passes, workers, padded, seed

    @property
    def test(self) -> Samples:
        """The test recordings."""
        if self._test is None:
            raise ArgumentError(message("EventData", "there are no test recordings", "test=a dataset", None))
        if not isinstance(self._test, Dataset) and callable(self._test):
            self._test = self._test()
        return self._test

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in the order of the epoch."""
        return self._loader(self.train, Order(self.train, self.shuffle, self.passes, self.seed), self.batch_size)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of the validation; none without one."""
        return [] if self.valid is None else self._loader(self.valid, Order(self.valid), self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of the test."""
        return self._loader(self.test, Order(self.test), self.eval_batch_size)

    def _loader(self, dataset: Samples, order: Order, batch_size: int) -> DataLoader[Any]:
        rank, processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return _Loader(
            _Reader(dataset, self.padded),
            batch_sampler=Batches(order, batch_size, rank, processes, order.passes),
            collate_fn=_as_it_is,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available() and not _is_sparse(dataset),
        )


def _is_sparse(dataset: Samples) -> bool:
    """Whether items are sparse, which old versions of torch cannot pin; there is little to send of them anyway."""
    return bool(getattr(getattr(dataset, "dataset", dataset), "sparse", False))


class _Loader(DataLoader[Any]):
    """Begins to read with the first batch that is asked for, not with `iter`, and raises what a worker could not read.

    Lightning calls `iter` before it has loaded a checkpoint and called `set_epoch`; workers that read ahead from there
    would read the first batches of another epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, Exception):
                raise batch
            yield batch


class _Reader(Dataset[Any]):
    """Reads whole batches; also the batch of no samples that a process may get at the end.

    An error in a recording is handed over as a value: the torch DataLoader would raise it with the worker's traceback
    for a text.
    """

    def __init__(self, dataset: Samples, padded: bool) -> None:
        self.dataset, self.collate = dataset, collate_padded if padded else collate

    def __getitems__(self, indices: Sequence[Any]) -> tuple[torch.Tensor, ...] | Exception:
        try:
            batch = self.collate([self.dataset[index] for index in indices or [0]])
        except (SlayerError, OSError) as error:
            return error
        none = torch.zeros(0, dtype=torch.int64)
        return batch if indices else tuple(part.index_select(0, none) for part in batch)


def _as_it_is(batch: Any) -> Any:
    return batch
