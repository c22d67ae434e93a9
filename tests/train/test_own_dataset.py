"""Training on a dataset of the user's own, named in the recipe by its import path."""

from __future__ import annotations

from pathlib import Path

import pytest

from slayerloss import ArgumentError, cli, train

SIDES = """
import numpy as np
from slayerloss.data import EventDataset
from slayerloss.io import Event

class Sides(EventDataset):
    def __init__(self, root, train=True, **options):
        self.first = 0 if train else 40
        super().__init__(np.arange(40 if train else 10) % 2, shape=(2, 8, 8), **options)

    def read(self, position):
        t = np.random.default_rng(self.first + position).uniform(0, 20, 30)
        return Event(np.full(30, 1 + 5 * (position % 2)), np.full(30, 4), np.arange(30) % 2, t)

class WithoutTrain(EventDataset):
    def __init__(self, root, **options):
        super().__init__([0, 1], shape=(2, 8, 8), **options)

class WithoutOptions:
    def __init__(self, root, train):
        pass
"""
OPTIONS = ["--data.num_steps=20", "--data.step_ms=1", "--data.valid_fraction=0.2", "--trainer.max_epochs=2"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sides_of_a_test.py").write_text(SIDES)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_recipe_trains_on_a_class_by_its_import_path(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(here / "run")
    which = ["--data.type=sides_of_a_test.Sides", f"--data.root={here}"]
    assert cli.main(["fit", "--config", "digits", "--out", run, "--test", *which, *OPTIONS]) == 0
    results = train.Run.open(run).results()
    assert results["test_recordings"] == 10
    assert results["test_accuracy"] > 0.8
    assert cli.main(["export", run, "--check"]) == 0
    assert "32 training" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "no_such_module.Sides",
            "'no_such_module.Sides' is missing; .* Set PYTHONPATH to the folder of no_such",
        ),
        ("sides_of_a_test.Slides", "'sides_of_a_test.Slides' is missing; expected module.Class"),
        ("sides_of_a_test.WithoutTrain", "WithoutTrain cannot give a split its recordings; .* got no train"),
        ("sides_of_a_test.WithoutOptions", "got no indices, transform, augment_seed. Hand"),
    ],
)
def test_what_is_no_dataset_is_refused(here: Path, name: str, said: str) -> None:
    recipe = train.read_recipe("digits", [f"--data.type={name}", f"--data.root={here}", *OPTIONS])
    with pytest.raises(ArgumentError, match=said):
        train.fit(recipe, here / "run")
    assert not (here / "run").exists()
