"""SparsityEnforcer: a penalty that collects the layers it is shown."""

from __future__ import annotations

import torch
from torch import Tensor

from slayerloss.functional.sparsity import check_band, rate_band, sparsity


class SparsityEnforcer:
    """Collects a penalty on the event rate of every layer appended; equations: `functional.sparsity`, `rate_band`.

    Args:
        max_rate: events per neuron and step above which a layer is penalized.
        lam: weight of the penalty.
        min_rate: if given, every channel on its own is held between min_rate and max_rate (`rate_band`); None: only the
            mean rate of a layer below max_rate (`sparsity`), as in lava-dl.

    Example:
        >>> enforcer = SparsityEnforcer(max_rate=0.1)
        >>> enforcer.append(torch.tensor([[[0.0, 1.0, 0.0, 1.0]]]))
        >>> enforcer.loss
        tensor(0.1600)
        >>> enforcer.clear()
        >>> enforcer.loss
        tensor(0.)

    Note:
        lava-dl's `loss` is the number 0.0 before the first append.
    """

    def __init__(self, max_rate: float = 0.01, lam: float = 1.0, *, min_rate: float | None = None) -> None:
        check_band("SparsityEnforcer", 0.0 if min_rate is None else min_rate, max_rate, lam)
        self.max_rate, self.lam, self.min_rate = max_rate, lam, min_rate
        self.loss_list: list[Tensor] = []

    def append(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Add the penalty of a layer's spikes (N, C, ..., T)."""
        self.loss_list.append(self.penalty(x, lengths))

    def penalty(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The penalty of a layer's spikes (N, C, ..., T), 0-d, without `lam`; it is not kept."""
        if self.min_rate is None:
            return sparsity(x, self.max_rate, lengths=lengths)
        return rate_band(x, self.min_rate, self.max_rate, lengths=lengths)

    def clear(self) -> None:
        """Forget what was appended; call it before each training step."""
        self.loss_list = []

    @property
    def loss(self) -> Tensor:
        """The sum of the penalties times `lam`, 0-d; on the CPU before the first append."""
        return self.lam * sum(self.loss_list, torch.zeros(()))
