"""Trainings that one process and several must do alike. As a script, one of the processes that torchrun starts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slayerloss import block, classifier, loss, train
from slayerloss.neuron.norm import MeanOnlyBatchNorm
from slayerloss.regularizer import L1, Penalty, RateBand, Regularized, WeightSchedule
from slayerloss.train.trainer import quiet

CASES = ("sum", "mean", "window", "regression")
STEPS = (1, 5)


class Recordings(Dataset):
    """Eleven random recordings, so that batches of five are divided unequally and the last has one; labels of -1 more
    often where the second process reads."""

    def __init__(self, regression: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        self.events = (torch.rand(11, 2, 6, 6, 20, generator=generator) < 0.2).float()
        self.targets = (torch.rand(11, 4, 20, generator=generator) < 0.2).float()
        self.labels = torch.tensor([0, -1, 2, -1, 3, 1, 1, -1, 2, 0, 3])
        self.regression = regression

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        return self.events[index], self.targets[index] if self.regression else int(self.labels[index])


def make_learner(case: str) -> train.Learner:
    torch.manual_seed(0)
    neuron = {"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.2, "scale_grad": 5, "requires_grad": True}
    layers = {
        "conv": block.cuba.Conv({**neuron, "norm": MeanOnlyBatchNorm}, 2, 4, 3, stride=2, weight_scale=3),
        "flatten": block.cuba.Flatten(),
        "hidden": block.cuba.Dense(neuron, 16, 12, weight_norm=True, delay=True, weight_scale=3),
        "output": block.cuba.Dense(neuron, 12, 4, weight_scale=3),
    }
    network = train.Network(layers)
    losses: dict[str, Any] = {
        "sum": loss.SpikeRate(0.6, 0.1, ignore_index=-1),
        "mean": loss.SpikeMax(reduction="mean", ignore_index=-1, class_weights=[1.0, 2.0, 0.5, 1.0]),
        "window": loss.SpikeMax(5, "softmax", "mean", ignore_index=-1),
        "regression": loss.SpikeTime(reduction="mean"),
    }
    penalties = {
        "size": Penalty(L1(network, names="*.weight"), 0.001, WeightSchedule("ramp")),
        "rates": Penalty(RateBand(0.05, 0.1), 2.0, layers=["hidden", "output"]),
    }
    return train.Learner(
        network,
        Regularized(losses[case], penalties),
        None if case == "regression" else classifier.MovingWindow(5) if case == "window" else classifier.Rate(),
        num_classes=4,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.5 if case == "mean" else 0.05),
        sparsity=loss.SparsityEnforcer(max_rate=0.01, lam=3.0),
    )


def train_case(case: str, steps: int, devices: int) -> dict[str, Any]:
    """Parameters, buffers and metrics after some steps of SGD, without dropout and shuffling."""
    learner, recordings = make_learner(case), Recordings(case == "regression")
    data = train.EventData(recordings, recordings, batch_size=5, eval_batch_size=4, shuffle=False)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=steps,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with quiet():
        trainer.fit(learner, data)
    metrics = {name: value.clone() for name, value in trainer.callback_metrics.items()}
    return {"state": {name: value.clone() for name, value in learner.network.state_dict().items()}, "metrics": metrics}


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = {(case, steps): train_case(case, steps, devices=2) for case in CASES for steps in STEPS}
    if torch.distributed.get_rank() == 0:
        torch.save(results, Path(sys.argv[1]))
