"""The one place where losses are reduced, and where several processes are made to equal one.

DistributedDataParallel averages gradients over the P processes, and loggers average values. So a sum is scaled by P, a
mean divides by what all processes together counted, and a rate that enters a non-linear function is the rate of the
whole batch. The average over the processes is then what one process computes on the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss._distributed import sum_over_processes, world_size

REDUCTIONS = ("sum", "mean", "none")


def reduce_loss(loss: Tensor, count: Tensor, reduction: str) -> Tensor:
    """Reduce one loss term per sample or per step.

    Args:
        loss: any shape, zero where nothing is counted; or 0-d, their sum.
        count: what each term counts as in a mean, broadcastable to `loss`; zero where it is masked.
        reduction: "none" returns `loss`; "sum" P * sum(loss) over the P processes; "mean" divides that by the sum of
            `count` over all processes, or by 1 if nothing is counted.

    Returns:
        `loss` itself, or 0-d.

    Example:
        >>> reduce_loss(torch.tensor([2.0, 4.0, 0.0]), torch.tensor([1.0, 1.0, 0.0]), "mean")
        tensor(3.)
    """
    if reduction == "none":
        return loss
    total, processes = loss.sum() if loss.ndim else loss, world_size()
    if processes > 1:
        total = total * processes
    if reduction == "sum":
        return total
    counted = sum_over_processes(count.expand_as(loss).sum(dtype=loss.dtype))
    return total / torch.where(counted > 0, counted, torch.ones_like(counted))


def mean_over_processes(total: Tensor, count: Tensor | int) -> Tensor:
    """The mean over all processes, with gradient: sum of `total` / sum of `count`, and 0 where nothing is counted.

    Example:
        >>> mean_over_processes(torch.tensor([6.0, 3.0]), 3)
        tensor([2., 1.])
    """
    total, counts = sum_over_processes(torch.stack([total, torch.ones_like(total) * count]))
    return total / counts.clamp_min(1)
