"""Two processes train as one does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import process_cases
import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import train

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def assert_close(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        told = lambda text, name=name: f"{name}: {text}"  # noqa: E731
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6, msg=told)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What two processes of torchrun come to."""
    path = tmp_path_factory.mktemp("processes") / "results.pt"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", process_cases.__file__, path]
    subprocess.run([sys.executable, *command], env=ENVIRONMENT, check=True, timeout=120)
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("steps", process_cases.STEPS)
@pytest.mark.parametrize("case", process_cases.CASES)
def test_two_processes_of_torchrun_equal_one(two_processes: dict, case: str, steps: int) -> None:
    expected = process_cases.train_case(case, steps, devices=1)
    assert_close(two_processes[case, steps]["state"], expected["state"])
    assert_close(two_processes[case, steps]["metrics"], expected["metrics"])
    before = process_cases.make_learner(case).network.state_dict()
    assert {"penalty_size", "penalty_rates", "penalty_sparsity"} <= expected["metrics"].keys()
    moved = [name for name, value in before.items() if not torch.equal(value, expected["state"][name])]
    assert {"conv.neuron.norm.running_mean", "conv.synapse.weight", "output.synapse.weight"} <= set(moved)


def fit_on_two(recipe: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What the command line does that trains in two processes."""
    several = ["--trainer.strategy", "ddp", "--trainer.devices", "2", *options]
    command = [sys.executable, "-m", "slayerloss.cli", "fit", "--config", recipe, "--out", folder, *several]
    return subprocess.run(command, env=ENVIRONMENT, timeout=120, capture_output=True, text=True, check=False)


def test_the_command_line_starts_the_processes(tmp_path: Path) -> None:
    layers = [{"type": "Flatten"}, {"type": "Dense", "out_neurons": 3, "neuron": {"norm": "MeanOnlyBatchNorm"}}]
    changes = {"network__layers": layers, "data__batch_size": 5, "optimizer": {"type": "SGD", "lr": 0.1}}
    root = write_recordings(tmp_path / "data")
    for label in ("0", "1"):
        (root / "Test" / label / "00000.bin").write_bytes(b"")
    recipe = write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(root, **changes))
    done = fit_on_two(recipe, tmp_path / "two", "--test")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test_accuracy") == 1  # one process prints
    assert done.stderr == ""
    train.fit(train.read_recipe(recipe), tmp_path / "one", test=True)
    one, two = (train.Run.open(tmp_path / name) for name in ("one", "two"))
    assert_close(*(run.network("last").state_dict() for run in (two, one)))
    assert two.results()["test_silent"] >= 2
    for name in ("metrics.csv", "test.json"):
        assert numbers(two.folder / name) == pytest.approx(numbers(one.folder / name), rel=1e-4)


@pytest.mark.parametrize("process", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_one_process_cannot_read_ends_all(tmp_path: Path, process: int) -> None:
    root = write_recordings(tmp_path / "data")
    changes = {"data__batch_size": 2, "data__shuffle": False, "data__augment": []}
    file = write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(root, **changes))
    position = int(train.build_data(train.read_recipe(file).data).train.indices[process])  # of the first batch
    path = sorted((root / "Train").glob("*/*.bin"))[position]
    path.write_bytes(path.read_bytes()[:11])
    done = fit_on_two(file, tmp_path / "run")
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    assert sum(f"{path.name}' is truncated; expected 5 bytes" in line for line in lines) == 1
    assert all(line.startswith("slayerloss fit: ") for line in lines)
    assert sum("another process of the training has ended" in line for line in lines) == len(lines) - 1 <= 1


@pytest.mark.slow
def test_no_process_waits_for_a_best_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    changes = {"trainer__max_steps": 2, "trainer__check_val_every_n_epoch": 4}
    file = write_recipe_file(tmp_path / "recipe.yaml", tiny_recipe(write_recordings(tmp_path / "data"), **changes))
    done = fit_on_two(file, tmp_path / "run", "--test")
    assert done.returncode == 2
    (line,) = set(done.stderr.splitlines())
    assert "has no best checkpoint" in line


def numbers(path: Path) -> list[float]:
    if path.suffix == ".csv":
        with open(path) as file:
            return [float(value) for row in csv.DictReader(file) for value in row.values()]
    results = train.Run.open(path.parent).results()
    return [value for value in results.values() if isinstance(value, float)]
