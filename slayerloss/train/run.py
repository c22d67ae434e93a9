"""Runs: a folder with the recipe, the checkpoints, the metrics and the versions of one training."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

import slayerloss
from slayerloss._check import ArgumentError, FormatError, check_choice, message
from slayerloss.io import replacing
from slayerloss.train.average import Average
from slayerloss.train.build import build, build_data, build_learner
from slayerloss.train.callbacks import BEST, LAST, CheckpointFiles, Checkpoints, MetricsFile, Progress
from slayerloss.train.data import EventData
from slayerloss.train.learner import Learner
from slayerloss.train.network import Network
from slayerloss.train.recipe import Recipe, read_recipe, write_recipe

RUN_FORMAT = 1


@dataclass
class Run:
    """A training on the disk.

    `recipe.yaml` is the recipe with all its values, `checkpoints/best.ckpt` and `last.ckpt` hold parameters and all
    that going on needs, `metrics.csv` a row for each epoch, `versions.json` the versions of what wrote them.

    Args:
        folder: of the run.
        recipe: what it was trained by.
    """

    folder: Path
    recipe: Recipe

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Read a run from its folder.

        Raises:
            FormatError: the folder holds no run, or one of another format.
        """
        folder = Path(folder)
        for name in ("versions.json", "recipe.yaml"):
            if not (folder / name).is_file():
                way_out = "slayerloss fit --out FOLDER makes one"
                raise FormatError(message("run", f"'{folder}' is no run", name, "no such file", way_out))
        try:
            found = json.loads((folder / "versions.json").read_text(encoding="utf-8"))["run_format"]
        except (ValueError, KeyError, TypeError) as error:
            problem = f"'{folder / 'versions.json'}' does not say the format of the run"
            raise FormatError(message("run", problem, "run_format", repr(error))) from None
        if found != RUN_FORMAT:
            problem, way_out = f"'{folder}' has an unknown run_format", "Use the slayerloss that wrote it"
            raise FormatError(message("run", problem, str(RUN_FORMAT), found, way_out))
        return cls(folder, read_recipe(folder / "recipe.yaml"))

    def checkpoint(self, which: str = "best") -> Path:
        """The path of the best or the last checkpoint.

        Raises:
            FormatError: there is none: the run was ended before its first epoch was complete.
        """
        check_choice("run", "checkpoint", which, ("best", "last"))
        path = self.folder / "checkpoints" / (BEST if which == "best" else LAST)
        if not path.is_file():
            way_out = f"slayerloss fit --resume {self.folder} goes on with it"
            raise FormatError(message("run", f"'{self.folder}' has no {which} checkpoint", str(path), "none", way_out))
        return path

    def network(self, which: str = "best") -> Network:
        """The trained network, in eval mode, on the CPU."""
        path = self.checkpoint(which)
        network = build(self.recipe)
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        except (RuntimeError, EOFError, KeyError, ValueError) as error:  # what torch makes of a damaged file
            raise FormatError(message("run", f"'{path}' cannot be read", "a checkpoint", _first_line(error))) from None
        network.load_state_dict(_inner(saved, "network."))
        return network.eval()

    def data(self) -> EventData:
        """The recordings of the recipe."""
        return build_data(self.recipe.data, self.recipe.seed)

    def test(self, which: str = "best") -> dict[str, Any]:
        """Measure a checkpoint on the test recordings and write what comes out to `test.json`, for `results`.

        Returns:
            test_loss, test_accuracy (of a classification), events of each layer per sample, and `confusion`, rows the
            true class.
        """
        data = self.data()
        learner = build_learner(self.recipe, data.train)
        learner.network.load_state_dict(self.network(which).state_dict())
        with _quiet():
            trainer = pl.Trainer(**_trainer_options(self.recipe, devices=1, strategy="auto"))
            trainer.test(learner, data, verbose=False)
        return self.write_test(trainer, learner, which)

    def results(self) -> dict[str, Any]:
        """What the last test measured."""
        results: dict[str, Any] = json.loads((self.folder / "test.json").read_text(encoding="utf-8"))
        return results

    def write_test(self, trainer: pl.Trainer, learner: Learner, which: str) -> dict[str, Any]:
        """Write what the trainer has measured."""
        results: dict[str, Any] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        results = {name: value for name, value in results.items() if name.startswith(("test_", "events_"))}
        if learner.confusion is not None:
            results["confusion"] = learner.confusion.compute().tolist()
        if trainer.is_global_zero:
            _write_json(self.folder / "test.json", {"checkpoint": which, **results})
        return results


def fit(recipe: Recipe, folder: str | os.PathLike[str], *, resume: bool = False, test: bool = False) -> Run:
    """Train by a recipe.

    Args:
        recipe: what to do.
        folder: of the run; it is made if it is missing.
        resume: go on from the last complete checkpoint in the folder. The parameters at the end are those of a training
            that was never interrupted.
        test: measure the best checkpoint on the test recordings at the end.

    Returns:
        The run.

    Raises:
        ArgumentError: the folder holds a run already; or the recipe does not fit itself or the data.
        FormatError: the recordings cannot be read; the folder cannot be resumed.
        DivergedError: a gradient is not finite.
        OSError: the folder cannot be written to.
    """
    run = Run(Path(folder), recipe)
    if first_process():
        _check_folder(run.folder, resume)
    data = build_data(recipe.data, recipe.seed)
    learner = build_learner(recipe, data.train)
    monitor = _monitor(recipe, data.valid is not None)
    with _quiet():
        trainer = _trainer(run, monitor)
        if first_process():
            _begin(run)
        last = run.folder / "checkpoints" / LAST
        try:
            trainer.fit(learner, data, ckpt_path=last if resume and last.is_file() else None)
        except SystemExit:  # what lightning makes of an interrupt
            raise KeyboardInterrupt from None
        if test:
            best = trainer.strategy.broadcast(str(last.with_name(BEST)))
            trainer.test(learner, data, ckpt_path=best, verbose=False)
            run.write_test(trainer, learner, "best")
    return run


def first_process() -> bool:
    """Whether this is the process that writes and prints, also before the processes have found each other."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _monitor(recipe: Recipe, validates: bool) -> str:
    stages = ("valid", "train") if validates else ("train",)
    metrics = ("loss",) if recipe.decision is None else ("accuracy", "loss")
    known = [f"{stage}_{metric}" for stage in stages for metric in metrics]
    if recipe.monitor is not None:
        check_choice("recipe", "monitor", recipe.monitor, known)
    return recipe.monitor or known[0]


def _trainer(run: Run, monitor: str) -> pl.Trainer:
    """The Trainer of a recipe, with all that is to happen beside the training."""
    checkpoints = Checkpoints(run.folder / "checkpoints", monitor, run.recipe.patience)
    callbacks: list[pl.Callback] = [MetricsFile(run.folder / "metrics.csv"), checkpoints]
    if run.recipe.average is not None:
        callbacks.insert(0, Average(run.recipe.average))
    if run.recipe.trainer.enable_progress_bar:
        callbacks.append(Progress(checkpoints))
    options = _trainer_options(run.recipe, logger=_tensorboard(run.folder))
    try:
        return pl.Trainer(**options, callbacks=callbacks, plugins=[CheckpointFiles()])
    except (MisconfigurationException, ValueError) as error:
        got = str(error).rstrip(".! ")
        raise ArgumentError(message("recipe", "trainer does not fit", "what lightning takes", got)) from None


def _check_folder(folder: Path, resume: bool) -> None:
    """See that a run can begin, or go on, in a folder."""
    if resume:
        Run.open(folder)
    elif (folder / "recipe.yaml").exists():
        way_out = f"Use --resume {folder} to go on with it, or another --out"
        raise ArgumentError(message("fit", f"'{folder}' holds a run", "a new folder", "a run", way_out))


def _begin(run: Run) -> None:
    """Make the folder of a run; the recipe comes last and says that there is one."""
    (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write_json(run.folder / "versions.json", _versions())
    write_recipe(run.recipe, run.folder / "recipe.yaml")


def _versions() -> dict[str, Any]:
    return {
        "run_format": RUN_FORMAT,
        "slayerloss": slayerloss.__version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _trainer_options(recipe: Recipe, **changes: Any) -> dict[str, Any]:
    ours = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "logger": False,
    }
    return {**vars(recipe.trainer), "deterministic": recipe.trainer.deterministic or None, **ours, **changes}


def _tensorboard(folder: Path) -> Any:
    """Its logger, where tensorboard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="", version="tensorboard")


_MEANT = (
    ".*does not have many workers.*",
    ".*Total length of `list`.*",
    ".*litlogger.*",
    ".*LeafSpec.*",
    ".*isinstance\\(treespec.*",
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what lightning says of itself and of things that are meant as they are."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in _MEANT:
            warnings.filterwarnings("ignore", text)
        try:
            yield
        finally:
            logger.setLevel(before)


def _inner(state: Any, prefix: str) -> Any:
    """The part of a state dict under a prefix, with the versions of its modules."""
    inner = type(state)((name.removeprefix(prefix), value) for name, value in state.items() if name.startswith(prefix))
    versions = getattr(state, "_metadata", {})
    inner._metadata = {name.removeprefix(prefix): v for name, v in versions.items() if f"{name}.".startswith(prefix)}
    return inner


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
