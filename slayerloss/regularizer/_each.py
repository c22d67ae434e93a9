"""What goes with each parameter of a penalty, and the sum over the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from slayerloss._check import ArgumentError, DtypeError, SlayerError, message
from slayerloss.functional._tree import leaves, matched, readable
from slayerloss.regularizer.base import BaseRegularization


def one_for_each(regularization: BaseRegularization, what: str, given: Any) -> list[Tensor]:
    """A tensor for each parameter, in their order.

    Args:
        regularization: whose parameters.
        what: is given, for errors.
        given: a sequence in the order of the parameters, a mapping by their names, or a module with parameters of these
            names, of which the others do not matter.

    Raises:
        ArgumentError: there are more or fewer of them, or they have other names.
        DtypeError: something is no tensor.
    """
    function, names = type(regularization).__name__, regularization.parameter_names()
    given = readable(given)
    named = isinstance(given, (torch.nn.Module, Mapping))
    if not named and not isinstance(given, Tensor):
        if isinstance(given, (str, bytes)) or hasattr(given, "__array__") or not isinstance(given, Iterable):
            rule = f"{len(names)} tensors, one for each parameter"
            raise DtypeError(message(function, f"{what} are no tensors", rule, type(given).__name__))
        given = list(given)
    values = leaves(function, given)
    if isinstance(given, torch.nn.Module):
        values = {name: value.detach() for name, value in values.items() if name in names}
    if named:
        return list(matched(function, names, values, what).values())
    if len(values) != len(names):
        problem, rule = f"{what} do not match the parameters", f"{len(names)}, one for each"
        raise ArgumentError(message(function, problem, rule, len(values)))
    return list(values.values())


def total_of_each(
    regularization: BaseRegularization, penalty: Callable[..., Tensor], *others: Iterable[Tensor | float | None]
) -> Tensor:
    """The sum of penalty(parameter, its others) over the parameters; an error says of which parameter it is."""
    terms = []
    for (name, tensor), *own in zip(regularization.named().items(), *others, strict=True):
        try:
            terms.append(penalty(tensor, *own))
        except SlayerError as error:
            raise type(error)(f"{type(regularization).__name__} of {name or 'its tensor'}, {error}") from None
    return regularization.total(terms)
