"""Linear filters along time in plain torch, without a Python loop over single steps.

All take (G, M, T): G groups, each with coefficients of its own, and M rows in a group; a G of 1 in the input is
broadcast. Every result is a composition of differentiable torch operations, so gradients of any order exist, and the
rounding error does not grow with T: nothing is subtracted from a running sum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from slayerloss.kernels.precision import full_precision

LONGEST_FILTER = 2**24
"""Steps that an impulse response has at most, and that a moving window remembers."""
RECURSION_BLOCK = 32
"""Steps that one matrix product covers; the fastest of 32, 64 and 128 on a CPU."""
CONVOLUTION_BLOCK = 64
"""The same for a convolution, whose product covers more where the kernel is long."""


def with_past(x: Tensor, steps: int, past: Tensor | None = None, dim: int = -1) -> Tensor:
    """Put the `steps` steps before x in front of it: the end of the past, and silence before that.

    Args:
        x: T steps in dimension `dim`.
        steps: how many to put in front.
        past: any number of steps, in the other dimensions as x; None for silence.
        dim: the dimension of time.

    Returns:
        Of steps + T steps, in the dtype of x; its last `steps` are the past after x.

    Example:
        >>> with_past(torch.ones(2), 3, torch.tensor([4.0, 5.0]))
        tensor([0., 4., 5., 1., 1.])
    """
    known = 0 if past is None else min(steps, past.shape[dim])
    parts = [x.new_zeros([steps - known if i == dim % x.ndim else size for i, size in enumerate(x.shape)])]
    if past is not None:
        parts.append(past.to(x.dtype).narrow(dim, past.shape[dim] - known, known))
    return torch.cat([*parts, x], dim)


def to_rows(x: Tensor, per_channel: bool) -> Tensor:
    """(N, C, ..., T) -> (C, rows, T) where each channel has its own coefficients, (1, rows, T) where all share them."""
    return x.movedim(1, 0).flatten(1, -2) if per_channel else x.reshape(1, -1, x.shape[-1])


def from_rows(rows: Tensor, like: Tensor, per_channel: bool) -> Tensor:
    """The inverse of `to_rows`: the dimensions of `like`, with any number of steps."""
    if not per_channel:
        return rows.reshape(*like.shape[:-1], rows.shape[-1])
    return rows.unflatten(1, (like.shape[0], *like.shape[2:-1])).movedim(0, 1)


def mask_steps(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Set the steps after each sample's length to zero.

    Args:
        x: (N, ..., T).
        lengths: (N,) integer, or None for all steps.

    Returns:
        (N, ..., T); `x` itself without lengths.

    Example:
        >>> mask_steps(torch.ones(2, 1, 3), torch.tensor([1, 3])).squeeze(1)
        tensor([[1., 0., 0.],
                [1., 1., 1.]])
    """
    if lengths is None:
        return x
    known = torch.arange(x.shape[-1], device=x.device) < lengths.reshape(-1, *[1] * (x.ndim - 1))
    return torch.where(known, x, torch.zeros((), dtype=x.dtype, device=x.device))


def low_pass(x: Tensor, time_constant: Tensor, initial: Tensor) -> Tensor:
    """The recursion y[t] = exp(-1/time_constant) y[t-1] + x[t] with y[-1] = initial.

    Within a block the recursion is a product with a triangular Toeplitz matrix. The ends of the blocks follow the same
    recursion with a time constant that is shorter by the block size, so the function calls itself for them.

    Args:
        x: (G or 1, M, T) float.
        time_constant: (G,) in steps, > 0.
        initial: (G, M).

    Returns:
        (G, M, T).
    """
    steps = x.shape[-1]
    blocks = -(-steps // RECURSION_BLOCK)
    size = -(-steps // blocks)
    powers = torch.exp(-torch.arange(size + 1, dtype=x.dtype, device=x.device) / time_constant[:, None])
    matrix = _toeplitz(F.pad(powers[:, :size], (size - 1, 0)), size)
    with full_precision(x):
        if blocks == 1:
            return x @ matrix + initial[..., None] * powers[:, None, 1:]
        x = _pad_end(x, blocks * size - steps).unflatten(-1, (blocks, size))
        rows = x.flatten(1, 2)
        ends = (rows @ matrix[..., -1:]).unflatten(1, x.shape[1:3]).squeeze(-1)
        carry = low_pass(ends, time_constant / size, initial)
        carry = torch.cat([initial[..., None], carry.narrow(-1, 0, blocks - 1)], dim=-1)
        y = (rows @ matrix).unflatten(1, x.shape[1:3])
    y = torch.addcmul(y, carry[..., None], powers[:, None, None, 1:])
    return y.flatten(2).narrow(-1, 0, steps)


def fir(x: Tensor, kernel: Tensor) -> Tensor:
    """The convolution y[t] = sum_k kernel[k] x[t+L-1-k], over the steps where x is known.

    Args:
        x: (G or 1, M, L-1+T) float: the L-1 steps before the first output come first.
        kernel: (G, L).

    Returns:
        (G, M, T).
    """
    groups, taps = kernel.shape
    steps = x.shape[-1] - taps + 1
    blocks = -(-steps // max(CONVOLUTION_BLOCK, taps // 2))
    size = -(-steps // blocks)
    # The matrices, of (taps + size) x size for each group, pay where they are shared by many rows. Where they would be
    # larger than the signal, torch's convolution needs none and is faster on a CPU; its gradient with respect to the
    # kernel is slow, and pays where they would be 12 times the signal. On a GPU it may round to TF32.
    rows = x.shape[1] * blocks
    learns = kernel.requires_grad and torch.is_grad_enabled()
    if x.device.type == "cpu" and rows < min(size, groups) and not (learns and 12 * rows > taps + size):
        with full_precision(x):
            samples = x.expand(groups, -1, -1).transpose(0, 1)
            return F.conv1d(samples, kernel.flip(-1)[:, None], groups=groups).transpose(0, 1)
    matrix = _toeplitz(F.pad(kernel, (size - 1, size - 1)), size)
    x = _pad_end(x, blocks * size - steps).unfold(-1, size + taps - 1, size)
    with full_precision(x):
        y = x.flatten(1, 2) @ matrix
    return y.unflatten(1, (-1, blocks)).flatten(2).narrow(-1, 0, steps)


def sliding(x: Tensor, window: int, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine x[t], ..., x[t+window-1] for every t, in about 2 log2(window) passes.

    Two neighbouring spans of n steps make one of 2n; the window is put together from spans of powers of two.

    Args:
        x: (..., window-1+T).
        window: at least 1.
        combine: an associative operation on two tensors, such as torch.add or torch.maximum.

    Returns:
        (..., T).

    Example:
        >>> sliding(torch.arange(5), 3, torch.add)
        tensor([3, 6, 9])
    """
    steps = x.shape[-1] - window + 1
    result, done, span = None, 0, 1  # x[t] holds the combination of `span` steps from t on, result that of `done`
    while True:
        if window & span:
            part = x.narrow(-1, done, steps)
            result = part if result is None else combine(result, part)
            done += span
        if done == window:
            assert result is not None
            return result
        later = x.shape[-1] - span
        x = combine(x.narrow(-1, 0, later), x.narrow(-1, span, later))
        span *= 2


def _pad_end(x: Tensor, steps: int) -> Tensor:
    return F.pad(x, (0, steps)) if steps else x  # F.pad copies, also where there is nothing to add


def _toeplitz(values: Tensor, columns: int) -> Tensor:
    """(G, R+columns-1) -> (G, R, columns): every row is the one below it, shifted right by one step."""
    return values.unfold(-1, columns, 1).flip(-2)
