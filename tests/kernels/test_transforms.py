"""What looks at operations from outside gets what it gets from a composition of torch operations."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from slayerloss import use_backend
from slayerloss.functional import exponential_filter, moving_window, spike_max, spike_moid, spike_rate, spike_time

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
