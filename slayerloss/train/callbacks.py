"""What happens beside the training: checkpoints and when to stop, the metrics file, the lines on the screen."""

from __future__ import annotations

import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from slayerloss.io import replacing
from slayerloss.train.recipe import BEST, LAST


def epoch_metrics(trainer: pl.Trainer) -> dict[str, float]:
    """What was measured in the epoch that ends now."""
    validates = bool(trainer.val_dataloaders)
    stale = validates and (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) != 0
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    kinds = ("train_", "valid_", "penalty_", "events_")
    order = [name for kind in kinds for name in metrics if name.startswith(kind)]
    return {name: metrics[name] for name in order if not (stale and name.startswith(("valid_", "events_")))}


class Checkpoints(Callback):
    """Keeps the best and the last checkpoint, after each epoch, and stops when there is no better one for a while.

    Args:
        folder: where `best.ckpt` and `last.ckpt` are written, each complete or not at all.
        monitor: the metric that says which is better: higher is, if it is an accuracy.
        patience: stop after so many values without a better one; None never.
        recipe: what each checkpoint says that it was trained by.
    """

    def __init__(
        self, folder: Path, monitor: str, patience: int | None = None, recipe: dict[str, Any] | None = None
    ) -> None:
        self.folder, self.monitor, self.patience, self.recipe = folder, monitor, patience, recipe
        self.sign = 1.0 if monitor.endswith("accuracy") else -1.0
        self.best = -math.inf
        self.waited = 0
        self.improved = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(".*.tmp"):  # of a run that was killed while it wrote
                left.unlink()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop(trainer)  # a run that had stopped and is resumed

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = epoch_metrics(trainer).get(self.monitor)
        self.improved = value is not None and self.sign * value > self.best
        if value is not None:
            self.best = max(self.best, self.sign * value)
            self.waited = 0 if self.improved else self.waited + 1
        if self.improved:
            trainer.save_checkpoint(self.folder / BEST)
        trainer.save_checkpoint(self.folder / LAST)
        self._stop(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.recipe is not None:
            checkpoint["recipe"] = self.recipe

    def _stop(self, trainer: pl.Trainer) -> None:
        if self.patience is not None and self.waited >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]


class MetricsFile(Callback):
    """Writes `metrics.csv`, a row for each epoch from 1 on; checkpoints hold the rows, so that a resumed run has them.

    Args:
        path: the file; it is replaced, complete, after each epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        where = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        rate = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        self.rows.append({**where, **epoch_metrics(trainer), **rate})
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write all rows."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class Progress(Callback):
    """A line for each epoch, with a star where a best checkpoint was kept, and on a terminal a bar for the running one.

    Args:
        checkpoints: what knows the best.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.bar: Any = None
        self.began = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            print(_summary(trainer, pl_module))
            print(f"(* the best {self.checkpoints.monitor} so far, kept in {BEST})", flush=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.monotonic()
        hidden = not (trainer.is_global_zero and sys.stderr.isatty())
        batches = int(trainer.num_training_batches)
        self.bar = tqdm(total=batches, desc=_epoch(trainer), leave=False, disable=hidden, unit="batch")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bar.close()
        metrics = {name: v for name, v in epoch_metrics(trainer).items() if not name.startswith("events_")}
        texts = [f"{name} {format_metric(name, value)}" for name, value in metrics.items()]
        seconds = f"{time.monotonic() - self.began:.1f} s"
        if trainer.is_global_zero:
            print("  ".join([_epoch(trainer), *texts, seconds + " *" * self.checkpoints.improved]), flush=True)

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()


def format_metric(name: str, value: float) -> str:
    """A metric for people: an accuracy in percent.

    Example:
        >>> format_metric("valid_accuracy", 0.971), format_metric("valid_loss", 0.02345678)
        ('97.1 %', '0.02346')
    """
    return f"{100 * value:.1f} %" if name.endswith("accuracy") else f"{value:.4g}"


def _epoch(trainer: pl.Trainer) -> str:
    last = str(trainer.max_epochs) if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1:>{len(last)}}{'/' if last else ''}{last}"


def _summary(trainer: pl.Trainer, learner: Any) -> str:
    """The network and the recordings in two lines."""
    layers = [f"{name} {'x'.join(map(str, layer.shape or '?'))}" for name, layer in learner.network.named_children()]
    parameters = sum(parameter.numel() for parameter in learner.network.parameters())
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    sizes = [f"{len(part)} {name}" for part, name in ((data.train, "training"), (data.valid, "validation")) if part]
    return (
        f"{' > '.join(layers)}: {parameters:,} parameters\n"
        f"{' and '.join(sizes)} recordings, batches of {data.batch_size}, on {learner.device.type}"
    )
