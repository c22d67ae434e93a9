"""The lightning Trainer of a recipe: its options, callbacks and logger, and silence where nothing is amiss."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from slayerloss._check import ArgumentError, BackendError, check_choice, message
from slayerloss.train.average import Average
from slayerloss.train.callbacks import Checkpoints, MetricsFile, Progress
from slayerloss.train.checkpoint import CheckpointFiles
from slayerloss.train.recipe import Recipe, plain

_OURS = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
    "logger": False,
}
"""What the callbacks do instead, and the data module."""


def monitored(recipe: Recipe, validates: bool) -> str:
    """The metric that chooses the best checkpoint.

    Raises:
        ArgumentError: the recipe names one that is not measured, or not before the training ends.
    """
    stages = ("valid", "train") if validates else ("train",)
    metrics = ("loss",) if recipe.decision is None else ("accuracy", "loss")
    known = [f"{stage}_{metric}" for stage in stages for metric in metrics]
    if recipe.monitor is not None:
        check_choice("recipe", "monitor", recipe.monitor, known)
    chosen = recipe.monitor or known[0]
    period, epochs = recipe.trainer.check_val_every_n_epoch, recipe.trainer.max_epochs
    if chosen.startswith("valid_") and -1 < epochs < period:
        problem, way_out = f"{chosen} is never measured", "Lower trainer.check_val_every_n_epoch"
        raise ArgumentError(message("recipe", problem, f"a validation within {epochs} epochs", period, way_out))
    return chosen


def training(recipe: Recipe, folder: Path, monitor: str) -> pl.Trainer:
    """The Trainer that trains by a recipe into the folder of a run, with all that is to happen beside the training."""
    checkpoints = Checkpoints(folder / "checkpoints", monitor, recipe.patience, plain(recipe))
    callbacks: list[pl.Callback] = [MetricsFile(folder / "metrics.csv"), checkpoints]
    if recipe.average is not None:
        callbacks.insert(0, Average(recipe.average))
    if recipe.trainer.enable_progress_bar:
        callbacks.append(Progress(checkpoints))
    options = {"logger": _tensorboard(folder), "callbacks": callbacks, "plugins": [CheckpointFiles()]}
    return _trainer(recipe, **options)


def testing(recipe: Recipe) -> pl.Trainer:
    """The Trainer that measures a network, in one process."""
    return _trainer(recipe, devices=1, num_nodes=1, strategy="auto")


def _trainer(recipe: Recipe, **changes: Any) -> pl.Trainer:
    deterministic = {"deterministic": recipe.trainer.deterministic or None}
    try:
        return pl.Trainer(**{**vars(recipe.trainer), **deterministic, **_OURS, **changes})
    except (MisconfigurationException, TypeError, ValueError) as error:
        got = str(error).rstrip(".! ")
        raise ArgumentError(
            message("recipe", "trainer does not fit", "what can be done on this machine", got)
        ) from None


def _tensorboard(folder: Path) -> Any:
    """Its logger, where tensorboard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    from lightning.pytorch.loggers import TensorBoardLogger

    # An interrupt can make its thread sleep until the next flush, 120 s by default, and the training waits for it.
    return TensorBoardLogger(folder, name="", version="tensorboard", flush_secs=2)


_MEANT = (
    ".*does not have many workers.*",
    ".*Total length of `list`.*",
    ".*litlogger.*",
    ".*LeafSpec.*",
    ".*isinstance\\(treespec.*",
    "Sparse invariant checks.*",  # batches are checked where they are made and used
    ".*call of `lr_scheduler.step\\(\\)` before.*",  # the scaler of 16-mixed has skipped the first step
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what lightning says of itself and of things that are meant as they are; an interrupt stays one."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for text in _MEANT:
            warnings.filterwarnings("ignore", text)
        try:
            yield
        except SystemExit:  # what lightning makes of an interrupt
            raise KeyboardInterrupt from None
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


@contextmanager
def together() -> Iterator[None]:
    """Says in one line that another process of the training has ended, where torch's backends say what broke then."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        problem, way_out = "another process of the training has ended", "What that one printed says why"
        got = str(error).split("] ", 1)[-1].split(". ")[0]
        raise BackendError(message("fit", problem, "all of them to go on", got, way_out)) from None
