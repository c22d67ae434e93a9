"""The recipe of the spike-time regression, from the training to the figures."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from slayerloss import cli, train
from slayerloss.cli.plot import evaluate

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    """A few steps of the recipe."""
    folder, recipe = tmp_path_factory.mktemp("oxford") / "run", ROOT / "datasets" / "oxford" / "recipe.yaml"
    options = ["--data.root", shared / "data" / "oxford", "--data.passes", 3, "--trainer.max_epochs", 2]
    arguments = ["fit", "--config", recipe, "--out", folder, *options, "--trainer.enable_progress_bar", "false"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    return train.Run.open(folder)


def test_it_trains(run: train.Run) -> None:
    with open(run.folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6]
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    assert all(float(row["events_dense2"]) > 0 for row in rows)


def test_its_output_is_drawn_over_the_target(run: train.Run, tmp_path: Path) -> None:
    assert cli.main(["plot", str(run.folder), "--output", str(tmp_path / "plots")]) == 0
    drawn = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert {"output_0", "error_0", "filter", "learning", "report"} <= drawn
    assert not drawn & {"confusion", "decision_0"}  # there are no classes
    page = (tmp_path / "plots" / "report.html").read_text()
    assert "Output spikes over target spikes" in page
    (sample,) = evaluate(run).samples
    events, target = run.data().test[0]
    assert torch.equal(torch.as_tensor(sample.target), target)
    assert torch.equal(torch.as_tensor(sample.output), run.network()(events[None])[0].detach())
