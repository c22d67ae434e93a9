"""KWTA: neurons of which those that hear most win."""

from __future__ import annotations

import pytest
import torch
from block_zoo import NEURON, events

from slayerloss import ArgumentError, netx
from slayerloss.block import cuba

FORGETS = {"threshold": 1.0, "current_decay": 1.0, "voltage_decay": 1.0}


def contest(drive, num_winners, self_excitation=0.9, params=FORGETS):
    """A block whose neuron i hears drive[i] in each step, and the spikes of 40 steps."""
    size = len(drive)
    block = cuba.KWTA(params, 1, size, num_winners, self_excitation)
    block.synapse.weight.data = torch.tensor(drive).reshape(size, 1, 1, 1, 1)
    return block, block(torch.ones(1, 1, 40))[0]


@pytest.mark.parametrize("num_winners", [1, 2, 3])
def test_those_that_hear_most_win(num_winners):
    """A winner hears its drive, a of itself and -1 of each other winner; a loser -1 of each winner."""
    heard = num_winners + 0.5  # of which K - 1 others take K - 1, and 0.9 comes from itself
    drive = [0.5, heard, 0.75, heard, 0.25, heard, 0.5]
    for i in (5, 3)[: 3 - num_winners]:
        drive[i] = 0.5
    _, spikes = contest(drive, num_winners)
    winners = [i for i, value in enumerate(drive) if value == heard]
    assert len(winners) == num_winners
    assert spikes[:, 5:].sum(1).nonzero().flatten().tolist() == winners
    assert (spikes[winners, 5:] == 1).all()


def test_one_that_hears_less_loses_to_one_that_hears_more():
    """Alone it would spike: what it hears is above the threshold by less than the other takes away."""
    alone, both = contest([1.5], 1, 0.0)[1], contest([3.0, 1.5], 1, 0.0)[1]
    assert alone[:, 1:].all()
    assert both[0, 1:].all()
    assert both[1].nonzero().flatten().tolist() == [1]  # in the first step it has not heard the other
    held = contest([3.0, 1.5], 1, 0.9)[1]
    assert held[1, 1:].all()  # as long as it spikes, it excites itself


def test_the_lateral_weights_and_the_constant_are_lava_dls():
    block = cuba.KWTA({**NEURON, "threshold": 4}, 3, 10, 2, self_excitation=0.3)
    weight = block.feedback()
    assert torch.equal(weight, torch.full((10, 10), -1.0).fill_diagonal_(0.3125))
    assert block.constant() == 1 / 32  # 4 * 0.6 / 64, which is 0.0375
    assert cuba.KWTA(NEURON, 3, 10, 2).constant() == 0
    assert cuba.KWTA({**NEURON, "threshold": 4}, 3, 10, 8).constant() == -1 / 32


def test_nothing_is_left_of_the_batch_before():
    torch.manual_seed(0)
    block = cuba.KWTA(NEURON, 6, 5, 2, weight_scale=6)
    x = events("winners")
    first = block(x)
    block(events("winners", seed=9))
    assert first.any()
    assert torch.equal(block(x), first)
    params = dict(NEURON)
    cuba.KWTA(params, 6, 5, 2)
    assert params == NEURON  # where lava-dl switches persistent_state on


def test_the_self_excitation_learns_and_stays_in_its_range():
    torch.manual_seed(0)
    block = cuba.KWTA(NEURON, 6, 5, 2, weight_scale=6)
    x = events("winners")
    block(x).sum().backward()
    assert block.self_excitation.grad.abs() > 0
    assert block.synapse.weight.grad.any()
    block.self_excitation.data.fill_(3)
    expected = cuba.KWTA(NEURON, 6, 5, 2, self_excitation=1.0)
    expected.synapse.load_state_dict(block.synapse.state_dict())
    assert torch.equal(block(x), expected(x))
    assert block.self_excitation == 1
    assert not cuba.KWTA(NEURON, 6, 5, 2, requires_grad=False).self_excitation.requires_grad


def test_it_runs_as_a_recurrent_layer_of_a_network_file(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(cuba.Dense(NEURON, 6, 8, weight_scale=4), cuba.KWTA(NEURON, 8, 5, 2, weight_scale=6))
    x = events("winners")
    spikes = model(x)
    assert spikes.any()
    netx.export(model, tmp_path / "winners.net")
    assert (netx.Network(tmp_path / "winners.net").run(x.numpy()).output == spikes.detach().numpy()).all()
    fields = model[1].layer_fields()
    assert set(fields["weight_rec"].flatten().tolist()) == {-64.0, 32.0}


def test_what_a_file_cannot_hold_is_refused():
    block = cuba.KWTA({**NEURON, "threshold": 4}, 3, 10, 2)
    with pytest.raises(
        ArgumentError, match=r"no bias of the current; expected b, .* got 0\.03125\. Lower the threshold"
    ):
        block.layer_fields()


@pytest.mark.parametrize(("winners", "excitation"), [(0, 0.5), (6, 0.5), (2, 1.5)])
def test_numbers_out_of_range(winners, excitation):
    with pytest.raises(ArgumentError, match="KWTA: "):
        cuba.KWTA(NEURON, 6, 5, winners, excitation)
