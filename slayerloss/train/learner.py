"""The one LightningModule: a network, a loss and, for a classification, a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from slayerloss._check import SlayerError
from slayerloss._distributed import sum_over_processes, world_size
from slayerloss.block import reset_state
from slayerloss.functional import count
from slayerloss.functional.sparse import event_count
from slayerloss.loss import SparsityEnforcer
from slayerloss.regularizer import ActivityCollector, Regularized
from slayerloss.regularizer.regularized import ALONE
from slayerloss.train.finite import check_parameters, check_penalties, check_step
from slayerloss.train.penalties import RegularizerCallback, of_enforcer
from slayerloss.train.schedule import Schedule

Optimizer = Callable[[Iterable[Any]], torch.optim.Optimizer]


class _AfterErrors(pl.Callback):
    """Ends what an error, after which lightning calls no `teardown`, would leave on the network."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        pl_module.teardown(str(trainer.state.fn))


class Learner(pl.LightningModule):
    """Trains a network on events, by any loss on spikes.

    Neurons with `persistent_state` begin each batch anew: what follows a sample is another sample, not what came after.

    Logged for each stage (train, valid, test): `<stage>_loss`, without penalties, per sample where the loss is a sum;
    `<stage>_accuracy` with a decision; `events_<layer>`, events per sample of every spiking layer, of the validation if
    there is one. Of a training `penalty_<name>`, what each penalty adds to the loss of a batch. Of a test also
    `events_input`, events per sample of the input, and with a decision `test_recordings`, how many they were, and
    `test_silent`, how many had no output spike.

    Args:
        network: blocks; it is called with events (N, C, ..., T), and with `lengths` if the batch has them.
        loss: function(spikes, labels or targets), and of `lengths` if the batch has them; with penalties beside it a
            `regularizer.Regularized`.
        decision: spikes -> predicted classes, such as `classifier.Rate`; None for a regression.
        num_classes: with a decision, how many there are.
        optimizer: parameters -> optimiser; None for Adam at 0.001.
        schedule: of the learning rate.
        sparsity: a penalty on the events of every spiking layer but the last, named "sparsity".
        seed: dropout is drawn from (seed, epoch, step, process), so that a training that goes on later is the same.

    Raises:
        DivergedError: (in training) the loss, a penalty, a gradient or a parameter is not finite; the layer is named,
            or the penalty.

    Example:
        >>> from slayerloss import block, classifier, loss
        >>> neuron = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> learner = Learner(block.cuba.Dense(neuron, 20, 3), loss.SpikeMax(), classifier.Rate(), num_classes=3)
        >>> learner(torch.ones(4, 20, 5)).shape
        torch.Size([4, 3, 5])
    """

    def __init__(
        self,
        network: torch.nn.Module,
        loss: Callable[..., Tensor],
        decision: Callable[..., Tensor] | None = None,
        *,
        num_classes: int | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        sparsity: SparsityEnforcer | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if sparsity is not None:
            loss = loss if isinstance(loss, Regularized) else Regularized(loss, {})
            loss.add("sparsity", of_enforcer(sparsity))
        self.network, self.loss, self.decision = network, loss, decision
        self.optimizer = optimizer or torch.optim.Adam
        self.schedule = schedule or Schedule()
        self.seed = seed
        self.num_classes = None if decision is None else num_classes
        self.accuracy = torch.nn.ModuleDict()
        self.confusion: MulticlassConfusionMatrix | None = None
        if decision is not None:
            options: dict[str, Any] = {"num_classes": num_classes, "ignore_index": getattr(loss, "ignore_index", None)}
            stages = ("train", "valid", "test")
            self.accuracy.update({f"{stage}_": MulticlassAccuracy(average="micro", **options) for stage in stages})
            self.confusion = MulticlassConfusionMatrix(**options)
        self._loss = torch.zeros(())

    @property
    def regularized(self) -> Regularized | None:
        """The loss, if it has penalties."""
        return self.loss if isinstance(self.loss, Regularized) else None

    def configure_callbacks(self) -> list[pl.Callback]:
        penalties = [] if self.regularized is None else [RegularizerCallback(self.network)]
        return [*penalties, _AfterErrors()]

    def setup(self, stage: str) -> None:
        self._layers = ActivityCollector(self.network)

    def teardown(self, stage: str) -> None:
        if hasattr(self, "_layers"):  # else an error came before `setup`
            self._layers.close()

    def forward(self, events: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The output spikes of events (N, C, ..., T)."""
        spikes: Tensor = self.network(events) if lengths is None else self.network(events, lengths)
        return spikes

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        reset_state(self.network)
        words = np.random.SeedSequence((self.seed, self.current_epoch, batch_idx, self.global_rank)).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        loss = self._step("train", batch, log_events=not self.trainer.val_dataloaders)
        self._loss = loss.detach()
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._step("valid", batch)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._step("test", batch)

    def _step(self, stage: str, batch: tuple[Tensor, ...], log_events: bool = True) -> Tensor:
        """The loss of a batch, with its penalties; logs that without them, the accuracy and the events."""
        events, target, *rest = batch
        lengths = rest[0] if rest else None
        given = {} if lengths is None else {"lengths": lengths}
        penalised: Regularized | None = None
        try:
            spikes = self(events, lengths)
            penalised = self.regularized if self.training else None
            loss: Tensor = self.loss(spikes, target, **given)
        except SlayerError:
            check_parameters(self.network)  # of a bad parameter the layers would say only that it is one
            if penalised is not None:
                check_penalties(penalised)
            raise
        alone = loss.detach() if self.regularized is None else self.regularized.terms[ALONE]
        size = _size(events)
        per_sample = size if getattr(self.loss, "reduction", "mean") == "sum" else 1
        self._log({f"{stage}_loss": alone / per_sample}, size)
        if self.decision is not None:
            self._decide(stage, self.decision(spikes.detach(), **given), target, lengths)
            if stage == "test":
                self._count_silent(spikes.detach(), lengths)
        if log_events:
            sent = {"input": events} if stage == "test" else {}
            sent |= {name: layer.spikes for name, layer in self._layers.activity.items()}
            self._log({f"events_{name}": _events(each, lengths) / size for name, each in sent.items()}, size)
        self._layers.clear()
        return loss

    def _log(self, values: dict[str, Tensor], size: int) -> None:
        """Log values that average, over the processes, to that of the whole batch, of `size` samples."""
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=size)

    def _decide(self, stage: str, predicted: Tensor, label: Tensor, lengths: Tensor | None) -> None:
        """Compare decisions (N,) or (N, T) with labels (N,) or (N, T)."""
        if predicted.ndim == 2:
            label = label[:, None].expand_as(predicted) if label.ndim == 1 else label
            if lengths is not None:
                counted = torch.arange(predicted.shape[1], device=lengths.device) < lengths[:, None]
                predicted, label = predicted[counted], label[counted]
        metric = cast(MulticlassAccuracy, self.accuracy[f"{stage}_"])
        if len(label):
            metric.update(predicted, label)
            if stage == "test" and self.confusion is not None:
                self.confusion.update(predicted, label)
        self.log(f"{stage}_accuracy", metric, on_step=False, on_epoch=True, batch_size=1)

    def _count_silent(self, spikes: Tensor, lengths: Tensor | None) -> None:
        """Log how many recordings there are, and how many without an output spike: sums over batches and processes."""
        silent = count(spikes != 0, lengths=lengths).flatten(1).sum(1) == 0
        for name, each in {"test_recordings": torch.ones_like(silent), "test_silent": silent}.items():
            self.log(name, each.sum().float(), on_step=False, on_epoch=True, reduce_fx="sum", sync_dist=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # The scaler of 16-mixed skips a step whose scaled gradient overflows, and scales less: until 1 all may be well.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        gradients = scaler is None or scaler.get_scale() <= 1
        check_step(self.network, self._loss, gradients=gradients, regularized=self.regularized)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.is_last_batch:  # no step follows that would look at what this one did
            check_parameters(self.network)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.network.parameters())
        num_steps = self.trainer.estimated_stepping_batches
        factor = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule(step, num_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        reset_state(self.network)

    on_test_batch_start = on_validation_batch_start


def _size(events: Tensor) -> int:
    """The samples of the whole batch, of all processes."""
    return int(sum_over_processes(torch.tensor(float(len(events)), device=events.device)))


def _events(sent: Tensor, lengths: Tensor | None) -> Tensor:
    """The events of a layer or of the input, so that the average over the processes is that of the whole batch."""
    return event_count(sent.detach(), lengths) * world_size()
