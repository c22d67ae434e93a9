"""What looks at operations from outside gets what it gets from a composition of torch operations."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from slayerloss import use_backend
from slayerloss.functional import (
    adaptive_threshold,
    cuba,
    delay,
    exponential_filter,
    fire,
    integrate_and_fire,
    leaky_integrator,
    moving_window,
    phase_spike,
    quantize,
    quantize_weight,
    resonator,
    spike,
    spike_max,
    spike_moid,
    spike_rate,
    spike_time,
)

LABELS = torch.tensor([0, 2])
TARGETS = torch.arange(60.0).reshape(2, 3, 10).remainder(7).eq(0).float()
FUNCTIONS = {
    "moving_window": functools.partial(moving_window, window=4),
    "exponential_filter": functools.partial(exponential_filter, time_constant=3.0),
    "spike_max": functools.partial(spike_max, labels=LABELS, moving_window=4),
    "spike_rate": functools.partial(spike_rate, labels=LABELS, true_rate=0.7, false_rate=0.1, moving_window=4),
    "spike_moid": functools.partial(spike_moid, targets=torch.eye(3)[LABELS], moving_window=4),
    "spike_time": functools.partial(spike_time, targets=TARGETS),
}
X = torch.arange(60.0).reshape(2, 3, 10).remainder(4).eq(0).float()


@pytest.fixture(params=list(FUNCTIONS))
def function(request):
    return FUNCTIONS[request.param]


def test_tangents_are_those_of_the_reference(function):
    def tangent():
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(function(forward_ad.make_dual(X, TARGETS))).tangent

    with use_backend("reference"):
        expected = tangent()
    torch.testing.assert_close(tangent(), expected)


def test_a_trace_computes_anew(function):
    torch.testing.assert_close(make_fx(function)(torch.zeros_like(X))(X), function(X))


def test_batches_of_gradients(function):
    x = X.clone().requires_grad_()
    y = function(x)
    grads = torch.stack([torch.ones_like(y), torch.full_like(y, 2.0)])
    (batched,) = torch.autograd.grad(y, x, grads, is_grads_batched=True, retain_graph=True)
    for grad, found in zip(grads, batched, strict=True):
        torch.testing.assert_close(found, torch.autograd.grad(y, x, grad, retain_graph=True)[0])


NEURONS = {
    "cuba": lambda x, decay: cuba(x, decay, 0.2, 1.0)[0],
    "cuba, graded": lambda x, decay: cuba(x, decay, decay, 1.0, graded=True)[0],
    "fire": lambda x, decay: fire(x, decay, 1.0)[0],
    "leaky_integrator": leaky_integrator,
    "integrate_and_fire": lambda x, decay: integrate_and_fire(x, decay, 1.0),
    "spike": lambda x, decay: spike(x + decay[:, None], 1.0, tau=0.5),
    "spike, inclusive": lambda x, decay: spike(x, x[..., :1] + decay[:, None], tau=0.5, inclusive=True),
    "adaptive_threshold": lambda x, decay: x + torch.stack(adaptive_threshold(x, decay, decay / 2, 0.4, 0.2)),
    "resonator": lambda x, decay: torch.stack(resonator(x, 0.3 - x, decay, 1.2 * decay, 0.9)),
    "phase_spike": lambda x, decay: phase_spike(x, 0.7 - x, 0.3 * decay[:, None], tau=0.5),
    "phase_spike, graded": lambda x, decay: phase_spike(x, 0.7 - x, 0.3, tau=0.5, graded=True) * decay[:, None],
    "quantize": lambda x, decay: quantize(x * decay[:, None], 0.25),
    "quantize_weight": lambda x, decay: quantize_weight(20 * (x - 0.7) * decay[:, None]),  # some are saturated
    "delay": lambda x, decay: delay(x, 5 * decay, longest=3),
    "delay, from a state": lambda x, decay: delay(x[..., 4:], 5 * decay, longest=3, state=x[..., :4])[..., :4],
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", NEURONS)
def test_neurons_under_torch_func_are_those_of_autograd(name):
    function, decays = NEURONS[name], torch.tensor([0.3, 0.4])
    x = torch.rand(3, 1, 2, 9, generator=torch.Generator().manual_seed(0)) * 1.5
    assert torch.equal(torch.func.vmap(function, (0, None))(x, decays), torch.stack([function(n, decays) for n in x]))
    gradients = torch.func.grad(lambda x, decay: function(x, decay).square().sum(), (0, 1))
    of_x, of_decays = torch.func.vmap(gradients, (0, None))(x, decays)
    for i, sample in enumerate(x):
        own = [sample.clone().requires_grad_(), decays.clone().requires_grad_()]
        function(*own).square().sum().backward()
        torch.testing.assert_close(of_x[i], own[0].grad)
        torch.testing.assert_close(of_decays[i], own[1].grad)
