"""Every function that takes lengths says so where they lie on another device than the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, classifier, loss
from slayerloss import functional as f
from slayerloss.block import cuba
from slayerloss.neuron.cuba import Neuron
from slayerloss.neuron.norm import MeanOnlyBatchNorm

X = torch.ones(2, 3, 5)
P = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}
TAKE_LENGTHS: dict[str, Callable[..., Any]] = {
    "rate": f.rate,
    "count": f.count,
    "event_rate": f.event_rate,
    "moving_window": lambda x, lengths: f.moving_window(x, 2, lengths=lengths),
    "van_rossum_distance": lambda x, lengths: f.van_rossum_distance(x, x, 2.0, lengths=lengths),
    "latency_to_decision": f.latency_to_decision,
    "sparsity": f.sparsity,
    "spike_time": lambda x, lengths: f.spike_time(x, x, lengths=lengths),
    "spike_max": lambda x, lengths: f.spike_max(x, torch.zeros(2, device=x.device).long(), lengths=lengths),
    "SpikeRate": lambda x, lengths: loss.SpikeRate(0.2, 0.1)(x, torch.zeros(2).long().to(x.device), lengths=lengths),
    "Rate": classifier.Rate.confidence,
    "MovingWindow": lambda x, lengths: classifier.MovingWindow(2).predict(x, lengths=lengths),
    "MeanOnlyBatchNorm": lambda x, lengths: MeanOnlyBatchNorm()(x, lengths),
    "Neuron": lambda x, lengths: Neuron(**P).run(x, lengths=lengths),
    "Dense": lambda x, lengths: cuba.Dense(P, 3, 2, count_log=True).to(x.device)(x, lengths),
}


@pytest.mark.parametrize("name", TAKE_LENGTHS)
@pytest.mark.parametrize(("device", "other"), [("cpu", "meta"), ("meta", "cpu")])
def test_lengths_on_another_device_are_refused(name: str, device: str, other: str) -> None:
    lengths = torch.tensor([5, 5])
    text = rf"lengths is not where the input is; expected {device}, got {other}. Use lengths.to\('{device}'\)"
    with pytest.raises(ArgumentError, match=text):
        TAKE_LENGTHS[name](X.to(device), lengths=lengths.to(other))


def test_a_number_without_a_value_is_none() -> None:
    with pytest.raises(DtypeError, match="temperature is not a number"):
        f.confidence(X, "softmax", temperature=torch.ones((), device="meta"))
    with pytest.raises(DtypeError, match="window is not an integer"):
        f.moving_window(X, torch.ones((), device="meta", dtype=torch.int64))


def test_targets_on_another_device_are_refused() -> None:
    with pytest.raises(ArgumentError, match="van_rossum_distance: targets is not where spikes is"):
        f.van_rossum_distance(X, X.to("meta"), 2.0)
