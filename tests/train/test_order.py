"""The order of an epoch that goes through the recordings more than once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
import torch
from tiny_recordings import write_recordings
from torch.utils.data import TensorDataset

from slayerloss import data
from slayerloss.train.data import Batches, EventData, Order


@pytest.fixture
def recordings(tmp_path) -> data.NMNIST:
    return data.NMNIST(write_recordings(tmp_path), transform=data.augment.Shift(4), indices=range(3))


def spikes_of(loader) -> Iterator[torch.Tensor]:
    for spikes, _ in loader:
        yield from spikes


@pytest.mark.parametrize("workers", [0, 2])
def test_each_pass_is_augmented_anew(recordings, workers):
    items = list(
        spikes_of(EventData(recordings, batch_size=2, shuffle=False, passes=2, workers=workers).train_dataloader())
    )
    assert len(items) == 6
    for index in range(3):
        torch.testing.assert_close(items[index], recordings[index][0])
        torch.testing.assert_close(items[index + 3], recordings[index, 1][0])
        assert not torch.equal(items[index], items[index + 3])


def test_the_first_pass_is_the_only_one_s(recordings):
    once, twice = (list(Order(recordings, shuffle=True, passes=passes, seed=1)) for passes in (1, 2))
    assert twice[:3] == once
    assert sorted(once) == [0, 1, 2]
    assert sorted(twice[3:]) == [(0, 1), (1, 1), (2, 1)]


def test_other_datasets_are_asked_for_plain_indices():
    assert list(Order(TensorDataset(torch.zeros(2)), passes=3)) == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_a_batch_ends_with_its_pass(recordings, batch_size, processes):
    order = Order(recordings, shuffle=True, passes=3, seed=1)
    shares = [Batches(order, batch_size, rank, processes, passes=3) for rank in range(processes)]
    whole = [sorted(chain(*parts), key=str) for parts in zip(*shares, strict=True)]
    assert len(whole) == len(shares[0]) == 3 * -(-3 // batch_size)
    indices = [[index if isinstance(index, int) else index[0] for index in batch] for batch in whole]
    assert all(len(set(batch)) == len(batch) <= batch_size for batch in indices)
    assert sorted(chain(*whole), key=str) == sorted(order, key=str)
    repeats = [{0 if isinstance(index, int) else index[1] for index in batch} for batch in whole]
    assert all(len(repeat) == 1 for repeat in repeats)


def test_one_recording_is_a_batch_of_one_however_often():
    loader = EventData(
        TensorDataset(torch.ones(1, 2, 5), torch.zeros(1, dtype=torch.int64)), batch_size=32, passes=50
    ).train_dataloader()
    assert len(loader) == 50
    assert [len(spikes) for spikes, _ in loader] == [1] * 50
