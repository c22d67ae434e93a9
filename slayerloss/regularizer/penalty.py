"""One penalty of a loss: a term, how much it counts, and over which layers."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from slayerloss._check import (
    ArgumentError,
    check_callable,
    check_integer,
    check_range,
    check_sequence,
    check_tensor,
    check_type,
    errors_of,
    message,
)
from slayerloss.block import SpikingBlock
from slayerloss.functional import _tree
from slayerloss.regularizer.activity import LayerActivity

Layers = str | int | Sequence[str | int] | None
"""Patterns of names, or positions; None: all spiking blocks but the last."""


class Penalty(torch.nn.Module):
    """One penalty of a regularized loss: weight * schedule(progress) * term.

    Args:
        term: on parameters, a function or module without arguments, such as `L1(model)`; or on activity, of a
            `LayerActivity`, such as `RateBand()`. Its value is 0-d.
        weight: factor of the term, finite; a negative one rewards what the term punishes.
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
        self.on_activity = _needs_an_argument(term)
        """Whether the term is one on activity: it has an argument that must be given."""
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

    def chosen(self, modules: Mapping[str, torch.nn.Module], what: str = "layer") -> list[str]:
        """The names of the layers that the term is summed over.

        Args:
            modules: those that there are, by name.
            what: they are, for errors.

        Raises:
            ArgumentError: there is no such layer; the nearest is named.
        """
        blocks = [name for name, module in modules.items() if isinstance(module, SpikingBlock)]
        if self.layers is None:
            _check_blocks(blocks, 2, modules)
            return blocks[1:] if getattr(self.term, "counts_arrivals", False) else blocks[:-1]
        if self.positions:
            _check_blocks(blocks, 1, modules)
        last = len(blocks) - 1
        taken = {blocks[check_integer("Regularized", "layers", at, -last - 1, last)] for at in self.positions}
        for pattern in self.patterns:
            having = [names for names in (blocks, [*modules]) if any(fnmatch.fnmatchcase(n, pattern) for n in names)]
            names = having[0] if having else blocks or [*modules]
            taken.update(_tree.chosen("Regularized", names, pattern, what))
        return [name for name in modules if name in taken]

    def forward(self, activity: Mapping[str, LayerActivity]) -> Tensor:
        """The term, summed over its layers, without weight: 0-d."""
        if not self.on_activity:
            value: Tensor = self.term()
            return value
        terms = []
        called = {name: layer.module for name, layer in activity.items()}
        for name in self.chosen(called, "layer that was called"):
            with errors_of(f"layer {name!r}"):
                terms.append(self.term(activity[name]))
                check_tensor("Regularized", "the value of the term", terms[-1])
        return _tree.total(terms)

    def extra_repr(self) -> str:
        options = {"weight": f"{self.weight:g}", "schedule": self.schedule, "layers": self.layers}
        return ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)


def _check_blocks(blocks: Sequence[str], least: int, modules: Mapping[str, torch.nn.Module]) -> None:
    if len(blocks) < least:
        problem = f"there is no {'hidden ' * (least > 1)}spiking block of this library"
        rule, got = f"at least {least} in the model", ", ".join(map(repr, blocks)) or "none"
        way_out = f"Name the layers of the penalty, out of {', '.join(modules)}"
        raise ArgumentError(message("Regularized", problem, rule, got, way_out))


def _needs_an_argument(term: Callable[..., Tensor]) -> bool:
    call = term.forward if isinstance(term, torch.nn.Module) else term
    given = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        arguments = inspect.signature(call).parameters.values()
    except ValueError:  # of what is written in C, such as weight.norm
        return False
    return any(argument.kind in given and argument.default is argument.empty for argument in arguments)
