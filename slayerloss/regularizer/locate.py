"""Which penalty is not finite, or has a gradient that is not, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import SlayerError, check_type, errors_of, values_unchecked
from slayerloss.functional._tree import uncompiled
from slayerloss.functional.sparse import is_sparse
from slayerloss.regularizer.activity import LayerActivity
from slayerloss.regularizer.base import BaseRegularization
from slayerloss.regularizer.collector import inner_model
from slayerloss.regularizer.penalty import Penalty
from slayerloss.regularizer.regularized import ALONE, Regularized

_LinAlgError: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
_OF_LAYERS = ("inputs", "voltage", "spikes")
"""What a layer did, in the order in which a NaN goes through it."""


@dataclass(frozen=True)
class NotFinite:
    """What is not finite in a regularized loss; as text, a sentence without its end."""

    penalty: str
    """Its name; "loss" for the loss without the penalties, and for a parameter that none of them is on."""
    what: str
    """"parameter", "inputs", "voltage", "spikes", "value" or "gradient"."""
    where: str
    """The name of the parameter or of the layer; empty where it cannot be told."""
    count: int
    """How many values are NaN or infinite."""

    def __str__(self) -> str:
        if self.penalty == ALONE and self.what == "parameter":
            return f"the parameter {self.where!r} is not finite"
        if self.penalty == ALONE:
            return "the loss without its penalties is not finite"
        of = f"penalty {self.penalty!r}"
        if self.what in ("parameter", *_OF_LAYERS):
            of_layer = f"the {self.what} of layer" if self.what in _OF_LAYERS else "the parameter"
            verb = "are" if self.what in ("inputs", "spikes") else "is"
            return f"{of_layer} {self.where!r}, which {of} is on, {verb} not finite"
        return f"the {self.what} of {of}{f' at {self.where!r}' if self.where else ''} is not finite"


def locate_not_finite(regularized: Regularized) -> NotFinite | None:
    """Find the first penalty that is not finite, and the parameter or layer where that begins.

    Each penalty that counts is evaluated alone, with its weight and gradient: one on parameters as they are now, one on
    activity with that of the model's last call. A training calls it when the loss or a gradient is no longer finite.

    Args:
        regularized: after its model was called.

    Returns:
        First of the penalties on parameters, then of all parameters of the model, then of the penalties on activity,
        and of each in this order: a parameter, or the inputs, voltage or spikes of a layer, that are not finite
        themselves; the value of a penalty; its gradient. If all of these are well, the loss, if it was not finite in
        the last call; None if that is, too.

    Raises:
        ArgumentError: a penalty is on activity, and the model was not called.
        SlayerError: a penalty refuses what it is given, for another reason than NaN or infinite values.

    Example:
        >>> import torch
        >>> from slayerloss.regularizer import Regularized
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> root = lambda: model.weight.square().sum().sqrt()
        >>> regularized = Regularized(torch.nn.MSELoss(), {"root": root}, model)
        >>> print(locate_not_finite(regularized))
        None
        >>> _ = torch.nn.init.zeros_(model.weight)
        >>> print(locate_not_finite(regularized))
        the gradient of penalty 'root' at 'weight' is not finite
    """
    check_type("locate_not_finite", "regularized", regularized, Regularized, "a Regularized")
    active = regularized.active()
    stored = _stored(regularized)
    on_parameters = {name: each for name, each in active.items() if not each[0].on_activity}
    on_activity = {name: each for name, each in active.items() if each[0].on_activity}
    with torch.enable_grad():
        for name, (penalty, factor) in on_parameters.items():
            if found := _first_bad(name, _in_model(penalty, factor, stored)):
                return found
        if found := _first_bad(ALONE, (("parameter", name, tensor) for name, tensor in stored.items())):
            return found
        activity = regularized.activity() if on_activity else {}
        for name, (penalty, factor) in on_activity.items():
            if found := _first_bad(name, _in_layers(penalty, factor, activity)):
                return found
    loss = regularized.terms.get(ALONE)
    count = 0 if loss is None else _bad(loss)
    return NotFinite(ALONE, "value", "", count) if count else None


def _stored(regularized: Regularized) -> dict[str, Tensor]:
    """The parameters of the model, by name."""
    if regularized.model is None:
        return {}
    return {uncompiled(name): x for name, x in inner_model(regularized.model).named_parameters()}


def _first_bad(penalty: str, candidates: Iterable[tuple[str, str, Tensor]]) -> NotFinite | None:
    with errors_of(f"penalty {penalty!r}"):
        for what, where, tensor in candidates:
            if count := _bad(tensor):
                return NotFinite(penalty, what, where, count)
    return None


def _bad(tensor: Tensor) -> int:
    values = tensor.detach()
    return int((~torch.isfinite(values._values() if is_sparse(values) else values)).sum())


def _value(term: Callable[..., Tensor], *args: Any) -> Tensor:
    """The value of a term, which may refuse what is not finite, or results that are not: then that value."""
    try:
        return term(*args)
    except (SlayerError, _LinAlgError):
        pass
    try:
        with values_unchecked():
            return term(*args)
    except _LinAlgError:  # of the singular values of a matrix that holds NaN
        return torch.tensor(torch.nan)


def _in_layers(
    penalty: Penalty, factor: float, activity: Mapping[str, LayerActivity]
) -> Iterator[tuple[str, str, Tensor]]:
    """What of a penalty on activity may be not finite, layer by layer: (what, where, tensor)."""
    names = penalty.chosen({name: layer.module for name, layer in activity.items()})
    for layer in (activity[name] for name in names):
        for what in _OF_LAYERS:
            for tensor in _tensors(getattr(layer, what)):
                yield what, layer.name, tensor
        cut = layer._replace(inputs=_cut(layer.inputs), spikes=_cut(layer.spikes), voltage=_cut(layer.voltage))
        with errors_of(f"layer {layer.name!r}"):
            value = factor * _value(penalty.term, cut)
        yield "value", layer.name, value
        inputs = [x for x in (cut.inputs, cut.spikes, cut.voltage) if isinstance(x, Tensor) and x.requires_grad]
        for gradient in _gradients(value, inputs):
            yield "gradient", layer.name, gradient


def _tensors(x: Any) -> list[Tensor]:
    """A tensor, or those of a pair or None."""
    if isinstance(x, (tuple, list)):
        return [tensor for part in x for tensor in _tensors(part)]
    return [x] if isinstance(x, Tensor) else []


def _cut(x: Any) -> Any:
    """The values of a dense tensor, with gradients of their own; anything else as it is."""
    dense = isinstance(x, Tensor) and x.layout is torch.strided and x.is_floating_point()
    return x.detach().requires_grad_() if dense else x


def _in_model(penalty: Penalty, factor: float, stored: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    """What of a penalty on parameters may be not finite."""
    parts = penalty.term.modules() if isinstance(penalty.term, torch.nn.Module) else []
    named = {name: x for part in parts if isinstance(part, BaseRegularization) for name, x in part.named().items()}
    for name, tensor in named.items():
        yield "parameter", name, tensor
    value = factor * _value(penalty.term)
    # A stored parameter is called what the penalty calls the one that is computed from it.
    owners = {leaf: name for name, x in {**stored, **named}.items() for leaf in _leaves(x)}
    reached = set(_leaves(value))
    leaves = {leaf: name for leaf, name in owners.items() if leaf in reached}
    for leaf, name in leaves.items():
        yield "parameter", name, leaf
    gradients = _gradients(value, leaves)
    for name, gradient in zip(leaves.values(), gradients, strict=True):
        if _bad(gradient):
            yield "value", name, value
            yield "gradient", name, gradient
    # Of a sum of powers, x times its gradient is what x adds to it, but for a factor: the largest overflows first.
    shares = [float((leaf * gradient).detach().abs().sum()) for leaf, gradient in zip(leaves, gradients, strict=True)]
    yield "value", [*leaves.values()][shares.index(max(shares))] if shares else "", value


def _gradients(value: Tensor, tensors: Iterable[Tensor]) -> list[Tensor]:
    """The gradients of a value, zero where it does not depend on a tensor."""
    inputs = list(tensors)
    if not value.requires_grad or not inputs:
        return [torch.zeros_like(x) for x in inputs]
    given = torch.autograd.grad(value, inputs, allow_unused=True)
    return [torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(inputs, given, strict=True)]


def _leaves(value: Tensor) -> list[Tensor]:
    """The tensors that a value was computed from and that a gradient is collected in."""
    if value.is_leaf:
        return [value] if value.requires_grad else []
    found: list[Tensor] = []
    seen: set[Any] = set()
    nodes = [value.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        nodes.extend(following for following, _ in node.next_functions)
    return found
