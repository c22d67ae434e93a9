"""Blocks from network files can be trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netx_layers import NEURON, dense, weights
from netx_rebuilt import assert_rebuilt, events

from slayerloss import netx
from slayerloss._check import ArgumentError
from slayerloss.neuron.norm import MeanOnlyBatchNorm


def test_the_blocks_can_be_trained() -> None:
    rng = np.random.default_rng(0)
    layers = [dense(weights(rng, 12, 8), delay=np.ones(12), bias=weights(rng, 12, low=-4, high=6))]
    layers.append(dense(weights(rng, 4, 12)))
    neuron = {"tau_grad": 0.1, "scale_grad": 3, "requires_grad": True, "dropout": torch.nn.Dropout(0.1)}
    model = netx.to_torch(netx.describe(layers), neuron, weight_norm=True)
    assert model.training
    x, labels = events(6, 8, 40), torch.tensor([0, 1, 2, 3, 0, 1])
    from slayerloss.loss import SpikeRate

    loss, optimizer = SpikeRate(true_rate=0.4, false_rate=0.05), torch.optim.Adam(model.parameters(), 0.01)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        values.append(loss(model(x), labels))
        values[-1].backward()
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad, name
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        optimizer.step()
    assert values[-1] < 0.7 * values[0]
    assert model[0].neuron.tau_grad == 0.1
    assert model[0].synapse.weight_norm_enabled


def test_without_arguments_decays_are_fixed_and_weights_are_not() -> None:
    model = netx.to_torch(netx.describe([dense([[2.0, 4]])]))
    assert {name for name, value in model.named_parameters() if value.requires_grad} == {"0.synapse.weight"}


def test_a_bias_stays_unless_a_norm_is_asked_for() -> None:
    layers = [dense([[20.0, 40], [60, 2]], bias=np.array([4.0, -6]))]
    x = 5 * events(4, 2, 30)
    still, learning = (netx.to_torch(netx.describe(layers), neuron) for neuron in (None, {"norm": MeanOnlyBatchNorm}))
    for model in (still, learning):
        assert model[0].layer_fields()["bias"].tolist() == [4, -6]
        model(x)
    assert torch.equal(still(x), still.eval()(x))
    assert still[0].layer_fields()["bias"].tolist() == [4, -6]
    assert learning[0].layer_fields()["bias"].tolist() != [4, -6]


def test_decays_of_all_neurons_can_become_each_its_own() -> None:
    rng = np.random.default_rng(0)
    first = {"type": "input", "shape": [8], "neuron": NEURON}
    layers = [first, dense(weights(rng, 5, 8))]
    model, _ = assert_rebuilt(layers, events(2, 8, 30), neuron={"shared_param": False})
    assert [block.neuron.current_decay.shape for block in model] == [(8,), (5,)]
    own = dense(weights(rng, 5, 8), {"iDecay": np.arange(5)})
    with pytest.raises(ArgumentError, match=r"layer/0: the decays differ from channel to channel; expected sh"):
        netx.to_torch(netx.describe([own]), {"shared_param": True})
