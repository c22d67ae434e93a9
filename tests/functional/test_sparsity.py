"""sparsity and rate_band: lava-dl's value, channels on their own, silent channels raised."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import rate_band, sparsity

SPIKES = torch.tensor(
    [
        [[1, 1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 1]],
        [[1, 0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 1, 0, 1, 0]],
    ]
)
DTYPES = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32]


def test_value_and_gradient_of_lava_dl() -> None:
    # e = lava.lib.dl.slayer.loss.SparsityEnforcer(0.1, 2.0)
    # e.append(SPIKES.float()); e.append(-SPIKES.float()); e.loss.item()
    total = sparsity(SPIKES, 0.1, 2.0) + sparsity(-SPIKES, 0.1, 2.0)
    assert total.item() == pytest.approx(0.4556250274181366, rel=1e-6)
    spikes = SPIKES.float().requires_grad_()
    sparsity(spikes, 0.1).backward()
    torch.testing.assert_close(spikes.grad, SPIKES * 2 * (SPIKES.float().mean() - 0.1) / SPIKES.numel())


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: torch.dtype) -> None:
    spikes = SPIKES.to(dtype)
    for loss in (sparsity(spikes), rate_band(spikes, 0.1, 0.3)):
        assert loss.dtype == torch.float32
        assert loss.ndim == 0
    torch.testing.assert_close(sparsity(spikes).double(), sparsity(SPIKES.double()), rtol=1e-6, atol=0)
    expected = rate_band(SPIKES.double(), 0.1, 0.3)
    torch.testing.assert_close(rate_band(spikes, 0.1, 0.3).double(), expected, rtol=1e-6, atol=0)


def test_rate_band_is_per_channel() -> None:
    spikes = torch.zeros(2, 3, 10)
    spikes[:, 0], spikes[:, 1, :2] = 1, 1  # rates 1, 0.2, 0
    penalty = rate_band(spikes, 0.1, 0.3, 2.0, reduction="none")
    torch.testing.assert_close(penalty, torch.tensor([2 * 0.7**2, 0.0, 2 * 0.1**2]))
    torch.testing.assert_close(rate_band(spikes, 0.1, 0.3, 2.0), penalty.mean())
    torch.testing.assert_close(rate_band(spikes, 0.1, 0.3, 2.0, reduction="sum"), penalty.sum())
    assert sparsity(spikes, 0.5).item() == 0  # the busy channel hides behind the others
    assert rate_band(spikes, 0.0, 0.5).item() > 0


def test_equally_busy_channels_cost_what_the_layer_costs() -> None:
    spikes = torch.zeros(2, 3, 2, 2, 10)
    spikes[..., :4] = 1
    torch.testing.assert_close(rate_band(spikes, 0.0, 0.1, 0.5), sparsity(spikes, 0.1, 0.5))


def test_channels_are_means_over_space_and_neurons_on_request() -> None:
    spikes = torch.zeros(1, 2, 2, 2, 10)
    spikes[0, 0, 0, 0] = 1  # one busy pixel of a silent map
    torch.testing.assert_close(rate_band(spikes, 0.0, 0.1, reduction="none"), torch.tensor([0.15**2, 0.0]))
    neurons = rate_band(spikes.flatten(1, -2), 0.0, 0.1, reduction="none")
    torch.testing.assert_close(neurons, torch.tensor([0.9**2] + [0.0] * 7))


def test_a_silent_channel_is_raised_and_a_busy_one_lowered() -> None:
    spikes = torch.zeros(2, 3, 10)
    spikes[:, 0], spikes[:, 1, :2] = 1, 1
    spikes.requires_grad_()
    rate_band(spikes, 0.1, 0.3).backward()
    assert spikes.grad is not None
    assert (spikes.grad[:, 0] > 0).all()
    assert (spikes.grad[:, 1] == 0).all()
    assert (spikes.grad[:, 2] < 0).all()


def test_signed_spikes_are_events() -> None:
    spikes = torch.tensor([[[1.0, -1.0, 0.0, 0.0]]])
    torch.testing.assert_close(rate_band(spikes, 0.0, 0.2), torch.tensor(0.3**2))
    torch.testing.assert_close(rate_band(spikes, 0.6, 0.7), torch.tensor(0.1**2))


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=2, max_size=2), order=st.permutations(range(3)))
def test_padding_counts_nothing_and_channels_permute(lengths: list[int], order: list[int]) -> None:
    kept = [SPIKES[i, :, :length] for i, length in enumerate(lengths)]
    joined = torch.cat(kept, dim=-1)[None]  # one sample of all the steps
    for loss in (lambda s, **o: sparsity(s, 0.1, **o), lambda s, **o: rate_band(s, 0.4, 0.5, **o)):
        torch.testing.assert_close(loss(SPIKES, lengths=torch.tensor(lengths)), loss(joined))
    permuted = rate_band(SPIKES[:, order], 0.4, 0.5, reduction="none")
    torch.testing.assert_close(permuted, rate_band(SPIKES, 0.4, 0.5, reduction="none")[list(order)])


def test_strided_memory_and_empty_batches() -> None:
    strided = SPIKES.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    torch.testing.assert_close(rate_band(strided, 0.1, 0.2), rate_band(SPIKES, 0.1, 0.2))
    torch.testing.assert_close(sparsity(strided), sparsity(SPIKES))
    assert sparsity(torch.zeros(0, 3, 8)).item() == 0


def test_gradcheck_and_compilation() -> None:
    spikes = torch.rand(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.3
    spikes.requires_grad_()
    lengths = torch.tensor([5, 3])
    assert torch.autograd.gradcheck(lambda s: sparsity(s, 0.1, lengths=lengths), (spikes,))
    assert torch.autograd.gradcheck(lambda s: rate_band(s, 0.3, 0.35, reduction="none"), (spikes,))
    for loss in (sparsity, lambda s: rate_band(s, 0.1, 0.2)):
        torch._dynamo.reset()
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(SPIKES.float()), loss(SPIKES.float()))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sparsity(SPIKES, -0.1), ArgumentError, "sparsity: max_rate is out of range"),
        (lambda: sparsity(SPIKES[0]), ShapeError, "sparsity: spikes has too few dimensions"),
        (lambda: sparsity([1.0]), DtypeError, "sparsity: spikes is not a tensor"),
        (lambda: rate_band(SPIKES / 0), ArgumentError, "rate_band: spikes holds 48 NaN or infinite"),
        (lambda: rate_band(SPIKES, 0.3, 0.2), ArgumentError, "rate_band: max_rate is out of range; .* at least 0.3"),
        (lambda: rate_band(SPIKES, lengths=torch.tensor([9, 1])), ArgumentError, "rate_band: lengths is out of range"),
        (lambda: rate_band(SPIKES, reduction="avg"), ArgumentError, "rate_band: reduction is unknown"),
    ],
)
def test_errors(call: object, error: type[Exception], text: str) -> None:
    assert callable(call)
    with pytest.raises(error, match=text):
        call()
