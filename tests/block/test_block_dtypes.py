"""Blocks and number formats: what goes in, what comes out, and what half precision leaves as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from block_zoo import NEURON, NORM, READOUTS, ZOO, events, make

from slayerloss.block import cuba
from slayerloss.neuron import _decay

ALL = pytest.mark.parametrize("name", [*ZOO, *READOUTS])


@ALL
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float64]
)
def test_spikes_of_any_dtype_give_the_same_answer(name, dtype):
    block, x = make(name), events(name)
    y = block(x.to(dtype))
    assert y.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert torch.equal(y.float(), block(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_half_precision_events_are_those_of_float32(dtype):
    model = torch.nn.Sequential(make("dense"), cuba.Dense(NEURON, make("dense")(events("dense")).shape[1], 4))
    gradients = []
    for x in (events("dense"), events("dense").to(dtype)):
        model.zero_grad()
        model(x).mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert gradients[0][0].any()
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


@ALL
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_neither_spikes_nor_gradients(name, dtype):
    block, x = make(name), events(name).requires_grad_()
    expected = block.run(x)[0]
    expected.sum().backward()
    wanted = [parameter.grad.clone() for parameter in block.parameters() if parameter.grad is not None]
    block.zero_grad()
    with torch.autocast("cpu", dtype):
        y, after = block.run(x)
    y.sum().backward()
    assert y.dtype == torch.float32
    assert torch.equal(y, expected)
    if name in ZOO:
        state = after.neuron[0] if isinstance(after.neuron[0], tuple) else after.neuron
        assert state[0].dtype == torch.float32
    grads = [parameter.grad for parameter in block.parameters() if parameter.grad is not None]
    assert all(torch.equal(*pair) for pair in zip(grads, wanted, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_keeps_wide_states(dtype):
    block = make("dense").to(dtype)
    y, state = block.run(events("dense").to(dtype))
    assert y.dtype == torch.float32
    assert state.neuron.current.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_leaves_decays_delays_and_running_means_as_they_are(dtype):
    params = {**NORM, "shared_param": False, "requires_grad": True}
    block = cuba.Dense(params, 6, 4097, delay=True)
    block.neuron.current_decay.data = _decay.to_parameter(torch.arange(4097) / 4096)
    block.delay.delay.data = torch.arange(4097) / 4096 + 1.9
    block.neuron.norm.running_mean = torch.linspace(-4, 4, 4097)
    fields = block.layer_fields()
    block.to(dtype)
    assert block.synapse.weight.dtype == dtype
    for key in ("neuron", "delay", "bias"):
        np.testing.assert_equal(block.layer_fields()[key], fields[key])
    block(torch.ones(1, 6, 3, dtype=dtype)).sum().backward()
    assert block.neuron.current_decay.grad.dtype == block.delay.delay.grad.dtype == torch.float32


def test_blocks_between_layers_under_autocast():
    before, block, after = torch.nn.Linear(24, 24), make("dense"), torch.nn.Linear(24, 3)
    with torch.autocast("cpu", torch.bfloat16):
        spikes = block(before(events("dense")))
        after(spikes).float().square().sum().backward()
    assert before.weight.grad.any()
    assert before.weight.grad.isfinite().all()
