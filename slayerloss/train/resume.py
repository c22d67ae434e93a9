"""Going on with a run: in which folder a training may begin, and what may be another value than it was begun with."""

from __future__ import annotations

from pathlib import Path

from slayerloss._check import ArgumentError, FormatError, message
from slayerloss._path import check_folder_to_write
from slayerloss.regularizer import WeightSchedule
from slayerloss.train.checkpoint import load_parameters, read_checkpoint
from slayerloss.train.learner import Learner
from slayerloss.train.recipe import BEST, LAST, Options, Recipe, differences, plain
from slayerloss.train.schedule import Schedule

FREE = (
    "data.root",
    "data.workers",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.deterministic",
    "trainer.enable_progress_bar",
)
"""What may be another when a training goes on: where and how fast it runs, not what it comes to."""

_ENDS = ("trainer.max_epochs", "trainer.max_steps")
"""The ends of a training; they may be others where the training so far would have been the same with them."""


def check_new(folder: Path) -> None:
    """See that a run can begin in a folder: nothing complete of another run is there.

    Raises:
        ArgumentError: there is a checkpoint already, or the folder cannot be made or written to.
    """
    check_folder_to_write("fit", folder)
    if any((folder / "checkpoints" / name).exists() for name in (BEST, LAST)):
        way_out = f"slayerloss fit --resume {folder} goes on with it; or choose another --out"
        raise ArgumentError(message("fit", f"'{folder}' holds a run", "a new folder", "a run", way_out))


def check_same(folder: Path, old: Recipe, recipe: Recipe, learner: Learner) -> None:
    """See that a training with this recipe goes on where the last checkpoint ends.

    Args:
        folder: of the run.
        old: the recipe in the folder.
        recipe: the one to go on with.
        learner: made by it; it gets the parameters of the checkpoint.

    Raises:
        ArgumentError: a value is not the one that the run was begun with, and not among those that may change.
        FormatError: the checkpoint is damaged, or does not fit the learner.
    """
    check_folder_to_write("fit", folder)
    path = folder / "checkpoints" / LAST
    checkpoint = read_checkpoint(path) if path.is_file() else {}
    done = dict(zip(_ENDS, (checkpoint["epoch"] + 1, checkpoint["global_step"]), strict=True)) if checkpoint else {}
    for key, before, value in differences(checkpoint.get("recipe", plain(old)), plain(recipe)):
        if key in FREE or (key in _ENDS and _may_end_at(value, done.get(key, 0), recipe)):
            continue
        problem, way_out = f"{key} is not what '{folder}' was begun with", _way_out(key, recipe)
        raise ArgumentError(message("fit", problem, str(before), value, way_out))
    if checkpoint:
        load_parameters(learner, checkpoint, path)


def check_network(checkpoint: Options, path: Path, recipe: Recipe) -> None:
    """See that a recipe describes the network that a checkpoint holds.

    Raises:
        FormatError: it describes another; a value such as a threshold leaves no other trace.
    """
    trained = checkpoint.get("recipe", {}).get("network")
    for key, before, value in differences(trained, plain(recipe)["network"]) if trained else ():
        problem, way_out = f"'{path}' does not fit the recipe: network.{key}", "Put recipe.yaml back as it was"
        raise FormatError(message("run", problem, str(before), value, f"{way_out}, or train again"))


def _may_end_at(end: int, done: int, recipe: Recipe) -> bool:
    return not _depends_on_end(recipe) and (end == -1 or end >= done)


def _depends_on_end(recipe: Recipe) -> bool:
    """Whether the learning rate of a step, or the weight of a penalty, depends on how many steps there are in all."""
    schedule = Schedule(**recipe.schedule)
    weights = [each.get("schedule") or {} for each in (recipe.regularizers or {}).values()]
    return schedule.type != "constant" or schedule.warmup > 0 or any(WeightSchedule(**each).changes for each in weights)


def _way_out(key: str, recipe: Recipe) -> str:
    if key not in _ENDS:
        return "Begin a new run for that"
    if _depends_on_end(recipe):
        return "A schedule depends on the end; begin a new run for another"
    return "It has come further already"
