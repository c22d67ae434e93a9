"""What a training logs epoch by epoch: printed, plotted, saved and loaded."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from slayerloss._check import check_integer, check_range, check_sequence
from slayerloss._path import check_path
from slayerloss.io import replacing
from slayerloss.utils._stats_file import STAGES, Log, has_values, read_logs, write_logs

__all__ = ["LearningStat", "LearningStats"]

KINDS = ("loss", "accuracy")


class LearningStat:
    """Loss and accuracy of one stage of a training, per sample.

    loss = loss_sum / num_samples;  accuracy = correct_samples / num_samples

    A loop adds to `loss_sum`, `correct_samples` and `num_samples`. `update` ends an epoch: it appends to `loss_log` and
    `accuracy_log`, None where nothing was counted. `min_loss` and `max_accuracy` are the best of all epochs;
    `best_loss` and `best_accuracy` tell whether the last one brought them.

    Example:
        >>> stat = LearningStat()
        >>> stat.num_samples, stat.loss_sum, stat.correct_samples = 4, 2.0, 3
        >>> stat.update()
        >>> stat.min_loss, stat.max_accuracy, stat.best_loss
        (0.5, 0.75, True)

    Note:
        Where `correct_samples` is never set, as in a regression, there is no accuracy; lava-dl's is 0. An epoch without
        samples does not fail, and one whose loss is NaN is never the best.
    """

    def __init__(self) -> None:
        self.reset()
        self.min_loss: float | None = None
        self.max_accuracy: float | None = None
        self.loss_log: Log = []
        self.accuracy_log: Log = []
        self.best_loss = self.best_accuracy = False
        self.loss_str, self.loss_unit = "loss", ""
        self.accuracy_str, self.accuracy_unit = "accuracy", ""

    def reset(self) -> None:
        """Forget what was counted since the last epoch."""
        self.loss_sum: float = 0
        self.num_samples: int = 0
        self._correct: float | None = None

    @property
    def correct_samples(self) -> float:
        """Samples that were classified rightly."""
        return self._correct or 0

    @correct_samples.setter
    def correct_samples(self, value: float) -> None:
        self._correct = value

    @property
    def loss(self) -> float | None:
        """Of the epoch so far; None without samples."""
        return self.loss_sum / self.num_samples if self.num_samples else None

    @property
    def accuracy(self) -> float | None:
        """Of the epoch so far; None without samples, or if none was classified."""
        return self._correct / self.num_samples if self.num_samples and self._correct is not None else None

    @property
    def valid_loss_log(self) -> bool:
        """Whether any epoch has a loss."""
        return any(value is not None for value in self.loss_log)

    @property
    def valid_accuracy_log(self) -> bool:
        """Whether any epoch has an accuracy."""
        return any(value is not None for value in self.accuracy_log)

    def update(self) -> None:
        """End an epoch: append to the logs, and find out whether it is the best."""
        self._append(self.loss, self.accuracy)

    def set_logs(self, losses: Sequence[float | None], accuracies: Sequence[float | None]) -> None:
        """Take whole logs, one value per epoch each, None where there is none."""
        self.loss_log, self.accuracy_log, self.min_loss, self.max_accuracy = [], [], None, None
        for loss, accuracy in zip(losses, accuracies, strict=True):
            self._append(loss, accuracy)

    def _append(self, loss: float | None, accuracy: float | None) -> None:
        self.loss_log.append(loss)
        self.accuracy_log.append(accuracy)
        # NaN is never a record: it is not below anything, and the first value has to be equal to itself.
        self.best_loss = loss is not None and (loss == loss if self.min_loss is None else loss < self.min_loss)
        self.best_accuracy = accuracy is not None and (self.max_accuracy is None or accuracy > self.max_accuracy)
        self.min_loss = loss if self.best_loss else self.min_loss
        self.max_accuracy = accuracy if self.best_accuracy else self.max_accuracy

    def __str__(self) -> str:
        texts = []
        if self.loss is not None:
            best = "" if self.min_loss is None else f" (min = {self.min_loss:11.5f})"
            texts.append(f"{self.loss_str} = {self.loss:11.5f}{best} {self.loss_unit}".rstrip())
        if self.accuracy is not None:
            best = "" if self.max_accuracy is None else f" (max = {self.max_accuracy:7.5f})"
            texts.append(f"{self.accuracy_str} = {self.accuracy:7.5f}{best} {self.accuracy_unit}".rstrip())
        return "    ".join(texts)


class LearningStats:
    """The `LearningStat` of `training`, `validation` and `testing`.

    Args:
        loss_str, accuracy_str: what loss and accuracy are called, in print, in plots and as names of files.
        loss_unit, accuracy_unit: printed behind them.

    Example:
        >>> stats = LearningStats()
        >>> stats.training.num_samples, stats.training.loss_sum = 2, 3.0
        >>> print(stats)
        Train loss =     1.50000
        >>> stats.update()
        >>> stats.training.loss_log, stats.validation.loss_log
        ([1.5], [None])

    Note:
        lava-dl's `load` does nothing.
    """

    def __init__(
        self, loss_str: str = "loss", loss_unit: str = "", accuracy_str: str = "accuracy", accuracy_unit: str = ""
    ) -> None:
        self.lines_printed = 0
        self.training, self.testing, self.validation = LearningStat(), LearningStat(), LearningStat()
        for stat in self._stages.values():
            stat.loss_str, stat.loss_unit = str(loss_str), str(loss_unit)
            stat.accuracy_str, stat.accuracy_unit = str(accuracy_str), str(accuracy_unit)

    @property
    def _stages(self) -> dict[str, LearningStat]:
        """In the order in which they are printed and written."""
        return dict(zip(STAGES, (self.training, self.validation, self.testing), strict=True))

    def update(self) -> None:
        """End an epoch of all three."""
        for stat in self._stages.values():
            stat.update()
            stat.reset()

    def new_line(self) -> None:
        """Let the next `print` leave what is printed, and start below it."""
        self.lines_printed = 0

    def __str__(self) -> str:
        return " | ".join(self._lines())

    def _lines(self) -> list[str]:
        texts = {name: str(stat) for name, stat in self._stages.items()}
        return [f"{name:5} {text}" for name, text in texts.items() if text or name == "Train"]

    def print(
        self,
        epoch: int,
        iter: int | None = None,
        time_elapsed: float | None = None,
        header: Sequence[Any] | None = None,
        dataloader: Any = None,
    ) -> None:
        """Print the epoch so far, over what was printed before if a terminal shows it.

        Args:
            epoch: its number.
            iter: the number of the batch.
            time_elapsed: in seconds.
            header: lines to print above.
            dataloader: whose share that is done is shown.
        """
        epoch = check_integer("print", "epoch", epoch)
        iter = None if iter is None else check_integer("print", "iter", iter)
        progress = "" if iter is None else f": i = {iter:5d} "
        if iter is not None and dataloader is not None:
            total = len(dataloader.dataset)
            done = min(iter * (dataloader.batch_size or 1), total)
            progress = f": {done:{len(str(total))}}/{total} ({100 * iter / max(len(dataloader), 1):.0f}%)"
        elapsed = None if time_elapsed is None else 1000 * check_range("print", "time_elapsed", time_elapsed)
        seconds = "" if elapsed is None else f", {elapsed:12.4f} ms elapsed"
        lines = [
            *map(str, () if header is None else check_sequence("print", "header", header)),
            f"Epoch {epoch:4d}{progress}{seconds}",
            *self._lines(),
        ]
        go_back = self.lines_printed > 0 and sys.stdout.isatty()
        print((f"\033[{self.lines_printed}A\033[J" if go_back else "") + "\n".join(lines))
        self.lines_printed = len(lines)

    def plot(
        self, figures: Sequence[int] = (1, 2), figsize: Sequence[float] | None = None, path: str | None = None
    ) -> None:
        """Draw loss and accuracy over the epochs, `plot.learning_curve`, the loss on a logarithmic axis.

        Args:
            figures: pyplot's numbers of the two figures.
            figsize: their width and height in inches; None for the usual.
            path: a folder, or the beginning of a path; writes `loss.png` and `accuracy.png` there.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from slayerloss.plot import learning_curve  # which says so if matplotlib is missing

        import matplotlib.pyplot as plt  # isort: skip

        numbers = [check_integer("plot", "figures", number) for number in check_sequence("plot", "figures", figures, 2)]
        for kind, number in zip(KINDS, numbers, strict=True):
            logs = self._logs(kind)
            if not has_values(logs):
                continue
            size = None if figsize is None else (figsize[0], figsize[1])
            figure = plt.figure(number, figsize=size, layout="constrained")
            figure.clear()
            columns: dict[str, Sequence[float]] = {"epoch": range(len(logs["Train"]))}
            for name, log in logs.items():
                columns[f"{STAGES[name]}_{kind}"] = [math.nan if value is None else value for value in log]
            ax = learning_curve(columns, kind, figure.add_subplot(), scale="log" if kind == "loss" else "linear")
            ax.set_ylabel(f"{self._name(kind)} {getattr(self.training, f'{kind}_unit')}".strip())
            if path is not None:
                with replacing(_beside(check_path("plot", "path", path), f"{kind}.png")) as temporary:
                    figure.savefig(temporary, format="png")

    def save(self, path: str = "") -> None:
        """Write the logs, one row per epoch and one column per stage that has any: `loss.txt`, `accuracy.txt`.

        The files are named after `loss_str` and `accuracy_str`; one without any value is not written. `numpy.loadtxt`
        reads them, a missing value being NaN.

        Args:
            path: a folder, or the beginning of a path.

        Raises:
            FileError: a file cannot be written.
        """
        for kind in KINDS:
            logs = self._logs(kind)
            if has_values(logs):
                write_logs(self._file(path, kind, "save"), logs)

    def load(self, path: str = "") -> None:
        """Read what `save` wrote, or lava-dl's, and go on from there; without a file of accuracies there are none.

        Args:
            path: a folder, or the beginning of a path.

        Raises:
            MissingFileError: there is no file of losses.
            FormatError: a file holds something else, or two files differ in the number of epochs.
        """
        losses, accuracies = read_logs(*(self._file(path, kind, "load") for kind in KINDS))
        for name, stat in self._stages.items():
            stat.set_logs(losses[name], accuracies[name])
            stat.reset()

    def _name(self, kind: str) -> str:
        """What the user calls the loss or the accuracy."""
        return str(getattr(self.training, f"{kind}_str"))

    def _file(self, path: str, kind: str, function: str) -> str:
        return _beside(check_path(function, "path", path), f"{self._name(kind)}.txt")

    def _logs(self, kind: str) -> dict[str, Log]:
        """The logs of the stages, filled up to one length."""
        logs: list[Log] = [getattr(stat, f"{kind}_log") for stat in self._stages.values()]
        length = max(map(len, logs))
        return {name: log + [None] * (length - len(log)) for name, log in zip(self._stages, logs, strict=True)}


def _beside(path: str, name: str) -> str:
    """A file in the folder `path`, or one whose path begins so."""
    return os.path.join(path, name) if os.path.isdir(path) else path + name
