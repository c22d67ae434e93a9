"""Helpers under lava-dl's names."""

from __future__ import annotations

import copy
import importlib
import operator
import pickle

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


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("bits", [0, 1, 12])
def test_shift_to_zero_divides(dtype, bits):
    x = torch.tensor([*range(-9, 10), 4095, 4096, -4095, -4096, -4097, torch.iinfo(dtype).max, torch.iinfo(dtype).min])
    y = utils.int_utils.right_shift_to_zero(x.to(dtype), bits)
    assert y.dtype == dtype
    assert torch.equal(y.long(), torch.div(x, 2**bits, rounding_mode="trunc"))
    with pytest.raises(DtypeError, match="int32 or int64"):
        utils.int_utils.right_shift_to_zero(x.float(), bits)


@pytest.mark.parametrize(("dim", "num_diagonals"), [(1, 1), (5, 1), (5, 2), (5, 3), (4, 99)])
def test_diagonal_mask(dim, num_diagonals):
    mask = utils.diagonal_mask(dim, num_diagonals)
    near = [[abs(i - j) <= num_diagonals // 2 for j in range(dim)] for i in range(dim)]
    assert torch.equal(mask, torch.tensor(near, dtype=torch.float32))
    with pytest.raises(ArgumentError, match="num_diagonals"):
        utils.diagonal_mask(dim, 0)


def test_dotdict_can_be_copied_and_pickled():
    params = utils.dotdict(a=1, b=[2])
    for other in (copy.deepcopy(params), pickle.loads(pickle.dumps(params)), utils.dotdict(**params)):
        assert type(other) is utils.dotdict
        assert (other.a, other["b"], other.c) == (1, [2], None)
    del params.a
    assert params == {"b": [2]}
    with pytest.raises(AttributeError, match="a"):
        del params.a


def test_functions_bear_the_names_of_their_modules():
    for name in ("time.shift", "time.replicate", "filter.conv", "quantize"):
        module = importlib.import_module(f"slayerloss.utils.{name}")
        assert getattr(module, name.rpartition(".")[2]) is operator.attrgetter(name)(utils)
    assert importlib.import_module("slayerloss.utils.filter.conv").corr is utils.filter.corr
    assert importlib.import_module("slayerloss.utils.quantize").MODE is utils.QUANTIZE_MODE


def test_quantisation_takes_lava_dls_numbers():
    x = torch.linspace(-2, 2, 11)
    assert torch.equal(utils.quantize(x, mode=1), x.floor())
    assert torch.equal(utils.quantize(x, mode=utils.QUANTIZE_MODE.ROUND), x.round())
    with pytest.raises(ArgumentError, match="mode"):
        utils.quantize(x, mode=2)
