"""Two processes under DistributedDataParallel, each with a part of the batch, learn what one learns from all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from slayerloss import block
from slayerloss.loss import SpikeRate
from slayerloss.regularizer import (
    ActivityCollector,
    Hoyer,
    MembraneExcursion,
    RateBand,
    SynapticOperations,
    TemporalSmoothness,
    TotalEvents,
    TrevesRolls,
)

SAMPLES = 6
SPLIT = (slice(0, 2), slice(2, SAMPLES))  # unequal parts
NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.3, "requires_grad": True}
PENALTIES = [
    RateBand(0.4, 0.45),
    TotalEvents(10),
    SynapticOperations(20),
    MembraneExcursion(-0.5, 1.0),
    TemporalSmoothness(2.0),
    Hoyer(),
    TrevesRolls(),
]


class Network(torch.nn.Sequential):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, lengths)
        return x


def gradients(part: slice, distributed: bool) -> list[dict[str, Tensor]]:
    """What the parameters learn from a loss and each penalty on the hidden layer."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(SAMPLES, 20, 15, generator=generator) < 0.4).float()[part]
    lengths, labels = torch.tensor([15, 3, 7, 15, 2, 9])[part], torch.tensor([0, 1, 2, 0, 1, 2])[part]
    found = []
    for penalty in PENALTIES:
        torch.manual_seed(1)
        network = Network(
            block.cuba.Dense(NEURON, 20, 8, weight_scale=3), block.cuba.Dense(NEURON, 8, 3, weight_scale=3)
        )
        model = DistributedDataParallel(network) if distributed else network
        with ActivityCollector(model, voltage=isinstance(penalty, MembraneExcursion)) as collector:
            loss = SpikeRate(true_rate=0.5, false_rate=0.1, reduction="mean")(
                model(x, lengths), labels, lengths=lengths
            )
            hidden, _ = collector.activity.values()
            assert hidden.name == "0"
            assert hidden.lengths is lengths
            (loss + penalty(hidden)).backward()
        found.append({name: parameter.grad for name, parameter in network.named_parameters()})
    return found


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.save(gradients(SPLIT[rank], True), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    if not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    alone = gradients(slice(None), False)
    for penalty, first, second, expected in zip(PENALTIES, *both, alone, strict=True):
        for name, grad in expected.items():
            where = f"{type(penalty).__name__} {name}"
            torch.testing.assert_close(first[name], grad, rtol=1e-4, atol=1e-6, msg=where)
            assert torch.equal(first[name], second[name]), where
            assert grad.abs().sum() > 0, where
