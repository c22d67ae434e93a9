"""A loss with penalties beside it: called as the loss is, it adds them while training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    ShapeError,
    check_callable,
    check_flag,
    check_range,
    check_shape,
    check_tensor,
    check_type,
    errors_of,
    message,
)
from slayerloss.block import SpikingBlock
from slayerloss.kernels.weight_penalty import shared_passes
from slayerloss.regularizer.activity import LayerActivity
from slayerloss.regularizer.collector import ActivityCollector, modules_by_name
from slayerloss.regularizer.penalty import Penalty

ALONE = "loss"
"""What the loss without the penalties is called among the terms."""


class Regularized(torch.nn.Module):
    r"""A loss that is called as it was, and adds penalties while training.

    .. math::
        L = \text{loss} + \sum_i w_i f_i(\text{progress}) P_i

    In eval mode it is the loss alone. Of a loss with `reduction="none"` each value gets all penalties.

    Args:
        loss: function or module of (spikes, target), and of `lengths` if they are given.
        penalties: name -> `Penalty`, or a term with weight 1.
        model: what penalties on activity look at while it is called: its spiking layers. It is not registered here;
            it may be compiled, or wrapped for several processes. Penalties on parameters know their own model.
        stepwise: a call of a layer is one step, without T, as of `ActivityCollector`.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.
        SlayerError: (in a call) as the loss or a term raises it, which is named.

    Example:
        >>> from slayerloss import block, regularizer
        >>> neuron = dict(threshold=0.1, current_decay=0.5, voltage_decay=0.1)
        >>> model = torch.nn.Sequential(block.cuba.Dense(neuron, 4, 3), block.cuba.Dense(neuron, 3, 2))
        >>> loss = lambda spikes, target: (spikes.mean(-1) - target).square().mean()
        >>> penalties = {
        ...     "rates": Penalty(lambda activity: activity.spikes.mean(), weight=0.1),
        ...     "size": Penalty(lambda: model[0].synapse.weight.square().mean(), weight=0.01),
        ... }
        >>> regularized = Regularized(loss, penalties, model)
        >>> regularized(model(torch.ones(1, 4, 8)), torch.zeros(1, 2)).backward()
        >>> list(regularized.terms)
        ['loss', 'rates', 'size']
    """

    model: torch.nn.Module | None

    def __init__(
        self,
        loss: Callable[..., Tensor],
        penalties: Mapping[str, Penalty | Callable[..., Tensor]],
        model: torch.nn.Module | None = None,
        *,
        stepwise: bool = False,
    ) -> None:
        super().__init__()
        check_callable("Regularized", "loss", loss)
        check_type("Regularized", "penalties", penalties, Mapping, "a mapping from names to penalties")
        self.loss = loss
        self.stepwise = check_flag("Regularized", "stepwise", stepwise)
        self.penalties = torch.nn.ModuleDict()
        self.terms: dict[str, Tensor] = {}
        """The weighted values of the last call, detached, and "loss"."""
        self._progress: float | None = None
        self._collector: ActivityCollector | None = None
        object.__setattr__(self, "model", None)  # a module that is not registered
        for name, penalty in penalties.items():
            self.add(name, penalty)
        if model is not None:
            self.attach(model)

    def add(self, name: str, penalty: Penalty | Callable[..., Tensor]) -> None:
        """Add a penalty; one on activity looks at the model from `attach` on.

        Raises:
            ArgumentError: the name is taken, or cannot be one.
            DtypeError: it is no penalty.
        """
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w-]*", name):
            rule = "a letter, then letters, digits, _ or -"
            raise ArgumentError(message("Regularized", "a penalty's name is no name", rule, repr(name)))
        if name == ALONE or name in self.penalties or hasattr(self.penalties, name):
            raise ArgumentError(message("Regularized", "a penalty's name is taken", "another one", repr(name)))
        self.penalties[name] = penalty if isinstance(penalty, Penalty) else Penalty(penalty)

    @property
    def progress(self) -> float | None:
        """The fraction of the training that is done, in [0, 1], for the schedules; None until someone sets it."""
        return self._progress

    @progress.setter
    def progress(self, value: float) -> None:
        self._progress = check_range("Regularized", "progress", value, 0, 1)

    @property
    def reduction(self) -> str:
        """That of the loss; "mean" if it has none."""
        return getattr(self.loss, "reduction", "mean")

    @property
    def ignore_index(self) -> int | None:
        """That of the loss."""
        return getattr(self.loss, "ignore_index", None)

    def attach(self, model: torch.nn.Module | None = None) -> None:
        """Look at the activity of a model from now on.

        Args:
            model: None for the same as before.

        Raises:
            ArgumentError: it has no such layers as a penalty names, or none that is hidden.
            DtypeError: there is no model.
        """
        model = self.model if model is None else model
        check_type("Regularized", "model", model, torch.nn.Module, "a torch.nn.Module")
        self.close()
        object.__setattr__(self, "model", model)
        looking = [penalty for _, penalty in self.each() if penalty.on_activity]
        if looking and model is not None:
            modules = modules_by_name(model)
            taken = {name for penalty in looking for name in penalty.chosen(modules)}
            layers = [name for name, module in modules.items() if isinstance(module, SpikingBlock) or name in taken]
            voltage = any(getattr(penalty.term, "needs_voltage", False) for penalty in looking)
            self._collector = ActivityCollector(model, layers, voltage=voltage, stepwise=self.stepwise)

    def clear(self) -> None:
        """Forget what the model did in its last call, and let those tensors go."""
        if self._collector is not None:
            self._collector.clear()

    def pause(self) -> None:
        """Do not look at the model until `resume`, such as in a validation, which is faster then."""
        if self._collector is not None:
            self._collector.pause()

    def resume(self) -> None:
        """Look at the model again after `pause`."""
        if self._collector is not None:
            self._collector.resume()

    def close(self) -> None:
        """Look at no model any more: it is as it was before `attach`."""
        if self._collector is not None:
            self._collector.close()
        self._collector = None

    def activity(self, like: Tensor | None = None, lengths: Tensor | None = None) -> dict[str, LayerActivity]:
        """What the spiking layers did in the model's last call.

        Args:
            like: what `lengths` belong to, (N, ..., T).
            lengths: (N,), for layers of as many steps that do not know theirs.

        Raises:
            ArgumentError: there is no model, or it was not called.
        """
        if self._collector is None:
            problem, way_out = "there is no model to look at", "Give it as model=, or to attach"
            raise ArgumentError(message("Regularized", problem, "a model, for penalties on activity", None, way_out))
        activity = dict(self._collector.activity)
        if not activity:
            problem = "the model has sent nothing"
            way_out = (
                "Call the model that was given, with the layers of the penalties, before the loss, and resume() "
                "first if it was paused; give it before it is compiled and called"
            )
            raise ArgumentError(message("Regularized", problem, "activity of its spiking layers", "none", way_out))
        if isinstance(like, Tensor):
            self._check_that_it_is_the_pass_of(like, activity)
        if lengths is None or like is None:
            return activity
        untold = [name for name, a in activity.items() if a.lengths is None and a.spikes.shape[-1] == like.shape[-1]]
        return activity | {name: activity[name]._replace(lengths=lengths) for name in untold}

    def _check_that_it_is_the_pass_of(self, answer: Tensor, activity: Mapping[str, LayerActivity]) -> None:
        if self._collector is not None and answer.requires_grad and not self._collector.with_gradients:
            problem = "the model was called without gradients after the pass whose spikes are given"
            way_out = "Call the loss first, or .pause() before that call"
            raise ArgumentError(message("Regularized", problem, "the pass of these spikes", "a later one", way_out))
        for name, layer in activity.items():
            if answer.ndim and len(layer.spikes) not in answer.shape:
                problem = f"layer {name!r} has sent other samples than the loss got"
                rule = f"({len(answer)}, C, ..., T)"
                raise ShapeError(message("Regularized", problem, rule, tuple(layer.spikes.shape)))

    def each(self) -> Iterator[tuple[str, Penalty]]:
        """The penalties, by name."""
        return ((name, cast(Penalty, penalty)) for name, penalty in self.penalties.items())

    def active(self) -> dict[str, tuple[Penalty, float]]:
        """The penalties that count now, by name, each with its factor."""
        factors = {name: (penalty, penalty.factor(self.progress)) for name, penalty in self.each()}
        return {name: (penalty, factor) for name, (penalty, factor) in factors.items() if factor != 0}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_collector": self._collector is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_collector": None})
        if state["_collector"]:  # a copy looks at the copy of the model
            self.attach()

    def forward(self, spikes: Tensor, target: Any, lengths: Tensor | None = None, **options: Any) -> Tensor:
        """The loss, in training mode with the penalties; the arguments are those of the loss."""
        given = options if lengths is None else {"lengths": lengths, **options}
        total: Tensor = self.loss(spikes, target, **given)
        check_tensor("Regularized", "the loss", total)
        self.terms = {ALONE: total.detach()}
        active = self.active() if self.training else {}
        looked_at = any(penalty.on_activity for penalty, _ in active.values())
        if not looked_at:
            self.clear()
        if not self.training:
            return total
        self.terms |= {name: total.new_zeros(()) for name in self.penalties}
        activity = self.activity(spikes, lengths) if looked_at else {}
        with shared_passes(self):
            for name, (penalty, factor) in active.items():
                with errors_of(f"penalty {name!r}"):
                    value = penalty(activity)
                check_tensor("Regularized", f"penalty {name!r}", value)
                check_shape("Regularized", f"penalty {name!r}", value, ())
                weighted = factor * value.to(total.device)
                self.terms[name] = weighted.detach()
                total = total + weighted
        return total
