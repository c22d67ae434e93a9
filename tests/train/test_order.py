"""The order of an epoch that goes through the recordings more than once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_recordings import write_recordings
from torch.utils.data import TensorDataset

from slayerloss import data
from slayerloss.train.data import EventData, Order


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
