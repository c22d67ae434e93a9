"""A loss with penalties beside it: called as the loss is, it adds them while training."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    check_callable,
    check_flag,
    check_integer,
    check_range,
    check_sequence,
    check_shape,
    check_tensor,
    check_type,
    errors_of,
    message,
)
from slayerloss.block import SpikingBlock
from slayerloss.functional import _tree
from slayerloss.kernels.weight_penalty import shared_gradients
from slayerloss.regularizer.activity import LayerActivity
from slayerloss.regularizer.collector import ActivityCollector, modules_by_name

Layers = str | int | Sequence[str | int] | None
"""Patterns of names, or positions; None: all spiking blocks but the last."""

ALONE = "loss"
"""What the loss without the penalties is called among the terms."""


class Penalty(torch.nn.Module):
    """One penalty of a regularized loss: weight * schedule(progress) * term.

    Args:
        term: on parameters, a function or module without arguments, such as `L1(model)`; or on activity, of a
            `LayerActivity`, such as `RateBand()`. Its value is 0-d.
        weight: factor of the term, finite.
        schedule: fraction of the training that is done, in [0, 1] -> factor, such as a `WeightSchedule`; None for 1.
        layers: of a term on activity: over which layers it is summed. None: all spiking blocks of this library but the
            last, whose spikes are the answer; of a term with `counts_arrivals`, such as `SynapticOperations`, but the
            first, which hears the data. Positions among those (0, -1); patterns of their names ("conv*") or, if one
            matches none of them, of the names of any modules.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> Penalty(lambda activity: activity.spikes.mean(), weight=0.5).on_activity
        True
    """

    def __init__(
        self,
        term: Callable[..., Tensor],
        weight: float = 1.0,
        schedule: Callable[[float], float] | None = None,
        layers: Layers = None,
    ) -> None:
        super().__init__()
        check_callable("Penalty", "term", term)
        if schedule is not None:
            check_callable("Penalty", "schedule", schedule)
        self.term, self.schedule, self.layers = term, schedule, layers
        self.weight = check_range("Penalty", "weight", weight)
        one = isinstance(layers, (str, int))
        given = [] if layers is None else [layers] if one else check_sequence("Penalty", "layers", layers)
        for each in given:
            kind = str if isinstance(each, bool) else (str, int)  # True is no position
            check_type("Penalty", "layers", each, kind, "names or positions of layers")
        if given and not self.on_activity:
            problem, rule = "layers chooses nothing of a term on parameters", "None"
            way_out = "The argument names of the penalty chooses among parameters"
            raise ArgumentError(message("Penalty", problem, rule, repr(layers), way_out))
        self.patterns = [each for each in given if isinstance(each, str)]
        self.positions = [each for each in given if not isinstance(each, str)]

    @property
    def on_activity(self) -> bool:
        """Whether the term is one on activity: it has an argument that must be given."""
        call = self.term.forward if isinstance(self.term, torch.nn.Module) else self.term
        given = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        try:
            arguments = inspect.signature(call).parameters.values()
        except ValueError:  # of what is written in C, such as weight.norm
            return False
        return any(argument.kind in given and argument.default is argument.empty for argument in arguments)

    def factor(self, progress: float | None) -> float:
        """What the term is multiplied by.

        Raises:
            ArgumentError: it depends on the progress, which nobody has said.
        """
        if self.schedule is None:
            return self.weight
        if progress is None:
            problem, way_out = "progress is not known", "Set .progress before each step, or leave the schedule out"
            raise ArgumentError(message("Regularized", problem, "a number in [0, 1]", None, way_out))
        return self.weight * self.schedule(progress)

    def chosen(self, modules: Mapping[str, torch.nn.Module]) -> list[str]:
        """The names of the layers that the term is summed over.

        Args:
            modules: those that there are, by name.

        Raises:
            ArgumentError: there is no such layer; the nearest is named.
        """
        blocks = [name for name, module in modules.items() if isinstance(module, SpikingBlock)]
        if self.layers is None:
            if len(blocks) < 2:
                problem, way_out = "there is no hidden spiking block", "Name the layers of the penalty, such as '*'"
                got = ", ".join(blocks) or "none"
                raise ArgumentError(message("Regularized", problem, "at least two blocks", got, way_out))
            return blocks[1:] if getattr(self.term, "counts_arrivals", False) else blocks[:-1]
        last = len(blocks) - 1
        taken = {blocks[check_integer("Regularized", "layers", at, -last - 1, last)] for at in self.positions}
        for pattern in self.patterns:
            having = [names for names in (blocks, [*modules]) if any(fnmatch.fnmatchcase(n, pattern) for n in names)]
            names = having[0] if having else blocks or [*modules]
            taken.update(_tree.chosen("Regularized", names, pattern, "layer"))
        return [name for name in modules if name in taken]

    def forward(self, activity: Mapping[str, LayerActivity]) -> Tensor:
        """The term, summed over its layers, without weight: 0-d."""
        if not self.on_activity:
            value: Tensor = self.term()
            return value
        terms = []
        for name in self.chosen({name: layer.module for name, layer in activity.items()}):
            with errors_of(f"layer {name!r}"):
                terms.append(self.term(activity[name]))
        return _tree.total(terms)

    def extra_repr(self) -> str:
        options = {"weight": f"{self.weight:g}", "schedule": self.schedule, "layers": self.layers}
        return ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)


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
            problem, way_out = "the model has sent nothing", "Call the model that was given before the loss"
            raise ArgumentError(message("Regularized", problem, "activity of its spiking layers", "none", way_out))
        if lengths is None or like is None:
            return activity
        untold = [name for name, a in activity.items() if a.lengths is None and a.spikes.shape[-1] == like.shape[-1]]
        return activity | {name: activity[name]._replace(lengths=lengths) for name in untold}

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
        self.terms = {ALONE: total.detach()}
        if not self.training:
            return total
        self.terms |= {name: total.new_zeros(()) for name in self.penalties}
        active = self.active()
        looked_at = any(penalty.on_activity for penalty, _ in active.values())
        activity = self.activity(spikes, lengths) if looked_at else {}
        with shared_gradients():
            for name, (penalty, factor) in active.items():
                with errors_of(f"penalty {name!r}"):
                    value = penalty(activity)
                check_tensor("Regularized", f"penalty {name!r}", value)
                check_shape("Regularized", f"penalty {name!r}", value, ())
                weighted = factor * value.to(total.device)
                self.terms[name] = weighted.detach()
                total = total + weighted
        return total
