"""Filters against numpy convolutions: exact and cut, normalised, per channel, in runs, with every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import slayerloss.kernels.filters as kernels
from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import causal_conv, causal_corr, exponential_filter, exponential_kernel, filter_bank

NORMALIZE = (None, "peak", "area")


def signal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def response(time_constant: float, length: int, order: int, normalize: str | None = None) -> np.ndarray:
    """lava-dl's kernel: the exponential convolved with itself, cut to `length` each time."""
    once = np.exp(-np.arange(length) / time_constant)
    kernel = once
    for _ in range(order - 1):
        kernel = np.convolve(kernel, once)[:length]
    return kernel / {None: 1, "peak": kernel.max(), "area": kernel.sum()}[normalize]


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.apply_along_axis(lambda row: np.convolve(row, kernel)[: row.size], -1, x)


def recursion(x: np.ndarray, time_constant: float) -> np.ndarray:
    y, last = np.empty_like(x), 0.0
    for t in range(x.shape[-1]):
        last = np.exp(-1 / time_constant) * last + x[..., t]
        y[..., t] = last
    return y


@pytest.mark.parametrize("steps", [1, 2, 31, 32, 33, 65, 1500])
@pytest.mark.parametrize("time_constant", [0.05, 5.0, 300.0])
def test_recursion(steps: int, time_constant: float) -> None:
    x = signal(2, 3, 2, steps)
    expected = recursion(x.numpy(), time_constant)
    np.testing.assert_allclose(exponential_filter(x, time_constant), expected, rtol=1e-11, atol=1e-11)
    error = np.abs(exponential_filter(x.float(), time_constant).numpy() - expected).max()
    assert error < 1e-6 * np.abs(expected).max()


def test_rounding_does_not_grow_with_time() -> None:
    x = signal(2, 4, 10000) + 3
    exact = exponential_filter(x, 20.0, 2, normalize="area")
    error = (exponential_filter(x.float(), 20.0, 2, normalize="area").double() - exact).abs()
    assert error.max() < 3e-6
    assert error[..., 9000:].max() < 3 * error[..., :1000].max()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("length", [None, 1, 20, 100, 700])
def test_values(order: int, normalize: str | None, length: int | None) -> None:
    x = signal(2, 3, 250)
    kernel = response(5.0, 2000 if length is None else length, order, normalize)
    y = exponential_filter(x, 5.0, order, normalize=normalize, length=length)
    np.testing.assert_allclose(y, convolve(x.numpy(), kernel), rtol=1e-10, atol=1e-10 * kernel.max())
    if length is not None:
        cut = exponential_kernel(torch.tensor(5.0, dtype=torch.float64), length, order, normalize=normalize)
        np.testing.assert_allclose(cut, kernel, rtol=1e-12)


@pytest.mark.parametrize("normalize", [None, "peak"])
def test_a_filter_longer_than_the_signal_costs_no_more_than_the_signal(normalize: str | None) -> None:
    x = signal(2, 500, 5)  # 2^24 steps for each of 500 channels would be 67 GB
    tau = torch.full((500,), 7.0, dtype=torch.float64)
    y = exponential_filter(x, tau, 3, normalize=normalize, length=2**24)
    torch.testing.assert_close(y, exponential_filter(x, tau, 3, normalize=normalize))
    one = x.narrow(1, 0, 1)
    by_area = exponential_filter(one, 7.0, 3, normalize="area", length=2**20)
    torch.testing.assert_close(by_area, exponential_filter(one, 7.0, 3, normalize="area"), rtol=1e-6, atol=0)
    kernel = torch.ones(2**20, dtype=torch.float64).expand(500, -1)
    torch.testing.assert_close(causal_conv(x, kernel), x.cumsum(-1))
    torch.testing.assert_close(causal_corr(x, kernel), x.flip(-1).cumsum(-1).flip(-1))


def test_lava_dl_peaks() -> None:
    # lava-dl: slayer.loss.SpikeTime(time_constant=5, length=100, filter_order=n).filter.filter.max()
    for order, peak in ((1, 1.0), (2, 2.2466447), (3, 9.0914383)):
        assert exponential_kernel(5.0, 100, order).max().item() == pytest.approx(peak, rel=1e-6)


@given(st.floats(0.1, 200), st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_unit_peak_and_unit_area(time_constant: float, order: int) -> None:
    impulse = torch.zeros(1, 1, 40 + int(60 * time_constant), dtype=torch.float64)
    impulse[..., 0] = 1
    peak = exponential_filter(impulse, time_constant, order, normalize="peak")
    area = exponential_filter(impulse, time_constant, order, normalize="area")
    assert peak.max().item() == pytest.approx(1, rel=1e-9)
    assert area.sum().item() == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("length", [None, 30])
def test_dtypes(dtype: torch.dtype, length: int | None) -> None:
    x = (signal(2, 3, 200) > 0.5).to(dtype)
    expected = exponential_filter(x.double(), 4.0, length=length)
    y, state = exponential_filter(x, 4.0, length=length, return_state=True)
    assert y.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert state.dtype == torch.float32
    torch.testing.assert_close(y, expected.to(y.dtype))
    torch.testing.assert_close(causal_conv(x, torch.ones(3)), causal_conv(x.double(), torch.ones(3)).to(y.dtype))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks in few steps: numerical gradients are slow."""
    monkeypatch.setattr(kernels, "RECURSION_BLOCK", 3)
    monkeypatch.setattr(kernels, "CONVOLUTION_BLOCK", 3)


KERNEL, KERNELS = signal(7, seed=5), signal(3, 7, seed=5)
FILTERS: dict[str, Any] = {
    "exact": lambda x, **o: exponential_filter(x, 4.0, 3, normalize="peak", **o),
    "cut": lambda x, **o: exponential_filter(x, 4.0, 2, length=9, **o),
    "channels": lambda x, **o: exponential_filter(x, torch.tensor([2.0, 8.0, 30.0]), 2, normalize="area", **o),
    "channels-cut": lambda x, **o: exponential_filter(x, torch.tensor([2.0, 8.0, 30.0]), length=6, **o),
    "bank": lambda x, **o: filter_bank(x, [2.0, 9.0], 2, **o),
    "bank-cut": lambda x, **o: filter_bank(x, [2.0, 9.0], length=5, stack=True, **o),
    "conv": lambda x, **o: causal_conv(x, KERNEL, **o),
    "conv-channels": lambda x, **o: causal_conv(x, KERNELS, **o),
}
every_filter = pytest.mark.parametrize("name", FILTERS)


@every_filter
@given(parts=st.lists(st.integers(1, 80), min_size=2, max_size=4))
@settings(deadline=None, max_examples=10)
def test_runs_with_state_equal_one_run(name: str, parts: list[int]) -> None:
    run = FILTERS[name]
    x = signal(2, 3, 2, sum(parts)).requires_grad_()
    whole, last = run(x, return_state=True)
    state, chunks = None, []
    for chunk in x.split(parts, dim=-1):
        y, state = run(chunk, state=state, return_state=True)
        chunks.append(y)
    chunked = torch.cat(chunks, dim=-1)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(state, last)
    weights = signal(*whole.shape, seed=1)
    (expected,) = torch.autograd.grad((whole * weights).sum(), x)
    torch.testing.assert_close(torch.autograd.grad((chunked * weights).sum(), x)[0], expected)


@every_filter
def test_time_shift_samples_and_strides(name: str) -> None:
    run = FILTERS[name]
    x = signal(4, 3, 2, 70)
    y = run(x)
    torch.testing.assert_close(run(torch.nn.functional.pad(x, (11, 0)))[..., 11:], y)
    torch.testing.assert_close(torch.cat([run(sample[None]) for sample in x]), y)
    torch.testing.assert_close(run(x.movedim(-1, 0).contiguous().movedim(0, -1)), y)
    torch.testing.assert_close(run(x[..., ::2]), run(x[..., ::2].contiguous()))
    torch.testing.assert_close(run(x[:1].expand(4, -1, -1, -1)), run(x[:1].repeat(4, 1, 1, 1)))


@every_filter
@pytest.mark.usefixtures("small_blocks")
def test_gradcheck_with_state(name: str) -> None:
    run = FILTERS[name]
    x = signal(1, 3, 8).requires_grad_()
    _, state = run(x, return_state=True)
    state = signal(*state.shape, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, state: run(x, state=state, return_state=True), (x, state))
    assert torch.autograd.gradgradcheck(run, (x[..., :5],))


@every_filter
def test_compiles(name: str) -> None:
    run = FILTERS[name]
    x = signal(2, 3, 70)
    compiled = torch.compile(lambda x: run(x, return_state=True), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), run(x, return_state=True))


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("length", [None, 6])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.usefixtures("small_blocks")
def test_gradient_of_time_constant(normalize: str | None, length: int | None, order: int) -> None:
    x = signal(1, 3, 8)
    for tau in (torch.tensor(4.3), torch.tensor([0.7, 3.0, 15.0])):
        tau = tau.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda tau: exponential_filter(x, tau, order, normalize=normalize, length=length), tau
        )


def test_learns_a_time_constant() -> None:
    x = (signal(2, 1, 60) > 1).float()
    target = exponential_filter(x, 12.0)
    tau = torch.tensor(3.0, requires_grad=True)
    optimizer = torch.optim.Adam([tau], lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        (exponential_filter(x, tau) - target).square().mean().backward()
        optimizer.step()
    assert tau.item() == pytest.approx(12, abs=0.05)


def test_bank() -> None:
    x = signal(2, 3, 4, 50)
    taus = torch.tensor([1.5, 6.0, 20.0], dtype=torch.float64)
    each = [exponential_filter(x, tau, 2) for tau in taus]
    stacked = filter_bank(x, taus, 2, stack=True)
    torch.testing.assert_close(stacked, torch.stack(each, dim=1))
    torch.testing.assert_close(filter_bank(x, taus, 2), torch.cat(each, dim=1))
    assert torch.autograd.gradcheck(lambda tau: filter_bank(x[:1, :1, :1, :9], tau), taus.requires_grad_())


@pytest.mark.parametrize("taps", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("steps", [1, 64, 130])
def test_conv_and_corr(taps: int, steps: int) -> None:
    x, kernel = signal(2, 3, steps), signal(taps, seed=1)
    expected = convolve(x.numpy(), kernel.numpy())
    np.testing.assert_allclose(causal_conv(x, kernel), expected, rtol=1e-10, atol=1e-10)
    backwards = convolve(x.numpy()[..., ::-1], kernel.numpy())[..., ::-1]
    np.testing.assert_allclose(causal_corr(x, kernel), backwards, rtol=1e-10, atol=1e-10)
    each = signal(3, taps, seed=2)
    for function in (causal_conv, causal_corr):
        by_channel = torch.stack([function(x[:, c], each[c]) for c in range(3)], dim=1)
        torch.testing.assert_close(function(x, each), by_channel)


@given(st.integers(1, 20), st.integers(1, 90), st.booleans(), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_adjoint_identity(taps: int, steps: int, per_channel: bool, seed: int) -> None:
    kernel = signal(*([3, taps] if per_channel else [taps]), seed=seed)
    a, b = signal(2, 3, steps, seed=seed + 1), signal(2, 3, steps, seed=seed + 2)
    left, right = (causal_conv(a, kernel) * b).sum(), (a * causal_corr(b, kernel)).sum()
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    leaf = a.clone().requires_grad_()
    causal_conv(leaf, kernel).backward(b)
    torch.testing.assert_close(leaf.grad, causal_corr(b, kernel))


@pytest.mark.parametrize("samples", [0, 1, 2, 40])  # of which 40 share a matrix
@pytest.mark.parametrize("function", [causal_conv, causal_corr])
def test_many_channels_with_kernels_of_their_own(function: Any, samples: int) -> None:
    x, kernel = signal(samples, 50, 90), signal(50, 30, seed=1)
    each = [function(x[:, c : c + 1], kernel[c]) for c in range(50)]
    torch.testing.assert_close(function(x, kernel), torch.cat(each, 1), rtol=1e-10, atol=1e-10)
    strided = x.movedim(-1, 0).contiguous().movedim(0, -1)
    torch.testing.assert_close(function(strided.float(), kernel.float()), torch.cat(each, 1).float(), atol=1e-4, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(function(x.float(), kernel.float()), torch.cat(each, 1).float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("taps", [3, 7])  # by matrices, and by torch's convolution
@pytest.mark.parametrize("function", [causal_conv, causal_corr])
def test_gradients_of_many_channels(function: Any, taps: int) -> None:
    x, kernel = signal(1, 4, 6).requires_grad_(), signal(4, taps, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, kernel))
    assert torch.autograd.gradgradcheck(function, (x, kernel))


def test_many_channels_cost_no_matrix_each() -> None:
    """Of 300 x 450 for each of 2312 channels, a matrix would take 1.2 GB."""
    x, kernel = torch.zeros(1, 2312, 300), torch.ones(2312, 300)
    with torch.profiler.profile(profile_memory=True) as profile:
        causal_conv(x, kernel)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 10 * x.numel() * x.element_size()


@pytest.mark.parametrize(
    ("samples", "taps", "learns", "by_convolution"),
    [(8, 100, False, True), (8, 100, True, False), (1, 100, True, True), (4, 300, True, True)],
)
def test_a_kernel_that_learns_takes_the_faster_gradient(
    samples: int, taps: int, learns: bool, by_convolution: bool
) -> None:
    """512 channels, 300 steps: 97 or 47 ms for the second case, 13 or 20 for the third, 138 or 335 for the last."""
    x, kernel = signal(samples, 64, 300), signal(64, taps, seed=1).requires_grad_(learns)
    with torch.profiler.profile() as profile:
        causal_conv(x, kernel)
    assert ("aten::conv1d" in {event.name for event in profile.events()}) is by_convolution
    with torch.profiler.profile() as profile, torch.no_grad():
        causal_conv(x, kernel)
    assert "aten::conv1d" in {event.name for event in profile.events()}


@pytest.mark.parametrize("shape", [(5,), (3, 5), (1,)])
def test_gradients_of_both_arguments(shape: tuple[int, ...]) -> None:
    x, kernel = signal(2, 3, 2, 8).requires_grad_(), signal(*shape, seed=1).requires_grad_()
    for function in (causal_conv, causal_corr):
        assert torch.autograd.gradcheck(function, (x, kernel))
        assert torch.autograd.gradgradcheck(function, (x, kernel))


def test_one_dimension_and_no_sample() -> None:
    x = signal(30)
    torch.testing.assert_close(exponential_filter(x, 3.0), exponential_filter(x[None, None], 3.0)[0, 0])
    assert exponential_filter(torch.zeros(0, 3, 40), 3.0).shape == (0, 3, 40)
    assert filter_bank(torch.zeros(0, 3, 40), [3.0, 4.0], length=4).shape == (0, 6, 40)


def test_maps_over_time_constants() -> None:
    x, taus = signal(2, 3, 50), torch.tensor([2.0, 7.0], dtype=torch.float64)
    mapped = torch.vmap(lambda tau: exponential_filter(x, tau, normalize="area"))(taus)
    torch.testing.assert_close(mapped, filter_bank(x, taus, normalize="area", stack=True).movedim(1, 0))


def test_autocast_keeps_float32() -> None:
    x = signal(2, 3, 100, dtype=torch.float32)
    for run in (FILTERS["exact"], FILTERS["conv"]):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = run(x)
        assert torch.equal(y, run(x))


X = torch.zeros(2, 3, 10)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: exponential_filter(X, 0.0),
            ArgumentError,
            r"time_constant is out of range; .* in \(0, 1e\+09\], got 0",
        ),
        (lambda: exponential_filter(X, torch.tensor([1.0, -1.0, 1.0])), ArgumentError, "time_constant is out of range"),
        (
            lambda: exponential_filter(X, torch.ones(2)),
            ShapeError,
            r"one number, or one per channel \(3,\), got \(2,\)",
        ),
        (lambda: exponential_filter(X[0, 0], torch.ones(1)), ShapeError, "expected one number, got"),
        (lambda: exponential_filter(X, "5"), DtypeError, "time_constant is not a number"),
        (
            lambda: exponential_filter(X, 5.0, 0),
            ArgumentError,
            "order is out of range; expected an integer of at least 1",
        ),
        (lambda: exponential_filter(X, 5.0, length=0), ArgumentError, "length is out of range"),
        (lambda: exponential_filter(X, 5.0, normalize="peek"), ArgumentError, "unknown.*Did you mean 'peak'?"),
        (
            lambda: exponential_filter(X, 5.0, 2, state=X),
            ShapeError,
            r"state has the wrong shape; expected \(2, 3, 2\)",
        ),
        (lambda: exponential_filter(X, 5.0, length=4, state=X), ShapeError, r"state .* expected \(2, 3, 3\)"),
        (lambda: exponential_filter(X[..., :0], 5.0), ShapeError, "exponential_filter: x has no time steps"),
        (lambda: exponential_filter(X / 0, 5.0), ArgumentError, "x holds 60 NaN or infinite values"),
        (lambda: filter_bank(X, []), ShapeError, r"time_constants has the wrong shape; expected \(F,\)"),
        (lambda: filter_bank(X, torch.tensor(3.0)), ShapeError, "time_constants has the wrong shape"),
        (lambda: causal_conv(X, torch.ones(2, 4)), ShapeError, r"kernel .* expected \(L,\) or \(3, L\), got \(2, 4\)"),
        (lambda: causal_conv(X[0], torch.ones(3, 4)), ShapeError, r"kernel has the wrong shape; expected \(L,\), got"),
        (lambda: causal_conv(X, torch.ones(0)), ShapeError, "causal_conv: kernel has no time steps"),
        (lambda: causal_corr(X, [1.0]), DtypeError, "causal_corr: kernel is not a tensor.*Use torch.as_tensor"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("length", [None, 40])
def test_shortest_time_constants(length: int | None) -> None:
    x = signal(2, 3, 2000, dtype=torch.float32)
    tau = torch.tensor([1e-30, 1e-6, 1e-2], requires_grad=True)
    y = exponential_filter(x, tau, 2, normalize="area", length=length)
    torch.testing.assert_close(y, x)
    y.sum().backward()
    assert tau.grad is not None
    assert tau.grad.abs().max() < 1e-30


@pytest.mark.parametrize("normalize", ["peak", "area"])
@pytest.mark.parametrize(("order", "tau"), [(1, 3.0), (2, 5.0), (7, 0.5), (60, 20.0), (400, 5.0), (1000, 2.0)])
def test_a_normalised_response_of_any_order_is_finite_and_right(normalize: str, order: int, tau: float) -> None:
    """Against logarithms in float64, where nothing overflows."""
    length = int(3 * order * max(tau, 1)) + 60
    k = np.arange(length)
    factors = np.arange(1, order)[:, None]
    log = np.log1p(k / factors).sum(0) - k / tau if order > 1 else -k / tau
    expected = np.exp(log - log.max())
    expected = expected if normalize == "peak" else expected / expected.sum()
    kernel = exponential_kernel(torch.tensor(tau, dtype=torch.float64), length, order, normalize=normalize)
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-7, atol=1e-12 * expected.max())
    single = exponential_kernel(tau, length, order, normalize=normalize)
    np.testing.assert_allclose(single.numpy(), expected, rtol=2e-3, atol=1e-6 * expected.max())
    impulse = torch.zeros(1, 1, length, dtype=torch.float64)
    impulse[..., 0] = 1
    filtered = exponential_filter(impulse, tau, order, normalize=normalize)
    np.testing.assert_allclose(filtered.squeeze().numpy(), expected, rtol=1e-6, atol=1e-12 * expected.max())
    short = exponential_kernel(tau, 2, order, normalize="peak")
    assert short.max() == 1


def test_a_response_that_would_overflow_is_refused() -> None:
    for call in (
        lambda: exponential_kernel(5.0, 4000, 400),
        lambda: exponential_filter(torch.ones(1, 1, 4000), 5.0, 400),
    ):
        with pytest.raises(ArgumentError, match=r"order 400 leaves the range of torch.float32; .* normalize='peak'"):
            call()
    assert exponential_filter(torch.ones(1, 1, 100), 1e9, 5).isfinite().all()
