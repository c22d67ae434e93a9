"""How a kernel becomes a torch operator, and how its gradient is differentiated once more.

An operator is one node to torch.compile and torch.export, which do not look into its loop over time. It is registered
through torch.library.Library, which does not import dynamo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_library = torch.library.Library("slayerloss", "DEF")


def operator(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Register `kernel` as the torch operator slayerloss::NAME.

    Args:
        schema: "NAME(Tensor x, ...) -> Tensor", of the types that torch.library knows.
        kernel: computes, on any device; it chooses between fast kernels and the reference itself. It returns new
            tensors, whose strides are those of the fake ones.
        fake: makes empty tensors like the results, from tensors without values.

    Returns:
        The operator; on torch 2.3, which cannot register a fake kernel, `kernel` itself.
    """
    if not hasattr(torch.library, "register_fake"):
        return kernel
    name = schema.partition("(")[0]
    _library.define(schema)
    _library.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"slayerloss::{name}", fake, lib=_library)
    registered: Callable[..., Any] = getattr(torch.ops.slayerloss, name)
    return registered


def is_transformed() -> bool:
    """Whether torch.func or forward-mode differentiation looks at what runs.

    A tensor may then stand for many, or carry a tangent that a kernel would lose.
    """
    return torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0


def differentiable_gradients(
    function: Callable[..., Any], inputs: Sequence[Any], needed: Sequence[bool], grads: Tensor | Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradients of a composition of torch operations, with a graph of their own: for a second derivative.

    A backward pass calls it where `torch.is_grad_enabled()`, which is where create_graph was asked for.

    Args:
        function: the composition, of `inputs`.
        inputs: tensors and other arguments.
        needed: which of them need a gradient.
        grads: the gradients with respect to the results.

    Returns:
        A gradient for each of `inputs`; None where it is not needed or there is none.
    """
    with torch.enable_grad():
        own = [x.view_as(x) if need else x for x, need in zip(inputs, needed, strict=True)]
        outputs = function(*own)
        wanted = [x for x, need in zip(own, needed, strict=True) if need]
        found = iter(torch.autograd.grad(outputs, wanted, grads, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]


def goes_back_last(y: Tensor, x: Tensor) -> None:
    """Let the gradient of y, computed from x, reach x after those of all else that was computed from it.

    Autograd adds a gradient to the first that has come, in the memory of that one if nobody else holds it. So the first
    should be one with memory of its own, not one that is a view.
    """
    node = y.grad_fn
    if node is not None and hasattr(node, "_set_sequence_nr"):
        node._set_sequence_nr(0 if x.grad_fn is None else x.grad_fn._sequence_nr())
