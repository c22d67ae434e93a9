"""What the figures of a run are drawn from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="training needs lightning: pip install 'slayerloss[train]'")
pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'slayerloss[plot]'")

from slayerloss import train
from slayerloss.cli.plot import draw, evaluate


def short_run(recipe_file: Path, folder: Path, *options: str) -> train.Run:
    return train.fit(train.read_recipe(recipe_file, ["--trainer.max_epochs=1", *options]), folder)


def test_a_run_shows_its_name_its_input_and_how_it_was_trained(recipe_file: Path, tmp_path: Path) -> None:
    run = short_run(recipe_file, tmp_path / "seven")
    evaluation = evaluate(run)
    recordings = run.data().test
    events = [int((recordings[i][0] != 0).sum()) for i in range(len(recordings))]
    assert list(evaluation.events) == ["input", "conv1", "dense2"]
    assert evaluation.events["input"] == pytest.approx(sum(events) / len(events))
    assert run.results()["events_input"] == evaluation.events["input"]
    assert evaluation.name == "seven"
    assert evaluation.harder == ["augmentation", "dropout"]
    spikes = [run.network()(recordings[i][0][None]) for i in range(len(recordings))]
    assert evaluation.silent == sum(int(not sent.any()) for sent in spikes)


def test_outputs_that_never_spike_are_counted(recipe_file: Path, tmp_path: Path) -> None:
    run = short_run(recipe_file, tmp_path / "run", "--network.neuron.threshold=1000", "--data.augment=[]")
    evaluation = evaluate(run)
    assert evaluation.silent == len(run.data().test) > 0
    assert evaluation.harder == ["dropout"]


def test_the_page_names_the_rows_of_the_network_file(recipe_file: Path, tmp_path: Path) -> None:
    page = draw(short_run(recipe_file, tmp_path / "run"), tmp_path / "plots")
    assert "<td>0 input, 1 conv1, 2 flatten, 3 dense2</td>" in page.read_text(encoding="utf-8")
