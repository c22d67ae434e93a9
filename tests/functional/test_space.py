"""Images in every memory order: the same values, gradients and states, and no copies between layers on a CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss.block import cuba as blocks
from slayerloss.functional import conv, cuba, delay, dense, integrate_and_fire, leaky_integrator, shift
from slayerloss.functional._space import channels_together, flat

ORDERS = {
    "time last": None,
    "time first": (4, 0, 1, 2, 3),
    "channels last": (4, 0, 2, 3, 1),
    "batch last": (1, 4, 2, 3, 0),
}


def stored(x: torch.Tensor, order: str) -> torch.Tensor:
    """The same values in another memory order."""
    axes = ORDERS[order]
    if axes is None:
        return x.contiguous()
    return x.permute(axes).contiguous().permute([axes.index(axis) for axis in range(5)])


def neurons(x: torch.Tensor, state: torch.Tensor, times: torch.Tensor) -> list[torch.Tensor]:
    decay = times / 20
    delayed, history = delay(x, times, state=state, return_state=True)
    shifted, last = shift(x, 2, state=state, return_state=True)
    spikes, after = cuba(delayed, decay, 0.1, threshold=0.4, tau=0.5, state=(state[..., 0], 0.3 * state[..., 1]))
    current = leaky_integrator(shifted, decay, state=state[..., 0])
    voltage = integrate_and_fire(current, decay, 0.5, state=0.1 * state[..., 1])
    return [delayed, history, shifted, last, spikes, *after, current, voltage]


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4, st.integers(1, 9)),
    order=st.sampled_from(sorted(ORDERS)),
    seed=st.integers(0, 1000),
)
def test_neurons_and_delays(shape, order, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=random, dtype=torch.float64)
    state = torch.rand(*shape[:-1], 3, generator=random, dtype=torch.float64).mul(4096).round().div(4096)
    times = torch.rand(shape[1], generator=random, dtype=torch.float64) * 5
    runs = []
    for given_order in ("time last", order):
        leaves = [
            stored(x, given_order).requires_grad_(),
            state.clone().requires_grad_(),
            times.clone().requires_grad_(),
        ]
        results = neurons(*leaves)
        grads = torch.autograd.grad(sum((r * (i + 1)).square().sum() for i, r in enumerate(results)), leaves)
        runs.append((results, grads))
    for one, other in zip(runs[0][0], runs[1][0], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(runs[0][1], runs[1][1], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("order", sorted(ORDERS))
@pytest.mark.parametrize("geometry", [{}, {"padding": (1, 2), "stride": (2, 1)}, {"groups": 2}, {"dilation": (2, 1)}])
def test_synapses(order, geometry):
    x = torch.rand(2, 4, 6, 7, 5).gt(0.7).double()
    weight = torch.randn(6, 4 // geometry.get("groups", 1), 3, 2, dtype=torch.float64)
    full = torch.randn(3, 4 * 6 * 7, dtype=torch.float64)
    runs = []
    for given_order in ("time last", order):
        leaves = [
            stored(x, given_order).requires_grad_(),
            weight.clone().requires_grad_(),
            full.clone().requires_grad_(),
        ]
        y, z = conv(leaves[0], leaves[1], **geometry), dense(leaves[0], leaves[2])
        runs.append((y, z, *torch.autograd.grad(y.square().sum() + z.square().sum(), leaves)))
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other)
    expected = torch.stack([torch.nn.functional.conv2d(step, weight, **geometry) for step in x.unbind(-1)], -1)
    torch.testing.assert_close(runs[1][0].detach(), expected)
    torch.testing.assert_close(runs[1][1].detach(), (full @ x.flatten(1, -2)))


def test_layers_hand_on_what_the_next_one_takes():
    x = stored(torch.rand(2, 3, 8, 8, 20).gt(0.5).float(), "time first")
    neuron = {"threshold": 0.3, "current_decay": 0.3, "voltage_decay": 0.1}
    network = torch.nn.Sequential(
        blocks.Conv(neuron, 3, 5, 3, padding=1, weight_scale=3, delay=True),
        blocks.Pool(neuron, 2),
        blocks.Conv(neuron, 5, 4, 3),
    )
    for layer in network:
        x = layer(x)
        assert channels_together(x)
    assert x.any()
    y = flat(x)
    assert torch.equal(y, x.flatten(1, -2))
    assert y.movedim(-1, 0).is_contiguous()
