"""lava-dl's name for a network that comes from a file."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from slayerloss._check import check_choice, check_events, check_flag
from slayerloss.netx import Description, to_torch

__all__ = ["SequentialNetwork"]


class SequentialNetwork(torch.nn.Module):
    """The blocks of a network file, as `netx.to_torch` makes them, under the name and with the arguments of lava-dl.

    Args:
        network_config: a network file.
        persistent_state: go on from the last batch's states until `block.reset_state`.
        reduction: "sum" or "mean" over time of what the last block sends; None for none.
        weight_norm: hold the weights as direction and length.
        count_log: also return the events per neuron and step of each block, as blocks with `count_log` do.

    Attributes:
        blocks: one for each layer of the file.

    Raises:
        FileError, FormatError: see `netx.to_torch`.

    Example:
        >>> from slayerloss.netx import describe
        >>> neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 80}
        >>> file = describe([{"type": "dense", "shape": [2], "weight": [[100, 2], [40, 2]], "neuron": neuron}])
        >>> SequentialNetwork(file, reduction="sum")(torch.ones(1, 2, 9)).detach()
        tensor([[8., 4.]])

    Note:
        lava-dl's knows input, flatten, average and dense layers, leaves out biases, reduces eleven classes only, and
        fails with `count_log`.
    """

    def __init__(
        self,
        network_config: str | os.PathLike[str] | Description,
        persistent_state: bool = False,
        reduction: str | None = None,
        weight_norm: bool = False,
        count_log: bool = False,
    ) -> None:
        super().__init__()
        if reduction is not None:
            check_choice("SequentialNetwork", "reduction", reduction, ("sum", "mean"))
        self.persistent_state = check_flag("SequentialNetwork", "persistent_state", persistent_state)
        self.reduction = reduction
        self.weight_norm = check_flag("SequentialNetwork", "weight_norm", weight_norm)
        self.count_log = check_flag("SequentialNetwork", "count_log", count_log)
        blocks = to_torch(network_config, {"persistent_state": persistent_state}, weight_norm=weight_norm)
        self.blocks = torch.nn.ModuleList(blocks)
        for block in self.blocks:
            block.count_log = count_log  # type: ignore[assignment]

    def forward(self, spike: Tensor) -> Tensor | tuple[Tensor, list[Tensor | None]]:
        """(N, C, ..., T) -> (N, C', T), or (N, C') with a reduction; with `count_log` also a count for each block."""
        check_events("SequentialNetwork", spike, "spike", sparse=True)
        counts = []
        for block in self.blocks:
            spike = block(spike)
            if self.count_log:
                spike, count = spike
                counts.append(count)
        if self.reduction is not None:
            spike = spike.sum(-1) if self.reduction == "sum" else spike.mean(-1)
        return (spike, counts) if self.count_log else spike
