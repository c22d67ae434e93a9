"""A training on sparse recordings against the same on dense ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import ArgumentError, train


def run_of(folder: Path, **changes: object) -> train.Run:
    file = write_recipe_file(folder / f"{len(changes)}.yaml", tiny_recipe(folder / "data", **changes))
    return train.fit(train.read_recipe(file), folder / f"run{len(changes)}", test=True)


@pytest.mark.parametrize("num_steps", [10, None])
def test_a_training_is_the_same(tmp_path, num_steps):
    write_recordings(tmp_path / "data")
    changes = {"data__num_steps": num_steps, "trainer__max_epochs": 2}
    dense, sparse = run_of(tmp_path, **changes), run_of(tmp_path, **changes, data__sparse=True)
    expected, results = dense.results(), sparse.results()
    assert results.keys() == expected.keys()
    assert results["events_input"] == expected["events_input"] > 0
    for name in ("test_loss", "events_conv1"):
        assert results[name] == pytest.approx(expected[name], rel=1e-3)
    for (name, own), other in zip(
        sparse.network().state_dict().items(), dense.network().state_dict().values(), strict=True
    ):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-3, msg=name)


def test_batches_of_a_process_that_gets_nothing(tmp_path):
    write_recordings(tmp_path / "data")
    file = write_recipe_file(tmp_path / "a.yaml", tiny_recipe(tmp_path / "data", data__sparse=True))
    data = train.build_data(train.read_recipe(file).data)
    loader = data.train_dataloader()
    spikes, labels = loader.dataset.__getitems__([])
    assert spikes.is_sparse
    assert spikes.shape == (0, 2, 34, 34, 10)
    assert len(labels) == 0
    network = train.build_learner(train.read_recipe(file), data.train).network
    assert network(spikes).shape == (0, 3, 10)


def test_a_dataset_without_sparse_samples_says_so():
    options = train.DataOptions(type="Oxford", root="nowhere", sparse=True)
    with pytest.raises(ArgumentError, match=r"data\.sparse is not used; expected false: Oxford gives"):
        train.build_data(options)
