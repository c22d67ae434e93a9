"""Impulse responses are those of `functional.exponential_kernel`, labelled with their time constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss import functional as F
from slayerloss.plot import filter_responses, impulse_responses


@pytest.mark.parametrize("normalize", [None, "peak", "area"])
@pytest.mark.parametrize("order", [1, 2])
def test_responses_are_the_kernels(order: int, normalize: str | None) -> None:
    taus = [10.0, 2.0, 5.0]
    ax = filter_responses(taus, order=order, length=40, normalize=normalize, step_ms=2.0)
    want = F.exponential_kernel(torch.tensor(taus), 40, order, normalize=normalize).numpy()
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines[:3]], want)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(40) * 2.0)


def test_dots_and_labels_stand_for_their_time_constants() -> None:
    ax = filter_responses([2, 10, 5])
    labels = {text.get_text(): text.get_color() for text in ax.texts}
    assert list(labels) == ["τ = 10 steps", "τ = 5 steps", "τ = 2 steps"]  # as the curves lie
    dots = {dot.get_color(): (dot.get_xdata()[0], dot.get_ydata()[0]) for dot in ax.lines[3:]}
    for tau in (2, 5, 10):
        x, y = dots[labels[f"τ = {tau} steps"]]
        assert x == tau
        assert y == pytest.approx(np.exp(-1), rel=1e-6)


def test_one_time_constant_and_a_tensor_work() -> None:
    assert len(filter_responses(3.0).lines) == 2
    assert len(filter_responses(torch.tensor([3.0, 4.0], requires_grad=True)).lines) == 4


def test_any_bank_is_drawn_with_its_names() -> None:
    ax = impulse_responses(torch.tensor([[1.0, 0.5], [0.0, 2.0]]), names=["a", "b"])
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], [[1, 0.5], [0, 2]])
    assert {text.get_text(): text.get_color() for text in ax.texts} == {
        "a": ax.lines[0].get_color(),
        "b": ax.lines[1].get_color(),
    }


@pytest.mark.parametrize(
    ("kernels", "options", "error", "text"),
    [
        (
            np.zeros((2, 3, 4)),
            {},
            ShapeError,
            r"kernels has the wrong shape; expected \(L,\) or \(F, L\), got \(2, 3, 4\)",
        ),
        ([], {}, ShapeError, "kernels has the wrong shape"),
        (["a"], {}, DtypeError, "kernels does not hold real numbers"),
        ([1.0], {"names": ["a", "b"]}, ArgumentError, "expected 1 names, got 2"),
    ],
)
def test_impulse_responses_refuse(kernels: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        impulse_responses(kernels, **options)


@pytest.mark.parametrize(
    ("taus", "options", "error", "text"),
    [
        ([], {}, ShapeError, "time_constants is empty"),
        ([-1.0], {}, ArgumentError, "time_constant is out of range"),
        ([1.0], {"length": 0}, ArgumentError, "length is out of range"),
        ([1.0], {"normalize": "sum"}, ArgumentError, "normalize is unknown"),
    ],
)
def test_filter_responses_refuse(taus: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        filter_responses(taus, **options)
