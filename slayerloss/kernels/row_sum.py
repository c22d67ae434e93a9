"""Sums of the rows of a table, one sum for each bag: what a linear map costs where its input is a list of events."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from slayerloss.kernels.operator import operator

EVENTS_OF_A_BAG = 32
"""The most, on average, that are added one after the other; of more, sums are added, or digits would be lost."""

EVENTS_AT_ONCE = 65536
"""Of the gradient to the events' values, whose products of two rows would otherwise all be held at the same time."""


def _sorted_sums(table: Tensor, values: Tensor, rows: Tensor, bags: Tensor, num_bags: int) -> Tensor:
    order = torch.sort(bags, stable=True).indices
    return _bag_sums(table.detach().contiguous(), values.detach()[order], rows[order], offsets_of(bags, num_bags))


_operator = operator(
    "row_sum(Tensor table, Tensor values, Tensor rows, Tensor bags, SymInt num_bags) -> Tensor",
    _sorted_sums,
    lambda table, values, rows, bags, num_bags: table.new_empty(num_bags, table.shape[1]),
)


class _RowSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, values: Tensor, rows: Tensor, bags: Tensor, num_bags: int) -> Tensor:
        ctx.save_for_backward(table, values, rows, bags)
        y: Tensor = _operator(table, values, rows, bags, num_bags)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, values, rows, bags = ctx.saved_tensors
        grad_table = row_sum(grad, values, bags, rows, table.shape[0]) if ctx.needs_input_grad[0] else None
        grad_values = _row_products(table, grad, rows, bags) if ctx.needs_input_grad[1] else None
        return grad_table, grad_values, None, None, None


def row_sum(table: Tensor, values: Tensor, rows: Tensor, bags: Tensor, num_bags: int) -> Tensor:
    """Add up rows of a table.

    y[b] = sum over e with bags[e] = b of values[e] table[rows[e]]

    The events of a bag are added in their order, so that the result does not depend on the number of threads.

    Args:
        table: (R, K) float.
        values: (E,) of the dtype of the table.
        rows: (E,) int64 in [0, R).
        bags: (E,) int64 in [0, num_bags).
        num_bags: B.

    Returns:
        (B, K), zero for bags without events. Gradients go to `table` and `values`, and can be derived again.

    Example:
        >>> table = torch.tensor([[1.0, 2.0], [10.0, 20.0]])
        >>> row_sum(table, torch.tensor([1.0, 1.0, 3.0]), torch.tensor([0, 1, 1]), torch.tensor([0, 0, 2]), 3)
        tensor([[11., 22.],
                [ 0.,  0.],
                [30., 60.]])
    """
    y: Tensor = _RowSum.apply(table, values, rows, bags, num_bags)
    return y


def offsets_of(bags: Tensor, num_bags: int) -> Tensor:
    """(num_bags + 1,), where each bag begins among the sorted events.

    Example:
        >>> offsets_of(torch.tensor([0, 0, 2]), 3)
        tensor([0, 2, 2, 3])
    """
    offsets = torch.zeros(num_bags + 1, dtype=bags.dtype, device=bags.device)
    offsets[1:] = torch.bincount(bags, minlength=num_bags).cumsum(0)
    return offsets


def _bag_sums(table: Tensor, values: Tensor | None, rows: Tensor, offsets: Tensor) -> Tensor:
    """The sums of sorted events; where they are long, of blocks, and then of the blocks of each bag."""
    size = len(rows)
    edges = offsets
    if size > EVENTS_OF_A_BAG * (len(offsets) - 1):
        edges = torch.cat([offsets, torch.arange(0, size, EVENTS_OF_A_BAG, device=rows.device)]).sort().values
    sums = F.embedding_bag(rows, table, edges, mode="sum", per_sample_weights=values, include_last_offset=True)
    if edges is offsets:
        return sums
    return _bag_sums(sums, None, torch.arange(len(sums), device=rows.device), torch.searchsorted(edges, offsets))


def _row_products(a: Tensor, b: Tensor, rows_a: Tensor, rows_b: Tensor) -> Tensor:
    """(E,), the scalar product of row rows_a[e] of a and row rows_b[e] of b."""
    parts = zip(rows_a.split(EVENTS_AT_ONCE), rows_b.split(EVENTS_AT_ONCE), strict=True)
    return torch.cat([(a[of_a] * b[of_b]).sum(1) for of_a, of_b in parts])
