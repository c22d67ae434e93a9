"""Filters and classifiers against lava-dl itself, which runs in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lava_dl_values import example
from torch import Tensor

from slayerloss.classifier import MovingWindow, Rate
from slayerloss.filter import FIR, ExponentialFilter, FIRBank
from slayerloss.utils.filter import conv, corr

X = example()

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def golden(lava_dl: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """What lava-dl computes from `example()`."""
    path = tmp_path_factory.mktemp("lava_dl") / "values.npz"
    lava_dl(Path(__file__).with_name("lava_dl_values.py"), path)
    with np.load(path) as values:
        return {name: torch.tensor(values[name]) for name in values}


def assert_equal(ours: Tensor, golden: Tensor, rtol: float = 1e-6, atol: float = 2e-7) -> None:
    torch.testing.assert_close(ours, golden, rtol=rtol, atol=atol)


def test_fir(golden: dict[str, Tensor]) -> None:
    assert_equal(FIR(time_constant=5, length=20)(X), golden["fir"], atol=1e-6)
    assert_equal(FIR(fir_response=[1.0, -0.5, 0.25], sampling_time=2)(X), golden["fir_response"])


def test_fir_bank(golden: dict[str, Tensor]) -> None:
    bank = FIRBank(num_filter=2, filter_length=7)
    bank.load_state_dict({"weight": golden["bank_weight"]})
    assert_equal(bank(X[:, :, 0, 0]), golden["bank"], atol=1e-6)
    assert_equal(bank(X), golden["bank_space"], atol=1e-6)
    assert_equal(torch.tensor(bank.impulse_response.copy()), golden["bank_impulse"])


@pytest.mark.parametrize("name", ["conv", "corr"])
def test_conv_and_corr(golden: dict[str, Tensor], name: str) -> None:
    leaf = X.clone().requires_grad_()
    y = {"conv": conv, "corr": corr}[name](leaf, torch.linspace(1, -1, 9), 3)
    assert_equal(y.detach(), golden[name], atol=1e-5)
    assert_equal(torch.autograd.grad((y**2).sum(), leaf)[0], golden[name + "_grad"], atol=1e-4)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_filter_of_spike_time(golden: dict[str, Tensor], order: int) -> None:
    ours = ExponentialFilter(5, order, length=100)(X)
    assert_equal(ours, golden[f"spike_time_{order}"], rtol=2e-6, atol=1e-5)
    exact = ExponentialFilter(5, order)(X)  # 60 steps: nothing is cut yet
    assert_equal(exact, golden[f"spike_time_{order}"], rtol=2e-6, atol=1e-5)


def test_rate(golden: dict[str, Tensor]) -> None:
    assert_equal(Rate.rate(X), golden["rate"])
    assert torch.equal(Rate()(X), golden["predict"])
    for mode in ("probability", "softmax", "logsoftmax"):
        assert_equal(Rate.confidence(X, mode), golden["confidence_" + mode])


def test_moving_window(golden: dict[str, Tensor]) -> None:
    window = MovingWindow(20)
    assert_equal(window.rate(X), golden["window_rate"])
    for mode in ("probability", "softmax", "logsoftmax"):
        assert_equal(window.confidence(X, mode), golden["window_confidence_" + mode])
    # lava-dl's rounding breaks ties of equal counts: where the highest count is unique, the predictions agree.
    counts = window.rate(X[:, :, 0, 0])
    unique = (counts == counts.amax(1, keepdim=True)).sum(1) == 1
    assert unique.sum() > 20
    assert torch.equal(window(X[:, :, 0, 0])[unique], golden["window_predict"][unique])


def test_moving_window_state_dict(golden: dict[str, Tensor]) -> None:
    model = torch.nn.Sequential(MovingWindow(20))
    model.load_state_dict({"0.filter.filter": golden["state_filter.filter"]})
    with pytest.raises(RuntimeError, match=r"MovingWindow: 0.filter.filter has another length; expected 5, got 20"):
        torch.nn.Sequential(MovingWindow(5)).load_state_dict({"0.filter.filter": golden["state_filter.filter"]})
