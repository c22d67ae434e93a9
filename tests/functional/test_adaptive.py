"""The adaptive threshold: lava-dl's integers, the one definition of the gradients, state, dtypes, memory, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adaptive_model import differentiable_threshold, integer_threshold
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import AdaptiveState, adapted, adaptive_threshold, spike
from slayerloss.kernels.backend import use_backend
from slayerloss.kernels.cpu import library

BACKENDS = pytest.mark.parametrize(
    "backend",
    ["reference", pytest.param("cpu", marks=pytest.mark.skipif(bool(library.problem()), reason=library.problem()))],
)
SPACE = pytest.mark.parametrize("space", [(), (2, 3)])
PER_CHANNEL = pytest.mark.parametrize("per_channel", [False, True])


def on_grid(*shape: int, size: float = 1.0, generator: int = 0) -> torch.Tensor:
    """Random float64 multiples of 1/4096."""
    random = torch.Generator().manual_seed(generator)
    return torch.rand(shape, generator=random, dtype=torch.float64).sub(0.3).mul(size * 4096).round().div(4096)


def strided(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x, x], -1).transpose(0, 1).contiguous().transpose(0, 1).select(-1, 1)


def time_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


@BACKENDS
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 30)),
    space=st.sampled_from([(), (2, 3)]),
    size=st.sampled_from([100, 10_000, 2**22]),
    per_channel=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64]),
    order=st.sampled_from([lambda x: x, time_first, strided]),
    masked=st.booleans(),
    given_state=st.booleans(),
)
def test_it_equals_lava_dls_integers(backend, seed, shape, space, size, per_channel, dtype, order, masked, given_state):
    random = np.random.default_rng(seed)
    (samples, channels, steps), scale = shape, 1 if dtype is torch.int64 else 64
    drive = 64 * random.integers(-size // 128, size // 64, (samples, channels, *space, steps), endpoint=True)
    decays = random.integers(0, 4096, (2, channels if per_channel else 1), endpoint=True)
    base, step = (64 * random.integers(0, size // 256, 2, endpoint=True)).tolist()
    allowed = random.random(drive.shape) > 0.3 if masked else None
    states = random.integers(0, size // 4, (2, *drive.shape[:-1]), endpoint=True)
    channel = (-1, *[1] * len(space))
    expected = integer_threshold(
        np.moveaxis(drive, -1, 0),
        *decays.reshape(2, *channel),
        base,
        step,
        *(states if given_state else ()),
        allowed=None if allowed is None else np.moveaxis(allowed, -1, 0),
    )
    unit = 64 * scale
    x = order(torch.tensor(drive // 64).to(dtype) / scale if scale > 1 else torch.tensor(drive // 64))
    state = AdaptiveState(*(torch.tensor(part / unit) for part in states)) if given_state else None
    with use_backend(backend):
        theta, r = adaptive_threshold(
            x,
            *(torch.tensor(decay) / 4096 for decay in decays.astype(np.float64)),
            base / unit,
            step / unit,
            allowed=None if allowed is None else order(torch.tensor(allowed)),
            state=state,
            scale=scale,
        )
    assert theta.shape == r.shape == x.shape
    for found, wanted in zip((theta, r), expected, strict=False):
        assert np.array_equal(np.moveaxis(found.double().numpy(), -1, 0) * unit, wanted)
    fires = spike(x.to(theta.dtype), theta + r, tau=1.0, inclusive=True) * (
        1 if allowed is None else torch.tensor(allowed)
    )
    assert np.array_equal(np.moveaxis(fires.numpy(), -1, 0), expected[2])
    after = adapted(theta, r, fires, step / unit)
    fired = expected[2][-1]
    assert np.array_equal(after.threshold.double().numpy() * unit, expected[0][-1] + step * fired)
    assert np.array_equal(after.refractory.double().numpy() * unit, expected[1][-1] + 2 * expected[0][-1] * fired)


def gradients(outputs, inputs, seed=1, **options):
    """Of a random weighted sum of all outputs."""
    random = torch.Generator().manual_seed(seed)
    total = sum((y * torch.randn(y.shape, generator=random, dtype=torch.float64)).sum() for y in outputs)
    return torch.autograd.grad(total, inputs, **options)


def leaves(per_channel: bool, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Decays, theta' and r' before the run."""
    random = torch.Generator().manual_seed(3)
    decays = torch.rand(2, shape[1] if per_channel else 1, generator=random, dtype=torch.float64).mul(0.5).add(0.05)
    states = on_grid(2, *shape, size=0.5, generator=9).abs() + 0.25
    return [part.clone().requires_grad_() for part in (*decays, *states)]


@BACKENDS
@SPACE
@PER_CHANNEL
@pytest.mark.parametrize("order", [torch.clone, time_first])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_the_definition(backend, space, per_channel, order, masked):
    shape = (2, 3, *space)
    x = order(on_grid(*shape, 300, size=2.5))
    allowed = on_grid(*shape, 300, generator=5) > 0 if masked else None
    inputs, again = leaves(per_channel, shape), leaves(per_channel, shape)
    with use_backend(backend):
        theta, r = adaptive_threshold(x, *inputs[:2], 0.5, 0.25, allowed=allowed, state=AdaptiveState(*inputs[2:]))
        fires = (x >= theta + r) & (torch.ones(()).bool() if allowed is None else allowed)
        after = adapted(theta, r, fires, 0.25)
        found = gradients([theta, r, *after], inputs)
    expected = differentiable_threshold(x, *again[:2], 0.5, 0.25, again[2:], allowed)
    assert fires.double().mean() > 0.05
    for result, wanted in zip((theta, r, *after), expected, strict=True):
        assert torch.equal(result, wanted)
    for result, wanted in zip(found, gradients(expected, again), strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-9, atol=1e-9)


@PER_CHANNEL
def test_gradients_are_finite_differences_where_no_spike_moves(per_channel):
    """A scale so fine that the steps of the integers hardly show, and spikes far from the threshold."""
    random = torch.Generator().manual_seed(2)
    x = torch.where(torch.rand(2, 3, 30, generator=random) > 0.8, 100.0, -100.0).double()
    inputs = leaves(per_channel, (2, 3))
    for decay in inputs[:2]:
        decay.data.mul_(4096).round_().div_(4096)
    weights = torch.randn(2, 2, 3, 30, generator=random, dtype=torch.float64)

    def total(*inputs):
        theta, r = adaptive_threshold(x, *inputs[:2], 0.5, 0.25, state=AdaptiveState(*inputs[2:]), scale=2**24)
        return (theta * weights[0] + r * weights[1]).sum()

    grads = torch.autograd.grad(total(*inputs), inputs)
    for i, size in enumerate((1 / 4096, 1 / 4096, 2**-8, 2**-8)):
        for j in range(inputs[i].numel()):
            ends = []
            for sign in (1, -1):
                moved = [part.detach().clone() for part in inputs]
                moved[i].reshape(-1)[j] += sign * size
                ends.append(total(*moved))
            slope = (ends[0] - ends[1]) / (2 * size)
            torch.testing.assert_close(grads[i].reshape(-1)[j], slope, rtol=1e-3, atol=1e-3)


@BACKENDS
def test_second_derivatives_are_those_of_the_definition(backend):
    x = on_grid(2, 3, 20, size=2.5)
    inputs, again = leaves(True, (2, 3)), leaves(True, (2, 3))
    with use_backend(backend):
        run = adaptive_threshold(x, *inputs[:2], 0.5, 0.25, state=AdaptiveState(*inputs[2:]))
        found = gradients(run, inputs, create_graph=True)
        second = gradients(found, inputs, seed=2)
    expected = differentiable_threshold(x, *again[:2], 0.5, 0.25, again[2:])[:2]
    wanted = gradients(gradients(expected, again, create_graph=True), again, seed=2)
    for one, other in zip(second, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@BACKENDS
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), first=st.integers(1, 19), space=st.sampled_from([(), (2, 2)]))
def test_two_runs_with_the_state_are_one(backend, seed, first, space):
    x = on_grid(2, 3, *space, 20, size=2.5, generator=seed)
    whole, parts = leaves(True, (2, 3, *space)), leaves(True, (2, 3, *space))
    constants = {"threshold": 0.5, "step": 0.25}
    with use_backend(backend):
        run = adaptive_threshold(x, *whole[:2], **constants, state=AdaptiveState(*whole[2:]))
        left = adaptive_threshold(x[..., :first], *parts[:2], **constants, state=AdaptiveState(*parts[2:]))
        between = adapted(*left, x[..., :first] >= left[0] + left[1], 0.25)
        right = adaptive_threshold(x[..., first:], *parts[:2], **constants, state=between)
        joined = [torch.cat(pair, -1) for pair in zip(left, right, strict=True)]
        for one, other in zip(joined, run, strict=True):
            assert torch.equal(one, other)
        for one, other in zip(gradients(joined, parts), gradients(run, whole), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(bool(library.problem()), reason=library.problem() or "kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 70, 5, 129), (3, 41, 400), (2, 0, 5), (0, 3, 5)])
def test_backends_agree(dtype, shape):
    x = on_grid(*shape, size=2.5).to(dtype)
    decays = [torch.linspace(0.02, 0.9, max(shape[1], 1), dtype=dtype, requires_grad=True) for _ in range(2)]
    decays = decays if shape[1] else [decay.detach()[:1].requires_grad_() for decay in decays]
    found = []
    for backend in ("reference", "cpu"):
        with use_backend(backend):
            theta, r = adaptive_threshold(x, *decays, 0.5, 0.25)
            weights = torch.linspace(-1, 1, theta.numel(), dtype=dtype).reshape(theta.shape)
            found.append((theta, r, torch.autograd.grad(((theta - r) * weights).sum(), decays)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    for one, other in zip(found[0][2], found[1][2], strict=True):
        scale = float(one.abs().max()) if one.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * scale + 1e-9)


@BACKENDS
@pytest.mark.parametrize("size", [2.0**12, 2.0**22])
def test_states_beyond_the_chips_are_those_of_the_reference(backend, size):
    """What does not fit into the kernel's 32 bits is computed all the same."""
    x = torch.tensor([[[size, 0.0, size, 3 * size]]], dtype=torch.float64)
    with use_backend(backend):
        theta, r = adaptive_threshold(x, 0.5, 0.25, threshold=size / 4, step=size / 2)
    expected = integer_threshold(
        (x.movedim(-1, 0).numpy() * 4096).astype(np.int64), 2048, 1024, int(size) * 1024, int(size) * 2048
    )
    assert np.array_equal(theta.movedim(-1, 0).numpy() * 4096, expected[0])
    assert np.array_equal(r.movedim(-1, 0).numpy() * 4096, expected[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.bool, torch.int32])
def test_dtypes(dtype):
    x = (on_grid(2, 3, 20, size=2.5) > 0.5).to(dtype)
    theta, r = adaptive_threshold(x, 0.1, 0.2, 0.5, 0.25)
    assert theta.dtype == r.dtype == torch.float32
    assert torch.equal(theta, adaptive_threshold(x.float(), 0.1, 0.2, 0.5, 0.25)[0])


def test_images_whose_channels_lie_together():
    x = on_grid(2, 3, 4, 5, 20, size=2.5).permute(4, 0, 2, 3, 1).contiguous().permute(1, 4, 2, 3, 0)
    decays = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.3, 0.2, 0.1])
    together, apart = (adaptive_threshold(y, *decays, 0.5, 0.25) for y in (x, x.contiguous()))
    assert torch.equal(together[0], apart[0])
    assert torch.equal(together[1], apart[1])


def test_it_compiles():
    x, decay = on_grid(2, 3, 20, size=2.5), torch.tensor([0.3], dtype=torch.float64, requires_grad=True)

    def run(x, decay):
        theta, r = adaptive_threshold(x, decay, 0.2, 0.5, 0.25)
        return (theta * theta + r).sum()

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, decay), run(x, decay))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x, decay), decay), torch.autograd.grad(run(x, decay), decay)
    )


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"x": [1.0]}, DtypeError, "x is not a tensor"),
        ({"x": torch.tensor([[[torch.nan]]])}, ArgumentError, "x holds 1 NaN"),
        ({"threshold_decay": 1.5}, ArgumentError, "threshold_decay is out of range"),
        ({"refractory_decay": torch.ones(2) / 2}, ShapeError, "refractory_decay does not fit the channels"),
        ({"threshold": -1.0}, ArgumentError, "threshold is out of range"),
        ({"step": float("nan")}, ArgumentError, "step is out of range"),
        ({"step": "high"}, DtypeError, "step is not a number"),
        ({"allowed": torch.ones(1, 1, 2)}, ShapeError, "allowed"),
        ({"allowed": True}, DtypeError, "allowed is not a tensor"),
        ({"state": torch.ones(1, 1)}, DtypeError, "state"),
        ({"state": (torch.ones(1, 2), torch.ones(1, 2))}, ShapeError, "state"),
        ({"scale": 0}, ArgumentError, "scale is out of range"),
    ],
)
def test_bad_input(change, error, text):
    good = {"x": torch.ones(1, 1, 3), "threshold_decay": 0.1, "refractory_decay": 0.1, "threshold": 1.0, "step": 0.5}
    with pytest.raises(error, match=text):
        adaptive_threshold(**{**good, **change})
