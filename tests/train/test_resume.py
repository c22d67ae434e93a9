"""A training that is killed and resumed ends in the same bits as one that is not."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import FormatError, train
from slayerloss.train.checkpoint import CheckpointFiles

FIT = [sys.executable, "-m", "slayerloss.cli", "fit"]


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    root = write_recordings(folder / "data")
    return write_recipe_file(folder / "recipe.yaml", tiny_recipe(root))


@pytest.fixture(scope="module")
def uninterrupted(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    return train.fit(train.read_recipe(recipe_file), tmp_path_factory.mktemp("whole") / "run")


def assert_same_run(run: train.Run, expected: train.Run) -> None:
    for which in ("last", "best"):
        ours, theirs = (torch.load(r.checkpoint(which), weights_only=True) for r in (run, expected))
        assert ours["epoch"] == theirs["epoch"]
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        for name, value in theirs["state_dict"].items():
            assert torch.equal(ours["state_dict"][name], value), f"{which}: {name}"
        torch.testing.assert_close(ours["optimizer_states"], theirs["optimizer_states"], rtol=0, atol=0)
    assert (run.folder / "metrics.csv").read_text() == (expected.folder / "metrics.csv").read_text()


def test_a_killed_process_resumes_to_the_same_bits(recipe_file: Path, uninterrupted: train.Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [*FIT, "--config", recipe_file, "--out", folder],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None, "the training ended by itself"
            assert time.monotonic() < deadline, "no checkpoint"
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    run = train.fit(train.Run.open(folder).recipe, folder, resume=True)
    assert_same_run(run, uninterrupted)
    assert not list(folder.rglob(".*.tmp"))


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_ending_while_a_checkpoint_is_written(
    recipe_file: Path, uninterrupted: train.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    written = []

    def save(self: CheckpointFiles, checkpoint: dict, path: Path, storage_options: object = None) -> None:
        written.append(path)
        if len(written) == at:
            path.with_name(f".{path.name}.0123.tmp").write_bytes(b"half")
            raise Killed
        original(self, checkpoint, path, storage_options)

    original = CheckpointFiles.save_checkpoint
    recipe, folder = train.read_recipe(recipe_file), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(CheckpointFiles, "save_checkpoint", save)
        with pytest.raises(Killed):
            train.fit(recipe, folder)
    assert_same_run(train.fit(recipe, folder, resume=True), uninterrupted)


def test_a_run_that_stopped_early_stays_so(recipe_file: Path, tmp_path: Path) -> None:
    options = ["--patience=1", "--monitor=valid_accuracy", "--optimizer.lr=0", "--trainer.max_epochs=9"]
    run = train.fit(train.read_recipe(recipe_file, options), tmp_path / "run")
    before = torch.load(run.checkpoint("last"), weights_only=True)
    assert before["epoch"] == 1  # the second epoch was no better than the first
    train.fit(run.recipe, run.folder, resume=True)
    assert torch.load(run.checkpoint("last"), weights_only=True)["epoch"] == 1


def test_only_a_run_resumes(recipe_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is no run"):
        train.fit(train.read_recipe(recipe_file), tmp_path, resume=True)


def test_every_epoch_has_a_row(uninterrupted: train.Run) -> None:
    with open(uninterrupted.folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert {"train_loss", "valid_accuracy", "events_conv1", "events_dense2"} <= rows[0].keys()
    assert all(float(row["events_conv1"]) > 0 for row in rows)
