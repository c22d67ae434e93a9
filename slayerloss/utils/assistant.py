"""The steps of a training loop: train, validate and test on one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    DtypeError,
    ShapeError,
    check_callable,
    check_flag,
    check_range,
    check_type,
    message,
)
from slayerloss.regularizer import Regularized
from slayerloss.regularizer.regularized import ALONE
from slayerloss.utils.stats import LearningStat, LearningStats

__all__ = ["Assistant"]

OPTIMIZER, STATS = ("param_groups", "step", "zero_grad"), ("training", "validation", "testing")
"""What an optimiser and the statistics have to have."""


class Assistant:
    """Train, validate and test a network batch by batch, and keep the statistics.

    `train(input, target)` makes one step of the optimiser, `valid` and `test` none. Each returns the network's output,
    with `count_log` also its count.

    Args:
        net: returns the output; (output, count) with `count_log`; (output, net_loss) with `lam`;
            (output, net_loss, count) with both.
        error: (output, target) -> the loss, one number: the mean over the batch, or the sum over it where its attribute
            `reduction` is "sum". Of a `regularizer.Regularized` the penalties are not in the statistics.
        optimizer: of the network's parameters; None if it is not trained.
        stats: a LearningStats, or None.
        classifier: output -> predicted labels, of the shape of the target; None for a regression.
        count_log: whether the network returns counts.
        lam: factor of the network's own loss, which is added for the gradient but not to the statistics.

    Raises:
        DtypeError, ArgumentError: an argument of the wrong type or range.

    Example:
        >>> net = torch.nn.Linear(3, 2)
        >>> stats = LearningStats()
        >>> assistant = Assistant(net, torch.nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=0.1), stats)
        >>> assistant.train(torch.ones(4, 3), torch.zeros(4, 2)).shape
        torch.Size([4, 2])
        >>> stats.training.num_samples
        4

    Note:
        The statistics are per sample: lava-dl multiplies the loss by the size of the batch, even if it is a sum over
        the batch already. `valid` of lava-dl demands `net.device`. Where a sample has several labels, the fraction of
        them that is right counts.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        error: Callable[[Any, Any], Tensor],
        optimizer: torch.optim.Optimizer | None,
        stats: LearningStats | None = None,
        classifier: Callable[[Any], Tensor] | None = None,
        count_log: bool = False,
        lam: float | None = None,
    ) -> None:
        check_type("Assistant", "net", net, torch.nn.Module, "a torch.nn.Module")
        check_callable("Assistant", "error", error)
        if classifier is not None:
            check_callable("Assistant", "classifier", classifier)
        for name, value, methods in (("optimizer", optimizer, OPTIMIZER), ("stats", stats, STATS)):
            if value is not None and not all(hasattr(value, method) for method in methods):
                rule = f"an object with {', '.join(methods)}"
                raise DtypeError(message("Assistant", f"{name} is none", rule, type(value).__name__))
        self.net, self.error = net, error
        self.optimizer: Any = optimizer
        self.stats, self.classifier = stats, classifier
        self.count_log = check_flag("Assistant", "count_log", count_log)
        self.lam = None if lam is None else check_range("Assistant", "lam", lam)

    @property
    def device(self) -> torch.device | None:
        """Where the network is; None if it has no parameters."""
        return next((parameter.device for parameter in self.net.parameters()), None)

    def reduce_lr(self, factor: float = 10 / 3) -> None:
        """Divide the learning rate of every group of parameters."""
        check_range("reduce_lr", "factor", factor, 0, low_open=True)
        for group in self._optimizer("reduce_lr").param_groups:
            group["lr"] /= factor

    def train(self, input: Tensor, target: Tensor) -> Any:
        """One step of the optimiser on a batch."""
        optimizer = self._optimizer("train")
        self._set_mode(training=True)
        loss, net_loss, returned = self._run(input, target, "training")
        if self.lam is not None:
            loss = loss + self.lam * net_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return returned

    @torch.no_grad()
    def test(self, input: Tensor, target: Tensor) -> Any:
        """The batch as part of the test."""
        self._set_mode(training=False)
        return self._run(input, target, "testing")[2]

    @torch.no_grad()
    def valid(self, input: Tensor, target: Tensor) -> Any:
        """The batch as part of the validation."""
        self._set_mode(training=False)
        return self._run(input, target, "validation")[2]

    def _set_mode(self, training: bool) -> None:
        self.net.train(training)
        if isinstance(self.error, torch.nn.Module):
            self.error.train(training)

    def _optimizer(self, function: str) -> Any:
        if self.optimizer is None:
            rule, way_out = "an optimiser of the network's parameters", "Pass one to Assistant"
            raise ArgumentError(message(function, "optimizer is None", rule, None, way_out))
        return self.optimizer

    def _run(self, input: Tensor, target: Tensor, stage: str) -> tuple[Tensor, Any, Any]:
        """The loss, the network's own, and what the user gets; the statistics of the stage are kept."""
        check_type("Assistant", "input", input, Tensor, "a tensor")
        check_type("Assistant", "target", target, Tensor, "a tensor")
        input, target = input.to(self.device), target.to(self.device)
        output, net_loss, count = self._parts(self.net(input))
        loss = self.error(output, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            way_out = 'Give it reduction="sum" or "mean"'
            raise ShapeError(message("Assistant", "error returns no loss", "a tensor of one number", got, way_out))
        if self.stats is not None:
            alone = self.error.terms[ALONE] if isinstance(self.error, Regularized) else loss
            self._count(getattr(self.stats, stage), input.shape[0], alone, output, target)
        return loss, net_loss, (output, count) if self.count_log else output

    def _parts(self, returned: Any) -> tuple[Any, Any, Any]:
        """(output, the network's own loss, count), None for what it does not return."""
        names = ["output", *["net_loss"] * (self.lam is not None), *["count"] * self.count_log]
        if len(names) == 1:
            return returned, None, None
        if not isinstance(returned, (tuple, list)) or len(returned) != len(names):
            got = len(returned) if isinstance(returned, (tuple, list)) else type(returned).__name__
            raise DtypeError(message("Assistant", "net returns something else", f"({', '.join(names)})", got))
        parts = dict(zip(names, returned, strict=True))
        return parts["output"], parts.get("net_loss"), parts.get("count")

    def _count(self, stat: LearningStat, samples: int, loss: Tensor, output: Any, target: Tensor) -> None:
        stat.num_samples += samples
        stat.loss_sum += loss.item() * (1 if getattr(self.error, "reduction", "mean") == "sum" else samples)
        if self.classifier is not None:
            right = self.classifier(output) == target
            stat.correct_samples += (
                right.flatten(1).double().mean(1).sum().item() if right.ndim > 1 else int(right.sum())
            )
