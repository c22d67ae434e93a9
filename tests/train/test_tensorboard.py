"""TensorBoard is written for where it is installed, and not missed where it is not; lightning is silent in both."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import train


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> train.Recipe:
    folder = tmp_path_factory.mktemp("recordings")
    file = write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data")))
    return train.read_recipe(file, ["--trainer.max_epochs=2"])


def fit_silently(recipe: train.Recipe, folder: Path, capfd: pytest.CaptureFixture) -> train.Run:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        capfd.readouterr()
        run = train.fit(recipe, folder, test=True)
        assert capfd.readouterr() == ("", "")
    return run


def test_metrics_go_to_tensorboard(recipe: train.Recipe, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit_silently(recipe, tmp_path / "run", capfd)
    logged = EventAccumulator(str(run.folder / "tensorboard"))
    logged.Reload()
    for name in ("train_loss", "valid_accuracy"):
        assert len(logged.Scalars(name)) == 2
    rows = (run.folder / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("valid_loss")
    ours = [float(row.split(",")[column]) for row in rows[1:]]
    assert [scalar.value for scalar in logged.Scalars("valid_loss")] == pytest.approx(ours)


def test_a_training_does_without_tensorboard(
    recipe: train.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # any import of it fails
    run = fit_silently(recipe, tmp_path / "run", capfd)
    assert run.checkpoint("best").is_file()
    assert not (run.folder / "tensorboard").exists()
