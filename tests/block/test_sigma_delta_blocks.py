"""Blocks of sigma-delta neurons: lava-dl's defaults, the composition, state over chunks, event rates."""

from __future__ import annotations

import inspect
import pickle

import pytest
import torch

from slayerloss import synapse
from slayerloss.block import cuba, reset_state, sigma_delta
from slayerloss.functional import delta, shift, sigma
from slayerloss.neuron.norm import MeanOnlyBatchNorm

PARAMS = {"threshold": 0.1, "activation": torch.relu}


def images() -> torch.Tensor:
    torch.manual_seed(0)
    return (torch.randn(2, 4, 6, 6, 12) * 4096).round() / 4096


def vectors() -> torch.Tensor:
    return images().flatten(1, 3)[:, :10]


BLOCKS = {
    "dense": (lambda **options: sigma_delta.Dense(PARAMS, 10, 5, **options), vectors),
    "conv": (lambda **options: sigma_delta.Conv(PARAMS, 4, 3, 3, stride=2, **options), images),
    "convT": (lambda **options: sigma_delta.ConvT(PARAMS, 4, 3, 3, **options), images),
    "pool": (lambda **options: sigma_delta.Pool(PARAMS, 2, **options), images),
    "unpool": (lambda **options: sigma_delta.Unpool(PARAMS, 2, **options), images),
}


@pytest.fixture(params=BLOCKS)
def named(request):
    torch.manual_seed(1)
    make, x = BLOCKS[request.param]
    return make, x()


def test_what_is_sent_arrives_in_the_same_step_by_default(named):
    make, x = named
    block = make()
    assert block.delay_shift is False
    z = block.synapse(x)
    assert torch.equal(block(x), delta(sigma(z).relu(), 6 / 64)[0])
    block.delay_shift = True
    assert torch.equal(block(x), delta(sigma(shift(z)).relu(), 6 / 64)[0])


def test_arguments_by_name_and_by_position(named):
    make, _ = named
    assert make(delay_shift=True).delay_shift is True
    assert inspect.signature(type(make())).parameters["delay_shift"].default is False
    block = sigma_delta.Dense(PARAMS, 10, 5, 1, True, None, False, "lava-dl")
    assert (block.synapse.weight_norm_enabled, block.synapse.pre_hook_fx, block.delay_shift) == (True, None, "lava-dl")
    with pytest.raises(TypeError, match="unexpected keyword"):
        make(delay_shft=True)


def test_chunks_with_state_equal_one_run(named):
    make, x = named
    block = make(delay_shift=True)
    whole, _ = block.run(x)
    state, parts = None, []
    for part in x.split([5, 1, 6], -1):
        y, state = block.run(part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts, -1), whole)


def test_the_event_rate_counts_messages_of_both_signs(named):
    make, x = named
    y, rate = make(count_log=True)(x)
    assert (y < 0).any()
    assert rate.item() == pytest.approx((y != 0).float().mean().item())


def test_gradients_reach_weights_thresholds_and_the_input(named):
    make, x = named
    block = make()
    block.neuron.threshold.requires_grad_()
    block(x.requires_grad_()).square().sum().backward()
    learning = [p for p in block.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert x.grad.any()


def test_the_input_block_sends_changes_of_what_it_quantises():
    x = vectors()
    block = sigma_delta.Input(PARAMS)
    quantised = (x * 32).round() / 32
    assert torch.equal(block(x), delta(quantised.clamp(-4, 254 / 64), 6 / 64)[0])
    assert torch.equal(sigma_delta.Input()(x), x)
    y, state = block.run(x[..., :5])
    later, _ = block.run(x[..., 5:], state)
    assert torch.equal(torch.cat([y, later], -1), block(x))
    assert sigma_delta.Input(PARAMS, weight=0.5, bias=0.25)(x).shape == x.shape


def test_the_output_block_sums_up():
    x = vectors()
    block = sigma_delta.Output({**PARAMS, "norm": MeanOnlyBatchNorm}, 10, 2, weight_norm=True)
    assert block.neuron.norm is None
    assert torch.equal(block(x), sigma(block.synapse(x)))
    y, state = block.run(x[..., :5])
    assert torch.equal(torch.cat([y, block.run(x[..., 5:], state)[0]], -1), block(x))


def test_persistent_state():
    params = {**PARAMS, "persistent_state": True}
    x = vectors()
    for block in (sigma_delta.Dense(params, 10, 5), sigma_delta.Output(params, 10, 5), sigma_delta.Input(params)):
        whole = block(x)
        reset_state(block)
        assert torch.equal(torch.cat([block(x[..., :4]), block(x[..., 4:])], -1), whole)


def test_a_network_of_them_learns():
    torch.manual_seed(0)
    params = {**PARAMS, "norm": MeanOnlyBatchNorm, "requires_grad": True}
    network = torch.nn.Sequential(
        sigma_delta.Input(PARAMS),
        sigma_delta.Conv(params, 4, 6, 3, weight_norm=True),
        sigma_delta.Flatten(),
        sigma_delta.Dense(params, 96, 8, weight_norm=True),
        sigma_delta.Average(4),
        sigma_delta.Output(PARAMS, 4, 1),
    )
    x, target = images(), torch.tensor([0.5, -0.5]).reshape(2, 1, 1)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = (network(x) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_real_classes_in_real_modules(named):
    make, x = named
    block = make()
    assert type(block).__module__ == "slayerloss.block.sigma_delta"
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), block(x))
    assert inspect.getdoc(sigma_delta.Dense) == inspect.getdoc(cuba.Dense)


def test_a_subclass_takes_its_own_arguments():
    class Wide(sigma_delta.Dense):
        def __init__(self, width: int) -> None:
            super().__init__(PARAMS, 10, width)

    assert Wide(7).delay_shift is False
    assert isinstance(Wide(7).synapse, synapse.Dense)
