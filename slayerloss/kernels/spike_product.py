"""Products of spikes and weights that cost as much as there are spikes, where spikes are few."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import memory, threads, tiles
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, operator

MOST_SPIKES = 1 / 5
"""The share of elements up to which the zeros are left out: with more, a product of matrices is faster."""
FEWEST_OUTPUTS = 64
SMALLEST = 2**22
"""Multiplications. With fewer of them, or fewer outputs, nothing is gained."""
SAMPLE = 64
"""Rows from which that share is guessed."""
ROWS, CHANNELS = 16, 256
"""Of a block, the channels at most; the rows as in src/spike_product.cpp."""

_kernel = Kernel("spike_product", "pppiii")
_gradient_kernel = Kernel("spike_product_backward", "pppiiii")


class _SpikeProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y: Tensor = _product_operator(x, weight)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return tuple(differentiable_gradients(_full_product, [x, weight], ctx.needs_input_grad, grad))
        grad_x = _back_operator(grad, weight) if ctx.needs_input_grad[0] else None
        return grad_x, _gradient_operator(x, grad) if ctx.needs_input_grad[1] else None


def spike_product(x: Tensor, weight: Tensor) -> Tensor:
    """Weight the elements of x, most of which may be zero.

    y[r, o] = sum_c x[r, c] weight[o, c]

    What x is zero for takes no part: a NaN or an infinity that would be multiplied with zero, in the weight or in the
    gradient, may go unseen.

    Args:
        x: (R, C) float.
        weight: (O, C), of the dtype of x.

    Returns:
        (R, O). Gradients go to both, and can be derived again.

    Example:
        >>> spike_product(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[1., 3.],
                [2., 4.]])
    """
    if not tiles.is_fused(x, weight):
        return _full_product(x, weight)
    y: Tensor = _SpikeProduct.apply(x, weight)
    return y


def _full_product(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.t()


def _leaves_zeros_out(x: Tensor, outputs: int) -> bool:
    if not runs_on_cpu_kernels(x) or outputs < FEWEST_OUTPUTS or x.numel() * outputs < SMALLEST:
        return False
    some = x[torch.linspace(0, len(x) - 1, SAMPLE).long()]
    return int(some.count_nonzero()) <= MOST_SPIKES * some.numel()


def _product(x: Tensor, weight: Tensor) -> Tensor:
    (rows, channels), outputs = x.shape, len(weight)
    if not _leaves_zeros_out(x, outputs):
        return _full_product(x, weight)
    y = memory.empty((rows, outputs), x.dtype, x.device)
    blocks = -(-rows // ROWS)
    arguments = x.contiguous(), weight.t().contiguous(), y, rows, channels, outputs
    tiles.check_memory(_kernel(x.dtype, *arguments, blocks=blocks, elements=x.numel() // threads.LIGHT))
    return y


def _back(grad: Tensor, weight: Tensor) -> Tensor:
    """To x, (R, C)."""
    if grad.device.type != "cpu":
        return grad @ weight
    return torch.mm(grad, weight, out=memory.empty((len(grad), weight.shape[1]), grad.dtype, grad.device))


def _gradient(x: Tensor, grad: Tensor) -> Tensor:
    """To the weight, (O, C)."""
    (rows, channels), outputs = x.shape, grad.shape[1]
    if not _leaves_zeros_out(x, outputs):
        return grad.t() @ x
    width = min(CHANNELS, -(-channels // torch.get_num_threads()))
    gradient = torch.empty(channels, outputs, dtype=x.dtype)
    arguments = x.contiguous(), grad.contiguous(), gradient, rows, channels, outputs, width
    blocks = -(-channels // width)
    tiles.check_memory(_gradient_kernel(x.dtype, *arguments, blocks=blocks, elements=x.numel() // threads.LIGHT))
    return gradient.t().contiguous()


_product_operator = operator(
    "spike_product(Tensor x, Tensor weight) -> Tensor",
    _product,
    lambda x, weight: x.new_empty(x.shape[0], weight.shape[0]),
)
_back_operator = operator(
    "spike_product_back(Tensor grad, Tensor weight) -> Tensor",
    _back,
    lambda grad, weight: grad.new_empty(grad.shape[0], weight.shape[1]),
)
_gradient_operator = operator(
    "spike_product_gradient(Tensor x, Tensor grad) -> Tensor",
    _gradient,
    lambda x, grad: x.new_empty(grad.shape[1], x.shape[1]),
)
