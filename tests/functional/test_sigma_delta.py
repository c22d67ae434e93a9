"""Sigma, delta and the neuron made of them: values, states over chunks, gradients, dtypes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import slayerloss as slayer
from slayerloss.functional import delta, sigma, sigma_delta
from slayerloss.functional.sigma_delta import total_of_sigma

X = torch.tensor([[[0.5, 0.75, 0.875, 0.125, 0.125, 1.125]]])


def model(values, threshold, cum_error):
    """One neuron in Python's own numbers, as the chip does it: what is sent, and what is left."""
    before = residual = error = 0.0
    messages = []
    for value in values:
        change = value - before + residual
        error += change
        sent = change if abs(error if cum_error else change) >= threshold else 0.0
        error = 0.0 if sent else error
        before, residual = value, change - sent
        messages.append(math.floor(sent * 4096) / 4096)
    return messages, residual


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.integers(-(2**17), 2**17), min_size=1, max_size=40),
    threshold=st.integers(1, 2**16),
    cum_error=st.booleans(),
)
def test_delta_is_the_equation(values, threshold, cum_error):
    values, threshold = [value / 2**18 for value in values], threshold / 2**18
    messages, residual = model(values, threshold, cum_error)
    y, state = delta(torch.tensor(values).reshape(1, 1, -1), threshold, cum_error=cum_error)
    assert y.flatten().tolist() == messages
    assert state.residual.item() == residual
    assert state.pre.item() == values[-1]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.integers(-(2**12), 2**12), min_size=1, max_size=40), threshold=st.integers(1, 2**12))
def test_messages_and_residual_make_up_the_change(values, threshold):
    x = torch.tensor(values).reshape(1, 1, -1) / 4096
    y, state = delta(x, threshold / 4096)
    assert torch.equal(sigma(y).select(-1, -1) + state.residual, x.select(-1, -1))
    assert (state.residual.abs() < threshold / 4096).all()


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    cum_error=st.booleans(),
    first=st.sampled_from(["time", "samples"]),
)
def test_chunks_with_state_equal_one_run(parts, cum_error, first):
    torch.manual_seed(sum(parts))
    x = torch.randint(-(2**16), 2**16, (2, 3, 4, 4, sum(parts))).double() / 2**18
    x = x.movedim(-1, 0).contiguous().movedim(0, -1) if first == "time" else x
    x.requires_grad_()
    threshold, bias = (torch.full((3,), size, dtype=torch.float64, requires_grad=True) for size in (0.2, 0.1))
    given = {"bias": bias, "cum_error": cum_error}
    whole, last = sigma_delta(x, threshold, **given)
    state, messages = None, []
    for chunk in x.split(parts, -1):
        y, state = sigma_delta(chunk, threshold, state=state, **given)
        messages.append(y)
    chunked = torch.cat(messages, -1)
    assert torch.equal(chunked, whole)
    assert all(torch.equal(a, b) for a, b in zip(state, last, strict=True) if a is not None)
    weight = torch.linspace(-1, 1, whole.numel(), dtype=torch.float64).reshape(whole.shape)
    ends = [state.sigma.square().sum() + state.pre.square().sum(), last.sigma.square().sum() + last.pre.square().sum()]
    for found, expected in zip(
        *(
            torch.autograd.grad((y * weight).sum() + end, (x, threshold, bias), retain_graph=True)
            for y, end in zip((chunked, whole), ends, strict=True)
        ),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_the_relaxation():
    """A message counts as the change; the threshold has lava-dl's exponential above itself, and -sign below."""
    x = X.clone().requires_grad_()
    threshold = torch.tensor([0.375], requires_grad=True)
    g = torch.tensor([[[1.0, 2.0, -1.0, 3.0, 0.5, 1.0]]])
    y, _ = delta(x, threshold, tau_grad=0.5, scale_grad=2.0)
    y.backward(g)
    torch.testing.assert_close(x.grad, torch.tensor([[[-1.0, 3.0, -4.0, 2.5, -0.5, 1.0]]]))
    changes = [0.5, 0.25, 0.375, -0.75, 0.0, 1.0]  # the third is sent, and as far from the threshold as one held back
    slopes = [
        -d * 2 * math.exp(-(abs(d) - 0.375) / 0.5) / 0.375 if abs(d) > 0.375 else -math.copysign(d != 0, d)
        for d in changes
    ]
    expected = sum(slope * each for slope, each in zip(slopes, g.flatten().tolist(), strict=True))
    assert threshold.grad.item() == pytest.approx(expected, rel=1e-5)


def test_a_threshold_for_each_channel():
    x = X.expand(2, 2, 6).unflatten(1, (2, 1)).unsqueeze(2)  # images, too
    thresholds = torch.tensor([0.2, 0.6], requires_grad=True)
    y, _ = delta(x, thresholds)
    for channel, threshold in enumerate((0.2, 0.6)):
        assert torch.equal(y[:, channel], delta(x, threshold)[0][:, channel])
    y.sum().backward()
    each = torch.tensor([0.2, 0.6], requires_grad=True)
    sum(delta(x[:, [c]], each[c])[0].sum() for c in range(2)).backward()
    torch.testing.assert_close(thresholds.grad, each.grad)


def test_sigma_undoes_delta():
    x = (torch.randn(2, 3, 50) * 4096).round() / 4096
    assert torch.equal(sigma(delta(x, 1e-6)[0]), x)


def test_the_neuron_is_made_of_its_parts():
    x, bias = (torch.randn(2, 3, 4, 50) * 64).round() / 64, torch.tensor([0.5, -1.0, 0.25])
    y, state = sigma_delta(x, 0.3, bias=bias)
    value = (sigma(x) + bias.reshape(3, 1, 1)).relu()
    expected, after = delta(value, 0.3)
    assert torch.equal(y, expected)
    assert torch.equal(state.pre, after.pre)
    assert torch.equal(state.sigma, sigma(x).select(-1, -1))


def test_the_total_of_sums():
    for x in (torch.randn(2, 3, 4, 5, 6), torch.randn(6, 2, 3, 4, 5).movedim(0, -1)):
        x = x.double().requires_grad_()
        start = torch.randn(2, 3, 4, 5, dtype=torch.float64)
        found, expected = total_of_sigma(x, start), sigma(x, state=start).sum((0, 2, 3, 4))
        torch.testing.assert_close(found, expected)
        grads = [torch.autograd.grad((total * torch.arange(3)).sum(), x) for total in (found, expected)]
        torch.testing.assert_close(*grads)


def test_long_sums_stay_exact():
    x = torch.full((1, 1, 20000), 0.1)
    assert sigma(x).select(-1, -1).item() == pytest.approx(20000 * float(x[0, 0, 0]), rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    x = torch.tensor([[[1, 0, 1, 1, 0]]]).to(dtype)
    y, state = sigma_delta(x, 1.5)
    assert y.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert y.flatten().tolist() == [0, 0, 2, 0, 0]
    assert state.sigma.item() == 3


def test_compiles():
    x = torch.randn(2, 3, 20, requires_grad=True)
    threshold = torch.tensor([0.5, 0.3, 0.2], requires_grad=True)

    def run(x, threshold):
        y, state = sigma_delta(x, threshold)
        return y.square().sum() + state.sigma.sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found, expected = (torch.autograd.grad(f(x, threshold), (x, threshold)) for f in (compiled, run))
    torch.testing.assert_close(found, expected)


def test_vmap():
    x = torch.randn(4, 2, 3, 20)
    found = torch.func.vmap(lambda x: sigma_delta(x, 0.3)[0])(x)
    assert torch.equal(found.flatten(0, 1), sigma_delta(x.flatten(0, 1), 0.3)[0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value):
    x = X.clone()
    x[0, 0, 3] = value
    for run in (sigma, lambda x: delta(x, 0.5), lambda x: sigma_delta(x, 0.5)):
        with pytest.raises(slayer.ArgumentError, match="x holds 1 NaN or infinite values"):
            run(x)


def test_wrong_arguments():
    with pytest.raises(slayer.ArgumentError, match="threshold is out of range"):
        delta(X, 0.0)
    with pytest.raises(slayer.ArgumentError, match="threshold is out of range"):
        delta(X, torch.tensor([-1.0]))
    with pytest.raises(slayer.ShapeError, match="threshold does not fit the channels"):
        delta(X, torch.ones(2))
    with pytest.raises(slayer.ArgumentError, match="a SigmaDeltaState"):
        sigma_delta(X, 0.5, state=delta(X, 0.5)[1])
    with pytest.raises(slayer.ShapeError, match="Reset the state"):
        delta(X.expand(2, 1, 6), 0.5, state=delta(X, 0.5)[1])
