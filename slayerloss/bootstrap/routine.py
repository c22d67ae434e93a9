"""Which batch runs with spikes, which with rates, and which is sampled."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

from slayerloss._check import check_flag, check_integer, check_sequence, check_type
from slayerloss.utils import LearningStat

__all__ = ["LayerMode", "Mode", "Scheduler"]


class Mode(enum.Enum):
    """How a block computes its output.

    SNN: with spikes; ANN: with rates, in one step; SAMPLE: with spikes, and collects what the fit needs; FIT: fits, and
    goes on as ANN.

    Example:
        >>> list(Mode)
        [<Mode.SNN: 0>, <Mode.ANN: 1>, <Mode.SAMPLE: 2>, <Mode.FIT: 3>]
    """

    SNN = 0
    ANN = 1
    SAMPLE = 2
    FIT = 3


class LayerMode:
    """The mode of each layer in turn, for `zip(blocks, mode)`.

    The first `crossover` layers run with spikes; the others, and all of them in Mode.SAMPLE, as `base_mode` says.

    Args:
        crossover: how many layers keep to Mode.SNN, at least 0.
        base_mode: the Mode of the network.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> [mode.name for mode, _ in zip(LayerMode(1, Mode.ANN), range(3))]
        ['SNN', 'ANN', 'ANN']
        >>> print(LayerMode(1, Mode.ANN))
        Mode: ANN, crossover at: 1

    Note:
        It starts again whenever it is iterated; lava-dl's goes on counting from the last time.
    """

    def __init__(self, crossover: int, base_mode: Mode) -> None:
        self.crossover = check_integer("LayerMode", "crossover", crossover, 0)
        check_type("LayerMode", "base_mode", base_mode, Mode, "a bootstrap.Mode")
        self.base_mode = base_mode

    def __str__(self) -> str:
        return f"Mode: {self.base_mode.name}" + (f", crossover at: {self.crossover}" if self.crossover else "")

    def __iter__(self) -> Iterator[Mode]:
        """Without end."""
        if self.base_mode is not Mode.SAMPLE:
            for _ in range(self.crossover):
                yield Mode.SNN
        while True:
            yield self.base_mode


class Scheduler:
    """The mode of every batch.

    In training, each `sample_period`-th epoch begins with `num_sample_iter` batches in Mode.SAMPLE and one in Mode.FIT;
    all other batches run in Mode.ANN. In evaluation, these epochs run in Mode.SNN, the others in Mode.ANN.

    Args:
        num_sample_iter: batches, at least 0.
        sample_period: epochs, at least 1.
        crossover_epochs: from each of these epochs on one more layer, counted from the input, runs with spikes; None
            for none.

    Attributes:
        crossover: how many layers run with spikes now.
        snn_stat: `utils.LearningStat` of the evaluations with spikes.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> scheduler = Scheduler(num_sample_iter=2, sample_period=5, crossover_epochs=[6])
        >>> [scheduler.mode(epoch=0, iteration=i).base_mode.name for i in range(4)]
        ['SAMPLE', 'SAMPLE', 'FIT', 'ANN']
        >>> [scheduler.mode(epoch, 0, train=False).base_mode.name for epoch in range(4, 7)]
        ['ANN', 'SNN', 'ANN']
        >>> print(scheduler.mode(epoch=6, iteration=0))
        Mode: ANN, crossover at: 1

    Note:
        lava-dl counts the crossover epochs as they pass, and forgets them when a training is resumed; here the epoch
        alone decides.
    """

    def __init__(
        self, num_sample_iter: int = 10, sample_period: int = 10, crossover_epochs: Sequence[int] | None = None
    ) -> None:
        self.num_sample_iter = check_integer("Scheduler", "num_sample_iter", num_sample_iter, 0)
        self.sample_period = check_integer("Scheduler", "sample_period", sample_period, 1)
        epochs = [] if crossover_epochs is None else check_sequence("Scheduler", "crossover_epochs", crossover_epochs)
        self.crossover_epochs = [check_integer("Scheduler", "crossover_epochs", epoch, 0) for epoch in epochs]
        self.crossover = 0
        self.snn_stat = LearningStat()

    def mode(self, epoch: int, iteration: int, train: bool = True) -> LayerMode:
        """The mode of a batch.

        Args:
            epoch: from 0.
            iteration: the batch's number in its epoch, from 0.
            train: False in evaluation.

        Returns:
            Its `base_mode` is the network's, and iterating it gives each layer's.
        """
        check_integer("Scheduler.mode", "epoch", epoch, 0)
        check_integer("Scheduler.mode", "iteration", iteration, 0)
        self.crossover = sum(landmark <= epoch for landmark in set(self.crossover_epochs))
        sampled = epoch % self.sample_period == 0
        if not check_flag("Scheduler.mode", "train", train):
            base = Mode.SNN if sampled else Mode.ANN
        elif not sampled or iteration > self.num_sample_iter:
            base = Mode.ANN
        else:
            base = Mode.SAMPLE if iteration < self.num_sample_iter else Mode.FIT
        return LayerMode(self.crossover, base)

    def sync_snn_stat(self, stat: LearningStat) -> None:
        """Take over the sums of an evaluation with spikes."""
        check_type("Scheduler.sync_snn_stat", "stat", stat, LearningStat, "a utils.LearningStat")
        self.snn_stat.num_samples = stat.num_samples
        self.snn_stat.loss_sum = stat.loss_sum
        self.snn_stat.correct_samples = stat.correct_samples

    def update_snn_stat(self) -> None:
        """Finish the epoch in `snn_stat`, and begin the next."""
        self.snn_stat.update()
        self.snn_stat.reset()
