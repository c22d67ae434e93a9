"""The reference kernels against Lava's integers in numpy, and their adjoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from cuba_model import integer_cuba
from filter_cases import check_operator, needs_operators
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slayerloss.kernels import recurrent, reference

SCALE = 4096.0
LIMIT = 2**23


def keep_of(decay) -> torch.Tensor:
    return 1 - torch.as_tensor(decay, dtype=torch.float64) / 4096


def whole(x: torch.Tensor) -> np.ndarray:
    """States in units of the input, as the integers that they stand for."""
    values = x.double().numpy() * SCALE
    assert np.array_equal(values, np.trunc(values))
    return values.astype(np.int64)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(1, 4)),
    space=st.sampled_from([(), (2, 3), (1, 1)]),
    size=st.sampled_from([2**6, 2**12, 2**20, 2**23 - 1]),
    threshold=st.sampled_from([0, 64, 5120, 2**17, 2**23]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@example(seed=0, shape=(30, 1, 1), space=(), size=2**23 - 1, threshold=2**23, dtype=torch.float32)
def test_integers_equal_lavas(seed, shape, space, size, threshold, dtype):
    random = np.random.default_rng(seed)
    drive = random.integers(-size, size, (*shape, *space), endpoint=True)
    if random.random() < 0.5:
        drive = np.abs(drive)  # runs into the limits
    channel = (shape[2], *[1] * len(space))
    current_decay, voltage_decay = random.integers(0, 4096, (2, *channel), endpoint=True)
    u0, v0 = random.integers(-(LIMIT - 1), LIMIT - 1, (2, *drive.shape[1:]), endpoint=True)
    u, v, s = integer_cuba(drive, current_decay, voltage_decay, threshold, u0, v0)

    state = torch.tensor(np.stack([u0, v0])).to(dtype) / SCALE
    current = reference.leaky_integrator(torch.tensor(drive).to(dtype) / SCALE, keep_of(current_decay), state[0], SCALE)
    voltage = reference.integrate_and_fire(current, keep_of(voltage_decay), threshold / SCALE, state[1], SCALE)
    assert np.array_equal(whole(current), u)
    assert np.array_equal(whole(voltage), v)
    assert np.array_equal(reference.fired(voltage, threshold / SCALE, False).numpy(), s)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(1, 6)),
    size=st.sampled_from([100, 10_000, 2**16]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_recurrence_equals_lavas(seed, shape, size, dtype):
    random = np.random.default_rng(seed)
    drive = 64 * random.integers(-size // 2, size, shape)
    feedback = 2 * random.integers(-128, 127, (shape[2], shape[2]), endpoint=True)
    current_decay, voltage_decay = random.integers(0, 4096, (2, shape[2]), endpoint=True)
    bias = random.integers(-254, 256, shape[2], endpoint=True) if random.random() < 0.5 else None
    constant = 0 if bias is None else 64 * bias
    expected = integer_cuba(drive, current_decay, voltage_decay, 5120, feedback=feedback, bias=constant)
    silent = torch.zeros(shape[1:], dtype=dtype)
    run = reference.recurrent_cuba(
        torch.tensor(drive).to(dtype) / SCALE,
        torch.tensor(feedback).to(dtype) / 64,
        keep_of(current_decay),
        keep_of(voltage_decay),
        silent,
        silent,
        silent,
        None if bias is None else torch.tensor(bias).to(dtype) / 64,
        1.25,
        SCALE,
        False,
    )
    assert np.array_equal(whole(run[0]), expected[0])
    assert np.array_equal(whole(run[1]), expected[1])
    assert np.array_equal(run[2].numpy(), expected[2])


@pytest.mark.parametrize(
    ("sum_", "current"),
    [(LIMIT, LIMIT), (LIMIT + 1, -LIMIT + 1), (-LIMIT, LIMIT), (-LIMIT + 1, -LIMIT + 1)],
)
def test_current_wraps_just_outside_its_range(sum_, current):
    x = torch.full((1, 1, 1), float(sum_)) / SCALE
    assert whole(reference.leaky_integrator(x, keep_of([0]), torch.zeros(1, 1), SCALE)).item() == current
    run = reference.recurrent_cuba(x, x[0], keep_of([0]), keep_of([0]), *torch.zeros(3, 1, 1), None, 1.0, SCALE, False)
    assert whole(run[0]).item() == current


def test_voltage_stays_at_its_ends():
    drive = torch.tensor([LIMIT, LIMIT, -LIMIT, -LIMIT, -LIMIT]).float() / SCALE
    v = reference.integrate_and_fire(drive[:, None, None], keep_of([0]), math.inf, torch.zeros(1, 1), SCALE)
    assert whole(v).ravel().tolist() == [LIMIT - 1, LIMIT - 1, -1, -LIMIT + 1, -LIMIT + 1]


def test_products_are_cut_toward_zero():
    # 3 * 4095 / 4096 lies just below 3, -3 * 4095 / 4096 just above -3.
    x = torch.tensor([[[3.0, -3.0]], [[0.0, 0.0]]]) / SCALE
    u = reference.leaky_integrator(x, keep_of([1]), torch.zeros(1, 2), SCALE)
    assert whole(u)[1].tolist() == [[2, -2]]


@pytest.mark.parametrize("threshold", [1.25 - 1e-9, 1.25, 1.25 + 1e-9, 0.1, 29 / 100])
@pytest.mark.parametrize("state_scale", [4096.0, 6400.0])
def test_a_neuron_is_reset_where_it_spikes(threshold, state_scale):
    x = torch.full((60, 1, 3), 0.05) * torch.tensor([1.0, 1.3, 5.0])
    for dtype in (torch.float32, torch.float64):
        v = reference.integrate_and_fire(
            x.to(dtype), keep_of([0]), threshold, torch.zeros(1, 3, dtype=dtype), state_scale
        )
        s = reference.fired(v, threshold, False).bool()
        restarted = torch.isclose(v[1:], x[1:].to(dtype), atol=1 / state_scale)
        assert s.any()
        assert torch.equal(restarted, s[:-1])


def test_the_wrap_of_one_neuron_leaves_the_others_alone():
    x = torch.randint(-4096, 4096, (40, 2, 5)).float() / SCALE
    alone = reference.leaky_integrator(x[..., :4], keep_of([100]), torch.zeros(2, 4), SCALE)
    x[..., 4] = 1500.0
    together = reference.leaky_integrator(x, keep_of([100]), torch.zeros(2, 5), SCALE)
    assert torch.equal(together[..., :4], alone)
    assert together[..., 4].min() < 0


@pytest.mark.parametrize("space", [(), (2, 3)])
def test_adjoint_identity(space):
    x, g = torch.randn(2, 20, 3, 4, *space, dtype=torch.float64)
    keep = torch.rand(4, *[1] * len(space), dtype=torch.float64)
    y, now = [], torch.zeros_like(x[0])
    for x_t in x:
        now = keep * now + x_t
        y.append(now)
    assert torch.allclose((torch.stack(y) * g).sum(), (x * reference.leaky_adjoint(g, keep)).sum())


def test_strided_memory():
    x = torch.randint(-9000, 9000, (4, 3, 50)).float().movedim(-1, 0) / SCALE
    keep, state = keep_of([100, 200, 300]), torch.rand(3, 4).mul(4096).round().div(4096).T
    plain = [tensor.contiguous() for tensor in (x, keep, state)]
    assert torch.equal(reference.leaky_integrator(x, keep, state, SCALE), reference.leaky_integrator(*plain, SCALE))
    assert torch.equal(
        reference.integrate_and_fire(x, keep, 1.0, state, SCALE),
        reference.integrate_and_fire(plain[0], plain[1], 1.0, plain[2], SCALE),
    )
    assert torch.equal(reference.leaky_adjoint(x, keep.float()), reference.leaky_adjoint(plain[0], plain[1].float()))


@pytest.mark.parametrize("graded", [False, True])
def test_surrogate(graded):
    v = torch.linspace(-2, 4, 61, dtype=torch.float64)
    slope = reference.surrogate(v, 1.0, 0.7, 2.0, graded)
    if graded:
        expected = 2.0 * torch.exp(torch.minimum(v - 1, torch.zeros(())) / 0.7)
    else:
        expected = 2.0 / 1.4 * torch.exp(-(v - 1).abs() / 0.7)
    assert torch.allclose(slope, expected)


def test_inputs_are_left_as_they_are():
    x, state, keep = torch.rand(9, 2, 3), torch.rand(2, 3), keep_of([100])
    feedback = torch.rand(3, 3)
    before = [tensor.clone() for tensor in (x, state, keep, feedback)]
    reference.leaky_integrator(x, keep, state, SCALE)
    reference.integrate_and_fire(x, keep, 0.5, state, SCALE)
    bias = torch.rand(3)
    before.append(bias.clone())
    reference.recurrent_cuba(x, feedback, keep, keep, state, state, state, bias, 0.5, SCALE, False)
    reference.leaky_adjoint(x, keep.float())
    reference.recurrent_cuba_adjoint(x, x, x, x, feedback, keep.float(), keep.float())
    assert all(torch.equal(*pair) for pair in zip(before, (x, state, keep, feedback, bias), strict=True))


@needs_operators
def test_operators_are_what_torch_expects_of_operators():
    x, state, keep = torch.rand(5, 2, 3), torch.rand(2, 3), keep_of([100, 50, 0])
    population = (x, torch.rand(3, 3), keep, keep, state, state, state)
    calls = [
        (recurrent._recurrent_cuba, (*population, None, 0.5, SCALE, False)),
        (recurrent._recurrent_cuba, (*population, torch.rand(3), 0.5, SCALE, False)),
        (recurrent._recurrent_cuba_adjoint, (x, x, x, x, torch.rand(3, 3), keep.float(), keep.float())),
    ]
    for operator, arguments in calls:
        check_operator(operator, arguments)
        on_meta = operator(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments))
        results = on_meta if isinstance(on_meta, (tuple, list)) else [on_meta]
        assert all(result.shape == x.shape and result.is_meta for result in results)
