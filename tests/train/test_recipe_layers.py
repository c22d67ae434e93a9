"""Layers that a recipe can name beside those that go from neurons to neurons."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.train import build_network

NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
LAYERS = [
    {"type": "TimeDecimation", "factor": 4},
    {"type": "ConvT", "out_features": 3, "kernel_size": 2, "stride": 2, "weight_scale": 3},
    {"type": "Unpool", "kernel_size": 2},
    {"type": "Flatten"},
    {"type": "KWTA", "out_neurons": 5, "num_winners": 2, "neuron": {"norm": "MeanOnlyBatchNorm"}},
]


def test_a_recipe_names_every_block():
    network = build_network(LAYERS, NEURON, (2, 4, 4))
    assert list(dict(network.named_children())) == ["timedecimation", "convt1", "unpool2", "flatten", "kwta3"]
    assert network(torch.ones(2, 2, 4, 4, 10)).shape == (2, 5, 3)


def test_a_padded_batch_cannot_be_decimated_there():
    network = build_network(LAYERS[:1], NEURON, (2, 4, 4))
    with pytest.raises(ArgumentError, match="layer timedecimation: it changes the lengths of a padded batch; expected"):
        network(torch.ones(2, 2, 4, 4, 10), torch.tensor([10, 3]))
