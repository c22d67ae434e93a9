"""A training that is killed and resumed ends in the same bits as one that is not."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_recordings import tiny_recipe, write_recipe_file, write_recordings

from slayerloss import FormatError, train
from slayerloss.train.checkpoint import CheckpointFiles

EPOCHS = 8
FIT = [sys.executable, "-m", "slayerloss.cli", "fit"]


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    root = write_recordings(folder / "data")
    return write_recipe_file(folder / "recipe.yaml", tiny_recipe(root, trainer__max_epochs=EPOCHS))


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


def rows_of(folder: Path) -> int:
    """The epochs that metrics.csv has."""
    path = folder / "metrics.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def environment() -> dict[str, str]:
    """As many threads as here: how a sum is divided among them shows in its last bits."""
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def start(recipe_file: Path, folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*FIT, "--config", recipe_file, "--out", folder, *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_listen,
    )


def _listen() -> None:
    """A shell's background jobs ignore SIGINT, and so would what the tests start from one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, f"the training ended by itself: {process.communicate()}"
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("epochs", "options"),
    [
        pytest.param(1, [], id="first", marks=pytest.mark.slow),
        pytest.param(2, [], id="second", marks=pytest.mark.slow),
        pytest.param(3, [], id="third"),
        pytest.param(2, ["--data.workers=2"], id="second, with workers"),
    ],
)
def test_a_killed_process_resumes_to_the_same_bits(
    recipe_file: Path, uninterrupted: train.Run, tmp_path: Path, epochs: int, options: list[str]
) -> None:
    """Killed when so many epochs are in the metrics file, which is written before the checkpoint of the last one."""
    folder = tmp_path / "run"
    process = start(recipe_file, folder, *options)
    try:
        wait_until(lambda: rows_of(folder) >= epochs, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the workers, too
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert rows_of(folder) < EPOCHS
    run = train.fit(train.Run.open(folder).recipe, folder, resume=True)
    assert run.recipe.data.workers == (2 if options else 0)
    assert_same_run(run, uninterrupted)
    assert not list(folder.rglob(".*.tmp"))


@pytest.mark.slow
def test_two_killed_processes_resume_to_the_same_bits(recipe_file: Path, tmp_path: Path) -> None:
    several = ["--trainer.strategy=ddp", "--trainer.devices=2", "--average=0.5"]
    whole = start(recipe_file, tmp_path / "whole", *several)
    _, complained = whole.communicate(timeout=120)
    assert whole.returncode == 0, complained
    folder = tmp_path / "run"
    process = start(recipe_file, folder, *several)
    try:
        wait_until(lambda: rows_of(folder) >= 3, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # both of them
        process.communicate()
    assert 3 <= rows_of(folder) < EPOCHS
    subprocess.run([*FIT, "--resume", folder], env=environment(), check=True, timeout=120)
    run = train.Run.open(folder)
    assert run.recipe.trainer.devices == 2
    assert rows_of(folder) == EPOCHS
    assert_same_run(run, train.Run.open(tmp_path / "whole"))


def test_an_interrupted_process_says_how_to_go_on(recipe_file: Path, uninterrupted: train.Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(recipe_file, folder, "--data.workers=2")
    try:
        wait_until((folder / "checkpoints" / "last.ckpt").exists, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
        printed, complained = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert printed == f"interrupted; slayerloss fit --resume {folder} goes on from the last complete epoch\n"
    assert complained == ""
    train.fit(train.Run.open(folder).recipe, folder, resume=True)
    assert_same_run(train.Run.open(folder), uninterrupted)


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
    options = ["--patience=1", "--monitor=valid_accuracy", "--optimizer.lr=0", "--trainer.max_epochs=12"]
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
    assert [row["epoch"] for row in rows] == [str(epoch + 1) for epoch in range(EPOCHS)]
    assert {"train_loss", "valid_accuracy", "events_conv1", "events_dense2"} <= rows[0].keys()
    assert all(float(row[name]) > 0 for row in rows for name in ("events_conv1", "events_dense2"))
    assert all(len({row[name] for row in rows}) > EPOCHS // 2 for name in ("train_loss", "valid_loss"))
    assert torch.load(uninterrupted.checkpoint("best"), weights_only=True)["epoch"] > 0
