"""torch.func over whole blocks: ensembles of them at once, and a gradient for every sample."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from slayerloss.neuron.norm import MeanOnlyBatchNorm

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")

CUBA = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.25}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
RF = {"threshold": 1.0, "period": 9.0, "decay": 0.1}
NEURONS = {
    "cuba": CUBA,
    "alif": {**CUBA, **ADAPTS},
    "rf": RF,
    "rf_iz": RF,
    "adrf": {**RF, **ADAPTS},
    "adrf_iz": {**RF, **ADAPTS},
    "sigma_delta": {"threshold": 0.25, "activation": torch.relu},
}


def blocks(name, count=1, **params):
    """Dense ones with delays that learn, and with some weights that are saturated."""
    torch.manual_seed(0)
    kind = importlib.import_module(f"slayerloss.block.{name}").Dense
    given = {**NEURONS[name], "requires_grad": True, **params}
    made = [kind(given, 6, 5, weight_scale=12, delay=True) for _ in range(count)]
    for block in made:
        block(events(2))
    return made


def events(count):
    random = torch.Generator().manual_seed(1)
    return (torch.rand(count, 6, 20, generator=random) > 0.6).float()


@pytest.mark.parametrize("name", NEURONS)
def test_many_blocks_run_as_one(name):
    each, x = blocks(name, 3), events(4)
    found = vmap(lambda values, x: functional_call(each[0], values, (x,)), (0, None))(stack_module_state(each), x)
    assert found.any()
    assert torch.equal(found, torch.stack([block(x) for block in each]))


@pytest.mark.parametrize("params", [{}, {"norm": MeanOnlyBatchNorm}])
@pytest.mark.parametrize("name", NEURONS)
def test_each_samples_gradient(name, params):
    (block,), x = blocks(name, **params), events(4)
    block.eval()
    learned = dict(block.named_parameters())

    def loss(learned, x):
        return functional_call(block, learned, (x[None],)).square().sum()

    found = vmap(grad(loss), (None, 0))(learned, x)
    for i, sample in enumerate(x):
        block.zero_grad()
        block(sample[None]).square().sum().backward()
        for key, parameter in learned.items():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found[key][i], expected)
    assert all(found[key].any() for key in learned if key.endswith("weight") or key == "delay.delay")
