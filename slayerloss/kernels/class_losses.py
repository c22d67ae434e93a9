"""SpikeMax, SpikeRate and SpikeMoid over moving windows as torch operators with gradients, on (N, C, T).

The C++ kernels go from spikes to losses, and from the gradient of the losses to that of the spikes; the rates in
between never stand in memory. Where the kernels do not run, and for second derivatives, the definition of each loss
computes, a composition of torch operations that `slayerloss.functional` gives with `define`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import memory, threads
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, is_transformed, operator

LONGEST_CHUNK = 1024
"""Steps of a block; more where the window is long."""
LANES = 16
"""A whole number of vectors of any instruction set."""


class Kind(IntEnum):
    """The losses that there are kernels of; as in src/class_problem.h."""

    PROBABILITY = 0
    SOFTMAX = 1
    RATES = 2
    SIGMOID = 3


class Options(NamedTuple):
    """Which loss, and everything about it that is no tensor."""

    kind: Kind
    window: int | None
    """None: one rate over all steps, which is left to the definition."""
    seen: bool
    """Whether the first steps of a window are divided by the steps there are."""
    ignore_index: int | None
    temperature: float = 1.0
    low: float = 0.0
    """The rate of the false classes, or the middle of a sigmoid."""
    high: float = 0.0
    """The rate of the true class."""
    smoothing: float = 0.0


Definition = Callable[..., tuple[Tensor, Tensor]]
_definitions: dict[int, Definition] = {}

_PROBLEM = "iiiiiii" + "piii" + "piiii" + "pp" + "piii" + "dddd"
_forward_kernel = Kernel("class_loss", _PROBLEM + "pppppp")
_backward_kernel = Kernel("class_loss_backward", _PROBLEM + "ppiipiii")


def define(kind: Kind, definition: Definition) -> None:
    """Give the composition (x, labels or targets, lengths, weights, options) -> losses and counts, each (N, T)."""
    _definitions[kind] = definition


def takes(options: Options) -> bool:
    """Whether there is a kernel of this loss: with a window, and no option that is a tensor to learn."""
    kind, window, _, _, *numbers = options
    if window is None or (kind == Kind.PROBABILITY and options.smoothing):
        return False
    return all(isinstance(number, (int, float)) for number in numbers)


def can_run(x: Tensor, *others: Tensor | None) -> bool:
    """Whether the operators take these tensors: float32 or float64 on the CPU, with a gradient for nothing but x."""
    if not x.numel() or any(other is not None and other.requires_grad for other in others):
        return False
    if torch.compiler.is_compiling():  # the operator chooses when it runs
        return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return not is_transformed() and runs_on_cpu_kernels(x)


def class_loss(
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    options: Options,
    per_step: bool,
) -> tuple[Tensor, Tensor]:
    """The loss of each step, or of all, and what it counts as in a mean.

    Args:
        x: (N, C, T) spikes.
        wanted: labels (N,) or (N, T) int64; or, floating, SpikeMoid's targets, (N, C) or (N, C, T).
        lengths: (N,) int64, or None.
        weights: (C,) of the dtype of x, or None.
        options: of the loss.
        per_step: whether to return (N, T) losses; else their sum.

    Returns:
        The losses, with a gradient for x, and the sum of the counts.

    Raises:
        ArgumentError: as the definition, where a value is out of range.
    """
    whole, numbers = _packed(options)
    loss, count = _ClassLoss.apply(x, wanted, lengths, weights, whole, numbers, per_step)
    return loss, count


def _packed(options: Options) -> tuple[list[int], list[float]]:
    """The options as an operator's arguments."""
    kind, window, seen, ignored, *numbers = options
    assert window is not None
    return [int(kind), window, int(seen), int(ignored is not None), ignored or 0], [float(x) for x in numbers]


def _unpacked(whole: Sequence[int], numbers: Sequence[float]) -> Options:
    kind, window, seen, ignores, ignored = whole
    return Options(Kind(kind), window, bool(seen), ignored if ignores else None, *numbers)


def _blocks(x: Tensor, window: int) -> tuple[int, int]:
    """Steps of a block, and how many blocks there are."""
    steps = x.shape[-1]
    longest = max(LONGEST_CHUNK, 4 * min(window, steps))
    if steps <= longest:
        return steps, x.shape[0]
    chunk = -(-steps // -(-steps // longest))
    chunk = -(-chunk // LANES) * LANES
    return chunk, x.shape[0] * -(-steps // chunk)


def _problem(
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    whole: Sequence[int],
    numbers: Sequence[float],
    chunk: int,
) -> list[Any]:
    kind, window, seen, ignores, ignored = whole
    if wanted.is_floating_point():
        labels: list[Any] = [None, 0, 0]
        targets: list[Any] = [wanted, *wanted.stride(), *[0] * (3 - wanted.ndim)]
    else:
        labels = [wanted, wanted.stride(0), wanted.stride(1) if wanted.ndim == 2 else 0]
        targets = [None, 0, 0, 0]
    shape = x.shape
    return [
        *(kind, *shape, window, seen, chunk, x, *x.stride(), *labels, ignores, ignored),
        *(lengths, weights, *targets, *numbers),
    ]


def _forward(
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    whole: Sequence[int],
    numbers: Sequence[float],
    per_step: bool,
    keeps: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    given = wanted, lengths, weights, whole, numbers
    if runs_on_cpu_kernels(x):
        return _forward_on_cpu(x, *given, per_step, keeps)
    return _forward_of_definition(x, *given, per_step, keeps)


def _kept(x: Tensor, whole: Sequence[int], keeps: bool) -> Tensor | None:
    """(2, N, T) for what the backward pass is told of the forward pass, if it is."""
    if not keeps or whole[0] not in (Kind.PROBABILITY, Kind.SOFTMAX):
        return None
    return x.new_empty((2, x.shape[0], x.shape[2]))


def _forward_on_cpu(
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    whole: Sequence[int],
    numbers: Sequence[float],
    per_step: bool,
    keeps: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    chunk, blocks = _blocks(x, whole[1])
    problem = _problem(x, wanted, lengths, weights, whole, numbers, chunk)
    loss, count, kept = x.new_empty(()), x.new_empty(()), _kept(x, whole, keeps)
    terms = x.new_empty((x.shape[0], x.shape[2])) if per_step else None
    sums, done = torch.empty(2 * blocks, dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    results = terms, sums, done, loss, count, kept
    if _forward_kernel(x.dtype, *problem, *results, blocks=blocks, elements=x.numel() // threads.LIGHT):
        # There is no memory for the kernel, or a value that the definition refuses with an error.
        return _forward_of_definition(x, wanted, lengths, weights, whole, numbers, per_step, keeps)
    return (loss if terms is None else terms), count, (x.new_empty(0) if kept is None else kept)


def _forward_of_definition(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    *given, per_step, keeps = arguments
    loss, count = _defined(x, *given)
    kept = _kept(x, given[3], keeps)
    kept = x.new_empty(0) if kept is None else kept.fill_(torch.nan)  # which the kernel of the gradient refuses
    return (loss if per_step else loss.sum()), count.sum(), kept


def _defined(
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    whole: Sequence[int],
    numbers: Sequence[float],
) -> tuple[Tensor, Tensor]:
    options = _unpacked(whole, numbers)
    loss, count = _definitions[options.kind](x, wanted, lengths, weights, options)
    return loss.to(x.dtype), count.to(x.dtype)


def _backward(
    grad: Tensor,
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    kept: Tensor,
    whole: Sequence[int],
    numbers: Sequence[float],
) -> Tensor:
    if runs_on_cpu_kernels(x):
        return _backward_on_cpu(grad, x, wanted, lengths, weights, kept, whole, numbers)
    return _backward_of_definition(grad, x, wanted, lengths, weights, whole, numbers)


def _backward_on_cpu(
    grad: Tensor,
    x: Tensor,
    wanted: Tensor,
    lengths: Tensor | None,
    weights: Tensor | None,
    kept: Tensor,
    whole: Sequence[int],
    numbers: Sequence[float],
) -> Tensor:
    grad_x = memory.empty_like(x)
    chunk, blocks = _blocks(x, whole[1])
    problem = _problem(x, wanted, lengths, weights, whole, numbers, chunk)
    results = kept, grad, *(grad.stride() or (0, 0)), grad_x, *grad_x.stride()
    if _backward_kernel(x.dtype, *problem, *results, blocks=blocks, elements=x.numel() // threads.LIGHT):
        return _backward_of_definition(grad, x, wanted, lengths, weights, whole, numbers)
    return grad_x


def _backward_of_definition(grad: Tensor, x: Tensor, *given: Any) -> Tensor:
    return torch.empty_like(x).copy_(_gradient(grad, x, *given).detach())


def _gradient(grad: Tensor, x: Tensor, *given: Any) -> Tensor:
    """The gradient of the definition, with a graph of its own."""

    def loss(x: Tensor) -> Tensor:
        terms, _ = _defined(x, *given)
        return terms if grad.ndim else terms.sum()

    (found,) = differentiable_gradients(loss, [x], [True], grad)
    assert found is not None
    return found


def _like_forward(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    whole, _, per_step, keeps = arguments[3:]
    kept = _kept(x, whole, keeps)
    loss = x.new_empty((x.shape[0], x.shape[2]) if per_step else ())
    return loss, x.new_empty(()), (x.new_empty(0) if kept is None else kept)


_forward_operator = operator(
    "class_loss(Tensor x, Tensor wanted, Tensor? lengths, Tensor? weights, int[] whole, float[] numbers, "
    "bool per_step, bool keeps) -> (Tensor, Tensor, Tensor)",
    _forward,
    _like_forward,
)
_backward_operator = operator(
    "class_loss_backward(Tensor grad, Tensor x, Tensor wanted, Tensor? lengths, Tensor? weights, Tensor kept, "
    "int[] whole, float[] numbers) -> Tensor",
    _backward,
    lambda grad, x, *_: torch.empty_like(x),
)


def _is_plain(x: Tensor, grad: Tensor | None = None) -> bool:
    """Whether nobody looks at operators, so that the kernel is called without them."""
    if torch.compiler.is_compiling() or type(x) is not Tensor:
        return False
    if is_transformed() or _get_current_dispatch_mode() is not None:
        return False
    return grad is None or not torch._C._functorch.is_legacy_batchedtensor(grad)  # as is_grads_batched makes them


class _ClassLoss(torch.autograd.Function):
    """(x, wanted, lengths, weights, whole, numbers, per_step) -> losses, count. Of the size of x, only x is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        wanted: Tensor,
        lengths: Tensor | None,
        weights: Tensor | None,
        whole: list[int],
        numbers: list[float],
        per_step: bool,
    ) -> tuple[Tensor, Tensor]:
        call = _forward_on_cpu if _is_plain(x) else _forward_operator
        keeps = ctx.needs_input_grad[0]
        loss, count, kept = call(x, wanted, lengths, weights, whole, numbers, per_step, keeps)
        ctx.save_for_backward(x, wanted, lengths, weights, kept)
        ctx.constants = whole, numbers
        ctx.mark_non_differentiable(count)
        return loss, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        x, wanted, lengths, weights, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            grad_x = _gradient(grad, x, wanted, lengths, weights, *ctx.constants)
        else:
            call = _backward_on_cpu if _is_plain(x, grad) else _backward_operator
            grad_x = call(grad, x, wanted, lengths, weights, kept, *ctx.constants)
        return grad_x, None, None, None, None, None, None
