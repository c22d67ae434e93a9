"""The moving average of the parameters."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import ArgumentError, train
from slayerloss.train import run as runs
from slayerloss.train.average import Average


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> train.Recipe:
    folder = tmp_path_factory.mktemp("recordings")
    file = write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data")))
    return train.read_recipe(file, ["--average=0.8"])


class Watch(pl.Callback):
    """Computes the average again, from the parameters after each step."""

    def __init__(self) -> None:
        self.history: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.history.append({name: p.detach().double().clone() for name, p in module.named_parameters()})

    on_train_batch_end = lambda self, trainer, module, *_: self.on_train_start(trainer, module)  # noqa: E731


def test_the_checkpoint_holds_the_average(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, make = Watch(), runs._trainer

    def with_watch(*arguments: object) -> pl.Trainer:
        trainer = make(*arguments)
        trainer.callbacks.append(watch)
        return trainer

    monkeypatch.setattr(runs, "_trainer", with_watch)
    run = train.fit(recipe, tmp_path / "run")
    state = torch.load(run.checkpoint("last"), weights_only=True)["state_dict"]
    for name in watch.history[0]:
        mean = watch.history[0][name]
        for step in watch.history[1:]:
            mean = 0.8 * mean + 0.2 * step[name]
        torch.testing.assert_close(state[name].double(), mean, rtol=1e-5, atol=1e-6)
        assert not torch.equal(state[name].double(), watch.history[-1][name]), "this is the parameter itself"


def test_a_resumed_average_is_the_same(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = torch.load(train.fit(recipe, tmp_path / "whole").checkpoint("last"), weights_only=True)
    with monkeypatch.context() as patched:  # ends after the first epoch, then goes on
        patched.setattr(runs.Checkpoints, "_stop", lambda self, trainer: setattr(trainer, "should_stop", True))
        train.fit(recipe, tmp_path / "parts")
    resumed = torch.load(train.fit(recipe, tmp_path / "parts", resume=True).checkpoint("last"), weights_only=True)
    assert resumed["epoch"] == expected["epoch"] > 0
    for part in ("state_dict", "trained"):
        assert resumed[part].keys() == expected[part].keys()
        assert all(torch.equal(resumed[part][name], value) for name, value in expected[part].items())


def test_a_decay_of_one_never_moves() -> None:
    with pytest.raises(ArgumentError, match="average is out of range"):
        Average(1.0)
