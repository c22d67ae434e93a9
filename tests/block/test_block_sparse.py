"""Blocks and networks on sparse events, against the same on dense ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netx_layers import conv, dense, entrance, flatten, weights
from torch import Tensor

import slayerloss as slayer
from slayerloss import DtypeError, netx
from slayerloss.block import cuba
from slayerloss.neuron.norm import MeanOnlyBatchNorm

P: dict[str, Any] = {"threshold": 0.5, "current_decay": 0.4, "voltage_decay": 0.1, "requires_grad": True}
IMAGES = (torch.rand(3, 2, 6, 5, 20, generator=torch.Generator().manual_seed(0)) < 0.1).float()
IMAGES[1] = 0
LENGTHS = torch.tensor([20, 7, 1])

BLOCKS = {
    "Dense": lambda: cuba.Dense({**P, "norm": MeanOnlyBatchNorm}, 60, 8, weight_scale=3, weight_norm=True, delay=True),
    "Dense of space": lambda: cuba.Dense(P, (5, 6, 2), 8, weight_scale=3, count_log=True),
    "Dense with a mask": lambda: cuba.Dense(P, 60, 8, weight_scale=3, mask=torch.ones(8, 60).tril()),
    "Conv": lambda: cuba.Conv({**P, "norm": MeanOnlyBatchNorm}, 2, 4, 3, 2, 1, weight_scale=3, count_log=True),
    "Conv in groups": lambda: cuba.Conv(P, 2, 4, (2, 3), dilation=(2, 1), groups=2, weight_scale=3, delay=True),
    "Pool": lambda: cuba.Pool(P, 2),
    "Affine": lambda: cuba.Affine(P, 60, 2, count_log=True),
    "Recurrent": lambda: cuba.Recurrent(P, 60, 8, weight_scale=3),
    "network": lambda: torch.nn.Sequential(cuba.Input(), cuba.Flatten(), cuba.Dense(P, 60, 8, weight_scale=3)),
}


def outputs(model: torch.nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What a model answers, twice, and the gradients of its parameters."""
    slayer.block.reset_state(model)
    options = {} if isinstance(model, torch.nn.Sequential) else {"lengths": LENGTHS}
    answers: list[Any] = [model(x), model(x, **options)]
    spikes = [answer[0] if isinstance(answer, tuple) else answer for answer in answers]
    weight = torch.rand(spikes[0].shape, generator=torch.Generator().manual_seed(1))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = sum((weight * each).sum() for each in spikes)
    gradients = torch.autograd.grad(loss, learned, allow_unused=True)
    logged = [answer[1] for answer in answers if isinstance(answer, tuple) and answer[1] is not None]
    return [*spikes, *logged], [gradient for gradient in gradients if gradient is not None]


@pytest.mark.parametrize("kind", BLOCKS)
def test_sparse_events_give_the_spikes_of_dense_ones(kind):
    torch.manual_seed(0)
    expected, expected_gradients = outputs(BLOCKS[kind](), IMAGES)
    torch.manual_seed(0)
    model = BLOCKS[kind]()
    answers, gradients = outputs(model, IMAGES.to_sparse())
    assert expected[0].any()
    for own, other in zip(answers, expected, strict=True):
        assert torch.equal(own, other)
    for own, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)
    if isinstance(model, slayer.block.SpikingBlock):
        for name, states in model.chip_states(IMAGES.to_sparse()).items():
            assert torch.equal(states, model.chip_states(IMAGES)[name])


@pytest.mark.parametrize("kind", ["Dense", "Conv", "Recurrent"])
def test_two_runs_are_one(kind):
    torch.manual_seed(0)
    block = BLOCKS[kind]().eval()
    whole, _ = block.run(IMAGES.to_sparse())
    first, state = block.run(IMAGES[..., :9].to_sparse())
    second, _ = block.run(IMAGES[..., 9:].to_sparse(), state)
    assert torch.equal(torch.cat([first, second], -1), whole)


def test_what_passes_events_on_keeps_them_sparse():
    x = IMAGES.to_sparse()
    flat = cuba.Flatten()(x)
    assert flat.is_sparse
    assert torch.equal(flat.to_dense(), cuba.Flatten()(IMAGES))
    entry = cuba.Input(count_log=True)
    assert entry(x)[0] is x
    for lengths in (None, LENGTHS):
        assert torch.equal(entry(x, lengths)[1], entry(IMAGES, lengths)[1])


def test_what_needs_every_step_says_so():
    x = IMAGES.to_sparse()
    for refuses in (cuba.Input(P), cuba.Average(2), slayer.neuron.cuba.Neuron(**P), slayer.classifier.Rate.predict):
        with pytest.raises(DtypeError, match=r"is not dense; .* Use to_dense\(\)"):
            refuses(x)


def test_networks_of_a_file():
    random, rng = torch.Generator().manual_seed(3), np.random.default_rng(0)
    first = conv(weights(rng, 3, 2, 3, 3), (6, 5))
    file = netx.describe([entrance(2, 6, 5), first, flatten(first), dense(weights(rng, 4, 36))])
    x = (torch.rand(2, 2, 6, 5, 30, generator=random) < 0.4).float()
    network = slayer.auto.SequentialNetwork(file, count_log=True)
    (own, counts), (expected, others) = network(x.to_sparse()), network(x)
    assert torch.equal(own, expected)
    assert expected.any()
    assert counts == others
    assert netx.compare(network, file, [x.to_sparse()]).identical


def test_a_compiler_leaves_sparse_events_to_python():
    """torch.compile takes no sparse tensors into its graphs (torch 2.13); the first block then runs as it is."""
    torch.manual_seed(0)
    block = BLOCKS["Dense of space"]()
    compiled = torch.compile(block, backend="eager")
    assert torch.equal(compiled(IMAGES.to_sparse())[0], block(IMAGES)[0])
