"""Datasets, batches and splits on small folders made here, and on the real data where it lies."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from slayerloss import ArgumentError, DtypeError, FormatError, ShapeError, data, io
from slayerloss.io import Event


def random_event(rng: np.random.Generator, number: int = 50) -> Event:
    places = [rng.integers(0, size, number) for size in (34, 34, 2)]
    return Event(*places, np.sort(rng.integers(0, 300_000, number)) / 1000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An N-MNIST folder: three recordings of each class to train with, one to test on."""
    rng, number = np.random.default_rng(0), 0
    for split, each in (("Train", 3), ("Test", 1)):
        for _ in range(each):
            for digit in range(10):
                number += 1
                path = tmp_path / split / str(digit) / f"{number:05}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                io.write(path, random_event(rng))
    return tmp_path


class TestNMNIST:
    def test_items(self, root):
        train, test = data.NMNIST(root), data.NMNIST(str(root), train=False, num_steps=30, step_ms=10, count=True)
        assert (len(train), len(test)) == (30, 10)
        spikes, label = train[3]
        assert (spikes.shape, spikes.dtype, label) == ((2, 34, 34, 300), torch.float32, 3)
        assert train.labels.tolist() == list(range(10)) * 3
        assert all(float(test[index][0].sum()) == 50 for index in range(10))
        assert len(list(train)) == 30

    def test_flat_items_are_the_same_in_chw_order(self, root):
        spikes, flat = (data.NMNIST(root, flatten=flatten)[0][0] for flatten in (False, True))
        torch.testing.assert_close(flat, spikes.reshape(2312, 300))

    def test_items_prefer_time_first_in_memory(self, root):
        for flatten in (False, True):
            assert data.NMNIST(root, flatten=flatten)[0][0].movedim(-1, 0).is_contiguous()

    def test_rounding(self, root):
        nearest = data.NMNIST(root, rounding="nearest")
        expected = nearest.event(0).fill_tensor(torch.zeros(2, 34, 34, 300))
        torch.testing.assert_close(nearest[0][0], expected)
        assert not torch.equal(data.NMNIST(root)[0][0], expected)

    def test_indices_choose_items(self, root):
        some = data.NMNIST(root, indices=[5, 0])
        assert (len(some), some.labels.tolist()) == (2, [5, 0])
        torch.testing.assert_close(some[1][0], data.NMNIST(root)[0][0])
        assert len(data.NMNIST(root, indices=[])) == 0

    def test_own_lengths(self, root):
        spikes, labels, lengths = data.collate_padded([data.NMNIST(root, num_steps=None)[index] for index in range(4)])
        assert spikes.shape == (4, 2, 34, 34, int(lengths.max()))
        assert len(set(lengths.tolist())) > 1
        assert labels.tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        ("error", "match", "options"),
        [
            (ArgumentError, "NMNIST: num_steps is out of range", {"num_steps": 0}),
            (ArgumentError, "NMNIST: step_ms is out of range; expected a number above 0, got -1", {"step_ms": -1}),
            (ArgumentError, "NMNIST: rounding is unknown", {"rounding": "up"}),
            (ArgumentError, "NMNIST: indices is out of range; expected 0 to 29, got 0 to 30", {"indices": [0, 30]}),
            (ArgumentError, "NMNIST: indices is no list of positions", {"indices": [True]}),
            (ArgumentError, "NMNIST: augment_seed is out of range", {"augment_seed": -1}),
        ],
    )
    def test_wrong_options(self, error, match, options, root):
        with pytest.raises(error, match=match):
            data.NMNIST(root, **options)

    def test_wrong_folders_and_files(self, root):
        with pytest.raises(FormatError, match=r"Train/Train' holds no recordings; .*Did you mean"):
            data.NMNIST(root / "Train")
        train = data.NMNIST(root)
        train.paths[0].write_bytes(b"1234567")
        with pytest.raises(FormatError, match=r"00001.bin' is truncated"):
            train[0]
        io.write(train.paths[0], Event([1], [40], [0], [0]))
        with pytest.raises(FormatError, match=r"y in '.*00001.bin' is off the sensor; expected 0 to 33, got 40"):
            train[0]
        train.paths[0].write_bytes(b"")
        assert train[0][0].sum() == 0


class TestAugmentationOfDatasets:
    transforms = (data.augment.Shift(4), data.augment.Rotate(5))

    def test_is_a_function_of_seed_epoch_and_recording(self, root):
        def make(**options):
            return data.NMNIST(root, transform=self.transforms, **options)

        first = make()
        items = [first[index][0] for index in range(5)]
        again = make()
        for index in reversed(range(5)):
            torch.testing.assert_close(again[index][0], items[index])
        torch.testing.assert_close(make(indices=[7, 3])[1][0], items[3])
        assert not torch.equal(make(augment_seed=1)[3][0], items[3])
        again.set_epoch(1)
        assert not torch.equal(again[3][0], items[3])
        again.set_epoch(0)
        torch.testing.assert_close(again[3][0], items[3])

    def test_each_repeat_is_augmented_anew(self, root):
        train = data.NMNIST(root, transform=self.transforms)
        items = [train[3, repeat][0] for repeat in range(3)]
        torch.testing.assert_close(items[0], train[3][0])
        assert not any(torch.equal(items[one], items[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
        torch.testing.assert_close(train[3, 2][0], items[2])
        assert train[3, 1][1] == train[3][1]
        assert torch.equal(data.NMNIST(root)[3, 1][0], data.NMNIST(root)[3][0])

    def test_one_function_will_do_and_the_sensor_s_edge_is_kept(self, root):
        def leave(event, rng):
            return Event(event.x + 30, event.y, event.c, event.t)

        moved = data.NMNIST(root, transform=leave, count=True)
        inside = int((data.NMNIST(root).event(0).x < 4).sum())
        assert int(moved[0][0].sum()) == inside

    @pytest.mark.parametrize("workers", [0, 2])
    def test_living_workers_see_the_epoch(self, root, workers):
        train = data.NMNIST(root, transform=self.transforms, num_steps=30, step_ms=10, indices=range(4))
        loader = DataLoader(train, 2, num_workers=workers, persistent_workers=workers > 0, collate_fn=data.collate)
        epochs = []
        for epoch in (0, 1, 0):
            train.set_epoch(epoch)
            epochs.append(torch.cat([spikes for spikes, _ in loader]))
        assert not torch.equal(epochs[0], epochs[1])
        torch.testing.assert_close(epochs[0], epochs[2])

    def test_copies(self, root):
        train = data.NMNIST(root, transform=self.transforms)
        train.set_epoch(3)
        for other in (copy.deepcopy(train), pickle.loads(pickle.dumps(train))):
            torch.testing.assert_close(other[0][0], train[0][0])


class TestOxford:
    @pytest.fixture
    def folder(self, tmp_path):
        io.write(tmp_path / "input.bs1", Event([0, 199], None, [1, 1], [0.6, 5.4]))
        io.write(tmp_path / "output.bs1", Event([7], None, [1], [3.6]))
        return tmp_path

    def test_item(self, folder):
        oxford = data.Oxford(folder, num_steps=10)
        assert len(oxford) == 1
        spikes, target = oxford[0]
        assert spikes.nonzero().tolist() == [[0, 0], [199, 5]]
        assert target.nonzero().tolist() == [[7, 3]]
        assert data.Oxford(folder, num_steps=10, rounding="lava-dl")[0][0].nonzero().tolist() == [[0, 1], [199, 5]]
        batch, targets = next(iter(DataLoader(oxford, collate_fn=data.collate)))
        assert batch.shape == targets.shape == (1, 200, 10)
        with pytest.raises(IndexError):
            oxford[1]

    def test_wrong_files(self, folder):
        io.write(folder / "output.bs1", Event([200], None, [1], [3.6]))
        with pytest.raises(
            FormatError, match=r"output.bs1' has too many neurons; expected ids below 200, got ids to 200"
        ):
            data.Oxford(folder)
        (folder / "output.bs1").unlink()
        with pytest.raises(FormatError, match=r"output.bs1' is missing"):
            data.Oxford(folder)
        with pytest.raises(ArgumentError, match="rounding is unknown"):
            data.Oxford(folder, rounding="nearest")

    def test_lava_dl_s_binning_of_the_real_pair(self, shared):
        golden = np.load(shared / "golden" / "slayer" / "oxford.npz")
        spikes, target = data.Oxford(shared / "data" / "oxford", rounding="lava-dl")[0]
        np.testing.assert_array_equal(spikes, golden["x"][0])
        np.testing.assert_array_equal(target, golden["target"][0])


ONES = torch.ones(2, 5)


class TestCollate:
    def test_values_and_memory(self):
        samples = [(torch.rand(2, 3, 5), label) for label in (4, 7)]
        spikes, labels = data.collate(samples)
        torch.testing.assert_close(spikes, torch.stack([sample for sample, _ in samples]))
        assert spikes.movedim(-1, 0).is_contiguous()
        assert (labels.tolist(), labels.dtype) == ([4, 7], torch.int64)

    def test_padding(self):
        samples = [(torch.ones(2, steps), torch.full((1, steps), 3.0)) for steps in (5, 2)]
        spikes, targets, lengths = data.collate_padded(samples)
        assert lengths.tolist() == [5, 2]
        assert spikes.sum(dim=(1, 2)).tolist() == [10, 4]
        assert targets.sum(dim=(1, 2)).tolist() == [15, 6]

    def test_wrong_samples(self):
        with pytest.raises(ShapeError, match=r"collate: the samples differ in shape.*use collate_padded"):
            data.collate([(torch.ones(2, 5), 0), (torch.ones(2, 6), 0)])
        with pytest.raises(ShapeError, match="collate_padded: the spikes differ in shape"):
            data.collate_padded([(torch.ones(2, 5), 0), (torch.ones(3, 5), 0)])

    @pytest.mark.parametrize("batch", [data.collate, data.collate_padded])
    @pytest.mark.parametrize(
        ("samples", "error", "match"),
        [
            ([(ONES, 3), (ONES, ONES)], DtypeError, "labels and targets are mixed; .* got 1 labels in 2 samples"),
            ([(ONES, ONES), (ONES, 3)], DtypeError, "labels and targets are mixed"),
            ([(ONES, torch.tensor(3)), (ONES, ONES)], DtypeError, "labels and targets are mixed"),
            ([(ONES.char(), 3), (ONES / 2, 3)], DtypeError, "spikes differ in dtype; .* torch.float32, torch.int8"),
            ([(ONES, ONES), (ONES, ONES.bool())], DtypeError, "targets differ in dtype"),
            ([(ONES[:, :0], 3)], ShapeError, r"spikes has no time steps; expected T of at least 1, got \(2, 0\)"),
            ([(ONES, ONES[:, :4])], ShapeError, r"target has the wrong shape; expected \(..., 5\), .*got \(2, 4\)"),
            ([(ONES, ONES), (ONES, ONES[:1])], ShapeError, "targets differ in shape"),
            ([(ONES, ONES), (ONES, ONES[0])], ShapeError, "targets differ in shape"),
            ([(ONES, ONES.to_sparse())], DtypeError, "target is not dense"),
            ([(ONES, 1.5)], DtypeError, "label is not an integer"),
            ([(ONES, torch.tensor(1.5))], DtypeError, "label is not an integer"),
        ],
    )
    def test_samples_that_do_not_go_together(self, batch, samples, error, match):
        with pytest.raises(error, match=f"{batch.__name__}: (the )?{match}"):
            batch(samples)

    def test_labels_of_any_integer_type(self):
        labels = [3, np.int16(4), torch.tensor(5), torch.tensor(6, dtype=torch.uint8)]
        batch = data.collate([(ONES, label) for label in labels])[1]
        assert (batch.tolist(), batch.dtype) == ([3, 4, 5, 6], torch.int64)


def test_stratified_split():
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 3)
    first, second = data.stratified_split(labels, 0.25, seed=3)
    assert sorted([*first, *second]) == list(range(63))
    assert [int((labels[second] == label).sum()) for label in range(3)] == [10, 5, 1]
    np.testing.assert_array_equal(second, data.stratified_split(labels, 0.25, seed=3)[1])
    assert not np.array_equal(second, data.stratified_split(labels, 0.25, seed=4)[1])
    with pytest.raises(ArgumentError, match="fraction is out of range"):
        data.stratified_split(labels, 2)


def test_binning_is_that_of_the_golden_counts(shared):
    """The golden network, run in integers on our frames, gives its spike counts: they are lava-dl's frames."""
    golden = np.load(shared / "golden" / "slayer" / "nmnist_full.npz")
    keep_current, keep_voltage = 4096 - golden["iDecay"], 4096 - golden["vDecay"]

    def layer(spikes: np.ndarray, weight: np.ndarray) -> np.ndarray:
        drive = np.rint(spikes @ weight.T.astype(np.float32)).astype(np.int64) << 6
        drive = np.concatenate([drive[:1] * 0, drive[:-1]])
        current, voltage, out = drive[0], drive[0], np.zeros(drive.shape, np.float32)
        for step, arriving in enumerate(drive):
            current = np.sign(current) * (np.abs(current * keep_current) >> 12) + arriving
            voltage = np.sign(voltage) * (np.abs(voltage * keep_voltage) >> 12) + current
            fired = voltage > golden["vThMant"] << 6
            out[step], voltage = fired, np.where(fired, 0, voltage)
        return out

    recordings = data.NMNIST(shared / "data" / "NMNIST", train=False, flatten=True, rounding="nearest")
    for index in range(0, 100, 10):
        row = int(np.flatnonzero(golden["ids"] == int(recordings.paths[index].stem))[0])
        hidden = layer(recordings[index][0].numpy().T, golden["weight_0"])
        assert hidden.sum() == golden["hidden_total"][row]
        np.testing.assert_array_equal(layer(hidden, golden["weight_1"]).sum(0), golden["counts"][row])
        assert recordings.labels[index] == golden["labels"][row]
