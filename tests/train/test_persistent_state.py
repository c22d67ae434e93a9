"""Neurons that keep their state, in a training on recordings that have nothing to do with each other."""

from __future__ import annotations

import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import cli, train
from slayerloss.cli.plot import evaluate


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[train.Run, train.Run]:
    """One recipe without and with persistent_state; its batches have 4, 4 and 1 recordings."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {"trainer__max_epochs": 2, "data__eval_batch_size": 5}
    file = write_recipe_file(folder / "recipe.yaml", tiny_recipe(write_recordings(folder / "data"), **changes))
    options = ["--network.neuron.persistent_state=true"]
    plain, kept = (train.fit(train.read_recipe(file, o), folder / f"{len(o)}", test=True) for o in ([], options))
    return plain, kept


def test_every_batch_begins_anew(runs: tuple[train.Run, train.Run]) -> None:
    plain, kept = runs
    assert kept.recipe.network.neuron["persistent_state"] is True
    states = [run.network("last").state_dict() for run in runs]
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())
    assert (kept.folder / "metrics.csv").read_text() == (plain.folder / "metrics.csv").read_text()
    assert kept.results() == plain.results()
    assert kept.test() == plain.test()


def test_every_figure_begins_anew(runs: tuple[train.Run, train.Run]) -> None:
    drawn = [evaluate(run).samples for run in runs]
    assert len(drawn[0]) == len(drawn[1]) > 1
    for plain, kept in zip(*drawn, strict=True):
        assert plain.name == kept.name
        assert torch.equal(torch.as_tensor(plain.output), torch.as_tensor(kept.output))


@pytest.mark.parametrize("command", [["plot"], ["export", "--check"]], ids=lambda command: command[0])
def test_its_commands_work(
    runs: tuple[train.Run, train.Run], command: list[str], capsys: pytest.CaptureFixture
) -> None:
    name, *options = command
    printed = []
    for run in runs:
        capsys.readouterr()
        assert cli.main([name, str(run.folder), *options]) == 0
        printed.append(capsys.readouterr().out.replace(str(run.folder), ""))
    assert printed[0] == printed[1]
