"""A training step of the network of the N-MNIST tutorial, 2312-512-512-10, in slayerloss and in lava-dl.

The first two layers have weight norm and delays; decays are learnt; the optimiser is Adam. The batch has 32 samples
of 300 steps, about 4100 events in each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from libraries.operation import Operation

RATE = 0.006


class TrainingStep(Operation):
    """Forward and loss; then backward and the optimiser's step."""

    def __init__(self, network: torch.nn.Module, loss: Any, events: torch.Tensor, rate: float = 1e-3) -> None:
        self.network, self.loss, self.events = network, loss, events
        self.labels = torch.arange(events.shape[0]) % 10
        self.network(torch.zeros(1, *events.shape[1:]))  # makes delays and decays
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        super().__init__(self._forward)

    def _forward(self) -> torch.Tensor:
        loss: torch.Tensor = self.loss(self.network(self.events), self.labels)
        return loss

    def call(self) -> tuple[float, float]:
        """Seconds of the two halves."""
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = self.forward()
        middle = time.perf_counter()
        loss.backward()
        self.optimizer.step()
        end = time.perf_counter()
        self.value = loss.item()
        return middle - start, end - middle


def _step(slayer: Any, events: torch.Tensor) -> TrainingStep:
    """That of the tutorial."""
    torch.manual_seed(0)
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.03, "scale_grad": 3}
    neuron["requires_grad"] = True
    noisy = {**neuron, "dropout": slayer.neuron.Dropout(p=0.05)}
    dense = slayer.block.cuba.Dense
    network = torch.nn.Sequential(
        dense(noisy, events.shape[1], 512, weight_norm=True, delay=True),
        dense(noisy, 512, 512, weight_norm=True, delay=True),
        dense(neuron, 512, 10, weight_norm=True),
    )
    return TrainingStep(network, slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum"), events)


def events_of(shape: Sequence[int], *, time_first: bool) -> torch.Tensor:
    """0 and 1; with time first in memory, which is how the loader of slayerloss hands them out."""
    size = (shape[2], *shape[:2]) if time_first else tuple(shape)
    events = torch.zeros(size).bernoulli_(RATE, generator=torch.Generator().manual_seed(0))
    return events.movedim(0, -1) if time_first else events


def ours(shape: Sequence[int]) -> Operation:
    """slayerloss, on dense events."""
    import slayerloss

    return _step(slayerloss, events_of(shape, time_first=True))


def ours_sparse(shape: Sequence[int]) -> Operation:
    """slayerloss, on coordinates."""
    import slayerloss

    return _step(slayerloss, events_of(shape, time_first=False).to_sparse_coo())


def lava_dl(shape: Sequence[int]) -> Operation:
    """lava-dl, on dense events."""
    from lava.lib.dl import slayer

    return _step(slayer, events_of(shape, time_first=False))


OPERATIONS = {"training": ours, "training, sparse": ours_sparse, "lava-dl training": lava_dl}
