"""Blocks that hear their own spikes."""

from __future__ import annotations

import pytest
import torch
from block_zoo import NEURON, NORM, events, make

from slayerloss.block import cuba
from slayerloss.functional import recurrent_cuba, shift


@pytest.mark.parametrize("training", [True, False])
def test_recurrent_with_a_norm_and_no_feedback_is_dense(training):
    recurrent, dense, x = make("recurrent", NORM), make("dense", NORM), events("recurrent")
    recurrent.recurrent_synapse.weight.data.zero_()
    dense.synapse.weight.data.copy_(recurrent.input_synapse.weight.data)
    for block in (recurrent, dense):
        block(events("recurrent", seed=7))
        block.train(training)
    state, its = None, None
    for part in x.split([10, 14], -1):
        spikes, state = recurrent.run(part, state)
        expected, its = dense.run(part, its)
        assert torch.equal(spikes, expected)
        assert spikes.any()
    assert recurrent.neuron.norm.running_mean.any()
    assert torch.equal(recurrent.neuron.norm.running_mean, dense.neuron.norm.running_mean)
    grads = []
    for block in (recurrent, dense):
        z = block.drive(x).detach().requires_grad_()
        block.respond(z, None, None)[0].square().sum().backward()
        grads.append(z.grad)
    torch.testing.assert_close(*grads)


def test_the_norm_of_a_recurrent_block_is_a_bias():
    block, x = make("recurrent", NORM), events("recurrent")
    block(x)
    block.eval()
    spikes, state = block.run(x)
    bias = torch.from_numpy(block.layer_fields()["bias"]) / 64
    assert bias.any()
    feedback = block.recurrent_synapse.effective_weight().flatten(1)
    z = shift(block.input_synapse(x))
    options = {"tau": block.neuron.tau, "bias": bias}
    assert torch.equal(spikes, recurrent_cuba(z, feedback, *block.neuron.decays, 1.25, **options)[2])
    first, state = block.run(x[..., :9])
    assert torch.equal(torch.cat([first, block.run(x[..., 9:], state)[0]], -1), spikes)


def test_recurrent_hears_itself():
    block = cuba.Recurrent({**NEURON, "current_decay": 1.0, "voltage_decay": 1.0}, 1, 2)
    block.input_synapse.weight.data.copy_(torch.tensor([2.0, 0]).reshape(2, 1, 1, 1, 1))
    block.recurrent_synapse.weight.data.copy_(torch.tensor([[0, 0], [2.0, 0]]).reshape(2, 2, 1, 1, 1))
    x = torch.zeros(1, 1, 6)
    x[..., 1] = 1
    assert block(x)[0].nonzero().tolist() == [[0, 2], [1, 3]]  # W x[t-1], and one later R s[t-1]
    block = cuba.Recurrent(NEURON, 3, 4, requires_grad=False)
    assert not block.recurrent_synapse.weight.requires_grad
    assert block.input_synapse.weight.requires_grad


@pytest.mark.parametrize("place", [True, False, "lava-dl"])
def test_recurrent_neurons_hear_each_other_without_their_delays(place):
    torch.manual_seed(0)
    plain = cuba.Recurrent(NEURON, 6, 5, weight_scale=3, delay_shift=place)
    delayed = cuba.Recurrent(NEURON, 6, 5, weight_scale=3, delay=True, delay_shift=place)
    delayed.load_state_dict({**plain.state_dict(), "delay.delay": torch.tensor([0.0, 1, 2, 3, 4])})
    x = events("recurrent")
    y, late = plain(x), delayed(x)
    assert y.any()
    for c in range(5):
        assert torch.equal(late[:, c, c:], y[:, c, : 24 - c])
        assert not late[:, c, :c].any()
