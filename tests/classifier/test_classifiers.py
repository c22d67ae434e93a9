"""Classifiers: values, space, padded batches, dtypes, and the cases where lava-dl fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, functional
from slayerloss.classifier import MovingWindow, Rate

DTYPES = (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)
MODES = ("probability", "softmax", "logsoftmax")


def spikes(*shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rate(dtype: torch.dtype) -> None:
    x = spikes(4, 3, 2, 5, 50)
    r = x.numpy().mean(-1)
    np.testing.assert_allclose(Rate.rate(x.to(dtype)).float(), r, rtol=5e-3)
    flat = r.reshape(4, -1)
    expected = flat / (flat.sum(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(Rate.confidence(x.to(dtype)).float(), expected, rtol=1e-2)
    assert Rate()(x.to(dtype)).tolist() == flat.argmax(1).tolist()
    assert Rate.predict(x.to(dtype)).equal(Rate()(x.to(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", ["zero", "seen"])
def test_moving_window(dtype: torch.dtype, start: str) -> None:
    x = spikes(4, 3, 2, 50)
    classifier = MovingWindow(7, start=start)
    r = functional.moving_window(x, 7, start=start)
    torch.testing.assert_close(classifier.rate(x.to(dtype)).float(), r, rtol=1e-2, atol=0)
    assert classifier(x.to(dtype)).shape == (4, 50)
    assert classifier(x.to(dtype)).tolist() == r.flatten(1, 2).argmax(1).tolist()
    for mode in MODES:
        assert classifier.confidence(x.to(dtype), mode).shape == (4, 6, 50)
    torch.testing.assert_close(classifier.confidence(x), functional.confidence(r.flatten(1, 2)))


def test_options() -> None:
    x = spikes(2, 3, 30)
    sharp = MovingWindow(5, "softmax", temperature=0.1)
    torch.testing.assert_close(sharp.confidence(x), torch.softmax(sharp.rate(x) / 0.1, 1))
    torch.testing.assert_close(sharp.confidence(x, "probability"), MovingWindow(5).confidence(x))
    loose = MovingWindow(5, eps=1.0)
    torch.testing.assert_close(loose.confidence(x), loose.rate(x) / (loose.rate(x).sum(1, keepdim=True) + 1))
    torch.testing.assert_close(Rate.confidence(x, "softmax", temperature=0.1), torch.softmax(Rate.rate(x) / 0.1, 1))
    assert "time_window=5" in repr(sharp)
    assert not sharp.state_dict()


def test_gradient() -> None:
    for classifier in (Rate(), MovingWindow(5)):
        x = spikes(2, 3, 30).requires_grad_()
        classifier.confidence(x)[:, 0].sum().backward()
        assert x.grad is not None
        assert x.grad[:, 0].sum() > 0 > x.grad[:, 1:].sum()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_padded_batch_equals_its_samples(steps: list[int], seed: int) -> None:
    x, lengths = spikes(len(steps), 3, 2, max(steps), seed=seed), torch.tensor(steps)
    window = MovingWindow(4)
    whole = Rate()(x, lengths=lengths), window(x, lengths=lengths), window.confidence(x, lengths=lengths)
    confidence = Rate.confidence(x, lengths=lengths)
    for i, n in enumerate(steps):
        alone = x[i : i + 1, ..., :n]
        assert whole[0][i] == Rate()(alone)[0]
        assert whole[1][i, :n].equal(window(alone)[0])
        torch.testing.assert_close(whole[2][i, :, :n], window.confidence(alone)[0])
        torch.testing.assert_close(confidence[i : i + 1], Rate.confidence(alone))


X = torch.zeros(2, 3, 10)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Rate.confidence(X, "soft"), ArgumentError, "confidence: mode is unknown.*Did you mean 'softmax'"),
        (lambda: MovingWindow(5, "prob"), ArgumentError, "MovingWindow: mode is unknown"),
        (lambda: MovingWindow(5).confidence(X, "prob"), ArgumentError, "confidence: mode is unknown"),
        (lambda: MovingWindow(5, start="now"), ArgumentError, "MovingWindow: start is unknown"),
        (lambda: MovingWindow(0), ArgumentError, "MovingWindow: time_window is out of range"),
        (lambda: MovingWindow(2.0), DtypeError, "MovingWindow: time_window is not an integer"),
        (lambda: MovingWindow(5, temperature=2), ArgumentError, "temperature has no meaning in mode 'probability'"),
        (lambda: MovingWindow(5)(X[0]), ShapeError, "MovingWindow: spike has too few dimensions"),
        (lambda: Rate()(X[0]), ShapeError, "rate: spikes has too few dimensions"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
