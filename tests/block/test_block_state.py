"""What a block remembers: two runs with the state are one, and nothing else is remembered."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from block_zoo import CHANNELS, DELAYING, NEURON, NORM, READOUTS, ZOO, events, make

from slayerloss import ShapeError
from slayerloss.block import cuba, reset_state
from slayerloss.neuron.cuba import Neuron

ALL = pytest.mark.parametrize("name", [*ZOO, *READOUTS])
SPIKING = pytest.mark.parametrize("name", ZOO)
PLACE = pytest.mark.parametrize("place", DELAYING)


def gradients(block, x, y, seed=2):
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    learned = [parameter for parameter in block.parameters() if parameter.requires_grad]
    return torch.autograd.grad((y * weights).sum(), [x, *learned], allow_unused=True)


def tensors(state):
    """The tensors of nested tuples, in order."""
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in tensors(part)]
    return [] if state is None else [state]


def assert_runs_are_one(block, x, cuts):
    whole, end = block.run(x)
    state, parts = None, []
    for part in x.tensor_split(cuts, dim=-1):
        y, state = block.run(part, state)
        parts.append(y)
    joined = torch.cat(parts, -1)
    assert torch.equal(joined, whole)
    for one, other in zip(tensors(state), tensors(end), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(gradients(block, x, joined), gradients(block, x, whole), strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    return whole


@SPIKING
@PLACE
def test_two_runs_are_one_with_gradients(name, place):
    block = make(name, **DELAYING[place]).double()
    x = events(name).double().requires_grad_()
    block.run(x)  # draws what is still to be drawn
    spikes = assert_runs_are_one(block, x, [1, 13])
    assert 0.02 < (spikes != 0).double().mean() < 0.9


@pytest.mark.parametrize("name", READOUTS)
def test_two_runs_of_a_readout_are_one(name):
    assert_runs_are_one(make(name).double(), events(name).double().requires_grad_(), [4, 5])


def test_two_runs_with_a_norm_in_eval_mode_are_one():
    block = make("dense with delay", NORM).double()
    block(events("dense with delay").double())
    assert_runs_are_one(block.eval(), events("dense with delay", seed=5).double().requires_grad_(), [9])


@ALL
def test_persistent_state_goes_on_until_it_is_reset(name):
    block = make(name, {**NEURON, "persistent_state": True})
    x = events(name)
    whole, _ = block.run(x)
    first, second = block(x[..., :11]), block(x[..., 11:])
    assert torch.equal(torch.cat([first, second], -1), whole)
    second.sum().backward()  # does not reach into the run before
    reset_state(block)
    assert torch.equal(block(x), whole)


@ALL
def test_nothing_leaks_from_batch_to_batch(name):
    block = make(name)
    x = events(name)
    block(x)
    before = copy.deepcopy(block.state_dict())
    first, second = block(x), block(x)
    assert torch.equal(first, second)
    assert all(torch.equal(before[key], value) for key, value in block.state_dict().items())
    alone = torch.cat([block(sample[None]) for sample in x])
    assert torch.equal(alone, first)


@SPIKING
def test_another_batch_size_with_the_old_state_is_refused(name):
    block = make(name, {**NEURON, "persistent_state": True})
    block(events(name, samples=4))
    with pytest.raises(ShapeError, match=r"state has the wrong shape; expected .*2.* Reset the state before another"):
        block(events(name, samples=2))
    block.reset_state()
    assert block(events(name, samples=2)).shape[0] == 2


def test_persistent_state_of_a_recurrent_block_is_a_choice():
    params = dict(NEURON)
    cuba.Recurrent(params, 6, 5)
    assert params == NEURON


def test_reset_state_reaches_neurons_that_stand_alone():
    model = torch.nn.Sequential(Neuron(1.0, 0.0, 0.0, persistent_state=True))
    x = torch.full((1, *CHANNELS, 3), 0.3)
    first = model(x)
    assert not torch.equal(model(x), first)
    reset_state(model)
    assert torch.equal(model(x), first)


def test_a_kept_state_does_not_keep_the_run():
    block = make("dense with delay", {**NEURON, "persistent_state": True})
    block(events("dense with delay", steps=500))
    for tensor in [block.state.history, *block.state.neuron]:
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_truncated_backpropagation_through_time():
    """Chunk by chunk with detached states, the gradient of each chunk is that of a run that starts there."""
    block = make("dense", {**NEURON, "persistent_state": True}).double()
    x = events("dense").double()
    block(x[..., :15])
    state = block.state
    block(x[..., 15:]).sum().backward()
    kept = [parameter.grad.clone() for parameter in block.parameters() if parameter.grad is not None]
    block.zero_grad()
    block.run(x[..., 15:], state)[0].sum().backward()
    again = [parameter.grad for parameter in block.parameters() if parameter.grad is not None]
    assert all(torch.equal(*pair) for pair in zip(kept, again, strict=True))


KEEPS = {**NEURON, "persistent_state": True}


@ALL
def test_a_kept_state_moves_with_the_block_and_stays_exact(name):
    x = events(name)
    block = make(name, KEEPS)
    whole, _ = block.run(x)
    block(x[..., :11])
    kept = tensors(block.state)
    away = copy.deepcopy(block).to("meta")
    assert all(tensor.is_meta for tensor in tensors(away.state))
    assert away(x[..., 11:].to("meta")).shape == whole[..., 11:].shape
    there = away.to_empty(device="cpu")
    assert all(not tensor.is_meta for tensor in tensors(there.state))
    for change in (torch.nn.Module.double, torch.nn.Module.half):
        changed = change(copy.deepcopy(block))
        assert all(torch.equal(*pair) for pair in zip(tensors(changed.state), kept, strict=True))
        assert all(torch.equal(*pair) for pair in zip(tensors(block.state), kept, strict=True))
    assert torch.equal(copy.deepcopy(block).double()(x[..., 11:].double()), whole[..., 11:].double())
    assert torch.equal(pickle.loads(pickle.dumps(block))(x[..., 11:]), whole[..., 11:])


def test_the_state_of_a_neuron_that_stands_alone_moves_with_it():
    neuron, x = Neuron(1.0, 0.25, 0.125, persistent_state=True), torch.rand(2, 3, 20)
    whole, _ = neuron.run(x)
    neuron(x[..., :7])
    away = copy.deepcopy(neuron).to("meta")
    assert away(x[..., 7:].to("meta")).is_meta
    neuron.half()
    assert torch.equal(neuron(x[..., 7:]), whole[..., 7:])
