"""Products that leave out the zeros give what products of matrices give, forward and backward."""

from __future__ import annotations

import pytest
import torch
from filter_cases import ORDERS, assert_near, both, check_operator, in_order, needs_kernels, needs_operators
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import use_backend
from slayerloss.functional import dense, quantize_weight
from slayerloss.kernels import spike_product as kernel
from slayerloss.kernels.cpu import memory
from slayerloss.kernels.spike_product import spike_product

pytestmark = needs_kernels


@pytest.fixture(autouse=True)
def also_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products leave the zeros out, too."""
    monkeypatch.setattr(kernel, "SMALLEST", 0)
    monkeypatch.setattr(kernel, "FEWEST_OUTPUTS", 0)


def spikes_and_weight(rows: int, channels: int, outputs: int, dtype: torch.dtype, rate: float = 0.1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rows + channels + outputs)
    x = torch.empty(rows, channels, dtype=dtype).bernoulli_(rate, generator=generator)
    return [x, quantize_weight(torch.randn(outputs, channels, generator=generator, dtype=dtype))]


SIZES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(120, 300)),
    st.tuples(st.integers(500, 1100), st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(250, 600), st.integers(1, 5)),
)


@settings(deadline=None)
@given(SIZES, st.sampled_from([torch.float32, torch.float64]), st.integers(1, 2), st.floats(0, 0.16))
def test_products_are_exact_and_gradients_near(sizes, dtype, count, rate):
    found, expected = both(spike_product, spikes_and_weight(*sizes, dtype, rate), count)
    assert torch.equal(found[0], expected[0])
    assert_near(found[1:], expected[1:])


@settings(deadline=None)
@given(ORDERS, st.integers(1, 2))
def test_synapses_use_them_in_every_memory_order(order, count):
    x, weight = spikes_and_weight(7 * 40, 33, 20, torch.float32)
    x = in_order(x.reshape(40, 7, 33).permute(1, 2, 0), order)
    found, expected = both(dense, (x, weight), count)
    assert torch.equal(found[0], expected[0])
    assert_near(found[1:], expected[1:])


def test_values_of_any_size_and_sign():
    x, weight = spikes_and_weight(30, 60, 50, torch.float64)
    x = x * torch.linspace(-3, 4, 60, dtype=torch.float64) + torch.tensor(-0.0)
    found, expected = both(spike_product, (x, weight), 2)
    assert_near(found, expected)


def test_silence_gives_zeros():
    x, weight = torch.zeros(20, 30), torch.ones(10, 30)
    found, _ = both(spike_product, (x, weight), 1)
    assert torch.equal(found[0], torch.zeros(20, 10))
    assert torch.equal(found[2], torch.zeros(10, 30))


@pytest.mark.parametrize(("rate", "leaves_out"), [(0.05, True), (0.5, False)])
def test_zeros_are_left_out_where_they_are_many(rate, leaves_out, monkeypatch):
    calls = []
    for name in ("_kernel", "_gradient_kernel"):
        original = getattr(kernel, name)

        def spy(*arguments, original=original, **more):
            calls.append(original.name)
            return original(*arguments, **more)

        monkeypatch.setattr(kernel, name, spy)
    x, weight = spikes_and_weight(200, 100, 30, torch.float32, rate)
    spike_product(x, weight.requires_grad_()).sum().backward()
    assert calls == (["spike_product", "spike_product_backward"] if leaves_out else [])


def test_the_result_does_not_depend_on_the_threads():
    x, weight = spikes_and_weight(2000, 300, 40, torch.float32)
    weight = weight * torch.linspace(0.1, 1.3, 300)  # rounded
    results = [both(spike_product, (x, weight), count)[0] for count in (1, 2, 3)]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_first_and_second_derivatives():
    x, weight = spikes_and_weight(5, 20, 4, torch.float64)
    inputs = x.requires_grad_(), (weight + 0.1).requires_grad_()
    assert kernel._leaves_zeros_out(x, 4)
    assert torch.autograd.gradcheck(spike_product, inputs)
    assert torch.autograd.gradgradcheck(spike_product, inputs)


@pytest.mark.parametrize("smallest_kept", [64, 2**22])
def test_the_compiler_takes_it_whole(smallest_kept, monkeypatch):
    monkeypatch.setattr(memory, "SMALLEST", smallest_kept)
    x, weight = spikes_and_weight(8, 30, 4, torch.float32)
    inputs = x.T.reshape(1, 30, 8).requires_grad_(), weight.requires_grad_()
    found, expected = (
        torch.autograd.grad(function(*inputs).square().sum(), inputs)
        for function in (torch.compile(dense, fullgraph=True, backend="aot_eager"), dense)
    )
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_many_gradients_at_once():
    x, weight = (part.requires_grad_() for part in spikes_and_weight(8, 30, 4, torch.float32))
    y = spike_product(x, weight)
    several = torch.randn(3, *y.shape)
    batched = torch.autograd.grad(y, (x, weight), several, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(y, (x, weight), one, retain_graph=True) for one in several]
    for found, expected in zip(batched, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(expected))


def test_under_transforms_it_is_a_product_of_matrices():
    x, weight = spikes_and_weight(8, 30, 4, torch.float32)
    x = x.T.reshape(1, 30, 8)
    slope = torch.func.jvp(lambda w: dense(x, w), (weight,), (torch.ones_like(weight),))[1]
    assert torch.equal(slope, dense(x, torch.ones_like(weight)))
    by_sample = torch.func.vmap(lambda one: dense(one[None], weight))(x.repeat(3, 1, 1))
    assert torch.equal(by_sample[:, 0], dense(x.repeat(3, 1, 1), weight))


def test_the_share_of_spikes_is_guessed_from_samples_and_steps_alike():
    x = torch.zeros(64, 64, 100)  # (T, N, C)
    x[:, 0] = 1
    assert kernel._leaves_zeros_out(x.flatten(0, 1), 100)
    x = 1 - x
    assert not kernel._leaves_zeros_out(x.flatten(0, 1), 100)


@needs_operators
@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_the_operators_are_what_their_fakes_say(rate):
    x, weight = spikes_and_weight(30, 40, 7, torch.float32, rate)
    check_operator(kernel._product_operator.default, (x, weight))
    check_operator(kernel._gradient_operator.default, (x, x @ weight.T))
    check_operator(kernel._back_operator.default, (x @ weight.T, weight))


def test_small_products_and_the_reference_are_products_of_matrices(monkeypatch):
    x, _ = spikes_and_weight(30, 40, 7, torch.float32)
    with use_backend("reference"):
        assert not kernel._leaves_zeros_out(x, 7)
    assert kernel._leaves_zeros_out(x, 7)
    monkeypatch.setattr(kernel, "FEWEST_OUTPUTS", 8)
    assert not kernel._leaves_zeros_out(x, 7)
    assert kernel._leaves_zeros_out(x, 8)
    monkeypatch.setattr(kernel, "SMALLEST", 30 * 40 * 8 + 1)
    assert not kernel._leaves_zeros_out(x, 8)
    assert kernel._leaves_zeros_out(torch.cat([x, x]), 8)
