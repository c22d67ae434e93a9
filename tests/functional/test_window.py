"""Moving windows against a numpy loop: both starts, state, padded batches, accuracy over many steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import WindowState, moving_window

REDUCE = ("mean", "sum", "max")
START = ("zero", "seen")


def signal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_hand(x: np.ndarray, window: int, reduce: str, start: str) -> np.ndarray:
    """One step after the other, from the definition."""
    y = np.empty_like(x)
    for t in range(x.shape[-1]):
        seen = x[..., max(0, t - window + 1) : t + 1]
        if start == "zero":
            missing = np.zeros((*x.shape[:-1], window - seen.shape[-1]))
            seen = np.concatenate([missing, seen], axis=-1)
        y[..., t] = getattr(seen, reduce)(-1)
    return y


@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize("start", START)
@pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 20, 23, 40])
def test_values(reduce: str, start: str, window: int) -> None:
    x = signal(2, 3, 2, 23)
    expected = by_hand(x.numpy(), window, reduce, start)
    np.testing.assert_allclose(moving_window(x, window, reduce, start=start), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize("start", START)
def test_a_window_of_any_length_costs_no_more_than_the_signal(reduce: str, start: str) -> None:
    x = -signal(2, 3, 20)  # the zeros before the signal are the maximum
    long = moving_window(x, 10**12, reduce, start=start)
    expected = by_hand(x.numpy(), 21, reduce, start)
    expected *= 21 / 10**12 if (reduce, start) == ("mean", "zero") else 1
    np.testing.assert_allclose(long.numpy(), expected, rtol=1e-12)
    with pytest.raises(ArgumentError, match=r"window is out of range; expected an integer of .* at most 16777216"):
        moving_window(x, 10**12, reduce, start=start, return_state=True)


def test_any_dimensions() -> None:
    x = signal(17)
    np.testing.assert_allclose(moving_window(x, 4), by_hand(x.numpy(), 4, "mean", "zero"))
    assert moving_window(x.reshape(1, 17), 4, "max", start="seen").shape == (1, 17)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("reduce", REDUCE)
def test_dtypes(dtype: torch.dtype, reduce: str) -> None:
    x = (signal(2, 3, 300) > 0).to(dtype)
    y, state = moving_window(x, 20, reduce, return_state=True)
    assert y.dtype == (dtype if dtype.is_floating_point and reduce != "sum" else torch.float32)
    assert state.history.dtype == torch.float32
    expected = torch.tensor(by_hand(x.double().numpy(), 20, reduce, "zero"))
    torch.testing.assert_close(y, expected.to(y.dtype))


@pytest.mark.parametrize("window", [20, 1000])
def test_rounding_does_not_grow_with_time(window: int) -> None:
    x = signal(2, 10, 10000) + 3  # a running sum would reach 30000
    exact = moving_window(x, window)
    error = (moving_window(x.float(), window).double() - exact).abs()
    assert error.max() < 2e-6
    assert error[..., 9000:].max() < 3 * error[..., window : window + 1000].max()


def test_binary_sums_are_exact() -> None:
    x = (signal(2, 4, 5000) > 0).float()
    expected = x.double().cumsum(-1)
    expected[..., 100:] -= expected[..., :-100].clone()
    assert torch.equal(moving_window(x, 100, "sum").double(), expected)


@given(
    st.sampled_from(REDUCE),
    st.sampled_from(START),
    st.integers(1, 12),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
)
@settings(deadline=None, max_examples=40)
def test_runs_with_state_equal_one_run(reduce: str, start: str, window: int, parts: list[int]) -> None:
    x = signal(2, 3, sum(parts)).requires_grad_()
    weights = signal(2, 3, sum(parts), seed=1)
    whole, last = moving_window(x, window, reduce, start=start, return_state=True)
    state, chunks = None, []
    for chunk in x.split(parts, dim=-1):
        y, state = moving_window(chunk, window, reduce, start=start, state=state, return_state=True)
        chunks.append(y)
    chunked = torch.cat(chunks, dim=-1)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(state.history, last.history)
    assert torch.equal(state.steps, last.steps)
    (expected,) = torch.autograd.grad((whole * weights).sum(), x)
    torch.testing.assert_close(torch.autograd.grad((chunked * weights).sum(), x)[0], expected)


@given(
    st.sampled_from(REDUCE),
    st.sampled_from(START),
    st.integers(1, 9),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=40)
def test_padded_batch_equals_its_samples(reduce: str, start: str, window: int, steps: list[int]) -> None:
    lengths = torch.tensor(steps)
    first, second = signal(len(steps), 2, max(steps)), signal(len(steps), 2, 5, seed=1)
    options = {"window": window, "reduce": reduce, "start": start, "return_state": True}
    y, state = moving_window(first, lengths=lengths, **options)
    z, _ = moving_window(second, state=state, **options)
    for i, n in enumerate(steps):
        y_alone, state_alone = moving_window(first[i : i + 1, :, :n], **options)
        z_alone, _ = moving_window(second[i : i + 1], state=state_alone, **options)
        torch.testing.assert_close(y[i : i + 1, :, :n], y_alone)
        torch.testing.assert_close(z[i : i + 1], z_alone)
        assert not y[i, :, n:].any()


@given(st.sampled_from(REDUCE), st.integers(1, 9), st.integers(0, 12))
@settings(deadline=None, max_examples=25)
def test_time_shift_and_permuted_channels(reduce: str, window: int, shift: int) -> None:
    x = signal(2, 4, 20)
    y = moving_window(x, window, reduce)
    later = torch.nn.functional.pad(x, (shift, 0))
    torch.testing.assert_close(moving_window(later, window, reduce)[..., shift:], y)
    order = torch.randperm(4)
    assert torch.equal(moving_window(x[:, order], window, reduce), y[:, order])


@pytest.mark.parametrize("reduce", REDUCE)
@pytest.mark.parametrize("start", START)
def test_gradcheck(reduce: str, start: str) -> None:
    x = signal(2, 2, 7).requires_grad_()
    history = signal(2, 2, 3, seed=1).requires_grad_()
    lengths = torch.tensor([7, 4])

    def run(x: torch.Tensor, history: torch.Tensor) -> torch.Tensor:
        state = WindowState(history, torch.tensor(9))
        return moving_window(x, 4, reduce, start=start, lengths=lengths, state=state)

    assert torch.autograd.gradcheck(run, (x, history))
    assert torch.autograd.gradcheck(lambda x: moving_window(x, 4, reduce, start=start), x)
    if reduce != "max":
        assert torch.autograd.gradgradcheck(run, (x, history))


def test_equal_maxima_share_the_gradient() -> None:
    x = torch.ones(1, 1, 4, requires_grad=True)
    moving_window(x, 4, "max").backward(torch.tensor([[[0.0, 0.0, 0.0, 1.0]]]))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full((1, 1, 4), 0.25))


def test_strided_memory() -> None:
    x = signal(4, 3, 30)
    for strided in (x.movedim(-1, 0).contiguous().movedim(0, -1), x.expand(2, 4, 3, 30)[0], signal(4, 3, 60)[..., ::2]):
        y = moving_window(strided.contiguous(), 7, "mean")
        torch.testing.assert_close(moving_window(strided, 7, "mean"), y)


def test_compiles_and_maps() -> None:
    x, lengths = signal(3, 4, 20), torch.tensor([20, 5, 1])

    def run(x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, WindowState]:
        return moving_window(x, 6, start="seen", lengths=lengths, return_state=True)

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, lengths), run(x, lengths))
    mapped = torch.vmap(lambda x: moving_window(x, 6, "max"))(x)
    torch.testing.assert_close(mapped, moving_window(x, 6, "max"))


def test_autocast_keeps_float32() -> None:
    x = signal(2, 3, 100, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = moving_window(x, 9)
    torch.testing.assert_close(y, moving_window(x, 9), rtol=0, atol=0)


X = torch.zeros(2, 3, 10)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            {"window": 0},
            ArgumentError,
            "moving_window: window is out of range; expected an integer of at least 1, got 0",
        ),
        ({"window": 2.5}, DtypeError, "moving_window: window is not an integer; expected an integer, got 2.5"),
        ({"window": 3, "reduce": "avg"}, ArgumentError, "reduce is unknown; expected one of 'mean', 'sum', 'max'"),
        ({"window": 3, "start": "zeros"}, ArgumentError, "start is unknown.*Did you mean 'zero'?"),
        ({"window": 3, "x": torch.zeros(2, 0)}, ShapeError, "moving_window: x has no time steps"),
        ({"window": 3, "x": X / 0}, ArgumentError, "moving_window: x holds 60 NaN or infinite values"),
        ({"window": 3, "lengths": torch.tensor([1])}, ShapeError, r"lengths has the wrong shape; expected \(2,\)"),
        (
            {"window": 3, "state": WindowState(torch.zeros(2, 3, 5), torch.tensor(5))},
            ShapeError,
            r"state.history has the wrong shape; expected \(2, 3, 2\), got \(2, 3, 5\)",
        ),
    ],
)
def test_errors(arguments: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        moving_window(**{"x": X, **arguments})
