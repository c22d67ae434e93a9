"""What the figures of a run are drawn from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning", reason="training needs lightning: pip install 'slayerloss[train]'")
pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'slayerloss[plot]'")

import slayerloss
from slayerloss import block, classifier, train
from slayerloss.cli.plot import draw, evaluate, samples


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


def test_the_page_begins_with_what_was_measured_and_by_what(recipe_file: Path, tmp_path: Path) -> None:
    run = short_run(recipe_file, tmp_path / "run", "--seed=7")
    text = draw(run, tmp_path / "plots", "last").read_text(encoding="utf-8")
    results, network = run.results(), run.network("last")
    facts = dict(re.findall("<tr><th>(.*)</th><td>(.*)</td></tr>", text))
    silent = f"{int(results['test_silent'])} of them without an output spike"
    assert list(facts.items())[:7] == [
        ("test accuracy", f"{100 * results['test_accuracy']:.1f} %"),
        ("test loss", f"{results['test_loss']:.4g}"),
        ("test recordings", f"{len(run.data().test)}, {silent}"),
        ("checkpoint", "last, of epoch 1"),
        ("parameters", f"{sum(p.numel() for p in network.parameters()):,}, in 2 layers"),
        ("seed", "7"),
        ("trained by", f"slayerloss {slayerloss.__version__}"),
    ]


@pytest.mark.parametrize(
    ("decision", "answer", "tied"),
    [
        (classifier.Rate(), 1, [2]),  # two spikes each
        (classifier.MovingWindow(1), 0, [1]),  # two steps each, those of 0 silent
        (classifier.MovingWindow(9), 1, []),
    ],
)
def test_a_tie_of_the_whole_recording_is_found(decision: Any, answer: int, tied: list[int]) -> None:
    neuron = {"threshold": 0.5, "current_decay": 1, "voltage_decay": 0}
    network = train.Network({"input": block.cuba.Input(neuron), "output": block.cuba.Input(neuron)})
    events = torch.zeros(3, 5)
    events[1, :2] = events[2, 1:3] = 1
    (sample,) = samples(network, [(events, 0)], decision)
    sent = torch.as_tensor(sample.output)
    want = sent.sum(-1) if isinstance(decision, classifier.Rate) else decision(sent[None]).flatten().bincount()
    best = (want == want.max()).nonzero().flatten().tolist()
    assert [sample.prediction, *sample.tied] == best == [answer, *tied]
