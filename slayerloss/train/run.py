"""Runs: a folder with the recipe, the checkpoints, the metrics and the versions of one training."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import numpy as np
import torch

import slayerloss
from slayerloss._check import FormatError, SlayerError, check_choice, message
from slayerloss.io import replacing
from slayerloss.kernels.cpu import library
from slayerloss.netx.export import checked
from slayerloss.train.build import build, build_data, build_learner, check_classes
from slayerloss.train.checkpoint import load_parameters, read_checkpoint
from slayerloss.train.data import EventData
from slayerloss.train.learner import Learner
from slayerloss.train.network import Network
from slayerloss.train.recipe import BEST, LAST, Recipe, check_recipe, read_recipe, write_recipe
from slayerloss.train.resume import check_network, check_new, check_same
from slayerloss.train.trainer import monitored, quiet, testing, together, training

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
        except (ValueError, KeyError, TypeError):
            problem = f"'{folder / 'versions.json'}' does not say the format of the run"
            raise FormatError(message("run", problem, "run_format", "none")) from None
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
            other = (self.folder / "checkpoints" / LAST).is_file()
            way_out = f"slayerloss fit --resume {self.folder} goes on with it"
            way_out = "Take the last one: --checkpoint last" if other and which == "best" else way_out
            raise FormatError(message("run", f"'{self.folder}' has no {which} checkpoint", str(path), "none", way_out))
        return path

    def network(self, which: str = "best") -> Network:
        """The trained network, in eval mode, on the CPU.

        Raises:
            FormatError: the checkpoint is missing or damaged, or the recipe describes another network.
        """
        path = self.checkpoint(which)
        checkpoint = read_checkpoint(path)
        check_network(checkpoint, path, self.recipe)
        network = build(self.recipe)
        load_parameters(network, checkpoint, path, "network.")
        return network.eval()

    def data(self) -> EventData:
        """The recordings of the recipe."""
        return build_data(self.recipe.data, self.recipe.seed)

    def test(self, which: str = "best") -> dict[str, Any]:
        """Measure a checkpoint on the test recordings and write what comes out to `test.json`, for `results`.

        Returns:
            test_loss, events per sample of the input and of each layer; of a classification also test_accuracy,
            test_recordings (how many there are), test_silent (how many of them had no output spike), and `confusion`,
            rows the true class.
        """
        data = self.data()
        learner = build_learner(self.recipe, data.train)
        if learner.num_classes is not None:
            check_classes(data.test, learner.num_classes, "test")
        learner.network.load_state_dict(self.network(which).state_dict())
        with quiet():
            trainer = testing(self.recipe)
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
        folder: of the run; it is made if it is missing. What another training left there before its first epoch was
            complete is replaced.
        resume: go on from the last complete checkpoint in the folder. The parameters at the end are those of a training
            that was never interrupted. What the recipe says must be what the run was begun with, but for `data.root`,
            `data.workers`, how the trainer runs (`accelerator`, `devices`, `num_nodes`, `strategy`, `deterministic`,
            `enable_progress_bar`) and, with a constant learning rate, its end (`max_epochs`, `max_steps`).
        test: measure the best checkpoint on the test recordings at the end.

    Returns:
        The run.

    Raises:
        ArgumentError: the folder holds a run already or cannot be written to; the recipe does not fit itself, the data,
            or the run that is resumed.
        FormatError: the recordings cannot be read; the folder cannot be resumed, or its checkpoint is damaged.
        DivergedError: the loss, a gradient or a parameter is not finite.
        BackendError: another process of the training has ended.
        OSError: the folder cannot be written to.
    """
    check_recipe(recipe)
    run = Run(Path(folder), recipe)
    last = run.folder / "checkpoints" / LAST
    old = Run.open(run.folder).recipe if resume else None
    if first_process() and old is None:
        check_new(run.folder)
    data = build_data(recipe.data, recipe.seed)
    learner = build_learner(recipe, data.train)
    if test and learner.num_classes is not None:
        check_classes(data.test, learner.num_classes, "test")
    monitor = monitored(recipe, data.valid is not None)
    if first_process() and old is not None:
        check_same(run.folder, old, recipe, learner)
    if first_process() and recipe.trainer.enable_progress_bar:
        _say_what_export_refuses(learner.network, recipe)
    with quiet(), together():
        trainer = training(recipe, run.folder, monitor)
        if first_process():
            _begin(run, last)
        trainer.fit(learner, data, ckpt_path=last if resume and last.is_file() else None)
        if test:
            folder = trainer.strategy.broadcast(str(run.folder))  # the first process may have named it
            best = Run(Path(folder), recipe).checkpoint("best")  # says so, in every process, if there is none
            trainer.test(learner, data, ckpt_path=best, verbose=False)
            run.write_test(trainer, learner, "best")
    return run


def first_process() -> bool:
    """Whether this is the process that writes and prints, also before the processes have found each other."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _say_what_export_refuses(network: torch.nn.Module, recipe: Recipe) -> None:
    """Warn in one line of what is not for Loihi in a network; a training may be for something else."""
    try:
        checked(network, recipe.network.input_shape)
    except SlayerError as error:
        refusal = str(error).removeprefix("export: ")
        print(f"warning: slayerloss export would refuse this network: {refusal}", flush=True)


def _begin(run: Run, last: Path) -> None:
    """Make the folder of a run; the recipe comes last and says that there is one."""
    if (run.folder / "recipe.yaml").exists() and not last.is_file() and run.recipe.trainer.enable_progress_bar:
        print(f"no epoch of the training in '{run.folder}' is complete: it begins anew")
    (run.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write_json(run.folder / "versions.json", _versions())
    write_recipe(run.recipe, run.folder / "recipe.yaml")


def _versions() -> dict[str, Any]:
    return {
        "run_format": RUN_FORMAT,
        "slayerloss": slayerloss.__version__,
        "kernels": library.description(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
