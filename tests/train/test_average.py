"""The moving average of the parameters and running statistics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import ArgumentError, train
from slayerloss.train.average import Average
from slayerloss.train.trainer import quiet


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> train.Recipe:
    folder = tmp_path_factory.mktemp("recordings")
    file = write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data")))
    return train.read_recipe(file, ["--average=0.8"])


class Watch(pl.Callback):
    """Keeps the parameters and running statistics as they are before the first step and after each."""

    def __init__(self) -> None:
        self.history: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.keep(module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        self.keep(module)

    def keep(self, module: pl.LightningModule) -> None:
        values = [*module.named_parameters(), *module.named_buffers()]
        self.history.append({name: x.detach().double().clone() for name, x in values if not name.startswith("loss.")})


def test_the_checkpoint_holds_the_average(recipe: train.Recipe, tmp_path: Path) -> None:
    watch, data = Watch(), train.build_data(recipe.data)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Average(0.8), watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(train.build_learner(recipe, data.train), data)
    trainer.save_checkpoint(tmp_path / "average.ckpt")
    state = torch.load(tmp_path / "average.ckpt", weights_only=True)["state_dict"]
    assert len(watch.history) == 1 + 2 * len(data.train_dataloader())
    assert {"network.conv1.neuron.norm.running_mean", "network.dense2.delay.delay"} <= watch.history[0].keys()
    for name in watch.history[0]:
        mean = watch.history[0][name]
        for step in watch.history[1:]:
            mean = 0.8 * mean + 0.2 * step[name]
        torch.testing.assert_close(state[name].double(), mean, rtol=1e-5, atol=1e-6)
        assert not torch.equal(state[name].double(), watch.history[-1][name]), "this is the parameter itself"


def test_a_resumed_average_is_the_same(recipe: train.Recipe, tmp_path: Path) -> None:
    whole = dataclasses.replace(recipe, schedule={"type": "constant"})
    part = dataclasses.replace(whole, trainer=dataclasses.replace(whole.trainer, max_epochs=1))
    expected = torch.load(train.fit(whole, tmp_path / "whole").checkpoint("last"), weights_only=True)
    train.fit(part, tmp_path / "parts")
    resumed = torch.load(train.fit(whole, tmp_path / "parts", resume=True).checkpoint("last"), weights_only=True)
    assert resumed["epoch"] == expected["epoch"] > 0
    for key in ("state_dict", "trained"):
        assert resumed[key].keys() == expected[key].keys()
        assert all(torch.equal(resumed[key][name], value) for name, value in expected[key].items())


def test_a_decay_of_one_never_moves() -> None:
    with pytest.raises(ArgumentError, match="average is out of range"):
        Average(1.0)
