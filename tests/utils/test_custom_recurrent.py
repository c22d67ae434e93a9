"""A population that hears itself, outside of a block."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError, block, neuron, synapse
from slayerloss.utils import recurrent

WAYS = (
    recurrent.custom_recurrent,
    recurrent.custom_recurrent_ground_truth_1,
    recurrent.custom_recurrent_ground_truth_2,
)
PARAMS = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1, "requires_grad": True}


def population(persistent_state=False):
    torch.manual_seed(3)
    cuba = neuron.cuba.Neuron(**PARAMS, persistent_state=persistent_state)
    return cuba, synapse.Dense(6, 6, weight_scale=4, weight_norm=True, pre_hook_fx=cuba.quantize_8bit)


def test_all_three_ways_agree_with_their_gradients():
    x = torch.randn(2, 6, 40, dtype=torch.float64)
    results = []
    for way in WAYS:
        cuba, dense = population()
        dense.double()
        z = x.clone().requires_grad_()
        spikes = way(z, cuba, dense)
        learned = [z, cuba.current_decay, cuba.voltage_decay, dense.weight_g, dense.weight_v]
        generator = torch.Generator().manual_seed(0)
        weights = torch.rand(spikes.shape, generator=generator, dtype=torch.float64)
        results.append([spikes, *torch.autograd.grad((spikes * weights).sum(), learned)])
    assert 0 < results[0][0].mean() < 1
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        for ours, theirs in zip(results[0][1:], other[1:], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_recurrent_block(way):
    torch.manual_seed(0)
    layer = block.cuba.Recurrent(PARAMS, 4, 6, weight_scale=4, delay_shift=False)
    x = (torch.rand(2, 4, 30) < 0.5).float()
    assert torch.equal(way(layer.input_synapse(x), layer.neuron, layer.recurrent_synapse), layer(x))


@pytest.mark.parametrize("way", WAYS)
def test_the_neurons_go_on_where_they_stopped_if_persistent(way):
    cuba, dense = population(persistent_state=True)
    z = torch.randn(2, 6, 40)
    first = way(z, cuba, dense)
    again = way(z, cuba, dense)
    assert not torch.equal(first, again)
    cuba.reset_state()
    assert torch.equal(way(z, cuba, dense), first)


def test_wrong_arguments_are_refused():
    cuba, dense = population()
    with pytest.raises(DtypeError, match="neuron"):
        recurrent.custom_recurrent(torch.ones(1, 6, 3), torch.nn.ReLU(), dense)
    with pytest.raises(DtypeError, match="recurrent_synapse"):
        recurrent.custom_recurrent(torch.ones(1, 6, 3), cuba, torch.nn.Linear(6, 6))
    with pytest.raises(ShapeError):
        recurrent.custom_recurrent(torch.ones(1, 5, 3), cuba, dense)


def test_sigma_delta_neurons_are_refused_with_the_way_out():
    neurons = neuron.sigma_delta.Neuron(0.1, activation=torch.relu)
    with pytest.raises(ArgumentError, match=r"cannot hear themselves; .* Step through neuron\.run"):
        recurrent.custom_recurrent(torch.ones(1, 6, 3), neurons, synapse.Dense(6, 6))
