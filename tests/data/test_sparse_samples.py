"""Sparse samples and batches against the dense ones of the same recordings."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from slayerloss import ArgumentError, DtypeError, ShapeError, data
from slayerloss.io import Event, to_frames
from slayerloss.io.frames import to_bins


def digits(**options) -> tuple[data.Digits, data.Digits]:
    """The same recordings, dense and sparse."""
    options = {"train": False, "indices": range(6), **options}
    return data.Digits(**options), data.Digits(**options, sparse=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flatten": True, "count": True},
        {"num_steps": 40, "step_ms": 5, "count": True, "rounding": "nearest"},
        {"num_steps": None, "step_ms": 3.0},
        {"transform": [data.augment.Shift(2), data.augment.Rotate(20)]},
    ],
)
def test_a_sparse_sample_is_the_dense_one(options):
    for (frames, label), (spikes, same) in zip(*digits(**options), strict=True):
        assert torch.equal(spikes.to_dense(), frames)
        assert (spikes.dtype, label) == (frames.dtype, same)
        assert spikes.is_coalesced()
        again = torch.sparse_coo_tensor(spikes.indices(), spikes.values(), spikes.shape, check_invariants=True)
        assert torch.equal(again.coalesce().indices(), spikes.indices())  # it is in order, and nothing in it twice
        assert spikes.values().ne(0).all()


@pytest.mark.parametrize("payload", [None, [2.0, -1.5, 4.0, 0.5, 7.0]])
@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("rows", [None, [0, 1, 1, 1, 0]])
def test_bins_are_the_frames(payload, count, rows):
    event = Event([2, 0, 0, 0, 2], rows, [0, 1, 1, 1, 0], [0.5, 3.2, 3.9, 6.0, 0.1], payload)
    shape = (2, 3) if rows is None else (2, 2, 3)
    for num_steps in (None, 4, 9):
        filled, values, steps = to_bins(event, shape, num_steps, count=count)
        frames = np.zeros((*shape, steps), np.float32)
        frames.reshape(-1)[filled] = values
        np.testing.assert_array_equal(frames, to_frames(event, shape, num_steps, count=count))
    with pytest.raises(ArgumentError, match="to_bins: x lies outside of shape"):
        to_bins(event, (*shape[:-1], 1))
    with pytest.raises(ArgumentError, match="the frames would be too large"):
        to_bins(event, (2**31,) * len(shape), 2**30)
    with pytest.raises(ShapeError, match="does not fit"):
        to_bins(event, (2,))


@pytest.mark.parametrize("flatten", [False, True])
def test_a_sparse_batch_is_the_dense_one(flatten):
    dense, sparse = ([whole[i] for i in range(6)] for whole in digits(flatten=flatten))
    (frames, labels), (spikes, same) = data.collate(dense), data.collate(sparse)
    assert torch.equal(spikes.to_dense(), frames)
    assert torch.equal(labels, same)
    assert spikes.is_coalesced()


def test_a_padded_sparse_batch_is_the_dense_one():
    dense, sparse = ([whole[i] for i in range(6)] for whole in digits(num_steps=None))
    frames, labels, lengths = data.collate_padded(dense)
    spikes, same, steps = data.collate_padded(sparse)
    assert torch.equal(spikes.to_dense(), frames)
    assert torch.equal(labels, same)
    assert torch.equal(lengths, steps)
    assert len(set(lengths.tolist())) > 1


def test_a_batch_keeps_what_is_there_twice():
    x = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 3), check_invariants=True)
    batch, _ = data.collate([(x, 0), (torch.zeros(2, 3).to_sparse(), 1)])
    assert torch.equal(batch.to_dense(), torch.stack([x.to_dense(), torch.zeros(2, 3)]))
    assert not batch.is_coalesced()


def test_wrong_samples():
    dense, sparse = torch.zeros(2, 5), torch.zeros(2, 5).to_sparse()
    outside = torch.sparse_coo_tensor([[3], [0]], [1.0], (2, 5), check_invariants=False)
    with pytest.raises(DtypeError, match="dense and sparse spikes are mixed; expected all dense or all sparse, got 1"):
        data.collate([(dense, 0), (sparse, 1)])
    with pytest.raises(ArgumentError, match="collate: spikes has events outside of its shape"):
        data.collate([(outside, 0)])
    with pytest.raises(DtypeError, match="target is not dense"):
        data.collate([(sparse, sparse)])
    with pytest.raises(DtypeError, match="differ in dtype"):
        data.collate_padded([(sparse, 0), (sparse.double(), 1)])
    with pytest.raises(DtypeError, match="sparse is neither True nor False"):
        data.Digits(sparse="yes")


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch, where it takes a tensor from a worker
@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(workers):
    dense, sparse = digits(num_steps=30, step_ms=10)
    expected = [dense[i][0] for i in range(6)]
    loader = DataLoader(sparse, batch_size=4, collate_fn=data.collate, num_workers=workers)
    batches = [spikes.to_dense() for spikes, _ in loader]
    assert torch.equal(torch.cat(batches), torch.stack(expected))


def test_a_batch_can_be_saved_moved_and_narrowed():
    spikes, _ = data.collate([digits()[1][i] for i in range(2)])
    assert torch.equal(pickle.loads(pickle.dumps(spikes)).to_dense(), spikes.to_dense())
    assert spikes.to("cpu", torch.float16).to_dense().dtype == torch.float16
    assert spikes.index_select(0, torch.zeros(0, dtype=torch.int64)).shape == (0, 2, 34, 34, 300)
