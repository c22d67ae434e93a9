"""Confidence, prediction and latency against numpy, and the cases that a definition must settle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import confidence, latency_to_decision, predict, spike_moid

MODES = ("probability", "softmax", "logsoftmax")


def rates(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 9)])
def test_confidence(shape: tuple[int, ...]) -> None:
    r = rates(*shape)
    n = r.numpy()
    np.testing.assert_allclose(confidence(r), n / (n.sum(1, keepdims=True) + 1e-6), rtol=1e-12)
    np.testing.assert_allclose(confidence(r, eps=0.5), n / (n.sum(1, keepdims=True) + 0.5), rtol=1e-12)
    power = np.exp(n / 0.2)
    softmax = power / power.sum(1, keepdims=True)
    np.testing.assert_allclose(confidence(r, "softmax", temperature=0.2), softmax, rtol=1e-12)
    np.testing.assert_allclose(confidence(r, "logsoftmax", temperature=0.2), np.log(softmax), rtol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32])
def test_confidence_dtypes_and_silence(mode: str, dtype: torch.dtype) -> None:
    r = (rates(3, 4) > 0.5).to(dtype)
    result = confidence(r, mode)
    assert result.dtype == (dtype if dtype.is_floating_point else torch.float32)
    torch.testing.assert_close(result, confidence(r.double(), mode).to(result.dtype))
    silent = {"probability": 0.0, "softmax": 0.25, "logsoftmax": -np.log(4)}[mode]
    silence = confidence(torch.zeros(3, 4, dtype=dtype), mode)
    torch.testing.assert_close(silence, torch.full((3, 4), silent, dtype=silence.dtype))


@pytest.mark.parametrize("mode", MODES)
def test_confidence_gradient(mode: str) -> None:
    r = rates(2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: confidence(r, mode), r)
    zero = torch.zeros(1, 3, requires_grad=True)
    confidence(zero, mode).square().sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


def test_predict() -> None:
    r = rates(3, 4, 2, 5)
    assert predict(r).tolist() == r.numpy().reshape(3, -1).argmax(1).tolist()
    assert predict(r, per_step=True).tolist() == r.numpy().reshape(3, 8, 5).argmax(1).tolist()
    assert predict(r.movedim(-1, 0).contiguous().movedim(0, -1)).equal(predict(r))
    assert predict(torch.tensor([[0.2, 0.5, 0.5], [0.0, 0.0, 0.0]])).tolist() == [1, 0]
    assert predict(torch.tensor([[False, True]])).tolist() == [1]
    assert predict(torch.zeros(0, 3)).shape == (0,)


@pytest.mark.parametrize("eps", [1e-6, 1e-50])
@pytest.mark.parametrize("values", [[0.0, -1e-6], [0.5, -0.5], [0.1, -0.3], [0.0, 0.0]])
def test_negative_rates_have_a_confidence_of_at_most_one(values: list[float], eps: float) -> None:
    r = torch.tensor([values], requires_grad=True)
    result = confidence(r, eps=eps)
    result.sum().backward()
    assert result.abs().max() <= 1
    assert confidence(r.half(), eps=eps).abs().max() <= 1
    assert predict(result).equal(predict(r))
    assert r.grad is not None
    assert r.grad.isfinite().all()


@pytest.mark.filterwarnings("error")
def test_a_learnable_temperature_hears_the_gradient_without_a_warning() -> None:
    temperature, alpha, x = torch.tensor(0.5).requires_grad_(), torch.tensor(0.5).requires_grad_(), rates(2, 3, 4)
    confidence(x, "softmax", temperature=temperature).square().sum().backward()
    spike_moid(x, torch.tensor([0, 1]), alpha=alpha).backward()
    assert temperature.grad
    assert alpha.grad


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_prediction_follows_permuted_classes(seed: int) -> None:
    r, order = rates(3, 5, seed=seed), torch.randperm(5)
    assert order[predict(r[:, order])].equal(predict(r))
    for mode in MODES:
        torch.testing.assert_close(confidence(r[:, order], mode), confidence(r, mode)[:, order])
        assert predict(confidence(r, mode)).equal(predict(r))


def latency_by_hand(rate: np.ndarray, label: Any, threshold: float | None) -> int:
    """One sample (C, T), from the last step backwards."""
    steps = rate.shape[-1]
    latency = steps
    for t in reversed(range(steps)):
        order = np.sort(rate[:, t])
        winner = rate[:, t].argmax()
        wanted = rate[:, -1].argmax() if label is None else label[t] if np.ndim(label) else label
        if winner != wanted or order[-1] == order[-2] or (threshold is not None and order[-1] < threshold):
            break
        latency = t
    return latency


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from(["none", "sample", "step"]),
    st.sampled_from([None, 0.4]),
)
@settings(deadline=None, max_examples=60)
def test_latency(seed: int, steps: list[int], kind: str, threshold: float | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    num, longest = len(steps), max(steps)
    levels = torch.randint(0, 4, (num, 3, longest), generator=generator)  # few levels: many ties
    r = 0.25 * torch.where(torch.rand(num, 1, longest, generator=generator) < 0.5, levels, levels[..., :1])
    labels = {
        "none": None,
        "sample": torch.randint(0, 3, (num,), generator=generator),
        "step": torch.randint(0, 3, (num, 1), generator=generator).repeat(1, longest),
    }[kind]
    latency = latency_to_decision(r, labels, threshold=threshold, lengths=torch.tensor(steps))
    expected = [
        latency_by_hand(r[i, :, :n].numpy(), None if labels is None else labels[i].numpy(), threshold)
        for i, n in enumerate(steps)
    ]
    assert latency.dtype == torch.int64
    assert latency.tolist() == expected
    alone = [
        latency_to_decision(
            r[i : i + 1, :, :n], None if labels is None else labels[i : i + 1, ..., :n], threshold=threshold
        )
        if kind == "step"
        else latency_to_decision(
            r[i : i + 1, :, :n], None if labels is None else labels[i : i + 1], threshold=threshold
        )
        for i, n in enumerate(steps)
    ]
    assert torch.cat(alone).tolist() == expected


def test_latency_cases() -> None:
    silent = torch.zeros(1, 3, 8)
    assert latency_to_decision(silent).item() == 8
    assert latency_to_decision(silent, torch.tensor([0])).item() == 8
    late = silent.clone()
    late[0, 0, 5:] = 0.2  # class 0, which silence predicts too
    assert latency_to_decision(late).item() == 5
    assert latency_to_decision(late, torch.tensor([0], dtype=torch.int32)).item() == 5
    assert latency_to_decision(late.bool()).item() == 5
    assert latency_to_decision(late, threshold=0.3).item() == 8
    late[0, 0, :] = 0.2
    assert latency_to_decision(late).item() == 0
    assert latency_to_decision(torch.rand(1, 1, 4)).item() == 0
    space = rates(2, 3, 2, 6)
    assert latency_to_decision(space).equal(latency_to_decision(space.flatten(1, 2)))


def test_compiles() -> None:
    def run(r: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return confidence(r, "softmax", temperature=0.1), latency_to_decision(r, labels)

    r, labels = rates(3, 4, 9), torch.tensor([0, 1, 2])
    compiled = torch.compile(run, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(r, labels), run(r, labels))


R = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: confidence(R, "prob"), ArgumentError, "confidence: mode is unknown.*Did you mean 'probability'"),
        (lambda: confidence(R, "softmax", temperature=0), ArgumentError, "temperature is out of range.*above 0, got 0"),
        (lambda: confidence(R, temperature=0.5), ArgumentError, "no meaning in mode 'probability'.*Use mode='softmax'"),
        (lambda: confidence(R, eps=0), ArgumentError, "eps is out of range; expected a number above 0"),
        (lambda: confidence(R[0]), ShapeError, r"rate has too few dimensions; expected \(N, C\)"),
        (lambda: confidence(R / 0), ArgumentError, "confidence: rate holds 6 NaN"),
        (
            lambda: predict(R, per_step=True),
            ShapeError,
            r"predict: rate has too few dimensions; expected \(N, C, ..., T\)",
        ),
        (lambda: predict(R[:, :0]), ShapeError, "predict: rate has no class"),
        (lambda: latency_to_decision(R), ShapeError, "latency_to_decision: rate has too few dimensions"),
        (lambda: latency_to_decision(R[..., None], torch.zeros(3).long()), ShapeError, "labels has the wrong shape"),
        (lambda: latency_to_decision(R[..., None], torch.zeros(2)), DtypeError, "labels is not of an integer type"),
        (lambda: latency_to_decision(R[..., None], threshold="x"), DtypeError, "threshold is not a number"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
