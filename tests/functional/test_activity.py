"""Penalties on activity: values by hand, padding, silence, sizes, gradients, compilation, errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import (
    exponential_filter,
    hoyer,
    hoyer_penalty,
    membrane_excursion,
    rate,
    synaptic_operations,
    temporal_smoothness,
    total_events,
    treves_rolls,
)

FAN_OUT = torch.tensor([5, 0, 2])
PENALTIES: dict[str, Callable[..., Tensor]] = {
    "total_events": total_events,
    "synaptic_operations": lambda x, **o: synaptic_operations(x, FAN_OUT, **o),
    "membrane_excursion": lambda x, **o: membrane_excursion(x, -0.2, 0.3, **o),
    "temporal_smoothness": lambda x, **o: temporal_smoothness(x, 3.0, **o),
    "temporal_smoothness, raw": lambda x, **o: temporal_smoothness(x, **o),
    "hoyer": hoyer,
    "hoyer_penalty": hoyer_penalty,
    "treves_rolls": treves_rolls,
}
each_penalty = pytest.mark.parametrize("name", PENALTIES)


def spikes(samples: int = 2, channels: int = 3, steps: int = 8, seed: int = 0) -> Tensor:
    return (torch.rand(samples, channels, steps, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def test_events_and_operations_by_hand() -> None:
    x = torch.tensor([[[1.0, -2.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [[0.0] * 3] * 3])
    assert total_events(x).item() == 5 / 2
    assert total_events(x, 1.5).item() == 1
    assert total_events(x, 4.0).item() == 0
    assert synaptic_operations(x, FAN_OUT).item() == (5 * 3 + 2) / 2
    assert synaptic_operations(x, 2.0, 1.0).item() == 4
    image = torch.ones(2, 3, 2, 4, 5)
    per_neuron = torch.arange(24.0).reshape(3, 2, 4)
    assert synaptic_operations(image, per_neuron).item() == 5 * per_neuron.sum()
    assert synaptic_operations(image, FAN_OUT[:, None, None]).item() == 5 * 8 * 7
    assert synaptic_operations(image, torch.tensor([1, 2, 3, 4])).item() == 5 * 6 * 10


def test_excursions_by_hand() -> None:
    v = torch.tensor([[[-3.0, 0.0, 2.0], [0.5, 4.0, 1.0]]])
    assert membrane_excursion(v, upper=1.0).item() == pytest.approx((1 + 9) / 6)
    assert membrane_excursion(v, lower=0.0).item() == pytest.approx(9 / 6)
    assert membrane_excursion(v, lower=0.0, upper=math.inf).item() == pytest.approx(9 / 6)
    assert membrane_excursion(v, -3.0, 4.0).item() == 0
    of_each = membrane_excursion(v, torch.tensor([-1.0, 0.0]), torch.tensor([1, 2]))
    assert of_each.item() == pytest.approx((4 + 1 + 4) / 6)


def test_smoothness_is_of_the_rate() -> None:
    x = spikes()
    y = exponential_filter(x, 4.0, normalize="area")
    expected = (y[..., 1:] - y[..., :-1]).square().mean()
    torch.testing.assert_close(temporal_smoothness(x, 4.0), expected)
    raw = (x[..., 1:] - x[..., :-1]).square().mean()
    assert temporal_smoothness(x) == temporal_smoothness(x, 0) == raw
    assert temporal_smoothness(x, 4.0) < raw
    assert temporal_smoothness(x[..., :1]).item() == 0
    constants = torch.tensor([1.0, 4.0, 9.0], requires_grad=True)
    temporal_smoothness(x, constants).backward()
    assert constants.grad is not None
    assert (constants.grad < 0).all()  # slower is smoother


def test_population_sparsity_is_that_of_the_definitions() -> None:
    x = spikes(4, 6, 20)
    r = rate(x)
    n = r.shape[1]
    torch.testing.assert_close(hoyer(x), ((math.sqrt(n) - r.norm(1, 1) / r.norm(2, 1)) / (math.sqrt(n) - 1)).mean())
    torch.testing.assert_close(treves_rolls(x), (r.mean(1).square() / r.square().mean(1)).mean())
    torch.testing.assert_close(hoyer_penalty(x), 1 - hoyer(x))


@pytest.mark.parametrize("active", [1, 2, 3, 6])
def test_the_extremes_and_the_order_of_population_sparsity(active: int) -> None:
    x = torch.zeros(2, 6, 5)
    x[:, :active] = 1
    torch.testing.assert_close(treves_rolls(x), torch.tensor(active / 6))
    expected = (math.sqrt(6) - math.sqrt(active)) / (math.sqrt(6) - 1)
    torch.testing.assert_close(hoyer(x), torch.tensor(expected))
    if active > 1:
        sparser = x.clone()
        sparser[:, active - 1] = 0
        assert hoyer_penalty(sparser) < hoyer_penalty(x)
        assert treves_rolls(sparser) < treves_rolls(x)


@settings(max_examples=20, deadline=None)
@given(factor=st.integers(1, 50), order=st.permutations(range(3)), seed=st.integers(0, 9))
def test_scale_and_order_of_a_population(factor: int, order: list[int], seed: int) -> None:
    x = spikes(seed=seed)
    for measure in (hoyer, treves_rolls):
        torch.testing.assert_close(measure(factor * x), measure(x))
        torch.testing.assert_close(measure(x[:, order]), measure(x))
    torch.testing.assert_close(synaptic_operations(x[:, order], FAN_OUT[order]), synaptic_operations(x, FAN_OUT))
    torch.testing.assert_close(total_events(factor * x), factor * total_events(x))


@each_penalty
def test_silence_is_finite_and_silent_samples_are_left_out_of_a_measure(name: str) -> None:
    x = torch.zeros(2, 3, 8, requires_grad=True)
    loss = PENALTIES[name](x)
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert x.grad.isfinite().all()
    busy = spikes(1)
    if "hoyer" in name or "treves" in name:
        torch.testing.assert_close(PENALTIES[name](torch.cat([busy, torch.zeros(1, 3, 8)])), PENALTIES[name](busy))
    assert PENALTIES[name](torch.zeros(0, 3, 8)).item() == 0


@each_penalty
@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=2, max_size=2))
def test_padding_counts_nothing(name: str, lengths: list[int]) -> None:
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(sum(lengths)))
    garbage = x.clone()
    for i, length in enumerate(lengths):
        garbage[i, :, length:] = 7
    given = torch.tensor(lengths)
    loss = PENALTIES[name](garbage, lengths=given)
    torch.testing.assert_close(loss, PENALTIES[name](x, lengths=given))
    alone = [PENALTIES[name](x[i : i + 1, :, :length]) for i, length in enumerate(lengths)]
    counted = [max(n - 1, 0) for n in lengths] if "smooth" in name else lengths if "membrane" in name else [1, 1]
    expected = sum(a * c for a, c in zip(alone, counted, strict=True)) / max(sum(counted), 1)
    torch.testing.assert_close(loss, torch.as_tensor(expected))


@each_penalty
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_and_memory(name: str, dtype: torch.dtype) -> None:
    x = spikes().to(dtype)
    loss = PENALTIES[name](x)
    assert loss.ndim == 0
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    one = 1e-6 if "hoyer" in name else 1e-7  # which is the difference of numbers of that size
    torch.testing.assert_close(loss.float(), PENALTIES[name](spikes()), rtol=1e-6, atol=one)
    time_first = x.movedim(-1, 0).contiguous().movedim(0, -1)
    torch.testing.assert_close(PENALTIES[name](time_first), loss)
    torch.testing.assert_close(
        PENALTIES[name](x.repeat(1, 1, 2)[..., ::2].clone()), PENALTIES[name](x.repeat(1, 1, 2)[..., ::2])
    )


@each_penalty
def test_gradients_and_their_gradients(name: str) -> None:
    x = torch.rand(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.05
    x[0, 0] -= 1
    x.requires_grad_()
    lengths = torch.tensor([5, 3])
    assert torch.autograd.gradcheck(lambda x: PENALTIES[name](x, lengths=lengths), x)
    assert torch.autograd.gradgradcheck(PENALTIES[name], x)


@each_penalty
def test_compilation(name: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(PENALTIES[name], fullgraph=True, backend="aot_eager")
    x, y = (spikes().requires_grad_() for _ in range(2))
    loss, expected = compiled(x), PENALTIES[name](y)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_an_event_more_costs_what_it_causes() -> None:
    x = torch.zeros(2, 3, 4, requires_grad=True)
    synaptic_operations(x, FAN_OUT).backward()
    assert x.grad is not None
    assert torch.equal(x.grad, (FAN_OUT / 2)[None, :, None].expand(2, 3, 4))  # the slope of |s| at 0 is 1


X = spikes()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: total_events(X[0]), ShapeError, "total_events: spikes has too few dimensions"),
        (lambda: total_events(X, -1), ArgumentError, "total_events: allowance is out of range"),
        (lambda: total_events(X / 0), ArgumentError, "total_events: spikes holds .* NaN or infinite"),
        (lambda: total_events(X * 1e10), ArgumentError, "total_events: spikes is out of range"),
        (lambda: synaptic_operations(X, torch.ones(4)), ShapeError, "fan_out does not broadcast over the neurons"),
        (lambda: synaptic_operations(X, torch.ones(2, 3)), ShapeError, "fan_out does not broadcast"),
        (lambda: synaptic_operations(X, -1.0), ArgumentError, "synaptic_operations: fan_out is out of range"),
        (lambda: synaptic_operations(X, torch.tensor([1, -1, 1])), ArgumentError, "fan_out is out of range"),
        (lambda: synaptic_operations(X, [1, 2, 3]), DtypeError, "synaptic_operations: fan_out is not a number"),
        (lambda: membrane_excursion(X), ArgumentError, "membrane_excursion: there is no bound"),
        (lambda: membrane_excursion(X, 1.0, 0.0), ArgumentError, "membrane_excursion: upper - lower is out of range"),
        (lambda: membrane_excursion(X / 0, 1.0), ArgumentError, "membrane_excursion: voltage holds"),
        (lambda: membrane_excursion(X, math.nan), ArgumentError, "membrane_excursion: lower is out of range"),
        (lambda: temporal_smoothness(X, -1.0), ArgumentError, "time_constant is out of range"),
        (lambda: temporal_smoothness(X, lengths=torch.tensor([9, 1])), ArgumentError, "lengths is out of range"),
        (lambda: hoyer(X[:, :1]), ShapeError, "hoyer: there is one neuron"),
        (lambda: hoyer_penalty(X[:, :1]), ShapeError, "hoyer_penalty: there is one neuron"),
        (lambda: treves_rolls([1.0]), DtypeError, "treves_rolls: spikes is not a tensor"),
    ],
)
def test_errors(call: Callable[[], Tensor], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("neurons", range(2, 300, 7))
def test_rounding_does_not_bring_a_measure_out_of_its_range(neurons: int) -> None:
    for each in (0.1, 0.3, 0.7):
        alike = torch.full((1, neurons, 1), each, requires_grad=True)
        alone = each * (torch.arange(neurons) == 1).float().reshape(1, -1, 1).requires_grad_()
        for x, expected in ((alike, 0.0), (alone, 1.0)):
            assert 0 <= hoyer(x).item() <= 1
            assert hoyer(x).item() == pytest.approx(expected, abs=1e-5)
            assert 0 <= hoyer_penalty(x).item() <= 1
            assert 1 / neurons - 1e-9 <= treves_rolls(x).item() <= 1
        (gradient,) = torch.autograd.grad(treves_rolls(alone), alone)
        # rates r of the others: (sum r)^2 / (n sum r^2) grows by 2 / (n r), and does not with its own
        expected_gradient = torch.full((1, neurons, 1), 2 / (neurons * each))
        expected_gradient[0, 1] = 0
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)
