"""The C++ kernel of SpikeTime against the reference."""

from __future__ import annotations

import math

import pytest
import torch
from filter_cases import (
    DTYPES,
    ORDERS,
    SHAPES,
    assert_near,
    both,
    check_operator,
    events,
    in_order,
    needs_kernels,
    needs_operators,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, use_backend
from slayerloss.functional import spike_time
from slayerloss.kernels import spike_time as kernel

pytestmark = needs_kernels


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    orders=st.tuples(ORDERS, ORDERS),
    dtype=DTYPES,
    time_constant=st.sampled_from([0.0001, 2.0, 30.0, 3000.0]),
    length=st.one_of(st.none(), st.integers(1, 40), st.sampled_from([100, 1100])),
    normalize=st.sampled_from([None, "peak", "area"]),
    reduction=st.sampled_from(["none", "sum", "mean"]),
    padded=st.booleans(),
    binary=st.booleans(),
    threads=st.integers(1, 2),
)
def test_equal_to_the_reference(
    seed, shape, orders, dtype, time_constant, length, normalize, reduction, padded, binary, threads
):
    spikes, targets = (in_order(events(seed + i, shape, dtype, binary), order) for i, order in enumerate(orders))
    lengths = torch.randint(1, shape[-1] + 1, shape[:1]) if padded else None

    def run(spikes, targets):
        options = {"normalize": normalize, "lengths": lengths}
        return spike_time(spikes, targets, time_constant, length, 1, reduction, **options)

    found, expected = both(run, [spikes, targets], threads)
    assert_near(found, expected, times=3)
    assert torch.equal(run(spikes, spikes.clone()), torch.zeros_like(found[0]))


@pytest.mark.parametrize("length", [100, None, 1, 1500])
def test_one_spike_is_the_sum_of_its_response(length):
    spikes = torch.zeros(1, 1, 3000, dtype=torch.float64)
    spikes[..., 20] = 1
    known = 2980 if length is None else length
    expected = sum(math.exp(-2 * k / 2000.0) for k in range(known))
    assert spike_time(spikes, torch.zeros_like(spikes), 2000.0, length).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", ["time last", "time first"])
def test_numbers_of_threads_give_the_same_bits(order):
    spikes, targets = (in_order(events(i, (4, 300, 90), torch.float32, False), order) for i in range(2))
    one, two = (both(lambda *x: spike_time(*x, reduction="none"), [spikes, targets], count)[0] for count in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[1].stride() == spikes.stride()


def test_gradients_of_both_orders():
    spikes, targets = (events(i, (2, 3, 9), torch.float64, False).requires_grad_() for i in range(2))
    for length in (4, None):

        def run(spikes, targets, length=length):
            return spike_time(spikes, targets, 3.0, length, lengths=torch.tensor([9, 5]))

        assert torch.autograd.gradcheck(run, (spikes, targets))
        assert torch.autograd.gradgradcheck(run, (spikes, targets))


def test_a_forward_pass_of_the_reference_has_its_backward_pass():
    spikes, targets = (events(i, (2, 3, 2500), torch.float64, False).requires_grad_() for i in range(2))
    expected = torch.autograd.grad(spike_time(spikes, targets), (spikes, targets))
    with use_backend("reference"):
        loss = kernel.SpikeTime.apply(spikes, targets, None, 5.0, 100, 1e9, "spike_time").sum()
    assert_near(torch.autograd.grad(loss, (spikes, targets)), expected)


@pytest.mark.parametrize("name", ["spikes", "targets"])
def test_values_are_looked_at_on_the_way(name):
    given = {"spikes": torch.zeros(2, 3, 40), "targets": torch.zeros(2, 3, 40)}
    for value in (math.nan, math.inf, -math.inf):
        given[name][1, 2, 30] = value
        with pytest.raises(ArgumentError, match=rf"spike_time: {name} holds 1 NaN or infinite values"):
            spike_time(**given)
    given[name][1, 2, 30] = -1.1e9
    with pytest.raises(ArgumentError, match=rf"spike_time: {name} is out of range"):
        spike_time(**given)
    given[name][1, 2, 30] = 1e9
    assert spike_time(**given).isfinite()


def test_compiles():
    spikes = events(0, (2, 3, 30), torch.float32, True).requires_grad_()
    targets, lengths = events(1, (2, 3, 30), torch.float32, True), torch.tensor([30, 4])
    compiled = torch.compile(spike_time, backend="aot_eager", fullgraph=True)
    found, expected = (f(spikes, targets, reduction="mean", lengths=lengths) for f in (compiled, spike_time))
    assert torch.equal(found, expected)
    assert_near(*(torch.autograd.grad(y, (spikes,)) for y in (found, expected)))


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_operators_are_what_torch_expects_of_operators(order, backend):
    spikes, targets = in_order(torch.rand(2, 3, 5), order), torch.rand(2, 3, 5)
    lengths, grad = torch.tensor([5, 2]), torch.rand(2)
    with use_backend(backend):
        forward = (spikes, targets, lengths, 5.0, 3, 1e9, "f")
        check_operator(kernel._forward.default, forward)
        _, checkpoints = kernel._forward(*forward)
        backward = (spikes, targets, lengths, checkpoints, grad, 5.0, 3)
        check_operator(kernel._backward.default, backward)
