"""Filter modules call the functions, keep their options, learn, and load lava-dl's state dicts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, functional
from slayerloss.filter import FIR, ExponentialFilter, FilterBank, FIRBank, MovingWindow


def signal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MODULES: dict[str, Any] = {
    "exponential": lambda: ExponentialFilter(4.0, 2, normalize="peak"),
    "exponential-channels": lambda: ExponentialFilter([2.0, 5.0, 9.0], length=20, learnable=True),
    "bank": lambda: FilterBank([2.0, 5.0], learnable=True),
    "window": lambda: MovingWindow(5, "max", start="seen"),
    "fir": lambda: FIR(time_constant=3, length=8),
    "fir-bank": lambda: FIRBank(2, 8),
}


@pytest.mark.parametrize("name", MODULES)
def test_copies_and_state_dicts(name: str) -> None:
    module, x = MODULES[name](), signal(2, 3, 40)
    y = module(x)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), y)
    fresh = MODULES[name]()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(x), y)
    assert module.double()(x.double()).dtype == torch.float64
    assert repr(module).startswith(type(module).__name__)


def test_modules_are_their_functions() -> None:
    x = signal(2, 3, 50)
    close = torch.testing.assert_close
    options = {"order": 2, "normalize": "area"}
    close(ExponentialFilter(4.0, **options)(x), functional.exponential_filter(x, 4.0, **options))
    close(FilterBank([2, 7], stack=True, **options)(x), functional.filter_bank(x, [2, 7], stack=True, **options))
    close(MovingWindow(5, "sum")(x), functional.moving_window(x, 5, "sum"))
    close(FIR([0.5, 0.2])(x), functional.causal_conv(x, torch.tensor([0.5, 0.2])))
    close(FIR(np.array([0.5, 0.2]), sampling_time=2)(x), 2 * functional.causal_conv(x, torch.tensor([0.5, 0.2])))


@pytest.mark.parametrize("module", [ExponentialFilter(4.0, 2), FilterBank([2.0, 5.0], length=9), MovingWindow(5)])
def test_runs_with_state(module: torch.nn.Module) -> None:
    x = signal(2, 3, 50)
    first, state = module(x[..., :20], return_state=True)
    second = module(x[..., 20:], state=state)
    torch.testing.assert_close(torch.cat([first, second], dim=-1), module(x))
    torch.testing.assert_close(module(x), module(x))  # nothing is kept from run to run


def test_time_constants_are_learned_and_stay_positive() -> None:
    bank = FilterBank([2.0, 5.0], learnable=True)
    assert [name for name, _ in bank.named_parameters()] == ["log_time_constant"]
    optimizer = torch.optim.SGD(bank.parameters(), lr=0.01)
    bank(torch.ones(1, 1, 50)).sum().backward()
    optimizer.step()
    assert (bank.time_constant > 0).all()
    assert (bank.time_constant < torch.tensor([2.0, 5.0])).all()
    assert not list(FilterBank([2.0]).parameters())
    torch.testing.assert_close(FilterBank([2.0, 5.0]).time_constant, torch.tensor([2.0, 5.0]))


def test_fir_bank() -> None:
    bank = FIRBank(num_filter=3, filter_length=10, sampling_time=2)
    assert (bank.num_filter, bank.filter_length) == (3, 5)
    assert bank.weight.shape == (3, 1, 1, 1, 5)
    impulse = torch.zeros(1, 1, 8)
    impulse[..., 2] = 1
    y = bank(impulse)
    np.testing.assert_allclose(y[0, :, 2:7].detach(), 2 * bank.impulse_response, rtol=1e-6)
    assert not y[0, :, :2].any()
    y.sum().backward()
    torch.testing.assert_close(bank.weight.grad, torch.full((3, 1, 1, 1, 5), 2.0))
    torch.manual_seed(0)
    unscaled = FIRBank(3, 5).weight
    torch.manual_seed(0)
    torch.testing.assert_close(FIRBank(3, 5, scale=10).weight, 10 * unscaled)
    assert unscaled.abs().max() <= 5**-0.5


def test_fir_from_lava_dl_state_dict() -> None:
    fir = FIR(time_constant=1, length=4)
    assert list(fir.state_dict()) == ["filter"]
    fir.load_state_dict({"filter": torch.tensor([1.0, 2.0, 3.0, 4.0])})
    assert fir(torch.tensor([[[1.0, 0.0]]])).tolist() == [[[1.0, 2.0]]]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: ExponentialFilter(0), ArgumentError, "ExponentialFilter: time_constant is out of range"),
        (lambda: ExponentialFilter(5, 1.5), DtypeError, "ExponentialFilter: order is not an integer"),
        (lambda: ExponentialFilter(5, normalize="are"), ArgumentError, "Did you mean 'area'"),
        (lambda: FilterBank([1.0, -2.0]), ArgumentError, "FilterBank: time_constant is out of range"),
        (lambda: FilterBank([1.0], length=0), ArgumentError, "FilterBank: length is out of range"),
        (lambda: MovingWindow(0), ArgumentError, "MovingWindow: window is out of range"),
        (lambda: MovingWindow(5, "median"), ArgumentError, "MovingWindow: reduce is unknown"),
        (lambda: FIR([]), ShapeError, "FIR: fir_response has no time steps"),
        (lambda: FIR(sampling_time=0), ArgumentError, "FIR: sampling_time is out of range"),
        (lambda: FIRBank(0, 5), ArgumentError, "FIRBank: num_filter is out of range"),
        (lambda: FIRBank(2, 1, sampling_time=2), ArgumentError, "FIRBank: filter_length is out of range"),
        (lambda: FIRBank(2, 5)(torch.zeros(3, 4)), ShapeError, "FIRBank: input has too few dimensions"),
    ],
)
def test_errors(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()
