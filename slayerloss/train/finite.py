"""Numbers that are no longer finite end a training; the layer where that began is named, or the penalty."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from slayerloss._check import DivergedError, message
from slayerloss.regularizer import Regularized, locate_not_finite
from slayerloss.regularizer.regularized import ALONE

_WAY_OUT = "Lower the learning rate or scale_grad, or set trainer.gradient_clip_val"


def check_parameters(network: torch.nn.Module) -> None:
    """Raise DivergedError if a parameter is not finite, and name the first layer that has one."""
    parameters = dict(network.named_parameters())
    if not _all_finite(parameters):
        _blame("parameter", parameters)


def check_penalties(regularized: Regularized) -> None:
    """Raise DivergedError if a penalty is not finite, after the model was called; it is named.

    Raises:
        SlayerError: a penalty refuses what it is given, for another reason.
    """
    found = locate_not_finite(regularized)
    if found is not None and found.penalty != ALONE:
        got, way_out = f"{found.count} NaN or infinite values", f"Lower the weight of {found.penalty!r}, or bound it"
        raise DivergedError(message("fit", str(found), "finite values", got, way_out))


def check_step(
    network: torch.nn.Module, loss: Tensor, *, gradients: bool = True, regularized: Regularized | None = None
) -> None:
    """Raise DivergedError if a parameter, the loss or a gradient is not finite: the optimiser would spread it.

    Args:
        network: the gradients of whose parameters are known.
        loss: of the step; it comes from the last layer.
        gradients: look at them, too. The layer that is named is the last one, where a bad gradient begins.
        regularized: what gave the loss, if that has penalties: one that is not finite is named first.
    """
    parameters = dict(network.named_parameters())
    known = {name: p.grad for name, p in parameters.items() if p.grad is not None} if gradients else {}
    every = {"loss": loss, **{f"p.{name}": p for name, p in parameters.items()}}
    if _all_finite({**every, **{f"g.{name}": gradient for name, gradient in known.items()}}):
        return
    check_parameters(network)
    if regularized is not None:
        check_penalties(regularized)
    if not _finite(loss):
        last = next(reversed(list(network.named_children())), (type(network).__name__.lower(),))[0]
        problem = f"the loss of what layer {last} sends is not finite"
        raise DivergedError(message("fit", problem, "a finite loss", float(loss), _WAY_OUT))
    _blame("gradient", dict(reversed(known.items())))


def _all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether all are finite, with one look at the device: a sum is, unless an element is not or the sum overflows."""
    sums = [tensor.detach().sum().float() for tensor in tensors.values()]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all()) or all(map(_finite, tensors.values()))


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _blame(what: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise DivergedError for the first that is not finite."""
    name, tensor = next((name, tensor) for name, tensor in tensors.items() if not _finite(tensor))
    layer, _, parameter = name.partition(".")
    problem = f"the {what} of layer {layer} ({parameter or layer}) is not finite"
    got = f"{int((~torch.isfinite(tensor)).sum())} NaN or infinite values"
    raise DivergedError(message("fit", problem, "finite values", got, _WAY_OUT))
