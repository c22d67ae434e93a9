"""Helpers under lava-dl's names."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError, utils
from slayerloss.functional import quantize_weight


def test_quantisation():
    x = torch.linspace(-9, 9, 101)
    assert torch.equal(utils.quantize(x, 0.5, utils.QUANTIZE_MODE.FLOOR), torch.floor(x / 0.5) * 0.5)
    assert torch.equal(utils.quantize(x), x.round())
    assert torch.equal(utils.quantize_hook_fx(x), quantize_weight(x))
    assert torch.equal(utils.quantize_hook_fx(x, 32, 6, True), (2 * (x * 16).round()).clamp(-64, 62))


def test_event_rate_is_there():
    assert utils.event_rate(torch.tensor([[[1.0, 0, 1, 0, 0]]])) == 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5, 6)])
def test_replicate(dtype, shape):
    x = torch.rand(shape).gt(0.5).to(dtype)
    y = utils.time.replicate(x, 7)
    assert y.dtype == dtype
    assert y.shape == (*shape, 7)
    assert all(torch.equal(step, x) for step in y.unbind(-1))


@pytest.mark.parametrize("steps", [0, 2, -2, 2.9, -2.9, 10, -10])
def test_shift_of_everything(steps):
    x = torch.rand(2, 3, 6)
    y = utils.time.shift(x, steps)
    whole = int(steps)
    for t in range(6):
        expected = x[..., t - whole] if 0 <= t - whole < 6 else torch.zeros(2, 3)
        assert torch.equal(y[..., t], expected)
    assert torch.equal(utils.time.shift(x, torch.tensor([float(steps)])), y)
    assert torch.equal(utils.time.shift(x, 3.0 * steps, 3), y)


@pytest.mark.parametrize(("time", "sampling_time", "steps"), [(-1.8, 0.2, -8), (0.7, 0.1, 6), (0.6, 0.2, 3)])
def test_a_tensor_of_one_time_is_divided_in_float64(time, sampling_time, steps):
    times = torch.tensor(time)
    for one in (times, times.reshape(1, 1), times.clone().requires_grad_()):
        assert utils.time.shift(torch.eye(20)[None, :1].roll(10, -1), one, sampling_time).argmax() == 10 + steps


def test_shift_of_each_neuron_and_its_gradient():
    x, steps = torch.rand(2, 3, 2, 5, dtype=torch.float64), torch.tensor([0, 1, -1, 2, 9, -9])
    y = utils.time.shift(x, steps)
    for i, step in enumerate(steps):
        rows = x.flatten(1, 2)[:, i : i + 1]
        assert torch.equal(y.flatten(1, 2)[:, i : i + 1], utils.time.shift(rows, int(step)))
    assert torch.autograd.gradcheck(lambda x: utils.time.shift(x, steps), (x.requires_grad_(),))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: utils.time.replicate(torch.ones(2), 0), ArgumentError, r"replicate: num_steps is out of range"),
        (lambda: utils.time.replicate([1], 2), DtypeError, r"input is not a tensor"),
        (
            lambda: utils.time.shift(torch.ones(1, 3, 2), torch.ones(2)),
            ShapeError,
            r"shift_val does not fit; expected one time, or one for each of 3 neurons, got \(2,\)",
        ),
        (lambda: utils.time.shift(torch.ones(1, 2), float("nan")), ArgumentError, r"shift_val is out of range"),
        (lambda: utils.time.shift(torch.ones(1, 2), 1, 0), ArgumentError, r"sampling_time is out of range"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
